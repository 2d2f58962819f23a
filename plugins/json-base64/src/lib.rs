//! The codec `json-base64`: packets as JSON objects with the piece in Base64, known by the file's MD5.
//!
//! `README.md` in this folder is the format. `describe.rs` says what the codec is, `fields.rs` reads a message, `message.rs` writes
//! one, `platform.rs` and `device.rs` are the two sides.

mod describe;
mod device;
mod fields;
mod message;
mod platform;

pub use device::JsonDevice;
pub use platform::JsonPlatform;

packhorse_codec::codec!(platform: JsonPlatform, device: JsonDevice);
