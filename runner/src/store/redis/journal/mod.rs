//! The journal on a Redis server, for one process or several.
//!
//! * `keys`: where what lies. `script`: what must happen as one thing on the server.
//! * `change`: what a batch changes, decided from the rows as they are known.
//! * `commit`: brings changes to the server, and knows a commit again whose answer was lost.
//! * `read`: everything that changes nothing.
//! * `open`: finding the journal, and whether it still holds what was confirmed.
//! * `memory`: what the data folder remembers of it. `lease`: says that this process lives.
//! * `line`: connections, and patience with the server.
//!
//! Rows, facts and checkpoints lie under the same checksums as on the embedded store. A commit is one script: it compares the rows that
//! the batch was judged by, so that no write gets past a newer claim, and the owner's generation, which counts its commits. A generation
//! that is not the expected one means that the server lost writes that it had confirmed.

mod change;
mod commit;
mod keys;
mod lease;
mod line;
mod memory;
mod open;
mod read;
mod script;
#[cfg(test)]
mod tests;

pub use open::RedisJournalOptions;

use crate::store::journal::{Append, AppendError, Claim, Journal, Seq, StoreError, StoredCheckpoint, Token};
use change::Sealed;
use keys::Keys;
use lease::Lease;
use line::Lines;
use memory::Remembered;
use packhorse_core::run::{RunId, WallTime};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Rows that are remembered between commits; beyond that they are read again.
const MOST_ROWS: usize = 65_536;

/// A journal on a Redis server. Clones share it.
#[derive(Clone)]
pub struct RedisJournal {
    shared: Arc<Shared>,
}

struct Shared {
    keys: Keys,
    owner: String,
    /// Of this process.
    boot: String,
    lines: Lines,
    state: Mutex<State>,
    _lease: Lease,
}

/// What changes with each commit.
struct State {
    /// Commits of this owner that the server confirmed.
    generation: u64,
    /// As it lies on the server.
    mark: String,
    rows: HashMap<RunId, Sealed>,
    remembered: Remembered,
    /// Nothing is written any more.
    end: Option<End>,
}

/// Why nothing is written any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Writes were lost.
    Lost,
    /// What became of a commit is not known, and was not to be found out in time.
    Failed,
}

impl RedisJournal {
    /// Name under which this data folder claims runs.
    pub fn owner(&self) -> &str {
        &self.shared.owner
    }

    /// Whether the server has lost writes that it had confirmed, and the runs do not know it yet.
    pub fn is_in_doubt(&self) -> bool {
        self.state().remembered.memory.doubt
    }

    /// Every run knows of the doubt now.
    pub fn end_doubt(&self) -> Result<(), StoreError> {
        let mut state = self.state();
        state.remembered.memory.doubt = false;
        state.remembered.keep()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What a panic interrupted is compared with the server at the next commit.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keys(&self) -> &Keys {
        &self.shared.keys
    }

    fn lines(&self) -> &Lines {
        &self.shared.lines
    }
}

impl Journal for RedisJournal {
    fn claim_many(&self, claims: &[Claim]) -> Result<Vec<Result<Token, StoreError>>, StoreError> {
        self.commit_claims(claims)
    }

    fn append_many(&self, batch: &[Append]) -> Result<Vec<Result<Seq, AppendError>>, StoreError> {
        self.commit_appends(batch)
    }

    fn forget(&self, run: &RunId, token: Token) -> Result<Result<(), AppendError>, StoreError> {
        self.commit_forgotten(run, token)
    }

    fn read(&self, run: &RunId, from: Seq) -> Result<Vec<Vec<u8>>, StoreError> {
        self.facts(run, from)
    }

    fn unfinished(&self, cursor: Option<&RunId>, limit: usize) -> Result<Vec<RunId>, StoreError> {
        self.list_unfinished(cursor, limit)
    }

    fn recent(&self, cursor: Option<&RunId>, limit: usize) -> Result<Vec<RunId>, StoreError> {
        self.list_recent(cursor, limit)
    }

    fn checkpoint(&self, run: &RunId) -> Result<Option<StoredCheckpoint>, StoreError> {
        self.stored_checkpoint(run)
    }

    fn put_object(&self, sha256: &str, bytes: &[u8], now: WallTime) -> Result<(), StoreError> {
        self.keep_object(sha256, bytes, now)
    }

    fn get_object(&self, sha256: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.object(sha256)
    }

    fn losses(&self) -> Vec<WallTime> {
        self.state().remembered.memory.losses.clone()
    }

    fn objects(&self) -> Result<Vec<(String, WallTime)>, StoreError> {
        self.list_objects()
    }

    fn remove_object(&self, sha256: &str, before: WallTime) -> Result<bool, StoreError> {
        self.drop_object(sha256, before)
    }
}

impl std::fmt::Debug for RedisJournal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "RedisJournal({})", self.lines().server())
    }
}

/// A text that no other process draws.
fn drawn() -> String {
    format!("{:016x}{:016x}", rand::random::<u64>(), rand::random::<u64>())
}
