//! The place of bytes that the product is built on: FastDFS.

use std::{path::Path, sync::Arc, time::Instant};

use bytes::Bytes;
use packhorse_fastdfs::{
    Client, ClientError, Extension, FileId,
    client::Operation,
    wire::{FileKind, Status},
};

use crate::counts;

use super::{BlobError, BlobInfo, BlobStore, BoxFuture};

const SCHEME: &str = "fastdfs:";

/// Blobs in FastDFS; their URIs are `fastdfs:` and the file id.
#[derive(Clone, Debug)]
pub struct FastdfsBlobs {
    client: Client,
}

impl FastdfsBlobs {
    /// Blobs where this client uploads to.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// The client answers for empty files without asking anybody; here one that is gone must be told as such.
    async fn is_there_if_empty(&self, uri: &str, file: &FileId) -> Result<(), BlobError> {
        let is_empty = file.name.info().is_ok_and(|named| named.kind == FileKind::Normal { size: 0 });
        if !is_empty {
            return Ok(());
        }
        self.client.file_size(file).await.map(|_| ()).map_err(|error| blob_error(uri, error))
    }
}

impl BlobStore for FastdfsBlobs {
    fn put<'a>(&'a self, content: &'a [u8], ext: &'a str) -> BoxFuture<'a, Result<String, BlobError>> {
        counted("upload", async move {
            let stored = self.client.upload(content, &extension(ext)).await;
            stored.map(|file| uri_of(&file)).map_err(|error| blob_error("bytes to be stored", error))
        })
    }

    fn put_file<'a>(&'a self, path: &'a Path, ext: &'a str) -> BoxFuture<'a, Result<String, BlobError>> {
        counted("upload", async move {
            let stored = self.client.upload_file(path, &extension(ext)).await;
            stored.map(|file| uri_of(&file)).map_err(|error| blob_error(&path.display().to_string(), error))
        })
    }

    fn put_appender<'a>(&'a self, path: &'a Path, ext: &'a str) -> BoxFuture<'a, Result<String, BlobError>> {
        counted("upload", async move {
            let stored = self.client.upload_file_in_appends(path, &extension(ext)).await;
            stored.map(|file| uri_of(&file)).map_err(|error| blob_error(&path.display().to_string(), error))
        })
    }

    fn put_growing<'a>(&'a self, content: &'a [u8], ext: &'a str) -> BoxFuture<'a, Result<String, BlobError>> {
        counted("upload", async move {
            let stored = self.client.upload_appender(content, &extension(ext)).await;
            stored.map(|file| uri_of(&file)).map_err(|error| blob_error("bytes to be stored", error))
        })
    }

    fn append<'a>(&'a self, uri: &'a str, content: &'a [u8]) -> BoxFuture<'a, Result<(), BlobError>> {
        counted("append", async move {
            let file = file_of(uri)?;
            self.client.append(&file, content).await.map_err(|error| blob_error(uri, error))
        })
    }

    fn read_at<'a>(&'a self, uri: &'a str, offset: u64, len: usize) -> BoxFuture<'a, Result<Bytes, BlobError>> {
        counted("download", async move {
            if len == 0 {
                // To the server, no length means all that is left.
                return Ok(Bytes::new());
            }
            let file = file_of(uri)?;
            self.is_there_if_empty(uri, &file).await?;
            self.client.download(&file, offset, len as u64, len).await.map_err(|error| blob_error(uri, error))
        })
    }

    fn get_file<'a>(&'a self, uri: &'a str, to: &'a Path) -> BoxFuture<'a, Result<u64, BlobError>> {
        counted("download", async move {
            let file = file_of(uri)?;
            self.is_there_if_empty(uri, &file).await?;
            self.client.download_to_file(&file, to).await.map_err(|error| blob_error(uri, error))
        })
    }

    fn info<'a>(&'a self, uri: &'a str) -> BoxFuture<'a, Result<BlobInfo, BlobError>> {
        counted("info", async move {
            let file = file_of(uri)?;
            let info = self.client.file_info(&file).await.map_err(|error| blob_error(uri, error))?;
            let created_unix = file.name.info().ok().map(|named| u64::from(named.created_unix));
            Ok(BlobInfo { size: info.size, crc32: Some(info.crc32), created_unix })
        })
    }

    fn delete<'a>(&'a self, uri: &'a str) -> BoxFuture<'a, Result<(), BlobError>> {
        counted("delete", async move {
            let file = file_of(uri)?;
            self.client.delete(&file).await.map_err(|error| blob_error(uri, error))
        })
    }
}

/// Carries an operation out, and counts it with the time that it took.
fn counted<'a, T: 'a>(
    operation: &'static str,
    work: impl Future<Output = Result<T, BlobError>> + Send + 'a,
) -> BoxFuture<'a, Result<T, BlobError>> {
    Box::pin(async move {
        let begun = Instant::now();
        let done = work.await;
        counts::fastdfs_done(operation, done.is_ok(), begun.elapsed());
        done
    })
}

/// The extension, where FastDFS can carry it; it is a convenience and no reason to fail.
fn extension(ext: &str) -> Extension {
    Extension::new(ext).unwrap_or_else(|_| Extension::none())
}

fn uri_of(file: &FileId) -> String {
    format!("{SCHEME}{file}")
}

fn file_of(uri: &str) -> Result<FileId, BlobError> {
    let file = uri.strip_prefix(SCHEME).and_then(|file| file.parse().ok());
    file.ok_or_else(|| BlobError::bad_uri(uri))
}

fn blob_error(uri: &str, error: ClientError) -> BlobError {
    let uri = uri.to_owned();
    // A tracker that knows no storage, yet or any more: not a word about the file.
    let from_tracker = matches!(error.operation(), Some(Operation::StoreQuery | Operation::FetchQuery));
    match error {
        ClientError::Mismatch { .. } => BlobError::Damaged { uri },
        ClientError::Local { what, source } => BlobError::local(&what, source),
        error => match error.status() {
            Some(Status::NOT_FOUND) if from_tracker => BlobError::Unreachable { uri, source: Arc::new(error) },
            Some(Status::NOT_FOUND) => BlobError::NotFound { uri },
            Some(Status::NO_SPACE) => BlobError::NoSpace { uri, source: Arc::new(error) },
            _ if error.is_transient() => BlobError::Unreachable { uri, source: Arc::new(error) },
            _ => BlobError::Refused { uri, source: Arc::new(error) },
        },
    }
}
