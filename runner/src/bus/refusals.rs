//! Publishes that the broker took and refused, by topic: whoever published there asks what became of them.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Reason;
use super::outbox::Queued;

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
    last: HashMap<Arc<str>, Refusal>,
    /// The broker that the rest is about.
    address: Option<Arc<str>>,
    /// Bytes of the smallest payload that was too large for it.
    too_large: Option<usize>,
    told: HashSet<(Arc<str>, Reason)>,
}

#[derive(Debug)]
struct Refusal {
    reason: Reason,
    at: Instant,
    /// Bytes of the payload that was refused.
    size: usize,
}

impl Refusals {
    /// The broker refused a publish; says so once for each topic and reason.
    pub(super) fn refused(&self, Queued { topic, size, .. }: &Queued, reason: Reason) {
        let mut state = self.lock();
        if state.last.len() < TOPICS || state.last.contains_key(topic) {
            state.last.insert(Arc::clone(topic), Refusal { reason, at: Instant::now(), size: *size });
            self.any.store(true, Ordering::Relaxed);
        }
        if reason == Reason::PacketTooLarge {
            state.too_large = Some(state.too_large.map_or(*size, |least| least.min(*size)));
        }
        if state.told.len() < TOPICS && state.told.insert((Arc::clone(topic), reason)) {
            tracing::warn!(%topic, %reason, advice = reason.advice(), "the broker refuses publishes");
        }
    }

    /// The broker took a publish to this topic: what it refused before is over, unless that was larger and only too
    /// large.
    pub(super) fn accepted(&self, Queued { topic, size, .. }: &Queued) {
        if self.any.load(Ordering::Relaxed) {
            let mut state = self.lock();
            let stays = |refusal: &Refusal| refusal.reason == Reason::PacketTooLarge && refusal.size > *size;
            if state.last.get(topic).is_some_and(|refusal| !stays(refusal)) {
                state.last.remove(topic);
            }
            state.too_large = state.too_large.filter(|least| least > size);
        }
    }

    /// Whether the broker is known to refuse payloads of this size. Some hang up after such a refusal (mosquitto 2.0.11 without
    /// a bound on its queues): what was sent behind it would end the next connections one by one.
    pub(super) fn is_too_large(&self, size: usize) -> bool {
        self.any.load(Ordering::Relaxed) && self.lock().too_large.is_some_and(|least| size >= least)
    }

    /// Why publishes to this topic are refused, where one was since then and none was accepted after it.
    pub(super) fn since(&self, topic: &str, since: Instant) -> Option<Reason> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        self.lock().last.get(topic).filter(|refusal| refusal.at >= since).map(|refusal| refusal.reason)
    }

    /// A new connection: what another broker refused is nothing to this one. What this one refused stays: it may be what the
    /// connection broke at, before anybody asked.
    pub(super) fn renew(&self, address: &Arc<str>) {
        let mut state = self.lock();
        if state.address.as_ref() != Some(address) {
            state.address = Some(Arc::clone(address));
            state.last.clear();
            state.too_large = None;
            self.any.store(false, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queued(size: usize) -> Queued {
        Queued { topic: "a".into(), since: Instant::now(), size }
    }

    #[test]
    fn a_refusal_holds_until_a_publish_is_accepted_or_the_broker_is_another() {
        let refusals = Refusals::default();
        let begun = Instant::now();
        assert_eq!(refusals.since("a", begun), None);
        refusals.refused(&queued(9), Reason::NotAuthorized);
        assert_eq!(refusals.since("a", begun), Some(Reason::NotAuthorized));
        assert_eq!(refusals.since("b", begun), None);
        assert_eq!(refusals.since("a", Instant::now() + std::time::Duration::from_secs(1)), None, "it is old");
        refusals.accepted(&queued(1));
        assert_eq!(refusals.since("a", begun), None);
        let brokers: [Arc<str>; 2] = ["one:1883".into(), "two:1883".into()];
        refusals.renew(&brokers[0]);
        refusals.refused(&queued(9), Reason::QuotaExceeded);
        refusals.renew(&brokers[0]);
        assert_eq!(refusals.since("a", begun), Some(Reason::QuotaExceeded));
        refusals.renew(&brokers[1]);
        assert_eq!(refusals.since("a", begun), None);
    }

    #[test]
    fn what_is_too_large_stays_so_while_smaller_messages_pass() {
        let refusals = Refusals::default();
        let begun = Instant::now();
        refusals.refused(&queued(1000), Reason::PacketTooLarge);
        refusals.accepted(&queued(999));
        assert_eq!(refusals.since("a", begun), Some(Reason::PacketTooLarge));
        assert!(refusals.is_too_large(1000) && !refusals.is_too_large(999));
        refusals.accepted(&queued(1000));
        assert_eq!(refusals.since("a", begun), None);
        assert!(!refusals.is_too_large(1000));
    }
}
