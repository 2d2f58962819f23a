//! What every place of bytes must do. A new one is added to `stores` and passes, or is not done.

use std::path::Path;

use packhorse_fastdfs::{Client, ClientOptions, ServerHandle, ServerOptions};
use tempfile::TempDir;

use packhorse_core::failure::Class;

use super::{BlobStore, FastdfsBlobs, MemoryBlobs, PacketBlobs};

/// Bytes that differ everywhere.
pub(super) fn bytes(count: usize) -> Vec<u8> {
    (0..count as u64).map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

pub(super) async fn fastdfs() -> (ServerHandle, TempDir, FastdfsBlobs) {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerHandle::start(ServerOptions::new(folder.path()).on_free_ports()).await.unwrap();
    let client = Client::new(ClientOptions::new([server.tracker_addr.to_string()]));
    (server, folder, FastdfsBlobs::new(client))
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    keeps_contract(&MemoryBlobs::new()).await;
}

#[tokio::test]
async fn fastdfs_keeps_the_contract() {
    let (server, _folder, blobs) = fastdfs().await;
    keeps_contract(&blobs).await;
    server.shutdown().await;
}

#[tokio::test]
async fn packets_keep_the_contract_for_whole_files() {
    keeps_contract(&PacketBlobs::new(std::sync::Arc::new(MemoryBlobs::new()))).await;
}

async fn keeps_contract(store: &dyn BlobStore) {
    let folder = tempfile::tempdir().unwrap();
    for size in [0, 1, 1024, 70_000, (4 << 20) + 1] {
        let content = bytes(size);
        let source = folder.path().join("source");
        std::fs::write(&source, &content).unwrap();
        let stored = store.put_file(&source, "bin").await.unwrap();
        holds(store, &stored, &content, folder.path()).await;
        let appended = store.put_appender(&source, "an extension too long").await.unwrap();
        assert_ne!(appended, stored);
        let growing = store.put_growing(&content, "bin").await.unwrap();
        store.append(&growing, b"and more").await.unwrap();
        holds(store, &growing, &[&content[..], b"and more"].concat(), folder.path()).await;
        let put = store.put(&content, "bin").await.unwrap();
        holds(store, &put, &content, folder.path()).await;
        holds(store, &appended, &content, folder.path()).await;
        store.delete(&stored).await.unwrap();
        is_gone(store, &stored, folder.path()).await;
        holds(store, &appended, &content, folder.path()).await;
    }
    names_what_is_wrong(store, folder.path()).await;
}

async fn holds(store: &dyn BlobStore, uri: &str, content: &[u8], folder: &Path) {
    let size = content.len() as u64;
    let info = store.info(uri).await.unwrap();
    assert_eq!(info.size, size);
    assert!(info.crc32.is_none_or(|crc| content.is_empty() == (crc == 0)));
    for (offset, len) in
        [(0, 0), (0, 1), (0, 640), (size / 2, 700), (size.saturating_sub(3), 10), (size, 5), (size + 9, 5)]
    {
        let start = (offset as usize).min(content.len());
        let end = (start + len).min(content.len());
        let range = store.read_at(uri, offset, len).await.unwrap();
        assert!(range == content[start..end], "{uri} {offset} {len}");
    }
    let to = folder.join("fetched");
    std::fs::write(&to, b"what was there is replaced").unwrap();
    assert_eq!(store.get_file(uri, &to).await.unwrap(), size);
    assert!(std::fs::read(&to).unwrap() == content);
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 2, "no part is left behind");
}

async fn is_gone(store: &dyn BlobStore, uri: &str, folder: &Path) {
    let errors = [
        store.read_at(uri, 0, 1).await.unwrap_err(),
        store.info(uri).await.unwrap_err(),
        store.delete(uri).await.unwrap_err(),
        store.get_file(uri, &folder.join("never")).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.code(), error.class()), ("PH4101", Class::Permanent));
        assert!(error.to_string().contains(uri), "{error}");
    }
    assert!(!folder.join("never").exists());
}

async fn names_what_is_wrong(store: &dyn BlobStore, folder: &Path) {
    let missing = folder.join("missing");
    for error in [store.put_file(&missing, "").await.unwrap_err(), store.put_appender(&missing, "").await.unwrap_err()]
    {
        assert_eq!((error.code(), error.class()), ("PH4106", Class::Permanent));
        assert!(error.to_string().contains("missing"), "{error}");
    }
    let foreign = store.info("ftp://example/x").await.unwrap_err();
    assert_eq!((foreign.code(), foreign.class()), ("PH4105", Class::Permanent));
}

#[tokio::test]
async fn a_store_that_is_gone_is_a_transient_error() {
    let (server, folder, blobs) = fastdfs().await;
    let source = folder.path().join("source");
    std::fs::write(&source, b"x").unwrap();
    let uri = blobs.put_file(&source, "bin").await.unwrap();
    server.shutdown().await;
    for error in [blobs.put_file(&source, "bin").await.unwrap_err(), blobs.read_at(&uri, 0, 1).await.unwrap_err()] {
        assert_eq!((error.code(), error.class()), ("PH4102", Class::Transient));
    }
}
