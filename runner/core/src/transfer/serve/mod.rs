//! Device-pull: the device asks for ranges, each request is answered once, and nothing is sent unasked.
//!
//! Some clients append whatever arrives, so that one answer too many ruins the file: there are no timers here that send
//! bytes. The device owns retries; a runaway one is stopped by limits.
//!
//! A file whose `meta` names a `url` is offered by it: the device fetches it there by itself, and nothing but its own digest or
//! verdict ends such a push well.
//!
//! * `end`: how it ends, or begins anew; `telling`: what is told of it, to people and to checkpoints.

mod end;
mod telling;

use std::collections::{BTreeMap, VecDeque};

use super::action::{Action, TransferFailure};
use super::checkpoint::Checkpoint;
use super::failure::code;
use super::intervals::Intervals;
use super::line::{Line, pause};
use super::plan::{PieceLimit, Plan};
use super::time::{Micros, Time};
use super::timers::Timer;
use super::verify::{Comparison, compare};
use super::words::{
    Acks, Command, Digest, Event, FileInfo, Finish, Hello, Offer, Outcome, Phase, Replies, Span, Tag, Text, Verdict,
    Want,
};

/// An announcement that nobody reacts to is repeated after this.
const OFFER_AGAIN: Micros = Micros::from_secs(2);
/// The same request so soon after its answer is a duplicate of the network's.
const DUPLICATE: Micros = Micros::from_millis(50);
/// An announcement to a device that reacted and fell silent is not repeated less often than this.
const FORGOTTEN_CAP: Micros = Micros::from_secs(1_800);
const QUEUE_MOST: usize = 1_024;
const RECENT_MOST: usize = 32;
/// Ranges that were asked for again and are counted; beyond, all repeats are counted together.
const REPEATS_MOST: usize = 4_096;

/// A request that is being answered.
#[derive(Debug, Clone, Copy)]
struct Request {
    tag: Tag,
    span: Span,
    /// Bytes in one packet.
    limit: u64,
}

/// The state of a device-pull.
#[derive(Debug)]
pub(super) struct Serve {
    file: FileInfo,
    size: u64,
    /// Where the device fetches the file by itself; empty = it asks us for the bytes.
    url: String,
    /// Bytes that it says to have from there: for showing, and for nothing else.
    fetched: u64,
    packet: u64,
    piece: PieceLimit,
    once: bool,
    acks: Acks,
    /// Several requests may be open at once, so that the next one does not tell which answers arrived: what it tells is good
    /// for showing progress, and for no ending.
    guesses: bool,
    confirms: bool,
    past_end_limit: u32,
    repeat_limit: u32,
    queue: VecDeque<Request>,
    /// Answered last, to know duplicates by.
    recent: VecDeque<(Tag, Span, Time)>,
    /// Sent, and not yet followed by a request that tells of their arrival.
    unconfirmed: Vec<Span>,
    /// Since the device last began.
    sent: Intervals,
    /// Before it began again: given twice where it goes out once more.
    earlier: Intervals,
    done: Intervals,
    repeats: BTreeMap<u64, u32>,
    past_end: u32,
    asked: Option<Time>,
    reacted: bool,
    last_offer: Time,
    /// When it last said something that is of this session.
    last_event: Time,
    /// Title and version that it last said it runs.
    runs: Option<(String, String)>,
    everything: bool,
    outcomes: Vec<Outcome>,
    /// Verdicts that belong to an earlier attempt.
    stale: u32,
    told: Vec<Digest>,
    comparison: Option<Comparison>,
}

impl Serve {
    pub(super) fn new(plan: &Plan, checkpoint: Option<&Checkpoint>, line: &mut Line, now: Time) -> Self {
        let mut serve = Self {
            file: plan.file.clone(),
            size: plan.file.size.unwrap_or(0),
            url: url(&plan.file),
            fetched: 0,
            packet: u64::from(plan.packet_size.min(plan.largest_piece().bytes)),
            piece: plan.largest_piece(),
            once: plan.mode.replies == Replies::Once,
            acks: plan.mode.acks,
            guesses: plan.mode.acks == Acks::NextRequest && plan.mode.window_max > 1,
            confirms: plan.mode.confirms,
            past_end_limit: plan.past_end_limit,
            repeat_limit: plan.repeat_limit,
            queue: VecDeque::new(),
            recent: VecDeque::new(),
            unconfirmed: Vec::new(),
            sent: checkpoint.map(|checkpoint| checkpoint.sent.clone()).unwrap_or_default(),
            earlier: Intervals::default(),
            done: checkpoint.map(|checkpoint| checkpoint.done.clone()).unwrap_or_default(),
            repeats: BTreeMap::new(),
            past_end: 0,
            asked: None,
            reacted: false,
            last_offer: now,
            last_event: now,
            runs: None,
            everything: false,
            outcomes: Vec::new(),
            stale: 0,
            told: Vec::new(),
            comparison: None,
        };
        serve.offer(0, line, now);
        serve
    }

    fn offer(&mut self, tag: Tag, line: &mut Line, now: Time) {
        self.last_offer = now;
        line.say(Command::Offer(Offer { tag, file: self.file.clone(), url: self.url.clone() }));
    }

    pub(super) fn handle(&mut self, event: Event, line: &mut Line, now: Time) {
        let quiet = now.since(self.last_event);
        self.last_event = now;
        match event {
            Event::Want(want) => self.want(want, line, now),
            Event::AskOffer(tag) => self.offer(tag, line, now),
            Event::Hello(hello) => self.greeted(hello, quiet, line, now),
            Event::Ack(span) => self.acked(span, line),
            Event::AckThrough(offset) => self.acked(Span::new(0, offset), line),
            Event::Missing(span) => self.missing(span, line, now),
            Event::Progress(progress) => {
                self.reacted = true;
                self.fetched = progress.done.unwrap_or(self.fetched).min(self.size);
                if !matches!(progress.phase, Phase::Offered | Phase::Downloading) {
                    self.arrived(line);
                }
            }
            Event::Finish(finish) => self.finished(finish, line),
            Event::Outcome(outcome) => self.outcomes.push(outcome),
            Event::StartUpload(_) | Event::Data(_) => {
                line.implausible("the device speaks as if it were to send a file; this is a push");
            }
            Event::Retrying(_) | Event::Cancel(_) | Event::Pause(_) => {}
        }
    }

    /// One that runs what is pushed has it. One that is in the middle of a download is not told of it again: clients begin anew at
    /// an announcement that they did not ask for. Who was silent, or runs another version than it said before, may have restarted.
    fn greeted(&mut self, hello: Hello, quiet: Micros, line: &mut Line, now: Time) {
        let runs_it = self.is_pushed(&hello);
        let said = Some((hello.title, hello.version));
        let another = self.runs.is_some() && self.runs != said;
        self.runs = said;
        if runs_it {
            if !self.confirms {
                self.outcomes.push(Outcome { verdict: Verdict::Good, text: Text::default() });
            }
            return;
        }
        let busy = self.reacted && !another && quiet < line.silence();
        if !busy && now.since(self.last_offer) >= OFFER_AGAIN {
            self.offer(0, line, now);
        }
    }

    /// By version, and by title where both ends tell one.
    fn is_pushed(&self, hello: &Hello) -> bool {
        let meta = |key: &str| self.file.meta.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value);
        let (title, version) = (meta("title"), meta("version"));
        let same_title = title.is_empty() || hello.title.is_empty() || title == hello.title;
        !version.is_empty() && version == hello.version && same_title
    }

    fn want(&mut self, want: Want, line: &mut Line, now: Time) {
        self.reacted = true;
        self.asked = Some(now);
        if want.span.start > want.span.end {
            line.implausible(format!("asked for bytes {} to {}", want.span.start, want.span.end));
            return;
        }
        if self.duplicate(&want, now) {
            return;
        }
        self.confirm_by(want.span, line);
        if self.acks == Acks::NextRequest && self.done.remove(want.span) > 0 {
            line.progress();
        }
        let empty_file = self.size == 0 && want.span.start == 0;
        let span = if want.span.start >= self.size && !empty_file {
            if !self.past_the_end(line) {
                return;
            }
            Span::new(want.span.start, want.span.start)
        } else {
            Span::new(want.span.start, want.span.end.min(self.size))
        };
        if !self.repeated(span, line) {
            return;
        }
        if self.queue.len() >= QUEUE_MOST {
            line.implausible(format!("asked for more than {QUEUE_MOST} ranges at once"));
            return;
        }
        let limit = if want.limit == 0 { self.packet } else { u64::from(want.limit) };
        if limit.min(span.len()) > u64::from(self.piece.bytes) {
            self.too_large(limit.min(span.len()), line);
            return;
        }
        self.queue.push_back(Request { tag: want.tag, span, limit });
    }

    /// In several packets it would be answered more often than it was asked, which ruins the file of a device that appends.
    fn too_large(&self, asked: u64, line: &mut Line) {
        let PieceLimit { bytes, by } = self.piece;
        let message = format!(
            "{} asks for {asked} bytes in one packet, and {by} allows pieces of at most {bytes} bytes",
            line.device
        );
        let failure = TransferFailure::permanent(code::PIECE_TOO_LARGE, message)
            .hint("set the device's chunk size to that or less, or raise the limit");
        line.fail(failure);
    }

    /// The same request again while it is being answered, or right after, is one that the network doubled.
    fn duplicate(&mut self, want: &Want, now: Time) -> bool {
        let end = want.span.end.min(self.size.max(want.span.start));
        let same = |tag: Tag, span: Span| tag == want.tag && span.start == want.span.start && span.end <= end;
        let queued = self.queue.iter().any(|request| request.tag == want.tag && request.span.end == end);
        while self.recent.front().is_some_and(|(_, _, at)| now.since(*at) >= DUPLICATE) {
            self.recent.pop_front();
        }
        queued || (self.once && want.tag != 0 && self.recent.iter().any(|(tag, span, _)| same(*tag, *span)))
    }

    fn past_the_end(&mut self, line: &mut Line) -> bool {
        self.past_end += 1;
        if self.past_end <= self.past_end_limit {
            return true;
        }
        let message = format!(
            "{} asked {} times for bytes past the end of the file ({} bytes)",
            line.device, self.past_end, self.size
        );
        self.runaway(message, line);
        false
    }

    fn repeated(&mut self, span: Span, line: &mut Line) -> bool {
        if span.is_empty() || !self.sent.contains(span) {
            return true;
        }
        // Past the cap new ranges share one count, so that memory stays bounded and a runaway is still found.
        let key = if self.repeats.len() < REPEATS_MOST || self.repeats.contains_key(&span.start) {
            span.start
        } else {
            u64::MAX
        };
        let count = self.repeats.entry(key).or_insert(0);
        *count += 1;
        let limit = if key == u64::MAX { self.repeat_limit.saturating_mul(64) } else { self.repeat_limit };
        if *count <= limit {
            return true;
        }
        let message = format!("{} asked {} times for bytes from {} on", line.device, *count + 1, span.start);
        self.runaway(message, line);
        false
    }

    fn runaway(&self, message: String, line: &mut Line) {
        let failure = TransferFailure::permanent(code::RUNAWAY, message)
            .hint("the device does not store what it is given; restart it, or raise the limits of the push");
        line.fail(failure);
    }

    /// Where the next request is the acknowledgement, one for other bytes says that the earlier ones arrived.
    fn confirm_by(&mut self, span: Span, line: &mut Line) {
        if self.acks != Acks::NextRequest || !self.queue.is_empty() {
            return;
        }
        let done = &mut self.done;
        self.unconfirmed.retain(|sent| {
            let other = sent.end <= span.start || span.end <= sent.start;
            if other && done.insert(*sent) > 0 {
                line.progress();
            }
            !other
        });
    }

    fn acked(&mut self, span: Span, line: &mut Line) {
        self.reacted = true;
        let end = if span.end == u64::MAX { self.size } else { span.end };
        if span.start > end || end > self.size {
            line.implausible(format!("acknowledged bytes {} to {} of a file of {}", span.start, end, self.size));
            return;
        }
        let sent: Vec<Span> = self.sent.parts(Span::new(span.start, end)).collect();
        for part in sent {
            if self.done.insert(part) > 0 {
                line.progress();
            }
        }
    }

    fn missing(&mut self, span: Span, line: &mut Line, now: Time) {
        let span = Span::new(span.start, span.end.min(self.size));
        if self.done.remove(span) > 0 {
            line.progress();
        }
        if self.once {
            line.note("the device lists missing bytes; in this mode it has to ask for them");
        } else if !span.is_empty() {
            self.want(Want { tag: 0, span, limit: 0 }, line, now);
        }
    }

    /// Whether the device fetches the file without us.
    fn by_url(&self) -> bool {
        !self.url.is_empty()
    }

    /// The device says that it has everything that it asked for.
    fn arrived(&mut self, line: &mut Line) {
        self.done = self.sent.clone();
        self.unconfirmed.clear();
        self.everything = self.sent.covered() == self.size;
        line.progress();
    }

    fn finished(&mut self, finish: Finish, line: &mut Line) {
        if finish.size.is_some_and(|size| size != self.size) {
            line.implausible(format!("the device counts {:?} bytes in a file of {}", finish.size, self.size));
            return;
        }
        self.arrived(line);
        self.comparison = Some(compare(&self.file.digests, &finish.digests));
        self.told = finish.digests;
    }

    pub(super) fn next(&mut self, line: &mut Line, now: Time) -> Option<Action> {
        let request = *self.queue.front()?;
        let piece = request.span.len().min(request.limit);
        if !line.may_send(now) || !line.may_spend(piece, 0, now) {
            return None;
        }
        let end = request.span.end.min(request.span.start.saturating_add(request.limit));
        let span = Span::new(request.span.start, end);
        if end == request.span.end {
            self.queue.pop_front();
        } else if let Some(front) = self.queue.front_mut() {
            front.span.start = end;
        }
        let known = if self.earlier.is_empty() { &self.sent } else { &self.earlier };
        line.traffic.retransmitted_bytes += known.covered_in(span);
        self.note(request.tag, span, now);
        line.reserve(span, now);
        Some(Action::Send { tag: request.tag, span, last: span.end >= self.size })
    }

    fn note(&mut self, tag: Tag, span: Span, now: Time) {
        self.sent.insert(span);
        if !self.earlier.is_empty() {
            self.earlier.insert(span);
        }
        if self.recent.len() >= RECENT_MOST {
            self.recent.pop_front();
        }
        self.recent.push_back((tag, span, now));
        if self.acks == Acks::NextRequest && self.unconfirmed.len() < QUEUE_MOST && !span.is_empty() {
            self.unconfirmed.push(span);
        }
    }

    pub(super) fn handle_timeout(&mut self, line: &mut Line, now: Time) {
        if line.timers.due(Timer::Quiet, now) {
            line.backoff += 1;
            self.offer(0, line, now);
        }
    }

    pub(super) fn rearm(&mut self, line: &mut Line) {
        // One that reacted and then fell silent, or speaks of an earlier session only, may have forgotten the offer.
        let again = if self.reacted {
            self.last_offer.max(self.last_event) + line.silence().doubled(line.backoff, FORGOTTEN_CAP)
        } else {
            self.last_offer + pause(OFFER_AGAIN, line.backoff)
        };
        line.timers.set(Timer::Quiet, again);
    }

    pub(super) fn reconnected(&mut self, line: &mut Line, now: Time) {
        if !self.reacted {
            self.offer(0, line, now);
        }
    }

    pub(super) fn done(&self) -> &Intervals {
        &self.done
    }

    pub(super) fn size(&self) -> Option<u64> {
        Some(self.size)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.queue.len()
    }
}

/// Where the workflow says that the file lies for devices to fetch.
fn url(file: &FileInfo) -> String {
    file.meta.iter().find(|(key, _)| key == "url").map(|(_, url)| url.trim().to_owned()).unwrap_or_default()
}
