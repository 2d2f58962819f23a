//! The adapter for `packhorse:codec@1.0.0`: what a component of that version exports, in the core's words.
//!
//! * `bindings`: the released words as Rust, generated; `convert`: those types and the core's, in both directions.

mod bindings;
mod convert;

use std::sync::Arc;

use packhorse_core::transfer::{Command, Decoded, Description, DeviceDecoded, Encoded, Event, Incoming, Opening, Text};
use wasmtime::component::{HasSelf, Instance, InstancePre, Linker};

use self::bindings::{device, diagnostics, platform, types};
use self::convert::list;
use crate::plugin::guest::{Beside, GuestStore};

/// As it stands in the names of imports and exports.
pub(crate) const VERSION: &str = "1.0.0";

impl diagnostics::Host for Beside {
    fn panicked(&mut self, message: String) {
        self.keep_last_words(message);
    }
}

/// The imports of a codec: the one that there is.
pub(crate) fn link(linker: &mut Linker<Beside>) -> wasmtime::Result<()> {
    diagnostics::add_to_linker::<_, HasSelf<_>>(linker, |beside| beside)
}

/// Where a component has its functions.
#[derive(Clone)]
pub(crate) struct Functions {
    platform: Arc<platform::GuestIndices>,
    device: Option<Arc<device::GuestIndices>>,
}

impl Functions {
    pub(crate) fn find(pre: &InstancePre<Beside>) -> wasmtime::Result<Self> {
        let platform = Arc::new(platform::GuestIndices::new(pre)?);
        let name = format!("packhorse:codec/device@{VERSION}");
        let device = pre.component().get_export_index(None, name.as_str()).is_some();
        let device = device.then(|| device::GuestIndices::new(pre)).transpose()?.map(Arc::new);
        Ok(Self { platform, device })
    }

    pub(crate) const fn has_device(&self) -> bool {
        self.device.is_some()
    }

    pub(crate) fn platform(&self, store: &mut GuestStore, instance: &Instance) -> wasmtime::Result<Platform> {
        self.platform.load(store, instance).map(Platform)
    }

    /// Nothing where the component has no device side.
    pub(crate) fn device(&self, store: &mut GuestStore, instance: &Instance) -> wasmtime::Result<Option<Device>> {
        self.device.as_ref().map(|device| device.load(&mut *store, instance).map(Device)).transpose()
    }
}

/// The runner's end of an instance.
pub(crate) struct Platform(platform::Guest);

impl Platform {
    pub(crate) fn describe(&self, store: &mut GuestStore) -> wasmtime::Result<Description> {
        self.0.call_describe(store).map(Description::from)
    }

    pub(crate) fn open(&self, store: &mut GuestStore, opening: &Opening) -> wasmtime::Result<Result<(), Text>> {
        let opened = self.0.call_open(store, &types::Transfer::from(opening))?;
        Ok(opened.map_err(Text::from))
    }

    pub(crate) fn decode(&self, store: &mut GuestStore, batch: Vec<Incoming>) -> wasmtime::Result<Decoded> {
        self.0.call_decode(store, &list(batch)).map(Decoded::from)
    }

    pub(crate) fn encode(&self, store: &mut GuestStore, batch: Vec<Command>) -> wasmtime::Result<Encoded> {
        self.0.call_encode(store, &list(batch)).map(Encoded::from)
    }

    pub(crate) fn save(&self, store: &mut GuestStore) -> wasmtime::Result<Vec<u8>> {
        self.0.call_save(store)
    }
}

/// The device's end of an instance.
pub(crate) struct Device(device::Guest);

impl Device {
    pub(crate) fn open(&self, store: &mut GuestStore, opening: &Opening) -> wasmtime::Result<Result<(), Text>> {
        let opened = self.0.call_open(store, &types::Transfer::from(opening))?;
        Ok(opened.map_err(Text::from))
    }

    pub(crate) fn decode(&self, store: &mut GuestStore, batch: Vec<Incoming>) -> wasmtime::Result<DeviceDecoded> {
        self.0.call_decode(store, &list(batch)).map(DeviceDecoded::from)
    }

    pub(crate) fn encode(&self, store: &mut GuestStore, batch: Vec<Event>) -> wasmtime::Result<Encoded> {
        self.0.call_encode(store, &list(batch)).map(Encoded::from)
    }

    pub(crate) fn save(&self, store: &mut GuestStore) -> wasmtime::Result<Vec<u8>> {
        self.0.call_save(store)
    }
}
