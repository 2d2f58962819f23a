//! The server killed with SIGKILL at random moments of uploads and changes, again and again, on the same folder.

use std::{path::Path, time::Duration};

use packhorse_fastdfs::{Client, FileId, FileName, wire::FileKind};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::{cluster::ext, crashes::Served, full};

const QUICK: u64 = 20;
const FULL: u64 = 200;
const WRITERS: u64 = 6;
/// A writer begins anew with other files when it has so many.
const FILES: usize = 12;

/// Writes until its server is killed, and knows what must be there afterwards.
struct Writer {
    random: StdRng,
    files: Vec<(FileId, Vec<u8>)>,
    /// What had not been answered when the server was killed.
    doubt: Option<Doubt>,
    acknowledged: u64,
}

enum Doubt {
    /// An upload: its file may be there, whole, under a name that nobody was told.
    Upload,
    /// A change of one of the files to this content: it is there whole, or not at all.
    Change(usize, Vec<u8>),
}

#[derive(Default)]
struct Struck {
    uploads: usize,
    changes: usize,
    changes_that_took: usize,
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_lose_nothing_that_was_answered_and_leave_nothing_half_written() {
    let folder = tempfile::tempdir().unwrap();
    let kills = if full() { FULL } else { QUICK };
    let mut random = StdRng::seed_from_u64(1);
    let mut writers: Vec<_> = (0..WRITERS).map(Writer::new).collect();
    let mut struck = Struck::default();
    for _ in 0..kills {
        let served = Served::start(folder.path());
        for writer in &mut writers {
            writer.check(&served.client, &mut struck).await;
        }
        nothing_is_half_written(folder.path());
        let writing: Vec<_> =
            writers.drain(..).map(|writer| tokio::spawn(writer.write_until_killed(served.client.clone()))).collect();
        tokio::time::sleep(Duration::from_micros(random.random_range(2_000..80_000))).await;
        served.kill();
        for writer in writing {
            writers.push(writer.await.unwrap());
        }
    }
    let served = Served::start(folder.path());
    for writer in &mut writers {
        writer.check(&served.client, &mut struck).await;
    }
    nothing_is_half_written(folder.path());
    served.kill();
    let Struck { uploads, changes, changes_that_took } = struck;
    let acknowledged: u64 = writers.iter().map(|writer| writer.acknowledged).sum();
    println!(
        "{kills} kills; they struck {uploads} uploads and {changes} changes, {changes_that_took} of which took place"
    );
    println!("{acknowledged} operations were answered before; all of them are there");
    assert!(uploads > 0 && changes > changes_that_took && acknowledged > kills, "the kills hardly struck anything");
}

impl Writer {
    fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), files: Vec::new(), doubt: None, acknowledged: 0 }
    }

    async fn write_until_killed(mut self, client: Client) -> Self {
        while self.doubt.is_none() {
            match self.random.random_range(0..10) {
                _ if self.files.is_empty() => self.upload(&client).await,
                0..4 => self.upload(&client).await,
                _ => self.change(&client).await,
            }
            self.acknowledged += 1;
        }
        self.acknowledged -= 1;
        self
    }

    fn content(&mut self) -> Vec<u8> {
        let size = if self.random.random_ratio(1, 4) { 3_000_000 } else { 60_000 };
        let mut content = vec![0; self.random.random_range(0..size)];
        self.random.fill(&mut content[..]);
        content
    }

    async fn upload(&mut self, client: &Client) {
        let content = self.content();
        let uploaded = if self.random.random() {
            client.upload(&content, &ext("bin")).await
        } else {
            client.upload_appender(&content, &ext("log")).await
        };
        match uploaded {
            Ok(file) if self.files.len() < FILES => self.files.push((file, content)),
            Ok(file) => {
                let at = self.random.random_range(0..FILES);
                let (old, _) = std::mem::replace(&mut self.files[at], (file, content));
                // Where the kill strikes this, it is of no matter whether the file is still there.
                let _ = client.delete(&old).await;
            }
            Err(_) => self.doubt = Some(Doubt::Upload),
        }
    }

    async fn change(&mut self, client: &Client) {
        let which = self.random.random_range(0..self.files.len());
        let more = self.content();
        let (file, content) = self.files[which].clone();
        if !file.name.is_appender() {
            return;
        }
        let mut after = content;
        let changed = match self.random.random_range(0..8) {
            0..5 => {
                after.extend_from_slice(&more);
                client.append(&file, &more).await.map(|_| ())
            }
            5..7 => {
                let offset = self.random.random_range(0..=after.len());
                after.resize(after.len().max(offset + more.len()), 0);
                after[offset..offset + more.len()].copy_from_slice(&more);
                client.modify(&file, offset as u64, &more).await
            }
            _ => {
                after.resize(more.len(), 0);
                client.truncate(&file, more.len() as u64).await
            }
        };
        match changed {
            Ok(()) => self.files[which].1 = after,
            Err(_) => self.doubt = Some(Doubt::Change(which, after)),
        }
    }

    /// Everything that was answered is there; what was not is there whole or not at all.
    async fn check(&mut self, client: &Client, struck: &mut Struck) {
        match self.doubt.take() {
            None => {}
            Some(Doubt::Upload) => struck.uploads += 1,
            Some(Doubt::Change(which, after)) => {
                struck.changes += 1;
                let (file, content) = &mut self.files[which];
                if client.download(file, 0, 0, 1 << 30).await.unwrap() == after {
                    struck.changes_that_took += 1;
                    *content = after;
                }
            }
        }
        for (file, content) in &self.files {
            let now = client.download(file, 0, 0, 1 << 30).await.unwrap();
            assert!(now == *content, "{file}: {} bytes, {} were answered for", now.len(), content.len());
        }
    }
}

/// Every normal file on disk is what its name says, those too whose names nobody was told; and none is without a name.
fn nothing_is_half_written(base: &Path) {
    let data = base.join("data");
    assert_eq!(std::fs::read_dir(data.join("tmp")).unwrap().count(), 0);
    for path in glob(&data) {
        let below = path.strip_prefix(&data).unwrap().to_str().unwrap();
        let name: FileName = format!("M00/{below}").parse().unwrap();
        let info = name.info().unwrap();
        if let FileKind::Normal { size } = info.kind {
            let content = std::fs::read(&path).unwrap();
            assert_eq!((content.len() as u64, crc32fast::hash(&content)), (size, info.crc32), "{name}");
        }
    }
}

/// Files in `XX/XX`.
fn glob(data: &Path) -> Vec<std::path::PathBuf> {
    let folders = |path: &Path| -> Vec<_> {
        let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.file_name().is_some_and(|name| name.len() == 2)).collect()
    };
    let inner = folders(data).into_iter().flat_map(|outer| folders(&outer));
    inner.flat_map(|inner| std::fs::read_dir(inner).unwrap()).map(|entry| entry.unwrap().path()).collect()
}
