//! The codec `aws-iot-streams`: AWS IoT file delivery over MQTT, with the messages of AWS IoT Jobs that an update needs.
//!
//! `README.md` in this folder is the format. `describe.rs` says what the codec is. `cbor.rs` and `fields.rs` read stream messages in
//! either format, `stream.rs` writes them, `blocks.rs` knows which blocks a request means. `job.rs` is one execution of a job,
//! `update.rs` what a device says of it, `questions.rs` what is asked and not answered yet. `platform` and `device` are the two sides.

mod blocks;
mod cbor;
mod describe;
mod device;
mod fields;
mod job;
mod platform;
mod questions;
mod state;
mod stream;
mod update;

pub use device::AwsDevice;
pub use platform::AwsPlatform;

packhorse_codec::codec!(platform: AwsPlatform, device: AwsDevice);
