//! The receiving half of a device: stores pieces, acknowledges what is durable, judges the whole, answers queries.

use std::collections::VecDeque;

use super::plan::{AckStyle, Kept, PeerAction, contradicts, same_file, shares_digest};
use crate::transfer::{
    Chunk, Digest, Event, FileInfo, Finish, Intervals, Order, Outcome, Span, Tag, Text, Time, Verdict,
};

/// At most so many ranges go into one telling of what is there.
const RANGES: usize = 64;

/// How a [`Receiver`] behaves; settled by the mode.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    pub(super) acks: Option<AckStyle>,
    pub(super) order: Order,
    pub(super) confirms: bool,
}

/// How far the file received is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Nothing begun.
    Idle,
    /// Pieces come.
    Open,
    /// Every byte is durable; the digests are being computed.
    Judging,
    /// Over; good ones stay there for queries.
    Ended(Verdict),
}

/// The file that a device receives.
#[derive(Debug)]
pub(super) struct Receiver {
    manner: Manner,
    file: FileInfo,
    state: State,
    taken: Intervals,
    durable: Intervals,
    /// Pieces handed out to be written and not acknowledged yet.
    waiting: Vec<Span>,
    /// Pieces durable since the last batch acknowledgement, and when it is due.
    untold: u32,
    due: Option<Time>,
    digests: Vec<Digest>,
    queries: Vec<Tag>,
    /// The platform may believe that more is here than is: answers say where the gap begins, not only what is there.
    shrunk: bool,
}

impl Receiver {
    pub(super) fn new(manner: Manner) -> Self {
        Self {
            manner,
            file: FileInfo::default(),
            state: State::Idle,
            taken: Intervals::default(),
            durable: Intervals::default(),
            waiting: Vec::new(),
            untold: 0,
            due: None,
            digests: Vec::new(),
            queries: Vec::new(),
            shrunk: false,
        }
    }

    pub(super) fn kept(&self) -> Kept {
        Kept {
            file: (self.state != State::Idle).then(|| self.file.clone()),
            durable: self.durable.clone(),
            stored: (self.state == State::Ended(Verdict::Good)).then(|| self.digests.clone()),
        }
    }

    /// Begins life with what an earlier one kept.
    pub(super) fn recall(&mut self, kept: Kept, out: &mut VecDeque<PeerAction>) {
        let manner = self.manner;
        *self = Self { taken: kept.durable.clone(), durable: kept.durable, shrunk: true, ..Self::new(manner) };
        if let Some(file) = kept.file {
            self.file = file;
            self.state = State::Open;
        }
        match kept.stored {
            Some(digests) => {
                self.digests = digests;
                self.state = State::Ended(Verdict::Good);
            }
            None => self.judge_if_whole(out),
        }
    }

    pub(super) fn is_begun(&self) -> bool {
        self.state != State::Idle
    }

    pub(super) fn verdict(&self) -> Option<Verdict> {
        match self.state {
            State::Ended(verdict) => Some(verdict),
            State::Idle | State::Open | State::Judging => None,
        }
    }

    pub(super) fn size(&self) -> Option<u64> {
        self.file.size
    }

    pub(super) fn durable(&self) -> &Intervals {
        &self.durable
    }

    pub(super) fn taken(&self) -> &Intervals {
        &self.taken
    }

    /// A file is announced. Returns whether it is another one than before.
    pub(super) fn offer(&mut self, file: FileInfo, out: &mut VecDeque<PeerAction>) -> bool {
        let failed = matches!(self.state, State::Ended(verdict) if verdict != Verdict::Good);
        let held = FileInfo { digests: self.known_digests(), ..self.file.clone() };
        if self.is_begun() && !failed && same_file(&held, &file) {
            self.learn(file);
            self.shrunk = true;
            self.judge_if_whole(out);
            return false;
        }
        self.begin(file, out);
        self.judge_if_whole(out);
        true
    }

    /// A piece arrived.
    pub(super) fn chunk(&mut self, chunk: Chunk, now: Time, out: &mut VecDeque<PeerAction>) {
        let Some(end) = chunk.offset.checked_add(chunk.bytes.len() as u64) else { return };
        let span = Span::new(chunk.offset, end);
        if matches!(self.state, State::Ended(verdict) if verdict != Verdict::Good) && span.start == 0 {
            let file = self.file.clone();
            self.begin(file, out);
        }
        if self.state == State::Idle {
            self.begin(FileInfo::default(), out);
        }
        if let State::Ended(verdict) = self.state {
            self.repeat_end(span, verdict, out);
            return;
        }
        if !self.fits(span, chunk.last) {
            return;
        }
        if chunk.last && self.file.size.is_none() {
            self.file.size = Some(span.end);
        }
        self.take(span, chunk.bytes, now, out);
        self.judge_if_whole(out);
    }

    /// Bytes handed out by `Write` became durable.
    pub(super) fn made_durable(&mut self, spans: &[Span], now: Time, out: &mut VecDeque<PeerAction>) {
        for span in spans {
            self.durable.insert(*span);
        }
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|span| {
            let durable = self.durable.contains(*span);
            if durable {
                self.acknowledge(*span, now, out);
            }
            !durable
        });
        self.waiting = waiting;
        self.judge_if_whole(out);
    }

    /// The answer to `Digest`.
    pub(super) fn digested(&mut self, digests: &[Digest], out: &mut VecDeque<PeerAction>) {
        if self.state == State::Judging {
            digests.clone_into(&mut self.digests);
            let verdict = if contradicts(&self.file.digests, digests) { Verdict::BadDigest } else { Verdict::Good };
            self.state = State::Ended(verdict);
            if verdict == Verdict::Good {
                out.push_back(PeerAction::Stored(self.stored()));
            }
            self.say_verdict(verdict, out);
        }
        for tag in std::mem::take(&mut self.queries) {
            self.query(tag, out);
        }
    }

    /// Whether it is this file, in part or whole, that a query by digest means.
    pub(super) fn is(&self, digests: &[Digest]) -> bool {
        shares_digest(&self.known_digests(), digests)
    }

    /// What is said of a finished file besides its digests.
    pub(super) fn tell_finished(&mut self, out: &mut VecDeque<PeerAction>) {
        if self.state == State::Ended(Verdict::Good) {
            self.tell(out);
            self.tell_verdict(out);
        }
    }

    /// The platform asks what is here.
    pub(super) fn query(&mut self, tag: Tag, out: &mut VecDeque<PeerAction>) {
        match self.state {
            State::Ended(Verdict::Good) => out.push_back(PeerAction::Verify { tag, file: self.stored() }),
            State::Judging => self.queries.push(tag),
            State::Idle | State::Open | State::Ended(_) => self.answer(tag, out),
        }
    }

    /// Says what is durable.
    pub(super) fn tell(&mut self, out: &mut VecDeque<PeerAction>) {
        let prefix = self.durable.prefix();
        let each = self.manner.acks == Some(AckStyle::EachPacket);
        let event = if each && !self.shrunk { Event::Ack(Span::new(0, prefix)) } else { Event::AckThrough(prefix) };
        if !matches!(event, Event::Ack(span) if span.is_empty()) {
            out.push_back(PeerAction::Say(event));
        }
        let above = self.durable.iter().filter(|span| span.start > prefix).take(RANGES);
        out.extend(above.map(|span| PeerAction::Say(Event::Ack(span))));
        if self.file.size == Some(0) && self.state != State::Idle {
            out.push_back(PeerAction::Say(Event::Ack(Span::new(0, 0))));
        }
        self.untold = 0;
        self.due = None;
    }

    /// Says how it ended, if it did and the protocol has the word.
    pub(super) fn tell_verdict(&self, out: &mut VecDeque<PeerAction>) {
        if let State::Ended(verdict) = self.state {
            self.say_verdict(verdict, out);
        }
    }

    /// The platform gave up: what is there stays for a later attempt.
    pub(super) fn cancelled(&mut self) {
        self.due = None;
        self.queries.clear();
    }

    pub(super) fn timeout(&mut self, now: Time, out: &mut VecDeque<PeerAction>) {
        if self.due.is_some_and(|due| due <= now) {
            self.tell(out);
        }
    }

    pub(super) fn due(&self) -> Option<Time> {
        self.due
    }

    fn begin(&mut self, file: FileInfo, out: &mut VecDeque<PeerAction>) {
        *self = Self { file, state: State::Open, ..Self::new(self.manner) };
        out.push_back(PeerAction::Truncate);
    }

    fn learn(&mut self, file: FileInfo) {
        if !file.name.is_empty() {
            self.file.name = file.name;
        }
        self.file.size = self.file.size.or(file.size);
        if self.file.digests.is_empty() {
            self.file.digests = file.digests;
        }
        if self.file.meta.is_empty() {
            self.file.meta = file.meta;
        }
    }

    fn known_digests(&self) -> Vec<Digest> {
        let told = self.file.digests.iter();
        let own = self.digests.iter().filter(|own| !self.file.digests.iter().any(|d| d.algorithm == own.algorithm));
        told.chain(own).cloned().collect()
    }

    /// A piece past the end of the file, or one that would end it elsewhere, is not for this file.
    fn fits(&self, span: Span, last: bool) -> bool {
        match self.file.size {
            Some(size) => span.end <= size && (!last || span.end == size),
            None => !last || self.taken.iter().all(|held| held.end <= span.end),
        }
    }

    fn take(&mut self, span: Span, bytes: Vec<u8>, now: Time, out: &mut VecDeque<PeerAction>) {
        if span.is_empty() || self.durable.contains(span) {
            self.acknowledge(span, now, out);
            return;
        }
        if self.taken.contains(span) {
            return;
        }
        if self.manner.order == Order::Sequential && span.start > self.taken.prefix() {
            return;
        }
        self.taken.insert(span);
        self.waiting.push(span);
        out.push_back(PeerAction::Write { offset: span.start, bytes });
    }

    fn acknowledge(&mut self, span: Span, now: Time, out: &mut VecDeque<PeerAction>) {
        match self.manner.acks {
            None => {}
            Some(AckStyle::EachPacket) => out.push_back(PeerAction::Say(Event::Ack(span))),
            Some(AckStyle::Batch { packets, within }) => {
                self.untold += 1;
                if self.untold >= packets || self.is_whole() {
                    self.tell(out);
                } else if self.due.is_none() {
                    self.due = Some(now + within);
                }
            }
        }
    }

    fn is_whole(&self) -> bool {
        self.file.size.is_some_and(|size| self.durable.prefix() >= size)
    }

    fn judge_if_whole(&mut self, out: &mut VecDeque<PeerAction>) {
        if self.state == State::Open && self.is_whole() {
            if self.due.is_some() {
                self.tell(out);
            }
            self.state = State::Judging;
            out.push_back(PeerAction::Digest);
        }
    }

    fn repeat_end(&mut self, span: Span, verdict: Verdict, out: &mut VecDeque<PeerAction>) {
        if verdict == Verdict::Good && self.durable.contains(span) {
            match self.manner.acks {
                None => {}
                Some(AckStyle::EachPacket) => out.push_back(PeerAction::Say(Event::Ack(span))),
                Some(AckStyle::Batch { .. }) => self.tell(out),
            }
        }
        self.say_verdict(verdict, out);
    }

    fn say_verdict(&self, verdict: Verdict, out: &mut VecDeque<PeerAction>) {
        if self.manner.confirms || verdict != Verdict::Good {
            out.push_back(PeerAction::Say(Event::Outcome(Outcome { verdict, text: Text::default() })));
        }
    }

    /// The file with what was computed of it.
    fn stored(&self) -> FileInfo {
        FileInfo { digests: self.digests.clone(), ..self.file.clone() }
    }

    fn answer(&mut self, tag: Tag, out: &mut VecDeque<PeerAction>) {
        self.tell(out);
        self.tell_verdict(out);
        out.push_back(PeerAction::Say(Event::Finish(Finish { tag, size: None, digests: Vec::new() })));
    }
}
