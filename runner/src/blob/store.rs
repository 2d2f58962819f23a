//! The trait of a place of bytes.

use std::{path::Path, pin::Pin};

use bytes::Bytes;

use super::BlobError;

/// A boxed future, so that stores can be chosen at run time.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a store knows of a blob.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlobInfo {
    /// Bytes.
    pub size: u64,
    /// CRC-32 (IEEE) of the content, where the store keeps one.
    pub crc32: Option<u32>,
    /// When it was stored, Unix seconds, where the store keeps it.
    pub created_unix: Option<u64>,
}

/// A place of bytes. A blob never changes, but for those that are stored to grow; its URI names the scheme and the place, as in `fastdfs:group1/M00/…`.
pub trait BlobStore: Send + Sync + 'static {
    /// Stores bytes; its URI. Repeating after a failure may leave a blob that nobody knows of.
    fn put<'a>(&'a self, content: &'a [u8], ext: &'a str) -> BoxFuture<'a, Result<String, BlobError>>;

    /// Stores a local file, streamed; its URI. `ext` is kept where the store can. Repeating after a failure may leave a blob
    /// that nobody knows of.
    fn put_file<'a>(&'a self, path: &'a Path, ext: &'a str) -> BoxFuture<'a, Result<String, BlobError>>;

    /// As [`BlobStore::put_file`], in large appends, so that a broken connection costs one append and not the file.
    fn put_appender<'a>(&'a self, path: &'a Path, ext: &'a str) -> BoxFuture<'a, Result<String, BlobError>>;

    /// Stores bytes as a blob that [`BlobStore::append`] may add to; its URI.
    fn put_growing<'a>(&'a self, content: &'a [u8], ext: &'a str) -> BoxFuture<'a, Result<String, BlobError>>;

    /// Adds bytes at the end of such a blob, exactly once where nobody else adds to it at the same time.
    fn append<'a>(&'a self, uri: &'a str, content: &'a [u8]) -> BoxFuture<'a, Result<(), BlobError>>;

    /// Exactly `len` bytes from `offset`, fewer only where the blob ends, none past its end.
    fn read_at<'a>(&'a self, uri: &'a str, offset: u64, len: usize) -> BoxFuture<'a, Result<Bytes, BlobError>>;

    /// Writes the whole blob to `to`, which appears, or is replaced, only when it is complete and on disk; its size.
    fn get_file<'a>(&'a self, uri: &'a str, to: &'a Path) -> BoxFuture<'a, Result<u64, BlobError>>;

    /// Size, CRC and time.
    fn info<'a>(&'a self, uri: &'a str) -> BoxFuture<'a, Result<BlobInfo, BlobError>>;

    /// Deletes it; [`BlobError::NotFound`] when there is none, as after a delete whose answer was lost.
    fn delete<'a>(&'a self, uri: &'a str) -> BoxFuture<'a, Result<(), BlobError>>;
}
