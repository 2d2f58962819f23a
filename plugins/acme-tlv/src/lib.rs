//! The codec `acme-tlv`: binary frames with a CRC-16, acknowledged by bitmaps.
//!
//! `README.md` in this folder is the protocol, for whoever builds a device. `describe.rs` says what the codec is, `frame.rs` does what
//! all frames share, `body.rs` the parts that several have, `holding.rs` the bitmap; `platform.rs` and `device.rs` are the two sides.

mod body;
mod describe;
mod device;
mod frame;
mod holding;
mod platform;

pub use device::AcmeDevice;
pub use platform::AcmePlatform;

packhorse_codec::codec!(platform: AcmePlatform, device: AcmeDevice);
