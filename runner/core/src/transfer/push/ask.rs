//! Questions to the device, and what its answer makes of our picture.
//!
//! A question blocks sending until it is answered. Its answer is the `finish` that carries the question's tag, together with
//! the `ack-through`, `ack` and `missing` events of the same batch before it, from the last `ack-through` on: the map of what
//! the device holds durably. Afterwards exactly the bytes are done that the map holds and that went out at least once;
//! acknowledgements that came while we asked count for nothing, because they may be older than a restart. An answer without
//! an `ack-through` has no map (its `ack` and `missing` count as always); then the size bounds what can be there, and bytes
//! at or beyond it are taken back. A digest equal to ours says that everything is there.

use super::{Empty, Push};
use crate::transfer::intervals::Intervals;
use crate::transfer::line::Line;
use crate::transfer::time::Time;
use crate::transfer::verify::{Comparison, compare};
use crate::transfer::words::{Command, Finish, Span, Tag};

/// Unanswered questions to a device that talks, before it counts as one that answers none.
const UNANSWERED: u32 = 6;

/// A question that is not answered yet.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) tag: Tag,
    pub(super) began: Time,
    pub(super) last: Time,
    tries: u32,
}

/// The map that the device seems to be telling.
#[derive(Debug)]
pub(super) struct Answer(Intervals);

impl Push {
    /// Asks what the device has, where it knows the question.
    pub(super) fn ask(&mut self, line: &mut Line, now: Time) {
        if !self.can_query || self.ask.is_some() {
            return;
        }
        let tag = line.fresh_tag();
        self.ask = Some(Ask { tag, began: now, last: now, tries: 1 });
        self.last_ask = Some(now);
        self.flight.stop_timing();
        self.probe_due = false;
        line.say(Command::Query(tag));
    }

    /// No answer: ask again. Every second time a piece goes along, for devices that hear pieces only.
    pub(super) fn ask_again(&mut self, line: &mut Line, now: Time) {
        let Some(ask) = &mut self.ask else { return };
        ask.tries += 1;
        ask.last = now;
        if ask.tries > UNANSWERED && line.heard.is_some_and(|heard| heard > ask.began) {
            line.note("the device talks but does not answer the codec's query; going on from its acknowledgements");
            self.ask = None;
            return;
        }
        self.flight.stop_timing();
        line.backoff += 1;
        self.probe_due = ask.tries.is_multiple_of(2);
        line.say(Command::Query(ask.tag));
        if !self.acked_once {
            self.offer(0, line, now);
        }
    }

    pub(super) fn hear_map_with(&mut self, span: Span) {
        if let Some(Answer(map)) = &mut self.answer {
            map.insert(span);
        }
    }

    pub(super) fn hear_map_from(&mut self, span: Span) {
        if self.ask.is_some() {
            self.answer = Some(Answer(span.into()));
        }
    }

    pub(super) fn hear_map_without(&mut self, span: Span) {
        if let Some(Answer(map)) = &mut self.answer {
            map.remove(span);
        }
    }

    /// The device tells what it holds: the answer to a question, or unasked when it has everything.
    pub(super) fn finished(&mut self, finish: Finish, line: &mut Line, now: Time) {
        let answers = self.ask.as_ref().is_some_and(|ask| ask.tag == finish.tag);
        let map = self.answer.take();
        let other_size = finish.size.is_some_and(|size| size != self.size);
        let comparison = compare(&self.file.digests, &finish.digests);
        if answers {
            self.ask = None;
            self.shrunk = None;
            line.returned = false;
        }
        if comparison == Comparison::Equal && !other_size {
            self.told = finish.digests;
            if answers || self.all_sent() {
                self.matched = true;
            } else {
                self.ask(line, now);
            }
            return;
        }
        if answers {
            self.adopt(map, finish.size, line);
        }
        if comparison == Comparison::Different && !other_size && self.complete() {
            self.told = finish.digests;
            self.mismatch = true;
        }
    }

    fn adopt(&mut self, map: Option<Answer>, size: Option<u64>, line: &mut Line) {
        match (map, size) {
            (Some(Answer(map)), _) => self.rebase(map.intersect(&self.sent), line),
            (None, Some(size)) if size < self.size => {
                let kept = self.done.parts(Span::new(0, size)).collect();
                self.rebase(kept, line);
            }
            (None, _) => {}
        }
    }

    /// Goes on from exactly these bytes.
    fn rebase(&mut self, done: Intervals, line: &mut Line) {
        if done != self.done {
            line.progress();
        }
        self.through = done.prefix();
        self.done = done;
        self.pending = self.done.gaps(Span::new(0, self.size)).collect();
        self.flight.clear();
        if self.empty.is_some() {
            self.empty = Some(Empty::Unsent);
        }
        self.confirm = None;
    }
}
