//! When everything is here, and whether it is good.

use super::Receive;
use crate::transfer::action::{Action, Confirmed, Ending, TransferFailure};
use crate::transfer::failure::code;
use crate::transfer::line::Line;
use crate::transfer::time::{Micros, Time};
use crate::transfer::timers::Timer;
use crate::transfer::verify::{Comparison, compare};
use crate::transfer::words::{Command, Digest, Outcome, Text, Verdict};

/// So long a sender may take to say that it is through, with its digests, once every byte is here.
const LAST_WORD: Micros = Micros::from_millis(500);
/// So long we stay for a sender whose last acknowledgement was lost, after it last spoke.
const LINGER: Micros = Micros::from_millis(200);
const LINGER_MOST: Micros = Micros::from_secs(2);

/// Where a pull stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Receiving,
    /// Every byte is durable; the driver computes digests.
    Digesting,
    /// Good; the sender may still ask whether it is.
    Lingering {
        confirmed: Confirmed,
        until: Time,
        at_most: Time,
    },
}

impl Receive {
    pub(super) fn is_whole(&self) -> bool {
        self.size.is_some_and(|size| self.done.covered() >= size)
    }

    pub(super) fn all_taken(&self) -> bool {
        self.size.is_some_and(|size| self.taken.covered() >= size)
    }

    pub(super) fn end(&mut self, line: &mut Line, now: Time) {
        if self.stage != Stage::Receiving || !self.is_whole() || !line.running() {
            return;
        }
        let may_speak = !self.by_request && !self.closed && self.begun;
        if may_speak && now.since(self.last_data) < LAST_WORD {
            return;
        }
        self.stage = Stage::Digesting;
        self.flight.clear();
        line.act(Action::Digest);
    }

    pub(in crate::transfer) fn digested(&mut self, digests: &[Digest], size: u64, line: &mut Line, now: Time) {
        if self.stage != Stage::Digesting {
            return;
        }
        if Some(size) != self.size {
            let message = format!("the spool holds {size} bytes of a file of {}", self.size.unwrap_or(0));
            line.fail(TransferFailure::transient(code::QUARANTINE, message).restart());
            return;
        }
        digests.clone_into(&mut self.own);
        let confirmed = match compare(digests, &self.told) {
            Comparison::Different => {
                self.reject(line);
                return;
            }
            Comparison::Equal => Confirmed::DeviceDigest,
            Comparison::Unknown => Confirmed::Acks,
        };
        // A device that hears that all is well throws its copy away: what is here must be known after a crash as well.
        line.act(Action::Checkpoint);
        self.say_end(Verdict::Good, line);
        if self.by_request {
            self.good(confirmed, line);
        } else {
            self.stage = Stage::Lingering { confirmed, until: now + LINGER, at_most: now + LINGER_MOST };
        }
    }

    fn reject(&self, line: &mut Line) {
        self.say_end(Verdict::BadDigest, line);
        let message = format!("the file that came from {} does not have the digest that the device told", line.device);
        let failure = TransferFailure::transient(code::QUARANTINE, message)
            .hint("it is quarantined, not published; the next attempt pulls it anew");
        line.fail(failure.restart());
    }

    fn say_end(&self, verdict: Verdict, line: &mut Line) {
        line.say(Command::Outcome(Outcome { verdict, text: Text::default() }));
    }

    fn good(&self, confirmed: Confirmed, line: &mut Line) {
        let size = self.size.unwrap_or(0);
        line.finish(Ending::Good { confirmed, size, digests_by_device: self.told.clone() });
    }

    /// The sender asks again how it ended; it may tell only now what its digests are.
    pub(super) fn repeat_end(&mut self, line: &mut Line, now: Time) {
        let comparison = compare(&self.own, &self.told);
        let Stage::Lingering { confirmed, until, at_most } = &mut self.stage else { return };
        match comparison {
            Comparison::Different => return self.reject(line),
            Comparison::Equal => *confirmed = Confirmed::DeviceDigest,
            Comparison::Unknown => {}
        }
        *until = (now + LINGER).min(*at_most);
        self.say_end(Verdict::Good, line);
    }

    pub(super) fn stop_lingering(&mut self, line: &mut Line, now: Time) {
        if let Stage::Lingering { confirmed, .. } = self.stage {
            self.good(confirmed, line);
        }
        let _ = now;
    }

    pub(super) fn linger(&mut self, line: &mut Line, now: Time) {
        if line.timers.due(Timer::Linger, now) {
            self.stop_lingering(line, now);
        }
    }

    pub(super) fn arm_linger(&self, line: &mut Line) {
        let at = match self.stage {
            Stage::Lingering { until, .. } => Some(until),
            Stage::Receiving if self.is_whole() => Some(self.last_data + LAST_WORD),
            Stage::Receiving | Stage::Digesting => None,
        };
        line.timers.put(Timer::Linger, at);
    }
}
