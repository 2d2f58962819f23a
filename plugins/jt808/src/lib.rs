//! The codec `jt808`: frames of JT/T 808, the protocol of road vehicles' terminals, in MQTT payloads.
//!
//! `README.md` in this folder is the format. `describe.rs` says what the codec is, `frame.rs` is what stands around every message,
//! `words.rs` are the short ones: answers and lists of packets. `package.rs` is the upgrade package that goes to the terminal, cut into
//! packets; `media.rs` what stands before media data, `layout.rs` where the packets of an upload belong. `platform` and `device` are the
//! two sides, each with an upgrade and an upload.

mod describe;
mod device;
mod frame;
mod layout;
mod media;
mod package;
mod platform;
mod words;

pub use device::Jt808Device;
pub use platform::Jt808Platform;

packhorse_codec::codec!(platform: Jt808Platform, device: Jt808Device);
