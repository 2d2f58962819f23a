//! What the machine asks its driver to do, and how a transfer ends.

pub use crate::failure::Class as FailureClass;
use serde::{Deserialize, Serialize};

use super::words::{Command, Digest, Span, Tag};

/// What the driver must do next; carried out in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Say this; never a `Chunk`. Then `handle_sent`, or `handle_unsupported`.
    Say(Command),
    /// Send these bytes of the file as a `Chunk`: read, encode, publish, then `handle_sent`. An empty span is an empty piece.
    Send {
        /// For `Chunk::tag`.
        tag: Tag,
        /// Which bytes.
        span: Span,
        /// Whether the file ends with them.
        last: bool,
    },
    /// Pull: append to the spool; `handle_durable` once it is on disk, and only then is it acknowledged.
    Write {
        /// The tag of the data.
        tag: Tag,
        /// Where the bytes belong in the file.
        offset: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Pull: another file has begun. Throw away what is spooled, also writes not yet durable; never report those.
    Truncate,
    /// Pull: every byte is durable. Compute the file's digests and call `handle_digests`.
    Digest,
    /// Take `checkpoint()` now and store it.
    Checkpoint,
    /// The last action ever.
    Finished(Ending),
}

/// What was sent, for `handle_sent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// What it was.
    pub what: SentKind,
    /// Payload, topic and fixed header of all its messages.
    pub wire_bytes: u64,
    /// MQTT messages that it became.
    pub messages: u32,
}

/// See [`Sent::what`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentKind {
    /// The piece of a [`Action::Send`].
    Piece(Span),
    /// A [`Action::Say`], or a reply of the codec's own.
    Other,
}

/// A command without its contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named as the commands are")]
pub enum CommandKind {
    Offer,
    Accept,
    Refuse,
    Chunk,
    Ack,
    Need,
    RequestUpload,
    Query,
    Outcome,
    Cancel,
    Pause,
}

impl CommandKind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Accept => "accept",
            Self::Refuse => "refuse",
            Self::Chunk => "chunk",
            Self::Ack => "ack",
            Self::Need => "need",
            Self::RequestUpload => "request-upload",
            Self::Query => "query",
            Self::Outcome => "outcome",
            Self::Cancel => "cancel",
            Self::Pause => "pause",
        }
    }
}

impl From<&Command> for CommandKind {
    fn from(command: &Command) -> Self {
        match command {
            Command::Offer(_) => Self::Offer,
            Command::Accept(_) => Self::Accept,
            Command::Refuse(_) => Self::Refuse,
            Command::Chunk(_) => Self::Chunk,
            Command::Ack(_) => Self::Ack,
            Command::Need(_) => Self::Need,
            Command::RequestUpload(_) => Self::RequestUpload,
            Command::Query(_) => Self::Query,
            Command::Outcome(_) => Self::Outcome,
            Command::Cancel(_) => Self::Cancel,
            Command::Pause(_) => Self::Pause,
        }
    }
}

/// How a transfer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Whole, as far as the protocol can tell.
    Good {
        /// What that rests on.
        confirmed: Confirmed,
        /// Bytes of the file.
        size: u64,
        /// Digests that the device reported.
        digests_by_device: Vec<Digest>,
    },
    /// Not.
    Failed(TransferFailure),
    /// By `cancel`.
    Cancelled,
    /// By `park`: goes on from its checkpoint later.
    Parked,
}

/// What a good ending rests on, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confirmed {
    /// The device reported a digest, and it is ours.
    DeviceDigest,
    /// The device said that the file is good.
    DeviceVerdict,
    /// Every byte was acknowledged (push) or is here (pull); nothing more is known.
    Acks,
}

impl Confirmed {
    /// As in a step's outputs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeviceDigest => "device_digest",
            Self::DeviceVerdict => "device_verdict",
            Self::Acks => "acks",
        }
    }
}

/// Why a transfer failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferFailure {
    /// Stable code, `PH5xxx`: see [`super::code`].
    pub code: &'static str,
    /// What it means for retries.
    pub class: FailureClass,
    /// What happened, naming device and byte.
    pub message: String,
    /// What to do about it, or empty.
    pub hint: String,
    /// The checkpoint is worthless: an attempt that follows starts from byte 0.
    pub restart: bool,
}
