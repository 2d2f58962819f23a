//! What a storage did since it started, in the order of a storage record.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::wire::RECORD_COUNTERS;

/// Index of the first of a pair: attempts, then successes.
#[derive(Clone, Copy)]
pub(super) enum Counted {
    Upload = 0,
    Append = 2,
    Modify = 4,
    Truncate = 6,
    SetMetadata = 8,
    Delete = 10,
    Download = 12,
    GetMetadata = 14,
}

/// Index of the first of a pair: bytes asked for, then bytes moved.
#[derive(Clone, Copy)]
pub(super) enum Bytes {
    Uploaded = 20,
    Appended = 22,
    Modified = 24,
    Downloaded = 26,
}

pub(super) struct Counters([AtomicU64; RECORD_COUNTERS]);

impl Counters {
    pub(super) fn new() -> Self {
        Self([const { AtomicU64::new(0) }; RECORD_COUNTERS])
    }

    /// Counts an attempt, and a success when it is one.
    pub(super) fn outcome<T, E>(&self, what: Counted, outcome: Result<T, E>) -> Result<T, E> {
        self.0[what as usize].fetch_add(1, Ordering::Relaxed);
        if outcome.is_ok() {
            self.0[what as usize + 1].fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }

    /// Counts the content of a request that went well.
    pub(super) fn moved(&self, what: Bytes, bytes: u64) {
        self.0[what as usize].fetch_add(bytes, Ordering::Relaxed);
        self.0[what as usize + 1].fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn all(&self) -> [u64; RECORD_COUNTERS] {
        self.0.each_ref().map(|counter| counter.load(Ordering::Relaxed))
    }
}
