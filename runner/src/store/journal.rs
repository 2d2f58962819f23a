//! What every journal can do, whatever it lies on; fit for several processes that share one.

use packhorse_core::run::{RunId, WallTime};
use std::time::Duration;

/// Fencing token of a claim; grows with each claim of a run, for ever. Who writes with an old one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// Place of a fact in its run, from 0.
pub type Seq = u64;

/// Where a transfer stands; the latest one wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// The step.
    pub step: String,
    /// Its round: a checkpoint is worth nothing in another one.
    pub round: u32,
    /// Opaque to the journal.
    pub bytes: Vec<u8>,
}

/// Facts to append to one run, all or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The run.
    pub run: RunId,
    /// Of the writer's claim.
    pub token: Token,
    /// Number of facts that the run must have before this; not looked at where no facts are appended.
    pub expected: Seq,
    /// Encoded records. May be empty where only a checkpoint is stored.
    pub facts: Vec<Vec<u8>>,
    /// Replaces the run's checkpoint.
    pub checkpoint: Option<StoredCheckpoint>,
    /// Whether the run is unfinished or finished after this.
    pub mark: Mark,
}

/// A wish to work on a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Which.
    pub run: RunId,
    /// For whom.
    pub owner: String,
    /// For how long, unless claimed again.
    pub ttl: Duration,
    /// The owner's time.
    pub now: WallTime,
}

/// Whether a run is listed as unfinished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// To be taken up after a restart.
    Unfinished,
    /// Nothing more comes by itself.
    Finished,
}

/// Why one append was not made, while others of the same batch were.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Another process has claimed the run.
    #[error("{run} was taken over by another process")]
    Fenced {
        /// The run.
        run: RunId,
    },
    /// The run has another number of facts than expected.
    #[error("{run} has {found} facts where {expected} were expected")]
    Conflict {
        /// The run.
        run: RunId,
        /// As asked.
        expected: Seq,
        /// As stored.
        found: Seq,
    },
    /// What is stored of the run is not what was written. Others go on.
    #[error("what is stored of {run} is damaged")]
    Damaged {
        /// The run.
        run: RunId,
    },
    /// The run is not finished: only what is over can be forgotten.
    #[error("{run} is not finished")]
    Unfinished {
        /// The run.
        run: RunId,
    },
}

/// What a store can suffer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the file open.
    #[error("{path} is in use by another process")]
    Locked {
        /// The file.
        path: String,
    },
    /// Written by a later program.
    #[error("{path} has format {found}; this program reads format {known}")]
    Format {
        /// The file.
        path: String,
        /// Its format.
        found: u64,
        /// Ours.
        known: u64,
    },
    /// The run is claimed by somebody else.
    #[error("{run} is being worked on by {owner}")]
    Held {
        /// The run.
        run: RunId,
        /// By whom.
        owner: String,
    },
    /// The object does not have the digest under which it was to be kept.
    #[error("the object does not have the SHA-256 {expected}")]
    WrongDigest {
        /// As given.
        expected: String,
    },
    /// Stored bytes are not what was written.
    #[error("{what} is damaged")]
    Damaged {
        /// Which record or object.
        what: String,
    },
    /// A server no longer has what it had confirmed.
    #[error("{store} has lost writes that it had confirmed: what came of the last effects is not known")]
    LostWrites {
        /// Which server.
        store: String,
    },
    /// The store stopped after a failed commit.
    #[error("the store has stopped after a failed commit")]
    Stopped,
    /// Disk, database or network.
    #[error("cannot {action}")]
    Failed {
        /// What was tried, on what.
        action: String,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Facts, checkpoints and objects of runs. Calls block; an append returns when its facts are durable.
pub trait Journal: Send + Sync + 'static {
    /// Takes a run for `owner`. The same owner may claim again and gets a new token; another one is refused until `ttl` has passed.
    /// A run need not exist yet. The claim is durable with the first append under its token: until then nothing depends on it.
    fn claim(&self, run: &RunId, owner: &str, ttl: Duration, now: WallTime) -> Result<Token, StoreError> {
        let claim = Claim { run: run.clone(), owner: owner.to_owned(), ttl, now };
        self.claim_many(&[claim])?.pop().unwrap_or(Err(StoreError::Stopped))
    }
    /// Claims many runs, each by itself: also one that is damaged fails alone.
    fn claim_many(&self, claims: &[Claim]) -> Result<Vec<Result<Token, StoreError>>, StoreError>;
    /// Appends to many runs in one durable commit. Each append stands or falls by itself; an `Err` of the whole means that nothing is
    /// known to be durable, and that the store must not be written to again.
    fn append_many(&self, batch: &[Append]) -> Result<Vec<Result<Seq, AppendError>>, StoreError>;
    /// Encoded records of a run from a place on; empty for an unknown run.
    fn read(&self, run: &RunId, from: Seq) -> Result<Vec<Vec<u8>>, StoreError>;
    /// Unfinished runs in the order of their ids, after `cursor`, at most `limit`. One that is damaged is named, so that whoever reads it is told;
    /// of one that is not there at all, nothing is told.
    fn unfinished(&self, cursor: Option<&RunId>, limit: usize) -> Result<Vec<RunId>, StoreError>;
    /// All runs, newest first, older than `cursor`, at most `limit`; damaged ones are named as in [`Journal::unfinished`].
    fn recent(&self, cursor: Option<&RunId>, limit: usize) -> Result<Vec<RunId>, StoreError>;
    /// The latest checkpoint of a run.
    fn checkpoint(&self, run: &RunId) -> Result<Option<StoredCheckpoint>, StoreError>;
    /// Forgets a finished run with its facts and its checkpoint. Who holds another token than the last is refused.
    fn forget(&self, run: &RunId, token: Token) -> Result<Result<(), AppendError>, StoreError>;
    /// Keeps bytes under their SHA-256 (lowercase hex, checked), durably, and when that was last asked for.
    fn put_object(&self, sha256: &str, bytes: &[u8], now: WallTime) -> Result<(), StoreError>;
    /// Bytes kept under a SHA-256, checked against it.
    fn get_object(&self, sha256: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// Digests of all objects in order, each with the time at which it was last put.
    fn objects(&self) -> Result<Vec<(String, WallTime)>, StoreError>;
    /// When the store was found to have lost writes that it had confirmed, oldest first.
    fn losses(&self) -> Vec<WallTime> {
        Vec::new()
    }
    /// Removes an object that was last put before a time; tells whether it did.
    fn remove_object(&self, sha256: &str, before: WallTime) -> Result<bool, StoreError>;
}

impl StoreError {
    pub(super) fn failed(
        action: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Failed { action: action.into(), source: source.into() }
    }

    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }
}
