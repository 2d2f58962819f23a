//! The bytes of a push: read again for every packet, through the one cache that all transfers share.

use crate::blob::{BlobError, Contents, is_stored};
use packhorse_core::failure::{Class, Failure, chain};
use packhorse_core::file::FileRef;
use packhorse_core::hex;
use packhorse_core::transfer::{Algorithm, Digest, Span};
use std::sync::Arc;

/// A file that is being sent.
#[derive(Debug)]
pub(super) struct Source {
    contents: Arc<Contents>,
    uri: String,
    size: u64,
}

impl Source {
    /// Checks that the file is still the one that the run was created with, then gives access to it, and its digests of the kinds
    /// `beside`.
    pub(super) async fn open(
        contents: Arc<Contents>,
        file: &FileRef,
        beside: &[Algorithm],
    ) -> Result<(Self, Vec<Digest>), Failure> {
        // From here on only this very version of a local file is read.
        let uri = contents.pin(&file.uri).await.map_err(|error| unreadable(&error))?;
        let (digests, beside) = contents.digest_beside(&uri, beside).await.map_err(|error| unreadable(&error))?;
        let same = hex::encode(&digests.sha256) == file.sha256;
        if !same && digests.size == file.size && is_stored(&file.uri) {
            // What a file store holds under a name does not change; what it sends may be damaged on the way.
            contents.forget(&file.uri);
            return Err(unreadable(&BlobError::Damaged { uri: file.uri.clone() }));
        }
        if !same || digests.size != file.size {
            let message = format!(
                "{} is another file than when the run was created: {} bytes now, {} then",
                file.uri, digests.size, file.size
            );
            return Err(Failure::new("PH4107", Class::Permanent, message).hint("start a new run for the new file"));
        }
        Ok((Self { contents, uri, size: file.size }, beside))
    }

    /// The bytes of a span.
    pub(super) async fn read(&self, span: Span) -> Result<Vec<u8>, Failure> {
        let end = span.end.min(self.size);
        if span.start >= end {
            return Ok(Vec::new());
        }
        let length = usize::try_from(end - span.start).unwrap_or(usize::MAX);
        if let Some(bytes) = self.contents.cached(&self.uri, span.start, length) {
            return Ok(bytes.to_vec());
        }
        let bytes = self.contents.read(&self.uri, span.start, length).await.map_err(|error| unreadable(&error))?;
        if bytes.len() != length {
            let message = format!("{} ended at byte {} of {}", self.uri, span.start + bytes.len() as u64, self.size);
            return Err(Failure::new("PH4107", Class::Permanent, message).hint("start a new run for the new file"));
        }
        Ok(bytes.to_vec())
    }
}

pub(super) fn unreadable(error: &BlobError) -> Failure {
    Failure::new(error.code(), error.class(), chain(error))
}
