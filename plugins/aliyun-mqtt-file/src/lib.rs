//! The codec `aliyun-mqtt-file`: files over the MQTT topics of Alibaba Cloud IoT Platform, both ways.
//!
//! `README.md` in this folder is the format. `describe.rs` says what the codec is, `message.rs` reads the JSON of a message,
//! `frame.rs` is what stands around file bytes, `control.rs` and `replies.rs` write what announces and answers, `requests.rs` knows
//! how answers find their requests. `platform` and `device` are the two sides, each with a download and an upload.

mod control;
mod describe;
mod device;
mod frame;
mod message;
mod platform;
mod replies;
mod requests;

pub use device::AliyunDevice;
pub use platform::AliyunPlatform;

packhorse_codec::codec!(platform: AliyunPlatform, device: AliyunDevice);
