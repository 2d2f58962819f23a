//! One face for the adapters of all versions: which of them a component gets is read from its bytes, before it is compiled.

use packhorse_core::transfer::{Command, Decoded, Description, DeviceDecoded, Encoded, Event, Incoming, Opening, Text};
use wasmtime::component::{Instance, InstancePre, Linker};

use super::{Contract, v1};
use crate::plugin::guest::{Beside, GuestStore};

/// The imports of every version: a component names only those of its own.
pub(crate) fn link(linker: &mut Linker<Beside>) -> wasmtime::Result<()> {
    Contract::ALL.into_iter().try_for_each(|contract| match contract {
        Contract::V1 => v1::link(linker),
    })
}

/// Where a component has its functions.
#[derive(Clone)]
pub(crate) enum Functions {
    V1(v1::Functions),
}

impl Functions {
    pub(crate) fn find(contract: Contract, pre: &InstancePre<Beside>) -> wasmtime::Result<Self> {
        match contract {
            Contract::V1 => v1::Functions::find(pre).map(Self::V1),
        }
    }

    /// Of which version.
    pub(crate) const fn contract(&self) -> Contract {
        match self {
            Self::V1(_) => Contract::V1,
        }
    }

    pub(crate) const fn has_device(&self) -> bool {
        match self {
            Self::V1(it) => it.has_device(),
        }
    }

    pub(crate) fn platform(&self, store: &mut GuestStore, instance: &Instance) -> wasmtime::Result<Platform> {
        match self {
            Self::V1(it) => it.platform(store, instance).map(Platform::V1),
        }
    }

    /// Nothing where the component has no device side.
    pub(crate) fn device(&self, store: &mut GuestStore, instance: &Instance) -> wasmtime::Result<Option<Device>> {
        match self {
            Self::V1(it) => Ok(it.device(store, instance)?.map(Device::V1)),
        }
    }
}

/// The runner's end of an instance.
pub(crate) enum Platform {
    V1(v1::Platform),
}

impl Platform {
    pub(crate) fn describe(&self, store: &mut GuestStore) -> wasmtime::Result<Description> {
        match self {
            Self::V1(it) => it.describe(store),
        }
    }

    pub(crate) fn open(&self, store: &mut GuestStore, opening: &Opening) -> wasmtime::Result<Result<(), Text>> {
        match self {
            Self::V1(it) => it.open(store, opening),
        }
    }

    pub(crate) fn decode(&self, store: &mut GuestStore, batch: Vec<Incoming>) -> wasmtime::Result<Decoded> {
        match self {
            Self::V1(it) => it.decode(store, batch),
        }
    }

    pub(crate) fn encode(&self, store: &mut GuestStore, batch: Vec<Command>) -> wasmtime::Result<Encoded> {
        match self {
            Self::V1(it) => it.encode(store, batch),
        }
    }

    pub(crate) fn save(&self, store: &mut GuestStore) -> wasmtime::Result<Vec<u8>> {
        match self {
            Self::V1(it) => it.save(store),
        }
    }
}

/// The device's end of an instance.
pub(crate) enum Device {
    V1(v1::Device),
}

impl Device {
    pub(crate) fn open(&self, store: &mut GuestStore, opening: &Opening) -> wasmtime::Result<Result<(), Text>> {
        match self {
            Self::V1(it) => it.open(store, opening),
        }
    }

    pub(crate) fn decode(&self, store: &mut GuestStore, batch: Vec<Incoming>) -> wasmtime::Result<DeviceDecoded> {
        match self {
            Self::V1(it) => it.decode(store, batch),
        }
    }

    pub(crate) fn encode(&self, store: &mut GuestStore, batch: Vec<Event>) -> wasmtime::Result<Encoded> {
        match self {
            Self::V1(it) => it.encode(store, batch),
        }
    }

    pub(crate) fn save(&self, store: &mut GuestStore) -> wasmtime::Result<Vec<u8>> {
        match self {
            Self::V1(it) => it.save(store),
        }
    }
}
