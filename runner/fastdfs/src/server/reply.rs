//! Outcomes of a request: an answer, a refusal, or a connection that is beyond answering.

use std::io;

use crate::wire::{Status, WireError};

/// What a command has to say when it went well.
pub(super) enum Reply {
    /// Success with this body.
    Body(Vec<u8>),
    /// The answer went out already.
    Sent,
    /// Close without an answer.
    Close,
}

impl Reply {
    pub(super) const EMPTY: Self = Self::Body(Vec::new());
}

/// Why a command did not go well.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Tell the client.
    Status(Status),
    /// The socket failed, or an answer was cut: nothing can be told any more.
    Broken,
}

impl Refusal {
    pub(super) const INVALID: Self = Self::Status(Status::INVALID);
    pub(super) const NOT_FOUND: Self = Self::Status(Status::NOT_FOUND);

    /// A failed call on a file.
    pub(super) fn disk(error: &io::Error) -> Self {
        let status = match error.kind() {
            io::ErrorKind::NotFound => Status::NOT_FOUND,
            io::ErrorKind::AlreadyExists => Status::EXISTS,
            io::ErrorKind::PermissionDenied => Status::ACCESS,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Status::NO_SPACE,
            io::ErrorKind::FileTooLarge => Status::TOO_BIG,
            io::ErrorKind::InvalidInput => Status::INVALID,
            _ => Status::IO,
        };
        if status == Status::IO {
            tracing::error!(%error, "a file could not be read or written");
        }
        Self::Status(status)
    }

    /// A failed call on the socket.
    pub(super) fn socket(error: &io::Error) -> Self {
        tracing::debug!(%error, "a connection broke within a request");
        Self::Broken
    }
}

impl From<WireError> for Refusal {
    fn from(_: WireError) -> Self {
        Self::INVALID
    }
}
