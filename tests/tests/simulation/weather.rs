//! One direction of a link: loses, repeats, delays, reorders and damages messages.

use crate::chance::Chance;
use crate::counts::{Counts, Struck};
use bytes::Bytes;

/// What a link is like.
#[derive(Debug, Clone, Default)]
pub(crate) struct LinkPlan {
    pub(crate) loss: f64,
    /// Chance that a burst begins at a message, and how long it lasts at most, in microseconds.
    pub(crate) burst: f64,
    pub(crate) burst_len: u64,
    pub(crate) duplicate: f64,
    pub(crate) copies: u64,
    pub(crate) reorder: f64,
    /// How far an overtaken message is held back, in microseconds.
    pub(crate) hold: u64,
    pub(crate) corrupt: f64,
    /// Chance that an old frame is heard again beside a message.
    pub(crate) replay: f64,
    pub(crate) latency: u64,
    pub(crate) jitter: u64,
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

    /// When and as what the copies of a message arrive.
    pub(crate) fn carry(
        &mut self,
        now: u64,
        payload: &Bytes,
        chance: &mut Chance,
        counts: &mut Counts,
    ) -> Vec<(u64, Bytes)> {
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
        (0..copies).map(|_| self.arrival(now, payload, chance, counts)).collect()
    }

    fn arrival(&mut self, now: u64, payload: &Bytes, chance: &mut Chance, counts: &mut Counts) -> (u64, Bytes) {
        let mut at = now + self.plan.latency + chance.from(0, self.plan.jitter);
        if chance.hit(self.plan.reorder) {
            counts.add(Struck::Reorder);
            at += chance.from(1, self.plan.hold);
        } else {
            // A broker keeps the order of what it was given.
            at = at.max(self.newest);
            self.newest = at;
        }
        (at, if chance.hit(self.plan.corrupt) { damaged(payload, chance, counts) } else { payload.clone() })
    }
}

fn damaged(payload: &Bytes, chance: &mut Chance, counts: &mut Counts) -> Bytes {
    let mut bytes = payload.to_vec();
    let length = bytes.len() as u64;
    match chance.from(0, 19) {
        0..=11 if length > 0 => {
            counts.add(Struck::Flip);
            let at = chance.from(0, length - 1) as usize;
            bytes[at] ^= 1 << chance.from(0, 7);
        }
        12..=14 if length > 0 => {
            counts.add(Struck::Truncated);
            bytes.truncate(chance.from(0, length - 1) as usize);
        }
        15..=17 => {
            counts.add(Struck::Extended);
            let more = chance.from(1, 1024);
            bytes.extend(chance.bytes(more));
        }
        18 => {
            counts.add(Struck::Oversize);
            bytes = if chance.hit(0.1) { chance.bytes(256 << 10) } else { chance.bytes(length + 1) };
        }
        _ => {
            counts.add(Struck::Emptied);
            bytes.clear();
        }
    }
    bytes.into()
}
