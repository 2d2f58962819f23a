//! Notices a connection that looks alive and moves nothing. rumqttc itself notices only a missing answer to its pings.

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::client::Shared;

/// What the watchdog looks at. One task writes and reads it; atomics only make it `Sync`.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// Everything the event loop did, pings included.
    pub(super) events: AtomicU64,
    /// Publishes sent, publishes acknowledged, subscriptions answered.
    pub(super) progress: AtomicU64,
    /// Publishes acknowledged.
    pub(super) acknowledged: AtomicU64,
    /// Publishes sent and not yet acknowledged.
    pub(super) inflight: AtomicU16,
    /// Of the publish sent last; 0 before the first of QoS 1 or 2.
    pub(super) last_packet_id: AtomicU16,
}

/// Returns what is wrong as soon as something is.
pub(super) async fn guard(shared: &Shared, pulse: &Pulse, keep_alive: Duration) -> &'static str {
    let mut ticks = interval(keep_alive / 2);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut events, mut silent) = (0, 0);
    let (mut progress, mut stuck) = (0, 0);
    loop {
        ticks.tick().await;
        silent = count_if_same(&mut events, &pulse.events, silent);
        stuck = count_if_same(&mut progress, &pulse.progress, stuck);
        if idle(shared, pulse) && !shared.registry.waits() {
            stuck = 0;
        }
        // Ticks are half keep-alives. A ping passes each keep-alive, so that silence means a blocked write.
        match (stuck, silent) {
            (4.., _) => return "nothing queued was acknowledged for two keep-alives",
            (_, 5..) => return "the connection is blocked",
            _ => {}
        }
    }
}

fn count_if_same(before: &mut u64, now: &AtomicU64, count: u32) -> u32 {
    let now = now.load(Ordering::Relaxed);
    if std::mem::replace(before, now) == now { count + 1 } else { 0 }
}

/// Nothing is queued or unacknowledged.
pub(super) fn idle(shared: &Shared, pulse: &Pulse) -> bool {
    shared.outbox.queued() == 0 && pulse.inflight.load(Ordering::Relaxed) == 0
}

/// Adds one.
pub(super) fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
