//! The spool: one append-only log on disk for the pieces of all pulls, so that one fdatasync serves many transfers.
//!
//! ```text
//! transfers --Write--> [ writer thread: append, fdatasync, index ] --Durable--> each transfer acknowledges
//! ```
//! * `record`: the file format
//! * `index`: where the durable bytes lie
//! * `writer`: the thread that owns the files; `replay`: how they are read; `collect`: how room is made
//! * `assemble`: makes one file of a finished transfer's pieces

mod assemble;
mod collect;
mod index;
mod record;
mod replay;
#[cfg(test)]
mod tests;
mod writer;

use index::Index;
use packhorse_core::transfer::{Algorithm, Intervals, Span};
use record::{Key, Kind};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};
use writer::ToBeTold;

pub use assemble::Assembled;
pub(super) use writer::io as failed;

/// Requests that may wait for the disk: twice the largest group of one fdatasync.
const QUEUE: usize = 512;
/// A segment that has grown past this is closed.
const SEGMENT: u64 = 64 << 20;

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
    /// A write or fdatasync failed; it is not tried again, and nobody counts on its bytes. What comes later goes into a new file.
    #[error("the spool cannot be written: {0}")]
    Stopped(String),
    /// A segment of a later program.
    #[error("{path} was written by a later version of the program")]
    Format {
        /// Which.
        path: PathBuf,
    },
    /// A segment does not read back as written, which is found when room is made.
    #[error("{path} does not read back as written")]
    Unreadable {
        /// Which.
        path: PathBuf,
    },
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
    /// Bytes were not written, and why.
    Failed(String),
}

/// Handle to the spool; cheap to clone.
#[derive(Debug, Clone)]
pub struct Spool {
    folder: Arc<PathBuf>,
    index: Arc<Mutex<Index>>,
    queue: mpsc::Sender<writer::Request>,
}

/// What is spooled of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spooled {
    key: Key,
    /// The transfer's name (run, step and round).
    pub name: Arc<str>,
    /// How many of its bytes.
    pub bytes: u64,
}

/// One transfer's part of the spool.
#[derive(Debug, Clone)]
pub struct SpoolPart {
    spool: Spool,
    key: Key,
    name: Arc<str>,
    notes: mpsc::UnboundedSender<SpoolNote>,
}

impl Spool {
    /// Opens the folder, reads back what is durable, cuts off a torn end and starts the writer thread.
    pub fn open(folder: &Path) -> Result<Self, SpoolError> {
        Self::open_sized(folder, SEGMENT)
    }

    fn open_sized(folder: &Path, segment: u64) -> Result<Self, SpoolError> {
        let index = Arc::new(Mutex::new(Index::default()));
        let queue = writer::start(folder, Arc::clone(&index), segment)?;
        Ok(Self { folder: Arc::new(folder.to_owned()), index, queue })
    }

    /// What is spooled of all transfers.
    pub fn spooled(&self) -> Vec<Spooled> {
        let index = lock(&self.index);
        let named = |(key, name, bytes): (Key, Option<&Arc<str>>, u64)| Spooled {
            key,
            name: name.map_or_else(|| "".into(), Arc::clone),
            bytes,
        };
        index.transfers().map(named).collect()
    }

    /// Lets go of what is spooled of a transfer that is not at work and will not be; false where too much waits for the disk: to be asked for
    /// again later.
    pub fn forget(&self, spooled: &Spooled) -> bool {
        let (key, name) = (spooled.key, Arc::clone(&spooled.name));
        let mark =
            writer::Request { kind: Kind::Forget, key, name, offset: 0, bytes: Vec::new(), told: ToBeTold::Nobody };
        // Under the lock: the writer takes nothing in between that comes after the mark.
        let mut index = lock(&self.index);
        let sent = self.queue.try_send(mark).is_ok();
        if sent {
            index.remove(key);
        }
        sent
    }

    /// The part of the transfer that `name` names (run and step). Notes come in the order of the writes; their number is
    /// bounded by the transfer's window.
    pub fn part(&self, name: &str) -> (SpoolPart, mpsc::UnboundedReceiver<SpoolNote>) {
        let (notes, receiver) = mpsc::unbounded_channel();
        (SpoolPart { spool: self.clone(), key: key(name), name: name.into(), notes }, receiver)
    }
}

impl SpoolPart {
    /// Queues bytes; a [`SpoolNote`] follows when they are on disk.
    pub async fn write(&self, offset: u64, bytes: Vec<u8>) -> Result<(), SpoolError> {
        self.send(Kind::Data, (offset, bytes), ToBeTold::Notes(self.notes.clone())).await
    }

    /// Voids all bytes so far, and returns when that is on disk: nothing may count on other bytes before. Writes queued later count anew.
    pub async fn truncate(&self) -> Result<(), SpoolError> {
        let (told, done) = oneshot::channel();
        self.send(Kind::Truncate, (0, Vec::new()), ToBeTold::Once(told)).await?;
        done.await.map_err(|_| gone())?.map_err(SpoolError::Stopped)
    }

    /// Ends the transfer: its bytes may be thrown away.
    pub async fn forget(&self) -> Result<(), SpoolError> {
        self.send(Kind::Forget, (0, Vec::new()), ToBeTold::Nobody).await
    }

    /// The transfer's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is durable.
    pub fn held(&self) -> Intervals {
        lock(&self.spool.index).held(self.key)
    }

    /// Writes the first `size` bytes to `to` (fsynced) and computes their digests on the way: MD5, SHA-256 and those `beside`. Blocks
    /// on the disk.
    pub fn assemble(&self, size: u64, to: &Path, beside: &[Algorithm]) -> Result<Assembled, SpoolError> {
        let pieces = {
            // Under the lock: no segment goes between the look and the opening.
            let index = lock(&self.spool.index);
            assemble::Pieces::open(&self.spool.folder, index.extents(self.key))?
        };
        assemble::assemble(&pieces, size, (to, beside))
    }

    async fn send(&self, kind: Kind, (offset, bytes): (u64, Vec<u8>), told: ToBeTold) -> Result<(), SpoolError> {
        let request = writer::Request { kind, key: self.key, name: Arc::clone(&self.name), offset, bytes, told };
        self.spool.queue.send(request).await.map_err(|_| gone())
    }
}

fn gone() -> SpoolError {
    SpoolError::Stopped("its writer is gone".to_owned())
}

fn key(name: &str) -> Key {
    let digest = Sha256::digest(name.as_bytes());
    Key::from_le_bytes(std::array::from_fn(|index| digest[index]))
}

fn lock(index: &Mutex<Index>) -> std::sync::MutexGuard<'_, Index> {
    index.lock().unwrap_or_else(PoisonError::into_inner)
}
