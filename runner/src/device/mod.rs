//! The simulated device: the device side of any codec on a bus, with a disk and with faults.
//!
//! * `options`: what it is told; `pace`: how fast it is answered
//! * `weather`: seeded faults on whole messages, pure
//! * `fetch`: a file that was offered by its URL
//! * `disk`: what it stores and serves, durably before it acknowledges
//! * `shell`: the loop around the peer machine of `packhorse_core`

mod disk;
mod fetch;
mod options;
mod pace;
mod shell;
mod weather;

pub use disk::{Disk, DiskError};
pub use options::{DeviceError, DeviceNote, DeviceOptions, Faults};
pub use pace::Pace;
pub use shell::Device;
pub use weather::{Struck, Weather};
