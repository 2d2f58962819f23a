//! Random operations on client and server beside a model in memory, while connections are cut at random bytes.
//!
//! Whatever a cut leaves unknown is asked back over a good connection: it must be as before, or as after.

use std::{collections::BTreeMap, time::Duration};

use packhorse_fastdfs::{
    Client, ClientError, ClientOptions, FileId,
    wire::{FileKind, Metadata, MetadataFlag, Status},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::{
    cluster::{Cluster, client_of, ext},
    full,
    weather::Weather,
};

const PLAYERS: u64 = 8;
const QUICK: u64 = 16_000;
const FULL: u64 = 120_000;
/// A player with more files deletes or ends some before it makes more.
const FILES: usize = 24;

#[derive(Clone, PartialEq)]
struct Expected {
    content: Vec<u8>,
    metadata: Metadata,
}

struct Player {
    random: StdRng,
    /// Its connections are cut.
    bold: Client,
    /// Its connections are not.
    calm: Client,
    files: Vec<(FileId, Expected)>,
    gone: Vec<FileId>,
    /// Answers of uploads and regenerations that never came: such files may be there under names that nobody knows.
    orphans: usize,
    done: BTreeMap<&'static str, u64>,
}

#[tokio::test(flavor = "multi_thread")]
async fn random_operations_leave_what_a_model_expects_whatever_is_cut() {
    let at = Cluster::start().await;
    let weather = Weather::before(at.server.storage_addr, 7).await;
    let each = if full() { FULL } else { QUICK } / PLAYERS;
    let players: Vec<_> = (0..PLAYERS)
        .map(|seed| {
            let mut options = ClientOptions::new([weather.tracker.to_string()]);
            // Half of them hear of every cut, the others repeat what may be repeated.
            options.tries = if seed % 2 == 0 { 1 } else { 3 };
            options.pause = Duration::from_millis(1);
            let player = Player::new(seed, Client::new(options), client_of(&at.server));
            tokio::spawn(player.play(each))
        })
        .collect();
    let (mut files, mut orphans, mut done) = (0, 0, BTreeMap::<&str, u64>::new());
    for player in players {
        let player = player.await.unwrap();
        player.check_all().await;
        files += player.files.iter().map(|(_, file)| 1 + usize::from(!file.metadata.is_empty())).sum::<usize>();
        orphans += player.orphans;
        player.done.iter().for_each(|(what, count)| *done.entry(what).or_default() += count);
    }
    let there = at.files().len();
    println!("{} operations, {} connections cut, {orphans} outcomes unknown: {done:?}", each * PLAYERS, weather.cuts());
    assert!((files..=files + orphans).contains(&there), "{there} files for {files}, {orphans} unknown");
    assert_eq!(at.unfinished(), 0);
    assert_eq!(done.len(), 13, "an operation never happened");
    assert!(weather.cuts() > each / 4, "hardly anything was cut");
}

impl Player {
    fn new(seed: u64, bold: Client, calm: Client) -> Self {
        let random = StdRng::seed_from_u64(seed);
        Self { random, bold, calm, files: Vec::new(), gone: Vec::new(), orphans: 0, done: BTreeMap::new() }
    }

    async fn play(mut self, operations: u64) -> Self {
        for _ in 0..operations {
            let what = self.one().await;
            *self.done.entry(what).or_default() += 1;
        }
        self
    }

    async fn one(&mut self) -> &'static str {
        if self.files.is_empty() {
            return self.upload().await;
        }
        let which = self.random.random_range(0..self.files.len());
        match self.random.random_range(0..100) {
            0..8 if self.files.len() < FILES => self.upload().await,
            8..16 if self.files.len() < FILES => self.upload_appender().await,
            16..20 if self.files.len() < FILES => self.upload_slave(which).await,
            0..20 => self.delete(which).await,
            20..40 => self.append(which).await,
            40..50 => self.modify(which).await,
            50..56 => self.truncate(which).await,
            56..58 => self.regenerate(which).await,
            58..64 => self.set_metadata(which).await,
            64..70 => self.get_metadata(which).await,
            70..76 => self.info(which).await,
            76..78 => self.ask_for_a_gone_file().await,
            _ => self.download(which).await,
        }
    }

    fn content(&mut self) -> Vec<u8> {
        let size = match self.random.random_range(0..40) {
            0..5 => 0,
            39 => self.random.random_range(0..700_000),
            _ => self.random.random_range(0..3000),
        };
        let mut content = vec![0; size];
        self.random.fill(&mut content[..]);
        content
    }

    async fn upload(&mut self) -> &'static str {
        let content = self.content();
        let uploaded = self.bold.upload(&content, &ext("bin")).await;
        self.uploaded(uploaded, content);
        "upload"
    }

    async fn upload_appender(&mut self) -> &'static str {
        let content = self.content();
        let uploaded = self.bold.upload_appender(&content, &ext("log")).await;
        self.uploaded(uploaded, content);
        "upload appender"
    }

    async fn upload_slave(&mut self, of: usize) -> &'static str {
        let (master, content) = (self.files[of].0.clone(), self.content());
        // Prefixes of slaves of slaves would make names too long.
        if master.name.info().unwrap().kind != FileKind::Slave {
            let prefix = format!("_{:x}", self.random.random::<u32>()).parse().unwrap();
            let uploaded = self.bold.upload_slave(&master, &prefix, &ext("jpg"), &content).await;
            self.uploaded(uploaded, content);
        }
        "upload slave"
    }

    fn uploaded(&mut self, uploaded: Result<FileId, ClientError>, content: Vec<u8>) {
        match uploaded {
            Ok(file) => self.files.push((file, Expected { content, metadata: Metadata::default() })),
            Err(error) => {
                cut(&error);
                self.orphans += 1;
            }
        }
    }

    async fn append(&mut self, which: usize) -> &'static str {
        let more = self.content();
        let (file, mut after) = self.files[which].clone();
        after.content.extend_from_slice(&more);
        let appended = self.bold.append(&file, &more).await;
        self.changed(which, appended.map(|_| ()), after).await;
        "append"
    }

    async fn modify(&mut self, which: usize) -> &'static str {
        let piece = self.content();
        let (file, mut after) = self.files[which].clone();
        let offset = self.random.random_range(0..=after.content.len());
        let end = after.content.len().max(offset + piece.len());
        after.content.resize(end, 0);
        after.content[offset..offset + piece.len()].copy_from_slice(&piece);
        let modified = self.bold.modify(&file, offset as u64, &piece).await;
        self.changed(which, modified, after).await;
        "modify"
    }

    async fn truncate(&mut self, which: usize) -> &'static str {
        let (file, mut after) = self.files[which].clone();
        let size = self.random.random_range(0..after.content.len() * 5 / 4 + 10);
        after.content.resize(size, 0);
        let truncated = self.bold.truncate(&file, size as u64).await;
        self.changed(which, truncated, after).await;
        "truncate"
    }

    /// Only appenders change. What was cut is either there whole, or not at all.
    async fn changed(&mut self, which: usize, changed: Result<(), ClientError>, after: Expected) {
        let (file, before) = &mut self.files[which];
        match changed {
            // An append of nothing to a file that may not change: what it asks for is there.
            Ok(()) => assert!(file.name.is_appender() || *before == after, "{file} was changed"),
            Err(error) if !file.name.is_appender() => {
                let refused = error.status() == Some(Status::INVALID);
                return assert!(refused || cut(&error), "{file}: {error}");
            }
            Err(error) => {
                cut(&error);
                let now = self.calm.download(file, 0, 0, 1 << 30).await.unwrap();
                assert!(now == before.content || now == after.content, "{file}: half a change");
                before.content = now.to_vec();
                return;
            }
        }
        *before = after;
    }

    async fn regenerate(&mut self, which: usize) -> &'static str {
        let (file, mut expected) = self.files[which].clone();
        match self.bold.regenerate(&file).await {
            Ok(new) => {
                assert_eq!(new.name.info().unwrap().kind, FileKind::Normal { size: expected.content.len() as u64 });
                expected.metadata = Metadata::default();
                self.files[which] = (new, expected);
                self.gone.push(file);
            }
            Err(error) if !file.name.is_appender() => {
                assert!(error.status() == Some(Status::INVALID) || cut(&error), "{error}");
            }
            Err(error) => {
                cut(&error);
                if self.calm.file_size(&file).await.is_err() {
                    self.orphans += 1;
                    self.files.remove(which);
                    self.gone.push(file);
                }
            }
        }
        "regenerate"
    }

    async fn delete(&mut self, which: usize) -> &'static str {
        let (file, _) = self.files[which].clone();
        let deleted = self.bold.delete(&file).await;
        let there = deleted.is_err_and(|error| cut(&error)) && self.calm.file_size(&file).await.is_ok();
        if !there {
            self.files.remove(which);
            self.gone.push(file);
        }
        "delete"
    }

    async fn set_metadata(&mut self, which: usize) -> &'static str {
        let mut items = Metadata::default();
        for _ in 0..self.random.random_range(0..4) {
            let (key, value) = (self.random.random_range(b'a'..b'f'), self.random.random::<u32>().to_string());
            items.insert(&[key], value.as_bytes()).unwrap();
        }
        let (file, before) = self.files[which].clone();
        let (flag, after) = if self.random.random() {
            (MetadataFlag::Overwrite, items.clone())
        } else {
            let mut merged = before.metadata.clone();
            merged.merge(&items);
            (MetadataFlag::Merge, merged)
        };
        let expected = &mut self.files[which].1.metadata;
        match self.bold.set_metadata(&file, &items, flag).await {
            Ok(()) => *expected = after,
            Err(error) => {
                cut(&error);
                let now = self.calm.metadata(&file).await.unwrap();
                assert!(now == before.metadata || now == after, "{file}: half of its metadata");
                *expected = now;
            }
        }
        "set metadata"
    }

    async fn get_metadata(&mut self, which: usize) -> &'static str {
        let (file, expected) = &self.files[which];
        match self.bold.metadata(file).await {
            Ok(metadata) => assert_eq!(metadata, expected.metadata),
            Err(error) => assert!(cut(&error)),
        }
        "get metadata"
    }

    async fn info(&mut self, which: usize) -> &'static str {
        let (file, expected) = &self.files[which];
        match self.bold.file_info(file).await {
            Ok(info) => {
                let expected = (expected.content.len() as u64, crc32fast::hash(&expected.content));
                assert_eq!((info.size, info.crc32), expected, "{file}");
            }
            Err(error) => assert!(cut(&error)),
        }
        "info"
    }

    async fn download(&mut self, which: usize) -> &'static str {
        let (file, expected) = &self.files[which];
        let size = expected.content.len();
        let offset = self.random.random_range(0..=size);
        let length = self.random.random_range(0..=size - offset);
        let end = if length == 0 { size } else { offset + length };
        match self.bold.download(file, offset as u64, length as u64, 1 << 30).await {
            Ok(range) => assert!(range == expected.content[offset..end], "{file} {offset} {length}"),
            Err(error) => assert!(cut(&error)),
        }
        "download"
    }

    async fn ask_for_a_gone_file(&mut self) -> &'static str {
        if let Some(file) = self.gone.last() {
            let error = self.calm.file_info(file).await.unwrap_err();
            assert_eq!(error.status(), Some(Status::NOT_FOUND), "{file}");
        }
        "ask for a gone file"
    }

    async fn check_all(&self) {
        for (file, expected) in &self.files {
            assert!(self.calm.download(file, 0, 0, 1 << 30).await.unwrap() == expected.content, "{file}");
            assert_eq!(self.calm.metadata(file).await.unwrap(), expected.metadata, "{file}");
        }
    }
}

/// Whether an error comes from a cut; anything else fails the test.
fn cut(error: &ClientError) -> bool {
    let lost = matches!(error, ClientError::NameLost { .. });
    assert!(lost || error.is_transient() && error.status().is_none(), "{error}");
    true
}
