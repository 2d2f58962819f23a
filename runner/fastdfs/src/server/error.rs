//! Why a server cannot start.

use std::{io, path::PathBuf};

/// Why a server cannot start. Once started, faults become statuses of single requests.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// As given in the options.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The base path cannot be used.
    #[error("cannot use {path} as base path", path = path.display())]
    BasePath {
        /// The folder or the file in it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// More store paths than a file id can name.
    #[error("{count} store paths are more than the 255 that a file id can tell apart")]
    StorePaths {
        /// How many there are.
        count: usize,
    },
    /// Another server works on the same base path.
    #[error("another server uses {path}", path = path.display())]
    InUse {
        /// The base path.
        path: PathBuf,
    },
}
