#![doc = include_str!("../README.md")]

pub mod base64;
#[doc(hidden)]
pub mod bindings;
pub mod crc;
mod export;
pub mod hex;
pub mod json;
mod panic;
mod read;
mod session;
mod slot;
#[cfg(feature = "testing")]
pub mod testing;
mod types;
mod write;

pub use read::{ReadError, Reader};
pub use session::{DecodeOut, Device, EncodeOut, Platform};
pub use types::*;
pub use write::{Length, OpenLength, Writer};

/// What the expansion of [`codec!`] names; not for use by hand.
#[doc(hidden)]
pub mod private {
    pub use crate::bindings::with_device::exports::packhorse::codec::{device, platform};
    pub use crate::panic::install;
    pub use crate::slot::{DeviceSlot, PlatformSlot};
}
