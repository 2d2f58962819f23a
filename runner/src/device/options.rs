//! What a simulated device is told, what it tells, and why it stops.

use super::disk::DiskError;
use super::pace::Pace;
use crate::bus::BusError;
use crate::link::Spool;
use crate::plugin::{CallError, PluginError};
use packhorse_core::transfer::Pairs;
use std::path::PathBuf;
use std::time::Duration;

/// A device.
#[derive(Debug, Clone)]
pub struct DeviceOptions {
    /// Its id.
    pub id: String,
    /// Where it stores what it gets and has what it serves.
    pub dir: PathBuf,
    /// Variables for the codec.
    pub vars: Pairs,
    /// Faults.
    pub faults: Faults,
    /// Of the faults.
    pub seed: u64,
    /// Where pieces become durable, shared with other devices of the process; none = a spool of its own.
    pub spool: Option<Spool>,
    /// Counts the time from each of its words to the next message that it gets.
    pub pace: Pace,
}

/// Shares of messages that are struck, from 0 to 1, each message by itself.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Faults {
    /// Lost on the way from the device.
    pub loss_up: f64,
    /// Lost on the way to the device.
    pub loss_down: f64,
    /// Delivered twice, either way.
    pub duplicate: f64,
    /// Overtaken by later ones, either way.
    pub reorder: f64,
    /// One byte changed, either way.
    pub corrupt: f64,
    /// Mean time between restarts that lose everything not on disk.
    pub restart_every: Option<Duration>,
}

/// What a device tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceNote {
    /// Its topics are subscribed to.
    Listening,
    /// A file arrived whole.
    Stored {
        /// Where it lies.
        path: PathBuf,
        /// In bytes.
        size: u64,
        /// Lowercase hex.
        md5: String,
    },
    /// It restarted as told.
    Restarted,
    /// The codec failed and was opened anew.
    CodecFailed(String),
}

/// Why a device stopped.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Its folder.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Its codec.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// Its codec, again and again.
    #[error("the codec failed {0} times")]
    Codec(u32, #[source] CallError),
    /// Its broker.
    #[error("cannot subscribe")]
    Bus(#[from] BusError),
    /// The subscription ended.
    #[error("the broker's connection is closed")]
    Closed,
}
