//! What is in flight: pieces of a push, or requests of a pull, in the order in which they were sent.

use std::collections::{BTreeMap, VecDeque};

use super::intervals::Intervals;
use super::rtt::Rtt;
use super::time::{Micros, Time};
use super::words::Span;

/// One piece on its way, or one that counts as lost and was not sent again yet.
#[derive(Debug, Clone, Copy)]
struct Piece {
    end: u64,
    /// Of its last sending.
    order: u64,
    sent: Time,
    /// Its first sending, where there were several.
    earlier: Option<(u64, Time)>,
    lost: bool,
}

/// The best round trip of a batch of answers.
#[derive(Debug, Clone, Copy)]
struct Sample {
    order: u64,
    rtt: Micros,
}

/// Pieces by offset, and their sendings by time. Only ranges are kept, never bytes.
#[derive(Debug, Default)]
pub(super) struct Flight {
    pieces: BTreeMap<u64, Piece>,
    /// Sendings, oldest first; one that no longer matches its piece is dead and falls off at the front.
    order: VecDeque<(u64, u64)>,
    next: u64,
    /// The latest sending that was answered.
    answered: Option<u64>,
    /// What went out since everything before was settled: by an answer to a question, or because this life began.
    flown: Intervals,
    /// Sendings before this one may be acknowledged by what a probe or a question made the device say.
    untimed: u64,
    sample: Option<Sample>,
    /// The longest reading among the doubtful answers of a batch.
    doubt: Option<Micros>,
    flying: usize,
}

impl Flight {
    /// How many pieces are on their way.
    pub(super) fn len(&self) -> usize {
        self.flying
    }

    /// Notes that `span` goes out now, for the first time or again.
    pub(super) fn launch(&mut self, span: Span, now: Time) {
        let again = self.flown.covered_in(span) > 0;
        self.flown.insert(span);
        let order = self.next;
        self.next += 1;
        self.order.push_back((order, span.start));
        let before = self.pieces.remove(&span.start);
        let earlier = before.map(|piece| piece.earlier.unwrap_or((piece.order, piece.sent)));
        // A piece sent again in other bounds: its answer can never be timed.
        let earlier = earlier.or_else(|| again.then_some((order, now)));
        if before.is_none_or(|piece| piece.lost) {
            self.flying += 1;
        }
        self.pieces.insert(span.start, Piece { end: span.end, order, sent: now, earlier, lost: false });
    }

    /// The driver has really sent it now.
    pub(super) fn sent(&mut self, span: Span, now: Time) {
        if let Some(piece) = self.pieces.get_mut(&span.start)
            && piece.end == span.end
            && !piece.lost
        {
            piece.sent = now;
        }
    }

    /// Takes out what lies in `span` and is wholly in `done`.
    pub(super) fn land(&mut self, span: Span, done: &Intervals, rtt: &mut Rtt, now: Time) {
        let before = self.pieces.range(..span.start).next_back().filter(|(_, piece)| piece.end > span.start);
        let mut at = before.map_or(span.start, |(&start, _)| start);
        while let Some((&start, piece)) = self.pieces.range(at..span.end.max(at)).next() {
            at = start + 1;
            if done.contains(Span::new(start, piece.end)) {
                self.take(start, rtt, now);
            }
        }
    }

    /// Forgets the piece that begins at `start`.
    pub(super) fn drop(&mut self, start: u64) {
        if self.pieces.remove(&start).is_some_and(|piece| !piece.lost) {
            self.flying -= 1;
        }
    }

    /// Takes the empty piece of an empty file out.
    pub(super) fn land_empty(&mut self, rtt: &mut Rtt, now: Time) {
        self.take(0, rtt, now);
    }

    fn take(&mut self, start: u64, rtt: &mut Rtt, now: Time) {
        let Some(piece) = self.pieces.remove(&start) else { return };
        if !piece.lost {
            self.flying -= 1;
        }
        rtt.landed();
        let order = match piece.earlier {
            None => {
                if piece.lost {
                    rtt.arrived_after_all();
                }
                if piece.order < self.untimed {
                    self.doubt = self.doubt.max(Some(now.since(piece.sent)));
                } else if self.answered.is_none_or(|answered| piece.order > answered) {
                    self.sample = Some(Sample { order: piece.order, rtt: now.since(piece.sent) });
                }
                piece.order
            }
            // Sooner than any round trip: the answer is to the earlier sending.
            Some((order, _)) if now.since(piece.sent) < rtt.least() && rtt.smoothed().is_some() => {
                rtt.arrived_after_all();
                order
            }
            Some((_, first)) => {
                self.doubt = self.doubt.max(Some(now.since(first)));
                piece.order
            }
        };
        self.answered = self.answered.max(Some(order));
    }

    /// Feeds the best round trip of what landed since the last call. A batch is one answer, however many pieces it tells of:
    /// one map of a whole window must not count as sixteen reasons to wait longer.
    pub(super) fn settle(&mut self, rtt: &mut Rtt) {
        let doubt = self.doubt.take();
        let clean = self.sample.take().filter(|sample| self.answered.is_none_or(|answered| sample.order >= answered));
        match (clean, doubt) {
            (Some(sample), _) => rtt.sample(sample.rtt),
            (None, Some(longest)) => rtt.ambiguous(longest),
            (None, None) => {}
        }
    }

    /// Gives `lost` every piece that counts as lost by now; when the next one will.
    pub(super) fn lose(&mut self, after: Micros, now: Time, mut lost: impl FnMut(Span)) -> Option<Time> {
        while let Some(&(order, start)) = self.order.front() {
            if let Some(piece) = self.pieces.get_mut(&start)
                && piece.order == order
                && !piece.lost
            {
                if self.answered.is_none_or(|answered| order >= answered) {
                    return None;
                }
                let due = piece.sent + after;
                if due > now {
                    return Some(due);
                }
                piece.lost = true;
                self.flying -= 1;
                lost(Span::new(start, piece.end));
            }
            self.order.pop_front();
        }
        None
    }

    /// Counts what overlaps `span` and was sent at least `age` ago as lost at once: the device says that it lacks it.
    pub(super) fn lose_within(&mut self, span: Span, age: Micros, now: Time, mut lost: impl FnMut(Span)) {
        let before = self.pieces.range(..span.start).next_back().filter(|(_, piece)| piece.end > span.start);
        let first = before.map_or(span.start, |(&start, _)| start);
        // What is sent of it from now on is answered by itself, but for what is still on its way.
        self.flown.remove(span);
        for (&start, piece) in self.pieces.range_mut(first..span.end.max(first)) {
            if !piece.lost && now.since(piece.sent) < age {
                self.flown.insert(Span::new(start, piece.end));
            }
            if !piece.lost && now.since(piece.sent) >= age {
                piece.lost = true;
                self.flying -= 1;
                lost(Span::new(start, piece.end));
            }
        }
    }

    /// The lowest piece on its way.
    pub(super) fn lowest(&self) -> Option<Span> {
        self.pieces.iter().find(|(_, piece)| !piece.lost).map(|(&start, piece)| Span::new(start, piece.end))
    }

    /// A piece that begins at or after `offset`.
    pub(super) fn beyond(&self, offset: u64) -> Option<Span> {
        self.pieces.range(offset..).next().map(|(&start, piece)| Span::new(start, piece.end))
    }

    /// What is on its way inside `span`, as parts of it.
    pub(super) fn within(&self, span: Span) -> impl Iterator<Item = Span> + '_ {
        let before = self.pieces.range(..span.start).next_back().filter(|(_, piece)| piece.end > span.start);
        let first = before.map_or(span.start, |(&start, _)| start);
        self.pieces
            .range(first..span.end.max(first))
            .filter(|(_, piece)| !piece.lost)
            .map(move |(&start, piece)| Span::new(start.max(span.start), piece.end.min(span.end)))
    }

    /// Something is repeated into silence: an acknowledgement of what went out before may be an answer to that, the first one lost.
    /// Its age is no round trip then.
    pub(super) fn stop_timing(&mut self) {
        self.untimed = self.next;
    }

    /// Forgets everything on its way; answers that come later count for nothing here.
    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.order.clear();
        self.flown.clear();
        self.sample = None;
        self.doubt = None;
        self.flying = 0;
    }
}
