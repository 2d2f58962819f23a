//! Bytes in memory, for tests and for runs that need no store.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;

use super::{BlobError, BlobInfo, BlobStore, BoxFuture};

const SCHEME: &str = "memory:";

/// Blobs in memory; their URIs are `memory:` and a number.
#[derive(Debug, Default)]
pub struct MemoryBlobs {
    blobs: Mutex<HashMap<String, Bytes>>,
    next: AtomicU64,
    reads: AtomicU64,
}

impl MemoryBlobs {
    /// Holds nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores bytes; their URI.
    pub fn keep(&self, content: impl Into<Bytes>) -> String {
        let uri = format!("{SCHEME}{}", self.next.fetch_add(1, Ordering::Relaxed));
        self.locked().insert(uri.clone(), content.into());
        uri
    }

    /// How often [`BlobStore::read_at`] was called: tells what a cache is good for.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    fn content(&self, uri: &str) -> Result<Bytes, BlobError> {
        if !uri.starts_with(SCHEME) {
            return Err(BlobError::bad_uri(uri));
        }
        self.locked().get(uri).cloned().ok_or_else(|| BlobError::NotFound { uri: uri.to_owned() })
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<String, Bytes>> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlobStore for MemoryBlobs {
    fn put<'a>(&'a self, content: &'a [u8], _: &'a str) -> BoxFuture<'a, Result<String, BlobError>> {
        Box::pin(async move { Ok(self.keep(content.to_vec())) })
    }

    fn put_file<'a>(&'a self, path: &'a Path, _: &'a str) -> BoxFuture<'a, Result<String, BlobError>> {
        Box::pin(async move {
            let content = tokio::fs::read(path).await.map_err(|source| BlobError::local(path, source))?;
            Ok(self.keep(content))
        })
    }

    fn put_appender<'a>(&'a self, path: &'a Path, ext: &'a str) -> BoxFuture<'a, Result<String, BlobError>> {
        self.put_file(path, ext)
    }

    fn put_growing<'a>(&'a self, content: &'a [u8], ext: &'a str) -> BoxFuture<'a, Result<String, BlobError>> {
        self.put(content, ext)
    }

    fn append<'a>(&'a self, uri: &'a str, content: &'a [u8]) -> BoxFuture<'a, Result<(), BlobError>> {
        Box::pin(async move {
            let grown = [&self.content(uri)?[..], content].concat();
            self.locked().insert(uri.to_owned(), grown.into());
            Ok(())
        })
    }

    fn read_at<'a>(&'a self, uri: &'a str, offset: u64, len: usize) -> BoxFuture<'a, Result<Bytes, BlobError>> {
        Box::pin(async move {
            self.reads.fetch_add(1, Ordering::Relaxed);
            let content = self.content(uri)?;
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
            Ok(content.slice(start..start.saturating_add(len).min(content.len())))
        })
    }

    fn get_file<'a>(&'a self, uri: &'a str, to: &'a Path) -> BoxFuture<'a, Result<u64, BlobError>> {
        Box::pin(async move {
            let content = self.content(uri)?;
            let mut part = to.as_os_str().to_owned();
            part.push(".part");
            let written = async {
                let file = tokio::fs::File::create(&part).await?;
                tokio::fs::write(&part, &content).await?;
                file.sync_all().await?;
                tokio::fs::rename(&part, to).await
            };
            written.await.map_err(|source| BlobError::local(to, source))?;
            Ok(content.len() as u64)
        })
    }

    fn info<'a>(&'a self, uri: &'a str) -> BoxFuture<'a, Result<BlobInfo, BlobError>> {
        Box::pin(async move {
            let size = self.content(uri)?.len() as u64;
            Ok(BlobInfo { size, crc32: None, created_unix: None })
        })
    }

    fn delete<'a>(&'a self, uri: &'a str) -> BoxFuture<'a, Result<(), BlobError>> {
        Box::pin(async move {
            self.content(uri)?;
            self.locked().remove(uri);
            Ok(())
        })
    }
}
