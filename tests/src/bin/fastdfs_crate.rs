//! The client of the crate `fastdfs`, tried on a server: `fastdfs-crate HOST:PORT tour` does each thing once,
//! `fastdfs-crate HOST:PORT loop SECONDS` does them again and again. JSON lines on stdout; the first wrong byte ends it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use fastdfs::types::{Metadata, MetadataFlag};
use fastdfs::{ClientOptions, FastDFSError, FdfsClient, FileId};
use packhorse_tests::files::sha256;
use rand::{Rng as _, RngCore as _};
use serde_json::json;

const SIZES: [usize; 7] = [0, 1, 13, 1024, 65536, 262_145, 5 << 20];
const MOST_KEPT: usize = 100;

#[tokio::main]
async fn main() -> Result<(), FastDFSError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [tracker, what] if what == "tour" => tour(tracker).await,
        [tracker, what, seconds] if what == "loop" => {
            let seconds = seconds.parse().expect("a number of seconds");
            every_life(tracker, Duration::from_secs(seconds)).await
        }
        _ => panic!("usage: fastdfs-crate HOST:PORT tour | fastdfs-crate HOST:PORT loop SECONDS"),
    }
}

fn client(tracker: &str) -> FdfsClient {
    ClientOptions::new(vec![tracker]).build().expect("one tracker is enough")
}

fn done(operation: &str) {
    println!("{}", json!({ "operation": operation, "result": "ok" }));
}

fn bytes(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

async fn tour(tracker: &str) -> Result<(), FastDFSError> {
    let client = client(tracker);
    for size in SIZES {
        one_size(tracker, &client, size).await?;
    }
    ranges(&client).await?;
    metadata(&client).await?;
    appender(&client).await?;
    lists(&client).await?;
    missing(&client).await?;
    println!("{}", json!({ "operation": "slave", "result": "left out", "why": "it has none" }));
    Ok(())
}

async fn one_size(tracker: &str, shared: &FdfsClient, size: usize) -> Result<(), FastDFSError> {
    let content = bytes(size);
    let file = shared.upload_file_buf(&content, "bin", None, false).await?;
    if size == 0 {
        // A server since 6.15.4 refuses to read at the end of a file, also at the end of an empty one, and closes the
        // connection; the crate keeps it among its connections nevertheless, so this one takes a client of its own.
        let refused = client(tracker).download_file_buf(&file, 0, 0).await;
        assert!(matches!(refused, Err(FastDFSError::InvalidArgument(_))), "{refused:?}");
    } else {
        assert!(shared.download_file_buf(&file, 0, 0).await? == content, "{size} bytes came back as others");
    }
    let info = shared.get_file_info(&file).await?;
    assert_eq!((info.file_size, info.crc32), (size as u64, crc32(&content)));
    assert!(shared.file_exists(&file).await?);
    done(&format!("upload, download, info of {size} bytes"));
    Ok(())
}

async fn ranges(client: &FdfsClient) -> Result<(), FastDFSError> {
    let content = bytes(70_000);
    let file = client.upload_file(&mut &content[..], 70_000, "txt", None, false).await?;
    assert!(client.download_file_buf(&file, 5, 4000).await? == content[5..4005]);
    let mut end = Vec::new();
    assert_eq!(client.download_file(&file, &mut end, 69_999, 0).await?, 1);
    assert!(end == content[69_999..]);
    done("range");
    Ok(())
}

fn items(items: &[(&str, &str)]) -> Metadata {
    items.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

async fn metadata(client: &FdfsClient) -> Result<(), FastDFSError> {
    let first = items(&[("author", "zoë"), ("width", "1024")]);
    let file = client.upload_file_buf(b"with metadata", "bin", Some(&first), false).await?;
    assert_eq!(client.get_metadata(&file).await?, first);
    client.set_metadata(&file, &items(&[("width", "2"), ("height", "3")]), MetadataFlag::Merge).await?;
    let merged = items(&[("author", "zoë"), ("height", "3"), ("width", "2")]);
    assert_eq!(client.get_metadata(&file).await?, merged);
    client.set_metadata(&file, &items(&[("only", "x")]), MetadataFlag::Overwrite).await?;
    assert_eq!(client.get_metadata(&file).await?, items(&[("only", "x")]));
    done("metadata");
    Ok(())
}

async fn appender(client: &FdfsClient) -> Result<(), FastDFSError> {
    let mut content = bytes(1000);
    let file = client.upload_file_buf(&content, "log", None, true).await?;
    done("appender");
    for size in [70_001, 3 << 20] {
        let part = bytes(size);
        client.append_file_buf(&file, &part).await?;
        content.extend_from_slice(&part);
    }
    holds(client, &file, &content).await?;
    done("append");
    let change = bytes(5000);
    client.modify_file_buf(&file, 900, &change).await?;
    content[900..5900].copy_from_slice(&change);
    holds(client, &file, &content).await?;
    done("modify");
    client.truncate_file(&file, 70_000).await?;
    holds(client, &file, &content[..70_000]).await?;
    client.truncate_file(&file, 70_010).await?;
    content.truncate(70_000);
    content.resize(70_010, 0);
    holds(client, &file, &content).await?;
    done("truncate");
    let normal = client.regenerate_appender_filename(&file).await?;
    holds(client, &normal, &content).await?;
    assert_eq!(client.get_file_info(&normal).await?.crc32, crc32(&content));
    is_missing(&client.get_file_info(&file).await);
    done("regenerate");
    client.delete_file(&normal).await
}

async fn holds(client: &FdfsClient, file: &FileId, content: &[u8]) -> Result<(), FastDFSError> {
    let found = client.download_file_buf(file, 0, 0).await?;
    assert!(found == content, "{file}: {} bytes came back, not the {} that went in", found.len(), content.len());
    Ok(())
}

async fn lists(client: &FdfsClient) -> Result<(), FastDFSError> {
    let groups = client.list_groups().await?;
    assert_eq!(groups.iter().map(|group| (group.storage_count, group.store_path_count)).collect::<Vec<_>>(), [(1, 1)]);
    let storages = client.list_storages(&groups[0].group_name, None::<&str>).await?;
    assert_eq!(storages.len(), 1);
    assert!(storages[0].total_mb > 0 && storages[0].success_upload_count > 0, "{storages:?}");
    assert_eq!(storages[0].storage_port, groups[0].storage_port);
    done("lists");
    Ok(())
}

async fn missing(client: &FdfsClient) -> Result<(), FastDFSError> {
    let file = client.upload_file_buf(b"gone", "bin", None, false).await?;
    client.delete_file(&file).await?;
    done("delete");
    is_missing(&client.download_file_buf(&file, 0, 0).await);
    is_missing(&client.get_file_info(&file).await);
    is_missing(&client.get_metadata(&file).await);
    is_missing(&client.delete_file(&file).await);
    assert!(!client.file_exists(&file).await?);
    done("a missing file is an error");
    Ok(())
}

#[track_caller]
fn is_missing<T: std::fmt::Debug>(answer: &Result<T, FastDFSError>) {
    assert!(matches!(answer, Err(FastDFSError::FileNotFound(_))), "{answer:?}");
}

/// CRC-32 as zlib has it, bit by bit: slow, and nobody else's.
fn crc32(content: &[u8]) -> u32 {
    !content.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// What all lives did.
#[derive(Default)]
struct Done {
    counts: Mutex<BTreeMap<&'static str, u64>>,
    kept: Mutex<Vec<serde_json::Value>>,
}

impl Done {
    fn count(&self, what: &'static str) {
        *self.counts.lock().expect("nobody panics with it").entry(what).or_default() += 1;
    }

    /// Whether one more file may stay.
    fn keep(&self, file: &FileId, content: &[u8]) -> bool {
        let mut kept = self.kept.lock().expect("nobody panics with it");
        let stays = kept.len() < MOST_KEPT && rand::rng().random_range(0..4) == 0;
        if stays {
            kept.push(json!({ "kept": file.to_string(), "sha256": sha256(content), "size": content.len() }));
        }
        stays
    }
}

async fn every_life(tracker: &str, time: Duration) -> Result<(), FastDFSError> {
    let (client, all) = (client(tracker), Done::default());
    let end = Instant::now() + time;
    let one = async || -> Result<(), FastDFSError> {
        while Instant::now() < end {
            life(&client, &all).await?;
        }
        Ok(())
    };
    tokio::try_join!(one(), one(), one(), one())?;
    for file in all.kept.lock().expect("nobody panics with it").iter() {
        println!("{file}");
    }
    println!("{}", json!({ "counts": *all.counts.lock().expect("nobody panics with it") }));
    Ok(())
}

fn some_bytes() -> Vec<u8> {
    let most = if rand::rng().random_range(0..20) == 0 { 2 << 20 } else { 65536 };
    bytes(rand::rng().random_range(1..most))
}

/// One file from its upload to its end.
async fn life(client: &FdfsClient, all: &Done) -> Result<(), FastDFSError> {
    let mut content = some_bytes();
    let appends = if rand::random() { rand::rng().random_range(1..4) } else { 0 };
    let file = client.upload_file_buf(&content, "bin", None, appends > 0).await?;
    all.count("upload");
    for _ in 0..appends {
        let part = some_bytes();
        client.append_file_buf(&file, &part).await?;
        all.count("append");
        content.extend_from_slice(&part);
    }
    if appends > 0 && rand::random() {
        content.truncate(rand::rng().random_range(1..=content.len()));
        client.truncate_file(&file, content.len() as u64).await?;
        all.count("truncate");
    }
    holds(client, &file, &content).await?;
    all.count("download");
    let from = rand::rng().random_range(0..content.len());
    assert!(client.download_file_buf(&file, from as u64, 0).await? == content[from..], "{file} from {from}");
    all.count("range");
    if all.keep(&file, &content) {
        all.count("kept");
        return Ok(());
    }
    client.delete_file(&file).await?;
    is_missing(&client.download_file_buf(&file, 0, 0).await);
    all.count("delete");
    Ok(())
}
