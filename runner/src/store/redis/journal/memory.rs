//! What a data folder remembers of a journal on Redis: who it is there, and how many of its commits the server has confirmed. The server may
//! lose what it confirmed; then these tell.

use crate::store::StoreError;
use packhorse_core::run::WallTime;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Name of the durable file.
const MEMORY: &str = "redis-journal.json";
/// Name of the file that is written after each commit, without waiting for the disk.
const WITNESS: &str = "redis-witness";
const VERSION: u16 = 1;

/// Durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    version: u16,
    /// Name under which this folder claims runs.
    pub(super) owner: String,
    /// Id of the journal that it belongs to.
    pub(super) journal: Option<String>,
    /// Commits were lost, and the runs do not know it yet.
    pub(super) doubt: bool,
    /// When losses were noticed.
    pub(super) losses: Vec<WallTime>,
}

/// Losses that are remembered; more only say the same.
const MOST_LOSSES: usize = 32;

/// Both files.
#[derive(Debug)]
pub(super) struct Remembered {
    folder: PathBuf,
    pub(super) memory: Memory,
    witness: File,
}

impl Remembered {
    /// Reads them, or begins anew with `owner`.
    pub(super) fn open(folder: &Path, owner: impl FnOnce() -> String) -> Result<(Self, u64), StoreError> {
        let path = folder.join(MEMORY);
        let memory = match std::fs::read(&path) {
            Ok(bytes) => parse(&bytes, &path)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Memory { version: VERSION, owner: owner(), journal: None, doubt: false, losses: Vec::new() }
            }
            Err(error) => return Err(failed("read", &path)(error)),
        };
        let path = folder.join(WITNESS);
        let mut options = OpenOptions::new();
        let witness = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let witness = witness.map_err(failed("open", &path))?;
        let count = confirmed(&witness, &memory.owner);
        let remembered = Self { folder: folder.to_owned(), memory, witness };
        remembered.keep()?;
        Ok((remembered, count))
    }

    /// Makes the durable part durable.
    pub(super) fn keep(&self) -> Result<(), StoreError> {
        let path = self.folder.join(MEMORY);
        let temporary = self.folder.join(format!(".{MEMORY}.new"));
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
            file.write_all(&serde_json::to_vec_pretty(&self.memory)?)?;
            file.sync_all()?;
            std::fs::rename(&temporary, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(failed("write", &path))
    }

    /// Commits were lost: not to be forgotten before every run knows.
    pub(super) fn doubt(&mut self, now: WallTime) -> Result<(), StoreError> {
        self.memory.doubt = true;
        self.memory.losses.push(now);
        let surplus = self.memory.losses.len().saturating_sub(MOST_LOSSES);
        self.memory.losses.drain(..surplus);
        self.keep()
    }

    /// So many commits are confirmed. Not flushed: a kill of the process loses nothing of it, and after a power cut it may only be too low.
    pub(super) fn confirm(&self, count: u64) {
        let line = line(count, &self.memory.owner);
        if let Err(error) = self.witness.write_all_at(line.as_bytes(), 0) {
            tracing::warn!(%error, "cannot write the witness of the journal on Redis: lost writes may go unnoticed at the next start");
        }
    }
}

fn line(count: u64, owner: &str) -> String {
    let text = format!("{count:020}");
    format!("{text} {:08x}\n", crc32fast::hash(format!("{text} {owner}").as_bytes()))
}

/// What the witness tells; none where it is empty, torn, or another owner's.
fn confirmed(witness: &File, owner: &str) -> u64 {
    let mut bytes = [0; 30];
    let whole = witness.read_exact_at(&mut bytes, 0).is_ok();
    let count = std::str::from_utf8(&bytes).ok().and_then(|text| text.get(..20)).and_then(|text| text.parse().ok());
    count.filter(|count| whole && bytes == line(*count, owner).as_bytes()).unwrap_or(0)
}

fn parse(bytes: &[u8], path: &Path) -> Result<Memory, StoreError> {
    let memory: Memory = serde_json::from_slice(bytes).map_err(|_| StoreError::damaged(path.display().to_string()))?;
    if memory.version > VERSION {
        let (found, known) = (u64::from(memory.version), u64::from(VERSION));
        return Err(StoreError::Format { path: path.display().to_string(), found, known });
    }
    Ok(memory)
}

fn failed(action: &'static str, path: &Path) -> impl Fn(std::io::Error) -> StoreError {
    let name = path.display().to_string();
    move |error| StoreError::failed(format!("{action} {name}"), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_witness_tells_the_last_count_and_nothing_where_it_is_torn() {
        let folder = tempfile::tempdir().expect("a folder");
        let (remembered, count) = Remembered::open(folder.path(), || "me".to_owned()).expect("new");
        assert_eq!(count, 0);
        remembered.confirm(9);
        remembered.confirm(12_345);
        let (_, count) = Remembered::open(folder.path(), || "other".to_owned()).expect("known");
        assert_eq!(count, 12_345);
        let path = folder.path().join(WITNESS);
        let mut bytes = std::fs::read(&path).expect("readable");
        for place in 0..bytes.len() {
            bytes[place] ^= 1;
            std::fs::write(&path, &bytes).expect("writable");
            let (_, count) = Remembered::open(folder.path(), || "other".to_owned()).expect("known");
            assert_eq!(count, 0, "byte {place}");
            bytes[place] ^= 1;
        }
    }
}
