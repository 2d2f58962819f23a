//! What can go wrong with bytes, with stable codes and who can do something about it.

use packhorse_core::failure::Class;
use std::{error::Error, io, path::Path, sync::Arc};

/// Where an error came from, shared so that all readers of one block can be told.
type Cause = Arc<dyn Error + Send + Sync>;

/// Any failure to store or read bytes.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// The store has no such blob.
    #[error("{uri} does not exist")]
    NotFound {
        /// The blob.
        uri: String,
    },
    /// The store cannot be reached, or did not answer in time.
    #[error("the file store cannot be reached for {uri}")]
    Unreachable {
        /// The blob, or the local file to be stored.
        uri: String,
        /// Why.
        source: Cause,
    },
    /// The store refused, or answered something else than its protocol.
    #[error("the file store refused {uri}")]
    Refused {
        /// The blob, or the local file to be stored.
        uri: String,
        /// Why.
        source: Cause,
    },
    /// The disk of the store or of this machine is full.
    #[error("no space left for {uri}")]
    NoSpace {
        /// The blob, or the local file.
        uri: String,
        /// Why.
        source: Cause,
    },
    /// The text is no URI that is known here.
    #[error("{uri:?} is no uri of a file: expected file:/absolute/path or fastdfs:group/M00/..")]
    BadUri {
        /// As given.
        uri: String,
    },
    /// A local file cannot be read or written.
    #[error("cannot read or write {path}")]
    LocalFile {
        /// The file.
        path: String,
        /// Why.
        source: Cause,
    },
    /// A local file is not the one any more that it was when it was first read.
    #[error("{path} has changed since it was first read")]
    SourceChanged {
        /// The file.
        path: String,
    },
    /// What arrived is not what was stored.
    #[error("the bytes of {uri} arrived damaged")]
    Damaged {
        /// The blob, or the local file to be stored.
        uri: String,
    },
}

impl BlobError {
    /// A code that stays the same over releases.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "PH4101",
            Self::Unreachable { .. } => "PH4102",
            Self::Refused { .. } => "PH4103",
            Self::NoSpace { .. } => "PH4104",
            Self::BadUri { .. } => "PH4105",
            Self::LocalFile { .. } => "PH4106",
            Self::SourceChanged { .. } => "PH4107",
            Self::Damaged { .. } => "PH4108",
        }
    }

    /// Who can do something about it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Unreachable { .. } | Self::Damaged { .. } => Class::Transient,
            Self::NotFound { .. }
            | Self::Refused { .. }
            | Self::BadUri { .. }
            | Self::LocalFile { .. }
            | Self::SourceChanged { .. } => Class::Permanent,
            Self::NoSpace { .. } => Class::Operator,
        }
    }

    pub(super) fn local(path: &Path, source: io::Error) -> Self {
        let path = path.display().to_string();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::NoSpace { uri: path, source: Arc::new(source) }
            }
            _ => Self::LocalFile { path, source: Arc::new(source) },
        }
    }

    pub(super) fn bad_uri(uri: &str) -> Self {
        Self::BadUri { uri: uri.to_owned() }
    }
}
