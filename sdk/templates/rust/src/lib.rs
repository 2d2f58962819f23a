//! The codec `{{name}}`: pieces of a file in binary frames, each acknowledged by itself.
//!
//! `README.md` in this folder is the protocol; replace it, and all of this, by yours. `frame.rs` reads and writes frames,
//! `platform.rs` is Packhorse's end, `device.rs` the device's, for simulation and tests.

mod device;
mod frame;
mod platform;

pub use device::ThisDevice;
pub use platform::ThisPlatform;

packhorse_codec::codec!(platform: ThisPlatform, device: ThisDevice);
