//! What failed, on which file, at which server, and whether it may be repeated.

use std::{fmt, io, net::SocketAddr, path::PathBuf, time::Duration};

use super::Operation;
use crate::wire::{FileId, Status, WireError};

/// How much of a request had gone out when its connection failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    /// Not all of it: the server cannot have carried it out.
    Partly,
    /// All of it: whether the server has carried it out is unknown.
    Whole,
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Partly => "while the request went out",
            Self::Whole => "before the answer was whole",
        })
    }
}

/// Where and on what an operation failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// What was being done.
    pub operation: Operation,
    /// The file id; none for queries and for uploads, whose file has no id yet.
    pub file: Option<String>,
    /// The server that was asked.
    pub address: SocketAddr,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}", self.operation)?;
        if let Some(file) = &self.file {
            write!(f, " {file}")?;
        }
        write!(f, " at {}", self.address)
    }
}

/// Any failure of the client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection could be made: nothing was asked.
    #[error("cannot connect to {address}")]
    Connect {
        /// The server.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// None of several trackers could answer; the last one's failure is the source.
    #[error("none of {tried} trackers could answer")]
    NoTracker {
        /// How many were asked.
        tried: usize,
        /// The last failure.
        source: Box<Self>,
    },
    /// The client was made without any tracker.
    #[error("no tracker is configured")]
    NotConfigured,
    /// The connection broke.
    #[error("{attempt}: the connection broke {sent}")]
    Broken {
        /// What was being done.
        attempt: Box<Attempt>,
        /// How far the request came.
        sent: Sent,
        /// Why.
        source: io::Error,
    },
    /// The server fell silent.
    #[error("{attempt}: nothing moved for {after:?} {sent}")]
    TimedOut {
        /// What was being done.
        attempt: Box<Attempt>,
        /// How far the request came.
        sent: Sent,
        /// The limit.
        after: Duration,
    },
    /// The server refused.
    #[error("{attempt}: {status}")]
    Status {
        /// What was being done.
        attempt: Box<Attempt>,
        /// What it said.
        status: Status,
    },
    /// The server does not speak the protocol.
    #[error("{attempt}: the answer is wrong")]
    Answer {
        /// What was being done.
        attempt: Box<Attempt>,
        /// What is wrong.
        source: WireError,
    },
    /// More bytes than the caller allowed.
    #[error("{attempt}: the answer has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// What was being done.
        attempt: Box<Attempt>,
        /// As announced.
        size: u64,
        /// The caller's.
        limit: u64,
    },
    /// What was transferred is not what the file's name says.
    #[error("{attempt}: size or CRC are not those of the file")]
    Mismatch {
        /// What was being done.
        attempt: Box<Attempt>,
    },
    /// Somebody else changes the file: an append found another size than it must find.
    #[error("{attempt}: somebody else changed it, it has {found} bytes and not {expected}")]
    Changed {
        /// What was being done.
        attempt: Box<Attempt>,
        /// The size if nobody else had changed it. Where it equals `found`, the bytes are not the ones that were sent.
        expected: u64,
        /// The size as the storage has it.
        found: u64,
    },
    /// The file has its normal name, but the answer that told it was lost: nobody knows that name.
    #[error("{attempt}: it was done, but the answer with the new name was lost")]
    NameLost {
        /// What was being done.
        attempt: Box<Attempt>,
    },
    /// The name of the slave belongs to a file with other content.
    #[error("{attempt}: the name {name} belongs to other content")]
    Taken {
        /// What was being done.
        attempt: Box<Attempt>,
        /// The name.
        name: String,
    },
    /// An upload cannot be resumed: the local file does not begin with what was uploaded.
    #[error("cannot resume {file}: {what} does not begin with its content")]
    Differs {
        /// The local file.
        what: PathBuf,
        /// The id of what was uploaded.
        file: String,
    },
    /// A local file or the caller's reader or writer failed.
    #[error("cannot read or write {what}")]
    Local {
        /// A path, or what stands for it.
        what: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ClientError {
    /// What the server refused with, if it did.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        match self {
            Self::Status { status, .. } => Some(*status),
            Self::NoTracker { source, .. } => source.status(),
            Self::Connect { .. }
            | Self::NotConfigured
            | Self::Broken { .. }
            | Self::TimedOut { .. }
            | Self::Answer { .. }
            | Self::TooLarge { .. }
            | Self::Mismatch { .. }
            | Self::Changed { .. }
            | Self::NameLost { .. }
            | Self::Taken { .. }
            | Self::Differs { .. }
            | Self::Local { .. } => None,
        }
    }

    /// What was being done, where that is known.
    #[must_use]
    pub fn operation(&self) -> Option<Operation> {
        self.attempt().map(|attempt| attempt.operation)
    }

    /// What was being done where, where that is known.
    #[must_use]
    pub fn attempt(&self) -> Option<&Attempt> {
        match self {
            Self::Broken { attempt, .. }
            | Self::TimedOut { attempt, .. }
            | Self::Status { attempt, .. }
            | Self::Answer { attempt, .. }
            | Self::TooLarge { attempt, .. }
            | Self::Changed { attempt, .. }
            | Self::NameLost { attempt }
            | Self::Taken { attempt, .. }
            | Self::Mismatch { attempt } => Some(attempt),
            Self::NoTracker { source, .. } => source.attempt(),
            Self::Connect { .. } | Self::NotConfigured | Self::Differs { .. } | Self::Local { .. } => None,
        }
    }

    /// Whether the same may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.is_passing() || matches!(self, Self::Mismatch { .. })
    }

    /// Whether repeating the operation cannot do it twice: it was not begun, was refused, or may be done twice.
    ///
    /// An upload that is repeated all the same leaves at worst a file that nobody knows of.
    #[must_use]
    pub fn is_safe_to_repeat(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::NotConfigured
            | Self::Status { .. }
            | Self::NoTracker { .. }
            | Self::Taken { .. }
            | Self::Differs { .. }
            | Self::Local { .. } => true,
            Self::Broken { attempt, sent, .. } | Self::TimedOut { attempt, sent, .. } => {
                *sent == Sent::Partly || attempt.operation.is_idempotent()
            }
            Self::Answer { attempt, .. } | Self::TooLarge { attempt, .. } | Self::Mismatch { attempt } => {
                attempt.operation.is_idempotent()
            }
            Self::Changed { .. } | Self::NameLost { .. } => false,
        }
    }

    /// Whether the server may or may not have made the change that it was asked for: the request went out whole, and no answer
    /// came that can be understood. Never true of operations that only read.
    #[must_use]
    pub fn is_outcome_unknown(&self) -> bool {
        match self {
            Self::Broken { attempt, sent: Sent::Whole, .. }
            | Self::TimedOut { attempt, sent: Sent::Whole, .. }
            | Self::Answer { attempt, .. }
            | Self::TooLarge { attempt, .. } => attempt.operation.is_change(),
            _ => false,
        }
    }

    /// Whether the client itself repeats after it, where that is safe: servers that are away, break or are busy, and nothing that
    /// points to damage or to a peer that does not speak the protocol.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Broken { .. } | Self::TimedOut { .. } => true,
            Self::Status { status, .. } => status.is_transient(),
            Self::NoTracker { source, .. } => source.is_passing(),
            Self::NotConfigured
            | Self::Answer { .. }
            | Self::TooLarge { .. }
            | Self::Mismatch { .. }
            | Self::Changed { .. }
            | Self::NameLost { .. }
            | Self::Taken { .. }
            | Self::Differs { .. }
            | Self::Local { .. } => false,
        }
    }
    /// Whether a storage, not a tracker, said that the file is not there.
    pub(super) fn is_missing_file(&self) -> bool {
        let at_storage = self.operation().is_some_and(|operation| operation.is_change() || operation.is_read());
        at_storage && self.status() == Some(Status::NOT_FOUND)
    }

    /// The same attempt, of which something worse is known now.
    pub(super) fn into_name_lost(self) -> Self {
        match self.attempt().cloned() {
            Some(attempt) => Self::NameLost { attempt: Box::new(attempt) },
            None => self,
        }
    }

    /// The same attempt, of which something worse is known now.
    pub(super) fn into_taken(self, name: &FileId) -> Self {
        match self.attempt().cloned() {
            Some(attempt) => Self::Taken { attempt: Box::new(attempt), name: name.to_string() },
            None => self,
        }
    }
}
