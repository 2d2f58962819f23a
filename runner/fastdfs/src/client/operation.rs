//! What a client can be doing, for errors and for knowing what may be repeated.

use std::fmt;

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

    /// Whether it asks a storage about a file and changes nothing.
    pub(super) fn is_read(self) -> bool {
        matches!(self, Self::Download | Self::FileInfo | Self::GetMetadata)
    }

    /// Whether it changes anything at the storage.
    #[must_use]
    pub fn is_change(self) -> bool {
        match self {
            Self::Upload
            | Self::Append
            | Self::Modify
            | Self::Truncate
            | Self::Regenerate
            | Self::Delete
            | Self::SetMetadata => true,
            Self::StoreQuery
            | Self::FetchQuery
            | Self::List
            | Self::Download
            | Self::FileInfo
            | Self::GetMetadata
            | Self::ActiveTest => false,
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
