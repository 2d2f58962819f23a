//! The codec `emqx-file-transfer`: EMQX's file transfer over MQTT in its asynchronous mode. The device sends a file, the platform takes it.
//!
//! `README.md` in this folder is the protocol. `describe.rs` says what the codec is, `command.rs` reads and writes topics, `init.rs` what
//! stands in the first message of an upload, `answer.rs` the answers and where they go, `platform.rs` and `device.rs` are the two sides,
//! `upload.rs` is the upload that the platform takes.

mod answer;
mod command;
mod describe;
mod device;
mod init;
mod platform;
mod upload;

pub use device::EmqxDevice;
pub use platform::EmqxPlatform;

packhorse_codec::codec!(platform: EmqxPlatform, device: EmqxDevice);
