//! The codec `thingsboard`: ThingsBoard's OTA updates over MQTT. The device pulls the file chunk by chunk.
//!
//! `README.md` in this folder is the protocol. `describe.rs` says what the codec is, `announcement.rs` reads and writes the attributes that
//! offer a file, `checksum.rs` the digest in them, `request.rs` the numbers in topics, `sizes.rs` remembers chunk sizes, `telemetry.rs`
//! reads and writes what a device reports, `platform.rs` and `device.rs` are the two sides, `pending.rs` is what a device waits for.

mod announcement;
mod checksum;
mod describe;
mod device;
mod pending;
mod platform;
mod request;
mod sizes;
mod telemetry;

pub use device::ThingsboardDevice;
pub use platform::ThingsboardPlatform;

packhorse_codec::codec!(platform: ThingsboardPlatform, device: ThingsboardDevice);
