//! Whole files to disk over several connections, on after breaks, and resumed.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use packhorse_fastdfs::{
    Client, ClientError, ClientOptions, FileId,
    client::DownloadOptions,
    wire::{SlavePrefix, Status},
};
use tokio::net::TcpListener;

use crate::{
    cluster::{Cluster, bytes, ext},
    peers::{Cut, cutting, options_of, tracker_of},
};

const CHUNK: usize = 4 << 20;

/// Everything that progress was told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<(u64, u64)>>>);

impl Told {
    fn all(&self) -> Vec<(u64, u64)> {
        self.0.lock().unwrap().clone()
    }

    fn options(&self, connections: usize, resume: bool) -> DownloadOptions {
        let told = self.clone();
        let progress = Arc::new(move |done, total| told.0.lock().unwrap().push((done, total)));
        DownloadOptions { connections, resume, progress: Some(progress) }
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Leaves the beginning of a download of `content` at `to`: some chunks, not all.
async fn interrupted(at: &Cluster, content: &[u8], to: &Path) -> FileId {
    let file = at.client.upload(content, &ext("bin")).await.unwrap();
    let cuts = vec![Cut::Answer(2 * CHUNK + 12345), Cut::Answer(CHUNK + 99), Cut::Answer(0), Cut::Answer(0)];
    let mut options = options_of(cutting(at.server.storage_addr, cuts).await).await;
    options.tries = 1;
    let error = Client::new(options).download_to_file_with(&file, to, &Told::default().options(2, true)).await;
    assert!(matches!(error, Err(ClientError::Broken { .. })), "{error:?}");
    file
}

#[tokio::test]
async fn files_of_any_size_come_whole_over_any_number_of_connections() {
    let at = Cluster::start().await;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("back");
    for size in [0, 1, CHUNK, CHUNK + 1, 5 * CHUNK + 13] {
        let content = bytes(size);
        let file = at.client.upload(&content, &ext("bin")).await.unwrap();
        for (connections, resume) in [(0, false), (1, true), (2, false), (4, true), (7, false)] {
            let told = Told::default();
            let options = told.options(connections, resume);
            assert_eq!(at.client.download_to_file_with(&file, &to, &options).await.unwrap(), size as u64);
            assert!(std::fs::read(&to).unwrap() == content, "{size} {connections}");
            assert_eq!(names_in(folder.path()), ["back"]);
            let told = told.all();
            assert!(told.is_sorted() && told.iter().all(|(_, total)| *total == size as u64), "{told:?}");
            assert_eq!(told.last().map_or(0, |(done, _)| *done), size as u64);
        }
    }
}

#[tokio::test]
async fn appenders_and_slaves_are_checked_against_the_storage() {
    let at = Cluster::start().await;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("back");
    let content = bytes(2 * CHUNK + 5);
    let appender = at.client.upload_appender(&content, &ext("log")).await.unwrap();
    let prefix: SlavePrefix = "_s".parse().unwrap();
    let slave = at.client.upload_slave(&appender, &prefix, &ext("log"), &content).await.unwrap();
    let short = at.client.upload_slave(&appender, &prefix, &ext(""), b"short name").await.unwrap();
    for (file, expected) in [(&appender, &content[..]), (&slave, &content), (&short, b"short name")] {
        for resume in [false, true] {
            let options = DownloadOptions { connections: 3, resume, progress: None };
            at.client.download_to_file_with(file, &to, &options).await.unwrap();
            assert!(std::fs::read(&to).unwrap() == expected);
        }
    }
    let empty = at.client.upload_appender(b"", &ext("log")).await.unwrap();
    assert_eq!(at.client.download_to_file_with(&empty, &to, &DownloadOptions::default()).await.unwrap(), 0);
    assert_eq!(std::fs::metadata(&to).unwrap().len(), 0);
}

#[tokio::test]
async fn an_empty_file_is_served_without_asking() {
    let at = Cluster::start().await;
    let file = at.client.upload(b"", &ext("txt")).await.unwrap();
    let nobody = Client::new(ClientOptions::new(Vec::<String>::new()));
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("back");
    assert!(nobody.download(&file, 0, 0, 0).await.unwrap().is_empty());
    assert_eq!(nobody.download_to_writer(&file, 0, 0, &mut Vec::new()).await.unwrap(), 0);
    assert_eq!(nobody.download_each(&file, 0, 0, |_| panic!("there is nothing")).await.unwrap(), 0);
    assert_eq!(nobody.download_to_file(&file, &to).await.unwrap(), 0);
    assert_eq!(nobody.download_to_file_with(&file, &to, &DownloadOptions::default()).await.unwrap(), 0);
    assert_eq!(nobody.info(&file).await.unwrap().size, 0);
    // Nothing is known of an empty appender without asking, nor of the slave of an empty file.
    let appender = at.client.upload_appender(b"", &ext("log")).await.unwrap();
    assert!(matches!(nobody.download(&appender, 0, 0, 0).await, Err(ClientError::NotConfigured)));
    let slave = at.client.upload_slave(&file, &"_s".parse().unwrap(), &ext(""), b"not empty").await.unwrap();
    assert_eq!(at.client.download(&slave, 0, 0, 100).await.unwrap(), b"not empty"[..]);
}

#[tokio::test]
async fn a_function_gets_the_pieces_in_order_and_can_stop_them() {
    let at = Cluster::start().await;
    let content = bytes(CHUNK + 77);
    let file = at.client.upload(&content, &ext("bin")).await.unwrap();
    let mut got = Vec::new();
    let gather = |piece: bytes::Bytes| {
        got.extend_from_slice(&piece);
        Ok(())
    };
    assert_eq!(at.client.download_each(&file, 5, CHUNK as u64, gather).await.unwrap(), CHUNK as u64);
    assert!(got == content[5..CHUNK + 5]);
    let mut calls = 0;
    let stop = |_| {
        calls += 1;
        Err(std::io::Error::other("enough"))
    };
    let error = at.client.download_each(&file, 0, 0, stop).await.unwrap_err();
    assert!(matches!(&error, ClientError::Local { source, .. } if source.to_string() == "enough"), "{error}");
    assert_eq!(calls, 1);
}

#[tokio::test]
async fn streams_go_on_behind_what_came_wherever_they_break() {
    let at = Cluster::start().await;
    let content = bytes(300_000);
    let file = at.client.upload(&content, &ext("bin")).await.unwrap();
    let appender = at.client.upload_appender(&content, &ext("bin")).await.unwrap();
    for first in [0, 5, 10, 11, 100_000, 300_009] {
        let cuts = vec![Cut::Answer(first), Cut::Answer(50_000)];
        for file in [&file, &appender] {
            let client = Client::new(options_of(cutting(at.server.storage_addr, cuts.clone()).await).await);
            let mut written = Vec::new();
            assert_eq!(client.download_to_writer(file, 0, 0, &mut written).await.unwrap(), 300_000);
            assert!(written == content, "{first}");
        }
        let client = Client::new(options_of(cutting(at.server.storage_addr, cuts).await).await);
        let to = at.folder.path().join("back");
        client.download_to_file(&file, &to).await.unwrap();
        assert!(std::fs::read(&to).unwrap() == content, "{first}");
    }
}

#[tokio::test]
async fn workers_go_on_where_they_broke_and_at_another_storage() {
    let at = Cluster::start().await;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("back");
    let content = bytes(6 * CHUNK + 1);
    let file = at.client.upload(&content, &ext("bin")).await.unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let cuts = vec![Cut::Answer(CHUNK), Cut::Answer(77), Cut::Answer(2 * CHUNK), Cut::Request(3)];
    let breaking = cutting(at.server.storage_addr, cuts).await;
    let mut options = options_of(breaking).await;
    options.tries = 8;
    options.trackers = vec![tracker_of(&[breaking, gone]).await.to_string()];
    let told = Told::default();
    Client::new(options).download_to_file_with(&file, &to, &told.options(3, false)).await.unwrap();
    assert!(std::fs::read(&to).unwrap() == content);
    assert!(told.all().is_sorted(), "what came before a break must not come again");
}

#[tokio::test]
async fn without_resume_a_failure_leaves_nothing() {
    let at = Cluster::start().await;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("back");
    std::fs::write(&to, "old").unwrap();
    let file = at.client.upload(&bytes(3 * CHUNK), &ext("bin")).await.unwrap();
    at.client.delete(&file).await.unwrap();
    let options = DownloadOptions { connections: 3, ..DownloadOptions::default() };
    let error = at.client.download_to_file_with(&file, &to, &options).await.unwrap_err();
    assert_eq!(error.status(), Some(Status::NOT_FOUND));
    assert_eq!(names_in(folder.path()), ["back"]);
    assert_eq!(std::fs::read(&to).unwrap(), b"old");
}

#[tokio::test]
async fn a_resumed_download_fetches_only_what_is_missing() {
    let at = Cluster::start().await;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("back");
    let content = bytes(6 * CHUNK + 1);
    let file = interrupted(&at, &content, &to).await;
    assert_eq!(names_in(folder.path()), [".back.part", ".back.part.map"]);
    let told = Told::default();
    at.client.download_to_file_with(&file, &to, &told.options(3, true)).await.unwrap();
    assert!(std::fs::read(&to).unwrap() == content);
    assert_eq!(names_in(folder.path()), ["back"]);
    let (had, _) = told.all()[0];
    assert!(had >= CHUNK as u64 && had < 4 * CHUNK as u64 && had % CHUNK as u64 == 0, "{had}");
}

#[tokio::test]
async fn a_map_that_does_not_fit_is_thrown_away() {
    let at = Cluster::start().await;
    let content = bytes(6 * CHUNK + 1);
    let other = at.client.upload(&bytes(6 * CHUNK + 1), &ext("bin")).await.unwrap();
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 6] = [
        ("no part", |folder| std::fs::remove_file(folder.join(".back.part")).unwrap()),
        ("short part", |folder| {
            std::fs::File::options().write(true).open(folder.join(".back.part")).unwrap().set_len(9).unwrap()
        }),
        ("no map", |folder| std::fs::remove_file(folder.join(".back.part.map")).unwrap()),
        ("short map", |folder| {
            let map = std::fs::read(folder.join(".back.part.map")).unwrap();
            std::fs::write(folder.join(".back.part.map"), &map[..map.len() - 1]).unwrap();
        }),
        ("damaged header", |folder| {
            let mut map = std::fs::read(folder.join(".back.part.map")).unwrap();
            map[40] ^= 1;
            std::fs::write(folder.join(".back.part.map"), map).unwrap();
        }),
        ("damaged marks", |folder| {
            let mut map = std::fs::read(folder.join(".back.part.map")).unwrap();
            *map.last_mut().unwrap() = 7;
            std::fs::write(folder.join(".back.part.map"), map).unwrap();
        }),
    ];
    for (name, damage) in damages.into_iter().chain([("another file", (|_| {}) as Damage)]) {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("back");
        let file = interrupted(&at, &content, &to).await;
        damage(folder.path());
        let file = if name == "another file" { &other } else { &file };
        let told = Told::default();
        at.client.download_to_file_with(file, &to, &told.options(2, true)).await.unwrap();
        assert_eq!(told.all()[0].0, 0, "{name}");
        assert!(std::fs::read(&to).unwrap() == content, "{name}");
        assert_eq!(names_in(folder.path()), ["back"]);
    }
}

#[tokio::test]
async fn a_part_that_was_damaged_is_noticed_and_thrown_away() {
    let at = Cluster::start().await;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("back");
    let content = bytes(6 * CHUNK + 1);
    let file = interrupted(&at, &content, &to).await;
    let part = folder.path().join(".back.part");
    let mut damaged = std::fs::read(&part).unwrap();
    damaged[..1000].fill(0xFF);
    std::fs::write(&part, damaged).unwrap();
    let options = DownloadOptions { connections: 2, resume: true, progress: None };
    let error = at.client.download_to_file_with(&file, &to, &options).await.unwrap_err();
    assert!(matches!(error, ClientError::Mismatch { .. }), "{error}");
    assert!(names_in(folder.path()).is_empty());
    at.client.download_to_file_with(&file, &to, &options).await.unwrap();
    assert!(std::fs::read(&to).unwrap() == content);
}

#[tokio::test]
async fn two_downloads_do_not_share_a_part() {
    let at = Cluster::start().await;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("back");
    let file = interrupted(&at, &bytes(6 * CHUNK + 1), &to).await;
    let held = std::fs::File::open(folder.path().join(".back.part")).unwrap();
    held.try_lock().unwrap();
    let options = DownloadOptions { connections: 2, resume: true, progress: None };
    let error = at.client.download_to_file_with(&file, &to, &options).await.unwrap_err();
    assert!(matches!(&error, ClientError::Local { .. }), "{error}");
    drop(held);
    at.client.download_to_file_with(&file, &to, &options).await.unwrap();
    // What lies in the way is not followed to elsewhere.
    std::os::unix::fs::symlink(folder.path().join("elsewhere"), folder.path().join(".back.part")).unwrap();
    at.client.download_to_file_with(&file, &to, &options).await.unwrap_err();
    assert!(!folder.path().join("elsewhere").exists());
}

#[tokio::test]
async fn a_slave_that_looks_like_its_master_is_fetched_by_its_size() {
    let at = Cluster::start().await;
    let master = at.client.upload(b"the master", &ext("txt")).await.unwrap();
    let slave = at.client.upload_slave(&master, &"_s".parse().unwrap(), &ext(""), b"slave").await.unwrap();
    assert!(slave.name.as_str().len() <= 44, "{slave}");
    let to = at.folder.path().join("slave");
    let fetched = at.client.download_to_file_with(&slave, &to, &DownloadOptions::default()).await.unwrap();
    assert_eq!((fetched, std::fs::read(&to).unwrap()), (5, b"slave".to_vec()));
}

#[tokio::test]
async fn a_size_that_no_file_has_makes_no_room_for_itself() {
    let at = Cluster::start().await;
    let to = at.folder.path().join("huge");
    let claims = packhorse_fastdfs::wire::NewName {
        source: packhorse_fastdfs::wire::Source::Id(1),
        created_unix: 1,
        size_word: packhorse_fastdfs::wire::SizeWord::normal(1 << 57, 0),
        crc32: 1,
    };
    let id = format!("group1/M00/00/00/{}", claims.leaf(&ext("bin"), 0)).parse().unwrap();
    for resume in [false, true] {
        let options = DownloadOptions { resume, ..DownloadOptions::default() };
        let error = at.client.download_to_file_with(&id, &to, &options).await.unwrap_err();
        assert!(matches!(error, ClientError::TooLarge { .. }), "{error}");
    }
    let left = std::fs::read_dir(at.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().contains("huge")));
}
