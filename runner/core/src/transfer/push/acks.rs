//! What an acknowledgement changes. Believed is only what could be true: bytes of this file that went out.

use super::end::Doubt;
use super::{Empty, Push};
use crate::transfer::intervals::Intervals;
use crate::transfer::line::Line;
use crate::transfer::time::{Micros, Time};
use crate::transfer::words::Span;

/// Before a round trip was measured, a piece younger than this is not yet missing.
const UNMEASURED: Micros = Micros::from_millis(20);

impl Push {
    pub(super) fn acked(&mut self, span: Span, line: &mut Line, now: Time) {
        let Some(span) = self.plausible(span, line) else { return };
        self.hear_map_with(span);
        self.believe(span, line, now);
    }

    pub(super) fn acked_through(&mut self, offset: u64, line: &mut Line, now: Time) {
        let Some(span) = self.plausible(Span::new(0, offset), line) else { return };
        self.hear_map_from(span);
        if span.end >= self.through {
            self.through = span.end;
            self.shrunk = None;
        } else {
            self.shrank(line, now);
        }
        // "Everything before byte 0" is said of every file: it acknowledges no empty one.
        if !span.is_empty() {
            self.believe(span, line, now);
        }
    }

    /// An older acknowledgement that came late looks the same as a device that lost bytes. A newer one soon contradicts the
    /// first; where none does, the device is asked. Where it cannot be asked, only `missing` takes bytes back.
    fn shrank(&mut self, line: &mut Line, now: Time) {
        let since = *self.shrunk.get_or_insert(now);
        if now.since(since) >= self.rtt.probe_after() {
            self.shrunk = None;
            self.ask(line, now);
        }
    }

    pub(super) fn missing(&mut self, span: Span, line: &mut Line, now: Time) {
        let Some(span) = self.plausible(span, line) else { return };
        let sent: Vec<Span> = self.sent.parts(span).collect();
        self.hear_map_without(span);
        let age = self.rtt.smoothed().unwrap_or(UNMEASURED);
        for part in sent {
            if self.done.remove(part) > 0 {
                line.progress();
            }
            let (pending, done) = (&mut self.pending, &self.done);
            self.flight.lose_within(part, age, now, |lost| pending.extend(done.gaps(lost)));
            let flying: Intervals = self.flight.within(part).collect();
            self.pending.extend(flying.gaps(part));
        }
        self.through = self.through.min(span.start);
    }

    /// Marks what was sent of `span` as done.
    fn believe(&mut self, span: Span, line: &mut Line, now: Time) {
        if span.is_empty() {
            if self.empty == Some(Empty::Flying) {
                self.empty = Some(Empty::Acked);
                self.flight.land_empty(&mut self.rtt, now);
                line.progress();
            }
            return;
        }
        let sent = self.sent.covered_in(span);
        if sent == span.len() {
            self.land(span, line, now);
            return;
        }
        let parts: Vec<Span> = self.sent.parts(span).collect();
        parts.into_iter().for_each(|part| self.land(part, line, now));
        self.claims_the_future(span, line, now);
    }

    fn land(&mut self, span: Span, line: &mut Line, now: Time) {
        if self.done.insert(span) > 0 {
            self.acked_once = true;
            self.fruitless = 0;
            self.pending.remove(span);
            line.progress();
        }
        self.flight.land(span, &self.done, &mut self.rtt, now);
    }

    /// The device claims bytes that never went out in any attempt that we know of.
    fn claims_the_future(&mut self, span: Span, line: &mut Line, now: Time) {
        if self.ask.is_some() || self.future_asked {
            return;
        }
        self.future_asked = true;
        self.doubt = Doubt::Unproved(0);
        line.implausible(format!("acknowledged bytes {} to {} before all of them were sent", span.start, span.end));
        self.ask(line, now);
    }

    /// The span inside the file, or nothing where it cannot be meant.
    fn plausible(&mut self, span: Span, line: &mut Line) -> Option<Span> {
        let end = if span.end == u64::MAX { self.size } else { span.end };
        if span.start > end || end > self.size {
            line.implausible(format!("told of bytes {} to {} of a file of {}", span.start, span.end, self.size));
            return None;
        }
        Some(Span::new(span.start, end))
    }
}
