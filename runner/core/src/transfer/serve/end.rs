//! How a serving end is over, and how it begins anew where the device does.

use super::Serve;
use crate::transfer::action::{Confirmed, Ending};
use crate::transfer::failure::{bad_digest, verdict_failure};
use crate::transfer::line::Line;
use crate::transfer::time::Time;
use crate::transfer::verify::Comparison;
use crate::transfer::words::{Outcome, Span, Verdict};

/// A device that says more often than this that the file is bad, and asks for nothing, means it.
const STALE_MOST: u32 = 8;

impl Serve {
    pub(in crate::transfer) fn settle(&mut self, line: &mut Line, now: Time) {
        // Before the verdicts: a good one does not outweigh another digest than ours.
        if self.comparison == Some(Comparison::Different) && (self.everything || self.by_url()) {
            line.fail(bad_digest(&line.device, None));
        }
        for outcome in std::mem::take(&mut self.outcomes) {
            match verdict_failure(&line.device, &outcome) {
                // It may have had the file, or a part of it, before this transfer: its verdict is its own.
                None => self.good(Confirmed::DeviceVerdict, line),
                Some(_) if self.stale(&outcome) => {
                    self.stale += 1;
                    line.implausible(format!("verdict {:?} before anything was asked for", outcome.verdict));
                }
                Some(failure) => line.fail(failure),
            }
        }
        line.returned = false;
        if self.comparison == Some(Comparison::Equal) {
            self.good(Confirmed::DeviceDigest, line);
        }
        let acked = self.size > 0 && self.done.covered() == self.size && !self.guesses;
        if !self.confirms && !self.by_url() && self.queue.is_empty() && (acked || self.everything) {
            self.good(Confirmed::Acks, line);
        }
        line.traffic.payload_bytes = self.done.covered();
        let _ = now;
    }

    /// A verdict on content before this attempt gave any belongs to the attempt before, unless the device insists, or told how
    /// it fetches the content elsewhere.
    fn stale(&self, outcome: &Outcome) -> bool {
        self.asked.is_none()
            && !(self.by_url() && self.reacted)
            && self.stale < STALE_MOST
            && matches!(outcome.verdict, Verdict::BadDigest | Verdict::BadSize)
    }

    /// The device threw away what it had, and begins anew: nothing that it asked for or told counts any more. False where it speaks of
    /// what was before this attempt.
    pub(in crate::transfer) fn begin_again(&mut self, outcome: &Outcome, line: &mut Line) -> bool {
        if self.stale(outcome) {
            self.stale += 1;
            return false;
        }
        self.reacted = true;
        self.earlier.extend(std::mem::take(&mut self.sent).iter());
        self.done.clear();
        self.queue.clear();
        self.recent.clear();
        self.unconfirmed.clear();
        self.repeats.clear();
        (self.fetched, self.past_end, self.everything) = (0, 0, false);
        self.told.clear();
        self.comparison = None;
        line.progress();
        true
    }

    fn good(&mut self, confirmed: Confirmed, line: &mut Line) {
        if !self.by_url() {
            self.done = Span::new(0, self.size).into();
        }
        let confirmed = match self.comparison {
            Some(Comparison::Equal) => Confirmed::DeviceDigest,
            _ => confirmed,
        };
        line.finish(Ending::Good { confirmed, size: self.size, digests_by_device: self.told.clone() });
    }
}
