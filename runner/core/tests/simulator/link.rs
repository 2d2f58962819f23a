//! A lossy link in one direction: loses, repeats, delays, reorders and damages packets.

use crate::chance::Chance;
use crate::counts::{Counts, Struck};

/// What a link is like.
#[derive(Debug, Clone, Default)]
pub(crate) struct LinkPlan {
    pub(crate) loss: f64,
    /// Chance that a burst begins at a packet, and how long it lasts at most, in microseconds. In time, not in packets: the
    /// rarer the packets, the longer a burst of so many would be.
    pub(crate) burst: f64,
    pub(crate) burst_len: u64,
    pub(crate) duplicate: f64,
    pub(crate) copies: u64,
    pub(crate) reorder: f64,
    /// How far a reordered packet is held back, in microseconds.
    pub(crate) hold: u64,
    pub(crate) corrupt: f64,
    pub(crate) alien: f64,
    pub(crate) latency: u64,
    pub(crate) jitter: u64,
}

impl LinkPlan {
    pub(crate) fn round_share(&self) -> u64 {
        self.latency + self.jitter
    }
}

/// What becomes of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Whole,
    Damaged,
}

/// One direction.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) plan: LinkPlan,
    swallow_until: u64,
    newest: u64,
}

impl Link {
    pub(crate) fn new(plan: LinkPlan) -> Self {
        Self { plan, swallow_until: 0, newest: 0 }
    }

    /// From now on nothing strikes any more.
    pub(crate) fn heal(&mut self) {
        let LinkPlan { latency, jitter, .. } = self.plan;
        self.plan = LinkPlan { latency, jitter, ..LinkPlan::default() };
        self.swallow_until = 0;
    }

    /// When and how the copies of a packet arrive.
    pub(crate) fn carry(&mut self, now: u64, chance: &mut Chance, counts: &mut Counts) -> Vec<(u64, Fate)> {
        if now >= self.swallow_until && chance.hit(self.plan.burst) {
            self.swallow_until = now + chance.from(1, self.plan.burst_len);
        }
        if now < self.swallow_until {
            counts.add(Struck::BurstLoss);
            return Vec::new();
        }
        if chance.hit(self.plan.loss) {
            counts.add(Struck::Loss);
            return Vec::new();
        }
        let mut copies = 1;
        if chance.hit(self.plan.duplicate) {
            counts.add(Struck::Duplicate);
            copies += chance.from(1, self.plan.copies);
        }
        (0..copies).map(|_| self.arrival(now, chance, counts)).collect()
    }

    fn arrival(&mut self, now: u64, chance: &mut Chance, counts: &mut Counts) -> (u64, Fate) {
        let mut at = now + self.plan.latency + chance.from(0, self.plan.jitter);
        if chance.hit(self.plan.reorder) {
            counts.add(Struck::Reorder);
            at += chance.from(1, self.plan.hold);
        } else {
            // A broker keeps the order of what it was given.
            at = at.max(self.newest);
            self.newest = at;
        }
        (at, if chance.hit(self.plan.corrupt) { Fate::Damaged } else { Fate::Whole })
    }
}
