//! The spool: one append-only log on disk for the pieces of all pulls, so that one fdatasync serves many transfers.
//!
//! ```text
//! transfers --Write--> [ writer thread: append, fdatasync, index ] --Durable--> each transfer acknowledges
//! ```
//! * `record`: the file format
//! * `index`: where the durable bytes lie
//! * `writer`: the thread that owns the files
//! * `assemble`: makes one file of a finished transfer's pieces

mod assemble;
mod index;
mod record;
mod writer;

use index::Index;
use packhorse_core::transfer::{Algorithm, Intervals, Span};
use record::{Key, Kind};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::mpsc;

pub use assemble::Assembled;
pub(super) use writer::io as failed;

/// Requests that may wait for the disk: twice the largest group of one fdatasync.
const QUEUE: usize = 512;

/// What went wrong with the spool.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The folder or a segment cannot be used.
    #[error("cannot {action} the spool file {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The writer stopped after a failed write or fdatasync; nothing is retried after that.
    #[error("the spool stopped after a failed write: {0}")]
    Stopped(String),
    /// Bytes that were durable cannot be read back.
    #[error("piece at byte {offset} in the spool does not read back as written")]
    Damaged {
        /// Where in the travelling file.
        offset: u64,
    },
    /// The pieces do not cover the file.
    #[error("byte {offset} of the file is not in the spool")]
    Hole {
        /// First missing byte.
        offset: u64,
    },
}

/// What the writer tells a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpoolNote {
    /// These bytes are on disk.
    Durable(Span),
    /// No more bytes will be written, and why.
    Failed(String),
}

/// Handle to the spool; cheap to clone.
#[derive(Debug, Clone)]
pub struct Spool {
    folder: Arc<PathBuf>,
    index: Arc<Mutex<Index>>,
    queue: mpsc::Sender<writer::Request>,
    /// Why the writer stopped.
    why: Arc<OnceLock<String>>,
}

/// One transfer's part of the spool.
#[derive(Debug, Clone)]
pub struct SpoolPart {
    spool: Spool,
    key: Key,
    notes: mpsc::UnboundedSender<SpoolNote>,
}

impl Spool {
    /// Opens the folder, reads back what is durable, cuts off a torn end and starts the writer thread.
    pub fn open(folder: &Path) -> Result<Self, SpoolError> {
        let index = Arc::new(Mutex::new(Index::default()));
        let why = Arc::new(OnceLock::new());
        let queue = writer::start(folder, Arc::clone(&index), Arc::clone(&why))?;
        Ok(Self { folder: Arc::new(folder.to_owned()), index, queue, why })
    }

    /// The part of the transfer that `name` names (run and step). Notes come in the order of the writes; their number is
    /// bounded by the transfer's window.
    pub fn part(&self, name: &str) -> (SpoolPart, mpsc::UnboundedReceiver<SpoolNote>) {
        let (notes, receiver) = mpsc::unbounded_channel();
        (SpoolPart { spool: self.clone(), key: key(name), notes }, receiver)
    }
}

impl SpoolPart {
    /// Queues bytes; a [`SpoolNote`] follows when they are on disk.
    pub async fn write(&self, offset: u64, bytes: Vec<u8>) -> Result<(), SpoolError> {
        self.send(writer::Request { kind: Kind::Data, key: self.key, offset, bytes, notes: Some(self.notes.clone()) })
            .await
    }

    /// Voids all bytes so far. Writes queued later count anew.
    pub async fn truncate(&self) -> Result<(), SpoolError> {
        self.mark(Kind::Truncate).await
    }

    /// Ends the transfer: its bytes may be thrown away.
    pub async fn forget(&self) -> Result<(), SpoolError> {
        self.mark(Kind::Forget).await
    }

    /// What is durable.
    pub fn held(&self) -> Intervals {
        lock(&self.spool.index).held(self.key)
    }

    /// Writes the first `size` bytes to `to` (fsynced) and computes their digests on the way: MD5, SHA-256 and those `beside`. Blocks
    /// on the disk.
    pub fn assemble(&self, size: u64, to: &Path, beside: &[Algorithm]) -> Result<Assembled, SpoolError> {
        let extents = lock(&self.spool.index).extents(self.key);
        assemble::assemble(&self.spool.folder, &extents, size, (to, beside))
    }

    async fn mark(&self, kind: Kind) -> Result<(), SpoolError> {
        self.send(writer::Request { kind, key: self.key, offset: 0, bytes: Vec::new(), notes: None }).await
    }

    async fn send(&self, request: writer::Request) -> Result<(), SpoolError> {
        let why = || self.spool.why.get().cloned().unwrap_or_else(|| "its writer is gone".to_owned());
        self.spool.queue.send(request).await.map_err(|_| SpoolError::Stopped(why()))
    }
}

fn key(name: &str) -> Key {
    let digest = Sha256::digest(name.as_bytes());
    Key::from_le_bytes(std::array::from_fn(|index| digest[index]))
}

fn lock(index: &Mutex<Index>) -> std::sync::MutexGuard<'_, Index> {
    index.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn wait(notes: &mut mpsc::UnboundedReceiver<SpoolNote>, count: usize) {
        for _ in 0..count {
            assert!(matches!(notes.recv().await, Some(SpoolNote::Durable(_))));
        }
    }

    #[tokio::test]
    async fn pieces_survive_a_restart_and_make_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..10_000_u32).flat_map(u32::to_le_bytes).collect();
        {
            let spool = Spool::open(folder.path()).unwrap();
            let (part, mut notes) = spool.part("run/pull");
            for (index, piece) in bytes.chunks(640).enumerate().filter(|(index, _)| index % 2 == 0) {
                part.write(index as u64 * 640, piece.to_vec()).await.unwrap();
            }
            wait(&mut notes, 32).await;
        }
        let spool = Spool::open(folder.path()).unwrap();
        let (part, mut notes) = spool.part("run/pull");
        let held = part.held();
        assert_eq!(held.covered(), 32 * 640 - 320);
        let gaps: Vec<Span> = held.gaps(Span::new(0, bytes.len() as u64)).collect();
        for gap in &gaps {
            part.write(gap.start, bytes[gap.start as usize..gap.end as usize].to_vec()).await.unwrap();
        }
        wait(&mut notes, gaps.len()).await;
        let to = folder.path().join("out");
        let made = part.assemble(bytes.len() as u64, &to, &[]).unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), bytes);
        assert_eq!(made.size, bytes.len() as u64);
    }

    #[tokio::test]
    async fn a_torn_end_is_cut_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        {
            let spool = Spool::open(folder.path()).unwrap();
            let (part, mut notes) = spool.part("t");
            part.write(0, vec![1; 100]).await.unwrap();
            part.write(100, vec![2; 100]).await.unwrap();
            wait(&mut notes, 2).await;
        }
        let segment = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let file = std::fs::OpenOptions::new().write(true).open(&segment).unwrap();
        file.set_len(file.metadata().unwrap().len() - 1).unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        let (part, _notes) = spool.part("t");
        assert_eq!(part.held().covered(), 100);
        assert!(matches!(part.assemble(200, &folder.path().join("o"), &[]), Err(SpoolError::Hole { offset: 100 })));
    }

    #[tokio::test]
    async fn truncate_and_forget_void_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        let (part, mut notes) = spool.part("t");
        part.write(0, vec![1; 10]).await.unwrap();
        part.truncate().await.unwrap();
        part.write(50, vec![3; 10]).await.unwrap();
        wait(&mut notes, 2).await;
        assert_eq!(part.held().iter().collect::<Vec<_>>(), [Span::new(50, 60)]);
        drop((part, spool));
        let spool = Spool::open(folder.path()).unwrap();
        assert_eq!(spool.part("t").0.held().covered(), 10);
    }

    #[tokio::test]
    async fn a_flipped_bit_is_found_when_the_file_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        let (part, mut notes) = spool.part("t");
        part.write(0, vec![7; 100]).await.unwrap();
        wait(&mut notes, 1).await;
        let segment = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let mut raw = std::fs::read(&segment).unwrap();
        let last = raw.len() - 1;
        raw[last] ^= 1;
        std::fs::write(&segment, raw).unwrap();
        let reopened = Spool::open(folder.path()).unwrap();
        assert_eq!(reopened.part("t").0.held().covered(), 0, "the damaged record is not believed");
    }
}
