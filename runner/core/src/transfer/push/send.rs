//! Which piece goes next, and when silence is probed.

use super::{Empty, Push};
use crate::transfer::action::Action;
use crate::transfer::line::{Line, pause};
use crate::transfer::time::{Micros, Time};
use crate::transfer::words::Span;

/// Repetitions before the wait doubles. At a fifth of all packets lost each way every third probe stays unanswered, and a wait
/// that doubles at once makes stalls of seconds out of that.
pub(super) const UNDOUBLED: u32 = 4;

/// Probes in a row that changed nothing: what the device says of that piece is not what we wait for, so it is asked what it has.
const FRUITLESS: u32 = 8;

impl Push {
    /// The next piece, where one may go.
    pub(in crate::transfer) fn next(&mut self, line: &mut Line, now: Time) -> Option<Action> {
        let blocked = self.ask.is_some() || self.flight.len() >= self.window;
        if blocked && !self.probe_due {
            return None;
        }
        let span = if self.probe_due { self.probe_span() } else { self.cut() };
        let Some(span) = span else {
            self.probe_due = false;
            return None;
        };
        if !line.may_send(now) || !line.may_spend(span.len(), self.flight.len(), now) {
            return None;
        }
        self.probe_due = false;
        Some(self.send(span, line, now))
    }

    fn send(&mut self, span: Span, line: &mut Line, now: Time) -> Action {
        let before: u64 = self.sent.gaps(span).map(|gap| self.earlier.covered_in(gap)).sum();
        line.traffic.retransmitted_bytes += self.sent.covered_in(span) + before;
        self.pending.remove(span);
        self.sent.insert(span);
        self.last_sent = now;
        let fresh_empty = span.is_empty() && self.empty != Some(Empty::Acked);
        if fresh_empty {
            self.flight.launch(span, now);
            self.empty = Some(Empty::Flying);
        } else if !self.done.contains(span) {
            self.flight.launch(span, now);
        }
        line.reserve(span, now);
        Action::Send { tag: 0, span, last: span.end == self.size }
    }

    /// The lowest piece that must go. Where the mode has a grid it is the whole cell.
    fn cut(&self) -> Option<Span> {
        if self.empty.is_some() {
            return (self.empty == Some(Empty::Unsent)).then_some(Span::new(0, 0));
        }
        let gap = self.pending.first()?;
        let start = gap.start - gap.start % self.align;
        let reach = (start + self.packet).min(self.size);
        let end = if self.grid { reach } else { reach.min(gap.end.next_multiple_of(self.align)) };
        Some(Span::new(start, end))
    }

    /// The lowest unacknowledged piece; where all are acknowledged, the last one, to make the device speak.
    fn probe_span(&self) -> Option<Span> {
        if self.empty.is_some() {
            return Some(Span::new(0, 0));
        }
        let lowest = self.flight.lowest().filter(|lowest| !self.done.contains(*lowest));
        lowest.or_else(|| self.cut()).or_else(|| {
            let start = (self.size - 1) / self.packet * self.packet;
            Some(Span::new(start, self.size))
        })
    }

    /// How long silence lasts before something is repeated.
    pub(super) fn wait(&self, line: &Line) -> Micros {
        pause(self.rtt.probe_after(), line.backoff.saturating_sub(UNDOUBLED))
    }

    pub(super) fn probe_timer(&mut self, line: &mut Line, now: Time) {
        self.flight.stop_timing();
        self.fruitless += 1;
        if self.can_query && (line.silent(now) || self.fruitless.is_multiple_of(FRUITLESS)) {
            self.ask(line, now);
        } else {
            self.probe_due = true;
        }
        line.backoff += 1;
        if !self.acked_once {
            self.offer(0, line, now);
        }
    }
}
