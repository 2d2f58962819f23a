//! What a simulated device is like, and what it asks its surroundings to do.

use serde::{Deserialize, Serialize};

use crate::transfer::{Digest, Event, FileInfo, Intervals, Micros, Mode, Span, Tag};

/// What a device is like: settled before it hears its first word.
#[derive(Debug, Clone)]
pub struct PeerPlan {
    /// What it speaks; of several modes of one direction the first counts, as for the platform.
    pub modes: Vec<Mode>,
    /// Bytes in a piece where the device chooses: its requests and its uploads.
    pub packet_size: u32,
    /// Requests or pieces in flight where the device drives, at least 1.
    pub window: u16,
    /// How it acknowledges a push.
    pub acks: AckStyle,
    /// How long it waits for an answer before it repeats itself; doubles up to eightfold.
    pub patience: Micros,
    /// Whether it begins by itself: asks for an offer, begins an upload, says hello after a restart.
    pub spontaneous: bool,
    /// Requests past the end of the file before it is content, as some device libraries make.
    pub asks_past_end: u32,
}

/// How a device acknowledges pieces of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckStyle {
    /// Each piece by a message of its own.
    EachPacket,
    /// One message tells of many: everything up to an offset, and the ranges above it.
    Batch {
        /// After so many pieces.
        packets: u32,
        /// Or so long after the first of them.
        within: Micros,
    },
}

/// What the surroundings of a [`super::Peer`] have to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerAction {
    /// Encode it and send it. Never `Event::Data`.
    Say(Event),
    /// Read the bytes of the file that [`super::Peer::serving`] names, encode them as `Event::Data`, send them.
    SendData {
        /// For the event.
        tag: Tag,
        /// Which bytes; may be empty at the end of the file.
        span: Span,
        /// Whether the file ends with them.
        last: bool,
    },
    /// Put bytes into the file being received; `handle_durable` once they would survive a loss of power.
    Write {
        /// Where they belong.
        offset: u64,
        /// The bytes, never empty.
        bytes: Vec<u8>,
    },
    /// The file being received begins anew, perhaps as another one: throw away what there is of it.
    Truncate,
    /// Every byte of the file being received is durable: compute its digests; answer by `handle_digests`.
    Digest,
    /// A query for a file that is finished, received or on the shelf: compute its digests as it is stored now; answer by
    /// `handle_verified`.
    Verify {
        /// For the answer.
        tag: Tag,
        /// Which file.
        file: FileInfo,
    },
    /// The file received is whole and, as far as its digests are known, right.
    Stored(FileInfo),
}

/// What a device knows after a restart, of the file that it receives.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Kept {
    /// The file as it was announced; its size may also have been learnt from the last piece.
    pub file: Option<FileInfo>,
    /// The bytes that are durable.
    pub durable: Intervals,
    /// The digests of the whole, once it was found right.
    pub stored: Option<Vec<Digest>>,
}

/// Whether what was computed contradicts what was told; an algorithm that only one side knows says nothing.
pub(super) fn contradicts(told: &[Digest], computed: &[Digest]) -> bool {
    told.iter().any(|want| computed.iter().any(|have| have.algorithm == want.algorithm && have.value != want.value))
}

/// Whether two announcements may mean one file.
pub(super) fn same_file(one: &FileInfo, other: &FileInfo) -> bool {
    let sizes = one.size.is_none() || other.size.is_none() || one.size == other.size;
    sizes && !contradicts(&one.digests, &other.digests)
}

/// Whether a digest of some algorithm is on both lists with one value.
pub(super) fn shares_digest(one: &[Digest], other: &[Digest]) -> bool {
    one.iter().any(|digest| other.contains(digest))
}
