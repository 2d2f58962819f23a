//! What was refused, counted and told in the log; connections and event streams that are open.

use super::limit::Who;
use crate::trigger::Told;
use packhorse_core::run::WallTime;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What is counted: no good token, one that does not allow it, a body that did not come in time, too many requests.
const STATUSES: [u16; 4] = [401, 403, 408, 429];
/// Event streams at once.
const STREAMS: usize = 1_000;
/// Of these, those of one token, or of one address where there are no tokens.
const OF_ONE: usize = STREAMS / 2;

/// Counters of this process; they begin at zero with it.
#[derive(Debug, Default)]
pub struct Refusals {
    counts: [AtomicU64; STATUSES.len()],
    full: AtomicU64,
    connections: AtomicUsize,
    streams: Mutex<HashMap<Who, usize>>,
    told: Mutex<Told>,
}

/// Something that is open; it is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Opened {
    of: Arc<Refusals>,
    /// Whose event stream; a connection where absent.
    stream: Option<Who>,
}

impl Refusals {
    /// Requests that were refused, by the status of the answer.
    pub fn counts(&self) -> impl Iterator<Item = (u16, u64)> {
        STATUSES.into_iter().zip(self.counts.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// How often every place for a connection was taken, so that whoever came next had to wait.
    pub fn full(&self) -> u64 {
        self.full.load(Ordering::Relaxed)
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Event streams that are open.
    pub fn streams(&self) -> usize {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    /// An answer of this status was given; the log hears of it where it is a refusal, once a minute for each kind.
    pub(super) fn note(&self, status: u16, call: &str, by: &str, now: WallTime) {
        let Some(place) = STATUSES.iter().position(|known| *known == status) else { return };
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        if let Some(untold) = self.tell(&status.to_string(), now) {
            tracing::warn!(status, call, by, untold, "a request to the API was refused");
        }
    }

    /// All places for connections are taken.
    pub(super) fn is_full(&self, places: usize, now: WallTime) {
        self.full.fetch_add(1, Ordering::Relaxed);
        if let Some(untold) = self.tell("full", now) {
            tracing::warn!(places, untold, "every place for a connection to the API is taken: others wait");
        }
    }

    fn tell(&self, what: &str, now: WallTime) -> Option<u64> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).tell("http", what, now)
    }

    /// A connection is open.
    pub(super) fn connection(self: &Arc<Self>) -> Opened {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Opened { of: Arc::clone(self), stream: None }
    }

    /// Somebody's event stream is open; nothing where there are too many of them.
    pub(super) fn stream(self: &Arc<Self>, who: Who) -> Option<Opened> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let free = streams.values().sum::<usize>() < STREAMS && streams.get(&who).is_none_or(|open| *open < OF_ONE);
        if free {
            *streams.entry(who).or_default() += 1;
        }
        drop(streams);
        free.then(|| Opened { of: Arc::clone(self), stream: Some(who) })
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let Some(who) = self.stream else {
            self.of.connections.fetch_sub(1, Ordering::Relaxed);
            return;
        };
        let mut streams = self.of.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = streams.get_mut(&who) {
            *open -= 1;
            if *open == 0 {
                streams.remove(&who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_more_than_half_of_the_streams() {
        let refusals = Arc::new(Refusals::default());
        let open = |name: u8| (0..STREAMS).map_while(|_| refusals.stream(Who::Token([name; 32]))).collect::<Vec<_>>();
        let mut greedy = open(1);
        assert_eq!(greedy.len(), OF_ONE);
        let other = open(2);
        assert_eq!((other.len(), refusals.streams()), (STREAMS - OF_ONE, STREAMS));
        assert!(open(3).is_empty(), "there are no more than so many in all");
        drop(greedy.pop());
        assert_eq!(open(3).len(), 1);
        assert_eq!(open(1).len(), 1);
        drop((greedy, other));
        assert!(refusals.streams() == 0 && refusals.streams.lock().unwrap().is_empty());
    }

    #[test]
    fn refusals_are_counted_by_status_and_others_are_not() {
        let refusals = Arc::new(Refusals::default());
        for status in [401, 401, 200, 404, 429] {
            refusals.note(status, "GET /v1/runs", "http:local", WallTime(1));
        }
        assert_eq!(refusals.counts().collect::<Vec<_>>(), [(401, 2), (403, 0), (408, 0), (429, 1)]);
        let connection = refusals.connection();
        assert_eq!(refusals.connections(), 1);
        drop(connection);
        refusals.is_full(1, WallTime(1));
        assert_eq!((refusals.connections(), refusals.full()), (0, 1));
    }
}
