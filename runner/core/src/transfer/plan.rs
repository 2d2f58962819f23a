//! What is settled before the first packet of a transfer, and the errors of a plan that cannot be carried out.

use super::checkpoint::Checkpoint;
use super::time::Micros;
use super::words::{FileInfo, Mode};

/// Everything settled before the first packet.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The codec's mode: who drives, and what the device bears.
    pub mode: Mode,
    /// Device id, for messages to people.
    pub device: String,
    /// Push: our file, its size and digests known. Pull: `name` is what is asked for, the rest is learnt.
    pub file: FileInfo,
    /// Bytes of file in one packet. Where the mode has a grid, a checkpoint's own size wins.
    pub packet_size: u32,
    /// The largest piece that can travel in one packet, where something allows less than the mode's `packet_max`.
    pub piece_limit: Option<PieceLimit>,
    /// Packets in flight; cut to the mode's largest, and to 1 where the device only appends.
    pub window: u16,
    /// Grows with every start and resumption.
    pub epoch: u32,
    /// Wire bytes a second, both directions together; none = as fast as it goes.
    pub rate: Option<u64>,
    /// Wire bytes that may be spent, both directions together; none = as many as it takes.
    pub budget: Option<u64>,
    /// For ids that must be unlike others' (upload ids, tags).
    pub seed: u64,
    /// After so much silence the device counts as offline.
    pub silence: Micros,
    /// Empty answers to requests past the end, before the device counts as running away.
    pub past_end_limit: u32,
    /// How often one range may be asked for.
    pub repeat_limit: u32,
    /// Largest file that is taken from a device.
    pub file_max: u64,
}

/// What bounds the pieces that a device may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PieceLimit {
    /// Of file, in one packet.
    pub bytes: u32,
    /// Who says so, as the subject of a sentence.
    pub by: &'static str,
}

impl Plan {
    /// A plan with the usual limits: 30 s of silence, 16 requests past the end, 32 for one range, files up to 16 GiB.
    pub fn new(mode: Mode, device: impl Into<String>, file: FileInfo) -> Self {
        let (packet_size, window) = (mode.packet_default, mode.window_default);
        Self {
            mode,
            device: device.into(),
            file,
            packet_size,
            piece_limit: None,
            window,
            epoch: 1,
            rate: None,
            budget: None,
            seed: 0,
            silence: Micros::from_secs(30),
            past_end_limit: 16,
            repeat_limit: 32,
            file_max: 16 << 30,
        }
    }
}

/// Why a transfer cannot begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// A push needs the size of its file.
    #[error("a push to {device} needs the size of its file")]
    NoSize {
        /// Whither.
        device: String,
    },
    /// The packet size lies outside what the codec declared.
    #[error("packet size {size} is outside {min} to {max} bytes in steps of {align}")]
    PacketSize {
        /// What was planned.
        size: u32,
        /// The mode's smallest.
        min: u32,
        /// The mode's largest.
        max: u32,
        /// The mode's alignment.
        align: u32,
    },
    /// A device is to be asked what it holds, and its codec has no question.
    #[error("{device} cannot be asked what it holds: its codec knows no query")]
    CannotAsk {
        /// Whom.
        device: String,
    },
    /// The window is 0.
    #[error("the window is 0; at least one packet must be in flight")]
    Window,
    /// The file is larger than the device or the plan takes.
    #[error("the file has {size} bytes, the largest that may travel here is {max}")]
    TooLarge {
        /// Its size.
        size: u64,
        /// The limit.
        max: u64,
    },
    /// The checkpoint was written by a newer program.
    #[error("checkpoint of version {found}; this program reads versions up to {known}")]
    Version {
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// The checkpoint belongs to another file or is damaged.
    #[error("the checkpoint does not fit this transfer: {0}")]
    Checkpoint(&'static str),
}

impl Plan {
    /// Packets that may really be in flight.
    pub(super) fn effective_window(&self) -> usize {
        if self.mode.order == super::words::Order::Sequential {
            return 1;
        }
        usize::from(self.window.min(self.mode.window_max.max(1)).max(1))
    }

    /// The largest piece that one packet can carry.
    pub(super) fn largest_piece(&self) -> PieceLimit {
        let most = if self.mode.packet_max == 0 { u32::MAX } else { self.mode.packet_max };
        let codec = PieceLimit { bytes: most, by: "its codec" };
        self.piece_limit.filter(|limit| limit.bytes < most).unwrap_or(codec)
    }

    /// The largest file that may travel: the device's limit and ours; 0 in the mode says nothing.
    pub(super) fn size_limit(&self) -> u64 {
        if self.mode.file_max == 0 { self.file_max } else { self.file_max.min(self.mode.file_max) }
    }

    pub(super) fn check(&self, checkpoint: Option<&Checkpoint>) -> Result<(), TransferError> {
        let mode = &self.mode;
        let align = mode.packet_align.max(1);
        let max = if mode.packet_max == 0 { u32::MAX } else { mode.packet_max };
        if !mode.takes(self.packet_size) {
            return Err(TransferError::PacketSize { size: self.packet_size, min: mode.packet_min.max(1), max, align });
        }
        if self.window == 0 {
            return Err(TransferError::Window);
        }
        if mode.driver.direction() == super::words::Direction::Push {
            let size = self.file.size.ok_or_else(|| TransferError::NoSize { device: self.device.clone() })?;
            let max = if mode.file_max == 0 { u64::MAX - 1 } else { mode.file_max };
            if size > max {
                return Err(TransferError::TooLarge { size, max });
            }
        }
        checkpoint.map_or(Ok(()), |checkpoint| checkpoint.check(self))
    }
}
