//! Tests of a codec without WebAssembly: golden vectors, and bytes that no peer would send. Feature `testing`.
//!
//! ```text
//! #[test]
//! fn golden_vectors() {
//!     packhorse_codec::testing::vectors::<MyPlatform, MyDevice>("vectors");
//! }
//!
//! #[test]
//! fn random_bytes() {
//!     packhorse_codec::testing::hostile::<MyPlatform, MyDevice>(100_000);
//! }
//! ```
//!
//! `packhorse plugin test` runs the same vectors on the built component. `run.rs` plays a file of them, `words.rs` is their spelling,
//! `hostile.rs` makes the bytes, `time.rs` is the native half of `packhorse plugin bench`.

mod hostile;
mod run;
mod time;
mod words;

pub use hostile::{Hostile, hostile, mangled};
pub use run::{vectors, vectors_platform_only};
pub use time::time;

use crate::private::{DeviceSlot, PlatformSlot, device, platform};
use crate::session::{Device, Platform};
use crate::types::{Command, Direction, Driver, Event, File, Incoming, Text, Transfer};

/// The platform side of a codec, driven as the host drives the component.
#[derive(Debug)]
pub struct PlatformEnd<P: Platform>(PlatformSlot<P>);

/// The device side of a codec, driven as the simulated device drives the component.
#[derive(Debug)]
pub struct DeviceEnd<D: Device>(DeviceSlot<D>);

impl<P: Platform> PlatformEnd<P> {
    /// Opens a session.
    ///
    /// # Errors
    /// The codec's refusal.
    pub fn open(transfer: Transfer) -> Result<Self, Text> {
        let slot = PlatformSlot::new();
        slot.open(transfer)?;
        Ok(Self(slot))
    }

    /// Translates messages of the device.
    pub fn decode(&self, batch: Vec<Incoming>) -> platform::Decoded {
        self.0.decode(batch)
    }

    /// Translates commands of the host.
    pub fn encode(&self, batch: Vec<Command>) -> platform::Encoded {
        self.0.encode(batch)
    }

    /// What the next instance needs.
    pub fn save(&self) -> Vec<u8> {
        self.0.save()
    }
}

impl<D: Device> DeviceEnd<D> {
    /// Opens a session.
    ///
    /// # Errors
    /// The codec's refusal.
    pub fn open(transfer: Transfer) -> Result<Self, Text> {
        let slot = DeviceSlot::new();
        slot.open(transfer)?;
        Ok(Self(slot))
    }

    /// Translates messages of the platform.
    pub fn decode(&self, batch: Vec<Incoming>) -> device::Decoded {
        self.0.decode(batch)
    }

    /// Translates words of the device.
    pub fn encode(&self, batch: Vec<Event>) -> device::Encoded {
        self.0.encode(batch)
    }

    /// What the next instance needs.
    pub fn save(&self) -> Vec<u8> {
        self.0.save()
    }
}

/// The opening of a transfer of which little is known: a test fills in what it needs.
pub fn transfer(driver: Driver, file: File) -> Transfer {
    let direction = match driver {
        Driver::PlatformPush | Driver::DevicePull => Direction::Push,
        Driver::DevicePush | Driver::PlatformPull => Direction::Pull,
    };
    Transfer {
        direction,
        driver,
        device: "dev-1".into(),
        file,
        packet_size: 640,
        epoch: 1,
        attempt: 1,
        started_at: 0,
        done: Vec::new(),
        vars: Vec::new(),
        saved: Vec::new(),
    }
}

/// A message on a route.
pub fn incoming(route: u16, payload: impl Into<Vec<u8>>) -> Incoming {
    Incoming { route, payload: payload.into(), more: None }
}
