//! What reading through the cache promises, for the store and for local files.

use std::{path::PathBuf, sync::Arc};

use super::{
    BlobStore as _, Contents, MemoryBlobs,
    cache::BLOCK,
    contents::{LONG, PIECE},
    contract::{bytes, fastdfs},
};

fn memory(content: Vec<u8>, cache: usize) -> (Arc<MemoryBlobs>, String, Contents) {
    let store = Arc::new(MemoryBlobs::new());
    let uri = store.keep(content);
    (Arc::clone(&store), uri, Contents::with_cache(store, cache))
}

fn local(content: &[u8]) -> (tempfile::TempDir, PathBuf, String, Contents) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.bin");
    std::fs::write(&path, content).unwrap();
    let uri = format!("file:{}", path.display());
    (folder, path, uri, Contents::new(Arc::new(MemoryBlobs::new())))
}

async fn ranges_are_right(contents: &Contents, uri: &str, content: &[u8]) {
    let block = BLOCK as u64;
    let size = content.len() as u64;
    let offsets = [0, 1, 640, block - 1, block, block + 7, 3 * block - 5, size.saturating_sub(1), size, size + 1];
    for offset in offsets {
        for len in [0, 1, 640, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, LONG + 1] {
            let start = (offset as usize).min(content.len());
            let expected = &content[start..(start + len).min(content.len())];
            assert!(contents.read(uri, offset, len).await.unwrap() == expected, "{offset} {len}");
            let cached = contents.cached(uri, offset, len);
            assert!(cached.is_none_or(|bytes| bytes == expected), "{offset} {len}");
        }
    }
}

#[tokio::test]
async fn ranges_are_right_across_blocks_and_at_the_end() {
    for size in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 10 * BLOCK + 9] {
        let content = bytes(size);
        let (_, uri, contents) = memory(content.clone(), 4 * BLOCK);
        ranges_are_right(&contents, &uri, &content).await;
        let (_folder, _, uri, contents) = local(&content);
        ranges_are_right(&contents, &uri, &content).await;
    }
}

#[tokio::test]
async fn what_is_in_memory_is_found_without_waiting_or_copying() {
    let (store, uri, contents) = memory(bytes(1000), BLOCK);
    assert_eq!(contents.cached(&uri, 0, 10), None);
    let read = contents.read(&uri, 0, 10).await.unwrap();
    let cached = contents.cached(&uri, 0, 10).unwrap();
    assert_eq!(cached.as_ptr(), read.as_ptr());
    assert_eq!(contents.cached(&uri, 990, 640).unwrap().len(), 10);
    assert_eq!(store.reads(), 1);
}

#[tokio::test]
async fn a_block_that_many_want_is_loaded_once() {
    let (store, uri, contents) = memory(bytes(BLOCK), 4 * BLOCK);
    let reads: Vec<_> = (0..100)
        .map(|at| {
            let (contents, uri) = (contents.clone(), uri.clone());
            tokio::spawn(async move { contents.read(&uri, at, 10).await.unwrap() })
        })
        .collect();
    for read in reads {
        assert_eq!(read.await.unwrap().len(), 10);
    }
    // The block itself, and the one ahead of it, which is past the end.
    assert!(store.reads() <= 2, "{}", store.reads());
}

#[tokio::test]
async fn the_longest_unused_block_goes_first() {
    let (store, uri, contents) = memory(bytes(9 * BLOCK), 3 * BLOCK);
    // Backwards, so that nothing is loaded ahead.
    for block in [8, 6, 4] {
        contents.read(&uri, block * BLOCK as u64, 10).await.unwrap();
    }
    assert!(contents.cached(&uri, 8 * BLOCK as u64, 10).is_some());
    contents.read(&uri, 2 * BLOCK as u64, 10).await.unwrap();
    assert_eq!(store.reads(), 4);
    assert!(contents.cached(&uri, 8 * BLOCK as u64, 10).is_some());
    assert!(contents.cached(&uri, 6 * BLOCK as u64, 10).is_none());
}

#[tokio::test]
async fn reading_in_order_loads_ahead() {
    let (store, uri, contents) = memory(bytes(4 * BLOCK), 8 * BLOCK);
    contents.read(&uri, 0, 10).await.unwrap();
    assert!(contents.cached(&uri, 10, 10).is_some());
    while store.reads() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(contents.read(&uri, BLOCK as u64, 10).await.unwrap().len(), 10);
}

#[tokio::test]
async fn a_failed_load_is_told_and_tried_again() {
    let (store, _, contents) = memory(bytes(10), BLOCK);
    let uri = "memory:1";
    assert_eq!(contents.read(uri, 0, 5).await.unwrap_err().code(), "PH4101");
    assert_eq!(store.keep(bytes(10)), uri);
    assert_eq!(contents.read(uri, 0, 5).await.unwrap().len(), 5);
}

#[tokio::test]
async fn a_local_file_that_becomes_another_one_is_told() {
    let content = bytes(5 * BLOCK);
    let (folder, path, uri, contents) = local(&content);
    let before = contents.digest(&uri).await.unwrap();
    assert_eq!(contents.read(&uri, 0, 10).await.unwrap(), content[..10]);
    let other = folder.path().join("other");
    std::fs::write(&other, bytes(5 * BLOCK)).unwrap();
    std::fs::rename(&other, &path).unwrap();
    let changed = contents.read(&uri, 4 * BLOCK as u64, 10).await.unwrap_err();
    assert_eq!(changed.code(), "PH4107");
    assert_eq!(contents.digest(&uri).await.unwrap(), before);
    assert_eq!(contents.read(&uri, 4 * BLOCK as u64, 10).await.unwrap().len(), 10);
    std::fs::write(&path, b"short").unwrap();
    assert_eq!(contents.read(&uri, 3 * BLOCK as u64, 10).await.unwrap_err().code(), "PH4107");
}

#[tokio::test]
async fn digests_are_those_of_the_whole_file() {
    let content = bytes(3 * PIECE + 5);
    let (_folder, path, uri, contents) = local(&content);
    let of_local = contents.digest(&uri).await.unwrap();
    let (server, _folder, blobs) = fastdfs().await;
    let stored = blobs.put_file(&path, "bin").await.unwrap();
    let contents = Contents::new(Arc::new(blobs));
    assert_eq!(contents.digest(&stored).await.unwrap(), of_local);
    assert_eq!(of_local.size, content.len() as u64);
    ranges_are_right(&contents, &stored, &content).await;
    server.shutdown().await;
    let (_, uri, contents) = memory(b"abc".to_vec(), BLOCK);
    let known = contents.digest(&uri).await.unwrap();
    assert_eq!(known.md5[..4], [0x90, 0x01, 0x50, 0x98]);
    assert_eq!(known.sha256[..4], [0xba, 0x78, 0x16, 0xbf]);
}

#[tokio::test]
async fn paths_must_be_absolute_and_regular() {
    let (folder, _, _, contents) = local(b"x");
    assert_eq!(contents.read("file:relative", 0, 1).await.unwrap_err().code(), "PH4105");
    let directory = format!("file:{}", folder.path().display());
    assert_eq!(contents.read(&directory, 0, 1).await.unwrap_err().code(), "PH4106");
    assert_eq!(contents.digest(&directory).await.unwrap_err().code(), "PH4106");
}

#[tokio::test]
async fn a_pinned_file_is_never_another_version() {
    let content = bytes(3 * BLOCK);
    let (folder, path, uri, contents) = local(&content);
    let pinned = contents.pin(&uri).await.unwrap();
    assert!(pinned.starts_with(&uri) && pinned != uri);
    assert_eq!(contents.pin(&pinned).await.unwrap(), pinned);
    ranges_are_right(&contents, &pinned, &content).await;
    let before = contents.digest(&pinned).await.unwrap();
    let other = folder.path().join("other");
    std::fs::write(&other, bytes(3 * BLOCK)).unwrap();
    std::fs::rename(&other, &path).unwrap();
    assert_eq!(contents.digest(&uri).await.unwrap(), before, "the same bytes in another file");
    let elsewhere = Contents::new(Arc::new(MemoryBlobs::new()));
    for error in [
        elsewhere.read(&pinned, 0, 10).await.unwrap_err(),
        elsewhere.digest(&pinned).await.unwrap_err(),
        contents.digest(&pinned).await.unwrap_err(),
        contents.pin(&pinned).await.unwrap_err(),
    ] {
        assert_eq!(error.code(), "PH4107");
    }
    assert_eq!(contents.read(&uri, 0, 10).await.unwrap(), content[..10]);
    assert_eq!(contents.pin("memory:7").await.unwrap(), "memory:7");
}

#[tokio::test]
async fn more_files_than_may_be_open_are_still_watched() {
    let folder = tempfile::tempdir().unwrap();
    let contents = Contents::with_cache(Arc::new(MemoryBlobs::new()), BLOCK);
    let uri = |at: usize| format!("file:{}", folder.path().join(at.to_string()).display());
    for at in 0..400 {
        std::fs::write(folder.path().join(at.to_string()), bytes(at)).unwrap();
        assert_eq!(contents.read(&uri(at), 0, 1000).await.unwrap(), bytes(at));
    }
    for at in 0..400 {
        assert_eq!(contents.read(&uri(at), 0, 1000).await.unwrap(), bytes(at));
    }
    std::fs::write(folder.path().join("0"), b"not empty any more").unwrap();
    assert_eq!(contents.read(&uri(0), 0, 1000).await.unwrap_err().code(), "PH4107");
}
