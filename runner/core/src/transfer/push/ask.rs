//! Questions to the device, and what its answer makes of our picture.
//!
//! A question blocks sending until it is answered. Its answer is the `finish` that carries the question's tag, together with
//! the `ack-through`, `ack` and `missing` events of the same batch before it, from the last `ack-through` on: the map of what
//! the device holds durably. Afterwards exactly the bytes are done that the map holds and that went out at least once;
//! acknowledgements that came while we asked count for nothing, because they may be older than a restart. An answer without
//! an `ack-through` has no map (its `ack` and `missing` count as always); then the size bounds what can be there, and bytes
//! at or beyond it are taken back. A digest equal to ours says that everything is there. What an answer with neither map, size
//! nor digest means at the end of a resumed push is told in `end`.

use super::end::Doubt;
use super::send::UNDOUBLED;
use super::{Empty, Push};
use crate::transfer::action::TransferFailure;
use crate::transfer::failure::code;
use crate::transfer::intervals::Intervals;
use crate::transfer::line::{Line, pause};
use crate::transfer::time::Time;
use crate::transfer::verify::{Comparison, compare};
use crate::transfer::words::{Command, Finish, Span, Tag};

/// Questions that a device does not answer though it talks, before it counts as one that answers none.
const UNANSWERED: u32 = 6;
/// The same where only the answer stands between acknowledgements and success: some minutes of them.
const UNANSWERED_AT_THE_END: u32 = 16;

/// How many times the file's size a device may take back of what it had acknowledged, in one attempt.
const PATIENCE: u64 = 4;

/// A question that is not answered yet.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) tag: Tag,
    pub(super) began: Time,
    pub(super) last: Time,
    tries: u32,
    /// Times that the device said something after it was asked, and did not answer.
    ignored: u32,
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
        // Who has been asked for long whether the file is good is not asked as often as at first.
        let tries = self.confirm.as_ref().map_or(1, |confirm| confirm.tries + 1);
        self.ask = Some(Ask { tag, began: now, last: now, tries, ignored: 0 });
        self.last_ask = Some(now);
        self.flight.stop_timing();
        self.probe_due = false;
        line.say(Command::Query(tag));
    }

    /// No answer: ask again. Every second time a piece goes along, for devices that hear pieces only.
    pub(super) fn ask_again(&mut self, line: &mut Line, now: Time) {
        let Some(ask) = &mut self.ask else { return };
        ask.tries += 1;
        ask.ignored += u32::from(line.heard.is_some_and(|heard| heard > ask.last));
        ask.last = now;
        let (ignored, whole) = (ask.ignored, self.complete());
        if ignored > if whole { UNANSWERED_AT_THE_END } else { UNANSWERED } {
            line.note("the device talks but does not answer the codec's query; going on from its acknowledgements");
            self.ask = None;
            if whole {
                self.doubt = Doubt::None;
            }
            return;
        }
        let Some(ask) = &mut self.ask else { return };
        self.flight.stop_timing();
        line.backoff += 1;
        self.probe_due = ask.tries.is_multiple_of(2);
        line.say(Command::Query(ask.tag));
        if !self.acked_once {
            self.offer(0, line, now);
        }
    }

    /// The device is there again: it is asked as soon and as often as at first.
    pub(in crate::transfer) fn wake(&mut self) {
        self.ask.iter_mut().for_each(|ask| ask.tries = 1);
        self.confirm.iter_mut().for_each(|confirm| confirm.tries = 0);
    }

    /// When to ask again. Its own doubling: a device that says other things ends the line's back-off with every word.
    pub(super) fn next_question(&self, ask: &Ask, line: &Line) -> Time {
        let wait = pause(self.rtt.probe_after(), ask.tries.saturating_sub(UNDOUBLED));
        ask.last + wait.max(self.wait(line))
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
            self.reconcile(map, &finish, line, now);
        }
        if comparison == Comparison::Different && !other_size && self.complete() {
            self.told = finish.digests;
            self.mismatch = true;
        }
    }

    fn reconcile(&mut self, map: Option<Answer>, finish: &Finish, line: &mut Line, now: Time) {
        let acknowledged = self.complete();
        let told = map.is_some() || finish.size.is_some();
        self.adopt(map, finish.size, line);
        if told {
            self.doubt = Doubt::None;
            return;
        }
        if finish.digests.is_empty() {
            // It may not know of which file the pieces are.
            self.offer(0, line, now);
        }
        if acknowledged {
            self.unproved(line);
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
    pub(super) fn rebase(&mut self, done: Intervals, line: &mut Line) {
        if done != self.done {
            line.progress();
        }
        self.taken_back += self.done.iter().map(|span| span.len() - done.covered_in(span)).sum::<u64>();
        if self.taken_back > PATIENCE * self.size {
            let message = format!("{} takes back again and again what it acknowledged", line.device);
            let hint = "its storage loses what was written, or its acknowledgements are not true";
            line.fail(TransferFailure::permanent(code::DEVICE_LIES, message).hint(hint).restart());
        }
        self.through = done.prefix();
        self.done = done;
        self.pending = self.done.gaps(Span::new(0, self.size)).collect();
        self.flight.clear();
        if self.empty.is_some() {
            self.empty = Some(Empty::Unsent);
        }
        // Who holds everything and says no more is asked ever more seldom.
        if !self.complete() {
            self.confirm = None;
        }
    }
}
