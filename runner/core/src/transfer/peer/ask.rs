//! The asking half of a device that pulls its file: which ranges it asks for, when it asks again, how it says that it is done.

use std::collections::VecDeque;

use super::plan::{PeerAction, PeerPlan};
use super::receive::Receiver;
use crate::transfer::{Chunk, Event, Finish, Intervals, Micros, Order, Span, Tag, Time, Want};

/// How often the last word is repeated into silence.
const LAST_WORDS: u32 = 12;
const FOREVER: Micros = Micros(u64::MAX);

/// One request on its way.
#[derive(Debug, Clone, Copy)]
struct Request {
    tag: Tag,
    span: Span,
    due: Time,
    tries: u32,
}

/// What a device-pull device does besides receiving.
#[derive(Debug)]
pub(super) struct Asker {
    packet: u32,
    window: usize,
    patience: Micros,
    confirms: bool,
    spontaneous: bool,
    past_end_left: u32,
    /// The platform ended it: silence until the next offer.
    stopped: bool,
    next_tag: Tag,
    open: Vec<Request>,
    /// When to ask for an offer again, while there is no file.
    offer_due: Option<Time>,
    /// When to say the last word again, and how often it was said.
    last_due: Option<Time>,
    last_said: u32,
}

impl Asker {
    pub(super) fn new(plan: &PeerPlan, order: Order, confirms: bool, now: Time) -> Self {
        Self {
            packet: plan.packet_size.max(1),
            window: if order == Order::Sequential { 1 } else { usize::from(plan.window.max(1)) },
            patience: plan.patience.max(Micros(1)),
            confirms,
            spontaneous: plan.spontaneous,
            past_end_left: plan.asks_past_end,
            stopped: false,
            next_tag: 1,
            open: Vec::new(),
            offer_due: plan.spontaneous.then_some(now),
            last_due: None,
            last_said: 0,
        }
    }

    /// Another file, or the same one anew: earlier requests mean nothing.
    pub(super) fn begin(&mut self, past_end: u32) {
        self.open.clear();
        self.past_end_left = past_end;
        self.stopped = false;
        self.last_due = None;
        self.last_said = 0;
        self.offer_due = None;
    }

    /// The process died: what was asked is forgotten.
    pub(super) fn restart(&mut self, begun: bool, now: Time) {
        self.open.clear();
        self.last_due = None;
        self.last_said = 0;
        self.stopped = false;
        self.offer_due = (self.spontaneous && !begun).then_some(now);
    }

    /// The platform ended it.
    pub(super) fn ended(&mut self) {
        self.open.clear();
        self.offer_due = None;
        self.last_due = None;
        self.stopped = true;
    }

    /// An announcement of what is here already: say the last word again.
    pub(super) fn reminded(&mut self, now: Time) {
        self.stopped = false;
        if self.last_said > 0 {
            self.last_said = 0;
            self.last_due = Some(now);
        }
    }

    /// A piece came; it may be shorter than what was asked, or empty past the end.
    pub(super) fn chunk(&mut self, chunk: &Chunk, receiver: &Receiver) {
        let len = chunk.bytes.len() as u64;
        let Some(request) = self.open.iter_mut().find(|open| open.tag == chunk.tag || open.span.start == chunk.offset)
        else {
            return;
        };
        if len == 0 && receiver.size().is_some_and(|size| request.span.start >= size) {
            let tag = request.tag;
            self.open.retain(|open| open.tag != tag);
        } else if len > 0 && request.span.start == chunk.offset {
            request.span.end = request.span.end.min(chunk.offset.saturating_add(len));
        }
    }

    /// Frees the places of what is durable and asks for more.
    pub(super) fn fill(&mut self, receiver: &Receiver, now: Time, out: &mut VecDeque<PeerAction>) {
        self.open.retain(|open| {
            open.span.start >= receiver.size().unwrap_or(u64::MAX) || !receiver.durable().contains(open.span)
        });
        if self.stopped || !receiver.is_begun() || receiver.verdict().is_some() {
            return;
        }
        while self.open.len() < self.window {
            let Some(span) = self.next(receiver) else { break };
            self.ask(span, 0, now, out);
        }
    }

    /// Every byte is there and judged: the last word, once the requests past the end are answered.
    pub(super) fn judged(&mut self, receiver: &Receiver, now: Time, out: &mut VecDeque<PeerAction>) {
        if self.stopped || receiver.verdict().is_none() || self.last_said > 0 {
            return;
        }
        if self.past_end_left > 0 && self.open.is_empty() {
            self.past_end_left -= 1;
            let end = receiver.size().unwrap_or(0);
            self.ask(Span::new(end, end.saturating_add(u64::from(self.packet))), 0, now, out);
        }
        if self.open.is_empty() {
            self.last_word(receiver, now, out);
        }
    }

    pub(super) fn timeout(&mut self, receiver: &Receiver, now: Time, out: &mut VecDeque<PeerAction>) {
        if self.offer_due.is_some_and(|due| due <= now) {
            let tag = self.tag();
            out.push_back(PeerAction::Say(Event::AskOffer(tag)));
            self.offer_due = Some(now + self.patience.doubled(2, FOREVER));
        }
        let late: Vec<Request> = self.open.extract_if(.., |open| open.due <= now).collect();
        for request in late {
            let past_end = receiver.size().is_some_and(|size| request.span.start >= size);
            if !past_end || request.tries < 3 {
                self.ask(request.span, request.tries + 1, now, out);
            }
        }
        self.fill(receiver, now, out);
        if self.last_due.is_some_and(|due| due <= now) {
            self.last_word(receiver, now, out);
        } else {
            self.judged(receiver, now, out);
        }
    }

    pub(super) fn due(&self) -> Option<Time> {
        let asked = self.open.iter().map(|open| open.due).min();
        [asked, self.offer_due, self.last_due].into_iter().flatten().min()
    }

    fn next(&self, receiver: &Receiver) -> Option<Span> {
        let mut covered: Intervals = receiver.taken().clone();
        for open in &self.open {
            covered.insert(open.span);
        }
        let within = Span::new(0, receiver.size().unwrap_or(u64::MAX));
        // Of an unknown size nothing says where to stop: one request at a time, and none past what may be the end.
        if receiver.size().is_none() && !self.open.is_empty() {
            return None;
        }
        let gap = covered.gaps(within).next()?;
        let end = gap.start.saturating_add(u64::from(self.packet)).min(gap.end);
        Some(Span::new(gap.start, end))
    }

    fn ask(&mut self, span: Span, tries: u32, now: Time, out: &mut VecDeque<PeerAction>) {
        let tag = self.tag();
        let due = now + self.patience.doubled(tries.min(3), FOREVER);
        self.open.push(Request { tag, span, due, tries });
        out.push_back(PeerAction::Say(Event::Want(Want { tag, span, limit: self.packet })));
    }

    fn last_word(&mut self, receiver: &Receiver, now: Time, out: &mut VecDeque<PeerAction>) {
        if self.confirms {
            receiver.tell_verdict(out);
        } else {
            let digests = receiver.kept().stored.unwrap_or_default();
            out.push_back(PeerAction::Say(Event::Finish(Finish { tag: 0, size: receiver.size(), digests })));
        }
        self.last_said += 1;
        self.last_due =
            (self.last_said < LAST_WORDS).then(|| now + self.patience.doubled(self.last_said.min(4), FOREVER));
    }

    fn tag(&mut self) -> Tag {
        self.next_tag += 1;
        self.next_tag
    }
}
