//! Requests of a platform-pull, holes of a device-push, and what wakes a silent device.

use super::Receive;
use super::end::Stage;
use crate::transfer::action::{Action, CommandKind};
use crate::transfer::line::{Line, pause};
use crate::transfer::time::{Micros, Time};
use crate::transfer::timers::Timer;
use crate::transfer::words::{Command, Span, Want};

/// A device that sends and pauses for so long is reminded.
const QUIET: Micros = Micros::from_millis(200);
/// A device that was asked to begin and did not is asked again.
const BEGIN_AGAIN: Micros = Micros::from_millis(500);
/// A device that says hello again and again is not asked each time.
const HELLO_AGAIN: Micros = Micros::from_millis(20);
/// Bytes that may wait for the disk before we ask for more.
const BACKLOG_MOST: u64 = 4 << 20;

impl Receive {
    /// The next request: the way of a platform-pull, and of a device-push that left holes.
    pub(in crate::transfer) fn next(&mut self, line: &mut Line, now: Time) -> Option<Action> {
        if self.stage != Stage::Receiving {
            return None;
        }
        if !(self.by_request || self.hunting) {
            // The device fills its window unasked: where the budget has no room for one, the transfer ends.
            let _ = self.all_taken() || line.may_ask(self.packet, self.window, now);
            return None;
        }
        // Of a device that has not answered yet nothing is known, not even where its file ends.
        let window = if self.answered || self.size.is_some() { self.window } else { 1 };
        let full = self.flight.len() >= window || self.taken.covered() - self.done.covered() > BACKLOG_MOST;
        let probe = std::mem::take(&mut self.probe_due);
        let span = if probe { self.again() } else { None };
        let span = match span {
            Some(span) => span,
            None if full => return None,
            None => self.cut()?,
        };
        if !line.may_send(now) || !line.may_ask(span.len().min(self.packet), self.flight.len(), now) {
            self.probe_due = probe;
            return None;
        }
        self.asked.insert(span);
        self.flight.launch(span, now);
        self.last_asked = now;
        let tag = line.fresh_tag();
        Some(Action::Say(Command::Need(Want { tag, span, limit: self.limit() })))
    }

    /// The lowest request on its way, less what came of it.
    fn again(&mut self) -> Option<Span> {
        let lowest = self.flight.lowest()?;
        let rest = self.taken.gaps(lowest).next()?;
        if self.grid || rest == lowest {
            return Some(lowest);
        }
        self.flight.drop(lowest.start);
        Some(rest)
    }

    fn cut(&self) -> Option<Span> {
        let unknown = if self.by_request { self.size_limit } else { self.taken.end() };
        let limit = self.size.or(self.nothing_from).unwrap_or(unknown);
        let gap = self.asked.gaps(Span::new(0, limit)).next()?;
        let start = gap.start - gap.start % self.align;
        let reach = start.saturating_add(self.packet).min(limit.max(start + 1));
        let end = if self.grid { reach } else { reach.min(gap.end.next_multiple_of(self.align)).min(limit) };
        Some(Span::new(start, end))
    }

    fn limit(&self) -> u32 {
        u32::try_from(self.packet).unwrap_or(u32::MAX)
    }

    pub(super) fn lose(&mut self, now: Time) {
        let (asked, taken) = (&mut self.asked, &self.taken);
        self.flight.lose(self.rtt.loss_after(), now, |lost| {
            asked.remove(lost);
            asked.extend(taken.parts(lost));
        });
    }

    pub(super) fn request_upload(&mut self, line: &mut Line, now: Time) {
        self.last_asked = now;
        let tag = line.fresh_tag();
        line.say(Command::RequestUpload(tag));
    }

    /// Asks for the holes of a device-push, in a window like a pull's.
    pub(super) fn hunt(&mut self, line: &Line) {
        self.hunting = !self.by_request && line.can_say(CommandKind::Need);
    }

    /// The device sends by itself again: it will fill what it can.
    pub(super) fn stop_hunting(&mut self) {
        if std::mem::take(&mut self.hunting) {
            self.flight.clear();
            self.asked = self.taken.clone();
        }
    }

    /// The device is silent: ask for the holes; where that does not help, ask it to begin again.
    pub(super) fn nudge(&mut self, line: &mut Line, now: Time) {
        self.nudges += 1;
        if self.begun {
            self.hunt(line);
        }
        if !self.begun || !self.hunting || self.nudges > 2 {
            self.request_upload(line, now);
        }
    }

    /// The device is there, perhaps after a restart that forgot the upload.
    pub(super) fn hello(&mut self, line: &mut Line, now: Time) {
        if !self.by_request && self.stage == Stage::Receiving && now.since(self.last_asked) >= HELLO_AGAIN {
            self.request_upload(line, now);
        }
    }

    pub(in crate::transfer) fn reconnected(&mut self, line: &mut Line, now: Time) {
        if self.by_request {
            self.probe_due = self.flight.len() > 0;
        } else if self.stage == Stage::Receiving && !self.all_taken() {
            self.nudge(line, now);
        }
    }

    /// The device is there again: it is reminded as soon as at first.
    pub(in crate::transfer) fn wake(&mut self) {
        self.nudges = 0;
    }

    pub(in crate::transfer) fn rearm(&mut self, line: &mut Line) {
        let loss = self.flight.lose(self.rtt.loss_after(), Time(0), |_| {});
        line.timers.put(Timer::Loss, loss);
        let probe = pause(self.rtt.probe_after(), line.backoff);
        let probe = (loss.is_none() && self.flight.len() > 0).then_some(self.last_asked + probe);
        line.timers.put(Timer::Probe, probe);
        line.timers.put(Timer::Quiet, self.quiet(line));
        self.arm_linger(line);
    }

    pub(super) fn probe_timer(&mut self, line: &mut Line, now: Time) {
        line.backoff += 1;
        self.probe_due = true;
        if self.hunting {
            self.nudge(line, now);
        }
    }

    /// When a device that drives is reminded.
    fn quiet(&self, line: &Line) -> Option<Time> {
        if self.by_request || self.stage != Stage::Receiving || self.all_taken() || self.flight.len() > 0 {
            return None;
        }
        let wait = if self.begun { QUIET } else { BEGIN_AGAIN };
        Some(self.last_data.max(self.last_asked) + pause(wait, line.backoff.max(self.nudges)))
    }
}
