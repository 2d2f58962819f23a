//! The codec `ota-topics`: offers a file by its URL on a few plain topics, and hears how the device fares that fetches it by itself.
//!
//! `README.md` in this folder is the protocol. `describe.rs` says what the codec is, `offer.rs` reads and writes what is offered, `report.rs`
//! what a device reports, `attempts.rs` counts its downloads, `platform.rs` and `device.rs` are the two sides.

mod attempts;
mod describe;
mod device;
mod offer;
mod platform;
mod report;

pub use device::OtaTopicsDevice;
pub use platform::OtaTopicsPlatform;

packhorse_codec::codec!(platform: OtaTopicsPlatform, device: OtaTopicsDevice);
