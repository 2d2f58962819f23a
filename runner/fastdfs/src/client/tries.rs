//! Trying again: how often, after which pause, and after which failures.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Client, ClientError};
use crate::wire::FileId;

const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Seconds after its upload in which a file may not have reached every storage of its group.
const FRESH: u64 = 60;
/// How often a fresh file that no storage has is asked for again: some three seconds in all.
const ARRIVALS: usize = 5;

/// What is left of the tries of one operation.
pub(super) struct Tries {
    left: usize,
    all: usize,
    pause: Duration,
    first_pause: Duration,
    /// Tries left for a file that may still arrive.
    arrivals: usize,
}

impl Tries {
    /// As [`Tries::again`], of a download: a file that is nowhere, and was uploaded only just now, may be on its way from one storage
    /// to the others.
    pub(super) async fn again_for(&mut self, file: &FileId, error: &ClientError) -> bool {
        if self.arrivals == 0 || !error.is_missing_file() || !is_fresh(file) {
            return self.again(error).await;
        }
        self.arrivals -= 1;
        tracing::debug!(%error, "asked for again, as it is new");
        self.pause().await;
        true
    }

    /// Whether to do the same again, now. Waits before it says yes.
    pub(super) async fn again(&mut self, error: &ClientError) -> bool {
        if !error.is_passing() || !error.is_safe_to_repeat() || !self.take() {
            return false;
        }
        tracing::debug!(%error, "tried again");
        self.pause().await;
        true
    }

    /// Takes one of the tries that are left; false where there is none.
    pub(super) fn take(&mut self) -> bool {
        let some = self.left > 0;
        self.left = self.left.saturating_sub(1);
        some
    }

    /// Lets time pass, more each time.
    pub(super) async fn pause(&mut self) {
        let spread = rand::random_range(0.5..1.5);
        tokio::time::sleep(self.pause.mul_f64(spread)).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// There was progress: what failed until now does not count.
    pub(super) fn renew(&mut self) {
        (self.left, self.pause) = (self.all, self.first_pause);
    }
}

/// By the time in its name, which is the clock of the storage that took it.
fn is_fresh(file: &FileId) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    file.name.info().is_ok_and(|named| u64::from(named.created_unix).abs_diff(now) <= FRESH)
}

/// The first failure that left the outcome of an operation unknown: no later one makes it known.
#[derive(Default)]
pub(super) struct Doubt(Option<ClientError>);

impl Doubt {
    pub(super) fn exists(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn note(&mut self, error: ClientError) {
        if self.0.is_none() && error.is_outcome_unknown() {
            self.0 = Some(error);
        }
    }

    pub(super) fn into_error(self) -> Option<ClientError> {
        self.0
    }

    /// What is told in place of a later failure.
    pub(super) fn or(self, later: ClientError) -> ClientError {
        self.0.unwrap_or(later)
    }
}

impl Client {
    pub(super) fn tries(&self) -> Tries {
        let left = self.shared.options.tries.saturating_sub(1);
        let pause = self.shared.options.pause.min(LONGEST_PAUSE);
        Tries { left, all: left, pause, first_pause: pause, arrivals: if left > 0 { ARRIVALS } else { 0 } }
    }

    /// Does something that may be done twice, until it succeeds, fails for good, or was tried often enough.
    pub(super) async fn repeat<T, F>(&self, once: impl Fn() -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let mut tries = self.tries();
        loop {
            match once().await {
                Err(error) if tries.again(&error).await => {}
                done => return done,
            }
        }
    }
}
