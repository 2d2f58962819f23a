//! When a push is over, and how well that is known.

use super::{Empty, Push};
use crate::transfer::action::{Confirmed, Ending};
use crate::transfer::failure::{bad_digest, verdict_failure};
use crate::transfer::intervals::Intervals;
use crate::transfer::line::Line;
use crate::transfer::rtt::Rtt;
use crate::transfer::time::{Micros, Time};
use crate::transfer::words::{Outcome, Span, Verdict};

/// The shortest wait for a verdict before the device is asked for it.
const VERDICT_WAIT: Micros = Micros::from_millis(200);
const VERDICT_CAP: Micros = Micros::from_secs(30);

/// Answers that name no digest, before the device counts as one that does not hold the file.
const ANSWERS: u32 = 3;

/// Whether acknowledgements alone may end it. Those of an earlier attempt say nothing of a device that took another file since and
/// threw this one away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Every one came in this attempt, or the device has told since what it holds, or it answers no questions.
    None,
    /// Some are of an earlier attempt, or the device claimed what was never sent: at the end it must name the digest. So many
    /// answers named none.
    Unproved(u32),
}

/// Every byte is acknowledged, the verdict is not there.
#[derive(Debug)]
pub(super) struct Confirm {
    pub(super) since: Time,
    last: Time,
    pub(super) tries: u32,
}

impl Confirm {
    /// The device says that it is busy with it.
    pub(super) fn postpone(&mut self, now: Time) {
        self.last = now;
    }

    pub(super) fn next(&self, rtt: &Rtt) -> Time {
        self.last + rtt.probe_after().max(VERDICT_WAIT).doubled(self.tries, VERDICT_CAP)
    }
}

impl Push {
    pub(super) fn complete(&self) -> bool {
        self.done.covered() == self.size && self.empty.is_none_or(|empty| empty == Empty::Acked)
    }

    pub(super) fn all_sent(&self) -> bool {
        self.sent.covered() == self.size && self.empty != Some(Empty::Unsent)
    }

    pub(super) fn end(&mut self, line: &mut Line, now: Time) {
        for outcome in std::mem::take(&mut self.outcomes) {
            self.judge(&outcome, line, now);
        }
        if self.matched {
            self.good(Confirmed::DeviceDigest, line);
        } else if self.mismatch {
            line.fail(bad_digest(&line.device, None));
        } else if self.verdict {
            self.good(Confirmed::DeviceVerdict, line);
        } else if !self.complete() {
            self.confirm = None;
        } else if self.confirms {
            self.confirm.get_or_insert(Confirm { since: now, last: now, tries: 0 });
        } else if self.doubt == Doubt::None || !self.can_query || self.file.digests.is_empty() {
            self.good(Confirmed::Acks, line);
        } else if self.confirm.is_none() {
            self.confirm = Some(Confirm { since: now, last: now, tries: 0 });
            self.ask(line, now);
        }
    }

    /// The device was asked whether it holds the file, of which everything is acknowledged, and named no digest. It may still be
    /// computing; a device that goes on like that has only the later part of the file.
    pub(super) fn unproved(&mut self, line: &mut Line) {
        let Doubt::Unproved(answers) = self.doubt else { return };
        self.doubt = Doubt::Unproved(answers + 1);
        if answers + 1 >= ANSWERS {
            line.note("the device acknowledged every byte, but does not hold the file; sending all of it again");
            self.afresh(line);
        }
    }

    /// All of it goes out again; acknowledgements of what went out before are not believed any more.
    pub(super) fn afresh(&mut self, line: &mut Line) {
        self.doubt = Doubt::None;
        self.earlier.extend(std::mem::take(&mut self.sent).iter());
        self.rebase(Intervals::default(), line);
    }

    /// The device threw away what it had, and waits for the file anew. Nothing of what it was sent can have failed where nothing was.
    pub(in crate::transfer) fn begin_again(&mut self, line: &mut Line) -> bool {
        if self.sent.is_empty() && self.empty != Some(Empty::Acked) {
            return false;
        }
        self.told.clear();
        self.afresh(line);
        true
    }

    /// A verdict on bytes that were not all sent belongs to an earlier attempt; a refusal may come at any time.
    fn judge(&mut self, outcome: &Outcome, line: &mut Line, now: Time) {
        let on_content = matches!(outcome.verdict, Verdict::Good | Verdict::BadDigest | Verdict::BadSize);
        if on_content && !self.all_sent() {
            line.implausible(format!("verdict {:?} before all of the file was sent", outcome.verdict));
            if outcome.verdict == Verdict::Good && !std::mem::replace(&mut self.early_asked, true) {
                self.ask(line, now);
            }
            return;
        }
        match verdict_failure(&line.device, outcome) {
            None => self.verdict = true,
            Some(failure) => line.fail(failure),
        }
    }

    fn good(&mut self, confirmed: Confirmed, line: &mut Line) {
        self.done = Span::new(0, self.size).into();
        self.sent = self.done.clone();
        self.pending.clear();
        self.flight.clear();
        line.finish(Ending::Good { confirmed, size: self.size, digests_by_device: self.told.clone() });
    }

    /// The verdict does not come: ask for it, or send the last piece again, to which the device answers.
    pub(super) fn confirm_again(&mut self, line: &mut Line, now: Time) {
        let Some(confirm) = &mut self.confirm else { return };
        confirm.last = now;
        confirm.tries += 1;
        let by_piece = confirm.tries.is_multiple_of(2) || !self.can_query;
        if by_piece {
            self.probe_due = true;
        } else {
            self.ask(line, now);
        }
    }
}
