//! What failed, on which file, at which server, and whether it may be repeated.

use std::{fmt, io, net::SocketAddr, path::PathBuf, time::Duration};

use crate::wire::{Status, WireError};

/// What was being done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Asking a tracker where to upload.
    StoreQuery,
    /// Asking a tracker where a file is.
    FetchQuery,
    /// Asking a tracker about groups or storages.
    List,
    /// Uploading a file, an appender or a slave.
    Upload,
    /// Appending.
    Append,
    /// Overwriting or extending at an offset.
    Modify,
    /// Setting the size.
    Truncate,
    /// Making a normal file of an appender.
    Regenerate,
    /// Downloading.
    Download,
    /// Deleting.
    Delete,
    /// Asking for size, time and CRC.
    FileInfo,
    /// Setting metadata.
    SetMetadata,
    /// Reading metadata.
    GetMetadata,
    /// Probing a server.
    ActiveTest,
}

impl Operation {
    /// Whether doing it twice leaves the same as doing it once.
    #[must_use]
    pub fn is_idempotent(self) -> bool {
        match self {
            Self::Upload | Self::Append | Self::Regenerate => false,
            Self::StoreQuery
            | Self::FetchQuery
            | Self::List
            | Self::Modify
            | Self::Truncate
            | Self::Download
            | Self::Delete
            | Self::FileInfo
            | Self::SetMetadata
            | Self::GetMetadata
            | Self::ActiveTest => true,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StoreQuery => "ask where to store",
            Self::FetchQuery => "ask for the storage of",
            Self::List => "list groups or storages",
            Self::Upload => "upload",
            Self::Append => "append to",
            Self::Modify => "modify",
            Self::Truncate => "truncate",
            Self::Regenerate => "regenerate the name of",
            Self::Download => "download",
            Self::Delete => "delete",
            Self::FileInfo => "ask for the size of",
            Self::SetMetadata => "set metadata of",
            Self::GetMetadata => "read metadata of",
            Self::ActiveTest => "probe",
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
    /// The connection broke. Whether the request was carried out is unknown.
    #[error("{attempt}: the connection broke")]
    Broken {
        /// What was being done.
        attempt: Box<Attempt>,
        /// Why.
        source: io::Error,
    },
    /// The server fell silent. Whether the request was carried out is unknown.
    #[error("{attempt}: nothing moved for {after:?}")]
    TimedOut {
        /// What was being done.
        attempt: Box<Attempt>,
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
    #[error("{attempt}: size or crc differ from those in the name")]
    Mismatch {
        /// What was being done.
        attempt: Box<Attempt>,
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
            | Self::Local { .. } => None,
        }
    }

    /// What was being done, where that is known.
    #[must_use]
    pub fn operation(&self) -> Option<Operation> {
        match self {
            Self::Broken { attempt, .. }
            | Self::TimedOut { attempt, .. }
            | Self::Status { attempt, .. }
            | Self::Answer { attempt, .. }
            | Self::TooLarge { attempt, .. }
            | Self::Mismatch { attempt } => Some(attempt.operation),
            Self::NoTracker { source, .. } => source.operation(),
            Self::Connect { .. } | Self::NotConfigured | Self::Local { .. } => None,
        }
    }

    /// Whether the same may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Broken { .. } | Self::TimedOut { .. } | Self::Mismatch { .. } => true,
            Self::Status { status, .. } => status.is_transient(),
            Self::NoTracker { source, .. } => source.is_transient(),
            Self::NotConfigured | Self::Answer { .. } | Self::TooLarge { .. } | Self::Local { .. } => false,
        }
    }

    /// Whether repeating the operation cannot do it twice: it was not begun, was refused, or may be done twice.
    ///
    /// An upload that is repeated all the same leaves at worst a file that nobody knows of.
    #[must_use]
    pub fn is_safe_to_repeat(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::NotConfigured | Self::Status { .. } | Self::NoTracker { .. } => true,
            Self::Broken { attempt, .. }
            | Self::TimedOut { attempt, .. }
            | Self::Answer { attempt, .. }
            | Self::TooLarge { attempt, .. }
            | Self::Mismatch { attempt } => attempt.operation.is_idempotent(),
            Self::Local { .. } => true,
        }
    }
}
