//! Publishes that the broker took and refused, by topic: whoever published there asks what became of them.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Reason;

/// Topics remembered at a time; refusals beyond it are only counted.
const TOPICS: usize = 4096;

/// Shared by the bus and its connection. Costs an atomic read a publish while nothing is refused.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    any: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: HashMap<Arc<str>, (Reason, Instant)>,
    told: HashSet<(Arc<str>, Reason)>,
}

impl Refusals {
    /// The broker refused a publish; says so once for each topic and reason.
    pub(super) fn refused(&self, topic: &Arc<str>, reason: Reason) {
        let mut state = self.lock();
        if state.last.len() < TOPICS || state.last.contains_key(topic) {
            state.last.insert(Arc::clone(topic), (reason, Instant::now()));
            self.any.store(true, Ordering::Relaxed);
        }
        if state.told.len() < TOPICS && state.told.insert((Arc::clone(topic), reason)) {
            tracing::warn!(%topic, %reason, advice = reason.advice(), "the broker refuses publishes");
        }
    }

    /// The broker took a publish to this topic: what it refused before is over.
    pub(super) fn accepted(&self, topic: &str) {
        if self.any.load(Ordering::Relaxed) {
            self.lock().last.remove(topic);
        }
    }

    /// Why publishes to this topic are refused, where one was since then and none was accepted after it.
    pub(super) fn since(&self, topic: &str, since: Instant) -> Option<Reason> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        self.lock().last.get(topic).filter(|(_, at)| *at >= since).map(|(reason, _)| *reason)
    }

    /// A new connection: another broker, or other rights.
    pub(super) fn clear(&self) {
        if self.any.swap(false, Ordering::Relaxed) {
            self.lock().last.clear();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_holds_until_a_publish_is_accepted_or_the_connection_is_another() {
        let refusals = Refusals::default();
        let (topic, begun): (Arc<str>, _) = ("a".into(), Instant::now());
        assert_eq!(refusals.since("a", begun), None);
        refusals.refused(&topic, Reason::NotAuthorized);
        assert_eq!(refusals.since("a", begun), Some(Reason::NotAuthorized));
        assert_eq!(refusals.since("b", begun), None);
        assert_eq!(refusals.since("a", Instant::now() + std::time::Duration::from_secs(1)), None, "it is old");
        refusals.accepted("a");
        assert_eq!(refusals.since("a", begun), None);
        refusals.refused(&topic, Reason::QuotaExceeded);
        refusals.clear();
        assert_eq!(refusals.since("a", begun), None);
    }
}
