//! Platform-push: pieces go out in a window, acknowledgements come back.
//!
//! * `acks`: what an acknowledgement changes.
//! * `ask`: questions to the device, and what its answer makes of our picture.
//! * `send`: which piece goes next, and when silence is probed.
//! * `end`: when it is over, and how well that is known.

mod acks;
mod ask;
mod end;
mod send;

use super::checkpoint::Checkpoint;
use super::flight::Flight;
use super::intervals::Intervals;
use super::line::Line;
use super::plan::Plan;
use super::progress::{WaitReason, Waiting, grouped};
use super::rtt::Rtt;
use super::time::{Micros, Time};
use super::timers::Timer;
use super::words::{Command, Digest, Event, FileInfo, Offer, Outcome, Span, Tag};
use ask::{Answer, Ask};
use end::{Confirm, Doubt};

/// The one piece of an empty file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Empty {
    Unsent,
    Flying,
    Acked,
}

/// The state of a platform-push.
#[derive(Debug)]
pub(super) struct Push {
    file: FileInfo,
    size: u64,
    packet: u64,
    /// Pieces start at multiples of it.
    align: u64,
    grid: bool,
    window: usize,
    confirms: bool,
    can_query: bool,
    /// Acknowledged, and not taken back.
    done: Intervals,
    /// Went out at least once, and may be acknowledged.
    sent: Intervals,
    /// Went out before all of it began again: it counts as sent, and acknowledgements of it are not believed.
    earlier: Intervals,
    /// Neither done nor on its way.
    pending: Intervals,
    empty: Option<Empty>,
    flight: Flight,
    rtt: Rtt,
    last_sent: Time,
    last_offer: Time,
    /// The device acknowledged something in this attempt.
    acked_once: bool,
    probe_due: bool,
    /// Probes since anything new was acknowledged.
    fruitless: u32,
    /// The highest `ack-through`, or what an earlier attempt had before the first gap.
    through: u64,
    /// Since when the device's `ack-through` is lower than that.
    shrunk: Option<Time>,
    ask: Option<Ask>,
    last_ask: Option<Time>,
    answer: Option<Answer>,
    future_asked: bool,
    /// It was asked what it has because it found good what was not all sent. Once: it may say so with every answer.
    early_asked: bool,
    /// Bytes that it acknowledged, and then did not have.
    taken_back: u64,
    confirm: Option<Confirm>,
    /// How well its acknowledgements are to be believed.
    doubt: Doubt,
    outcomes: Vec<Outcome>,
    told: Vec<Digest>,
    matched: bool,
    verdict: bool,
    mismatch: bool,
}

impl Push {
    pub(super) fn new(plan: &Plan, checkpoint: Option<&Checkpoint>, line: &mut Line, now: Time) -> Self {
        let size = plan.file.size.unwrap_or(0);
        let kept = checkpoint.filter(|_| plan.mode.grid).map(|checkpoint| checkpoint.packet_size);
        let packet = u64::from(kept.unwrap_or(plan.packet_size));
        let done = checkpoint.map(|checkpoint| checkpoint.done.clone()).unwrap_or_default();
        let mut sent = checkpoint.map(|checkpoint| checkpoint.sent.clone()).unwrap_or_default();
        sent.extend(done.iter());
        let mut push = Self {
            file: plan.file.clone(),
            size,
            packet,
            align: if plan.mode.grid { packet } else { u64::from(plan.mode.packet_align.max(1)) },
            grid: plan.mode.grid,
            window: plan.effective_window(),
            confirms: plan.mode.confirms,
            can_query: plan.mode.can_query,
            pending: done.gaps(Span::new(0, size)).collect(),
            through: done.prefix(),
            doubt: if done.is_empty() { Doubt::None } else { Doubt::Unproved(0) },
            done,
            sent,
            earlier: Intervals::default(),
            empty: (size == 0).then_some(Empty::Unsent),
            flight: Flight::default(),
            rtt: Rtt::default(),
            last_sent: now,
            last_offer: now,
            acked_once: false,
            probe_due: false,
            fruitless: 0,
            shrunk: None,
            ask: None,
            last_ask: None,
            answer: None,
            future_asked: false,
            early_asked: false,
            taken_back: 0,
            confirm: None,
            outcomes: Vec::new(),
            told: Vec::new(),
            matched: false,
            verdict: false,
            mismatch: false,
        };
        push.offer(0, line, now);
        if !push.sent.is_empty() {
            push.ask(line, now);
        }
        push
    }

    fn offer(&mut self, tag: Tag, line: &mut Line, now: Time) {
        self.last_offer = now;
        line.say(Command::Offer(Offer { tag, file: self.file.clone(), url: String::new() }));
    }

    pub(super) fn handle(&mut self, event: Event, line: &mut Line, now: Time) {
        match event {
            Event::Ack(span) => self.acked(span, line, now),
            Event::AckThrough(offset) => self.acked_through(offset, line, now),
            Event::Missing(span) => self.missing(span, line, now),
            Event::Finish(finish) => self.finished(finish, line, now),
            Event::Outcome(outcome) => self.outcomes.push(outcome),
            Event::AskOffer(tag) => self.offer(tag, line, now),
            Event::Hello(_) => self.hello(line, now),
            Event::Progress(_) => {
                if let Some(confirm) = &mut self.confirm {
                    confirm.postpone(now);
                }
            }
            Event::StartUpload(_) | Event::Want(_) | Event::Data(_) => {
                line.implausible(
                    "the device speaks as if it were to drive, or to send a file; this is a platform-push",
                );
            }
            Event::Retrying(_) | Event::Cancel(_) | Event::Pause(_) => {}
        }
    }

    /// The device is there, perhaps after a restart: announce again, and ask what it still has.
    fn hello(&mut self, line: &mut Line, now: Time) {
        if now.since(self.last_offer) >= self.rtt.probe_after() {
            self.offer(0, line, now);
        }
        if !self.sent.is_empty() && self.last_ask.is_none_or(|last| now.since(last) >= self.rtt.probe_after()) {
            self.ask(line, now);
        }
    }

    /// After a batch: round trips, losses, the end.
    pub(super) fn settle(&mut self, line: &mut Line, now: Time) {
        self.answer = None;
        self.flight.settle(&mut self.rtt);
        let pending = &mut self.pending;
        let done = &self.done;
        self.flight.lose(self.rtt.loss_after(), now, |span| pending.extend(done.gaps(span)));
        if std::mem::take(&mut line.returned) && !self.sent.is_empty() {
            self.ask(line, now);
        }
        self.end(line, now);
        line.traffic.payload_bytes = self.done.covered();
    }

    pub(super) fn handle_sent(&mut self, span: Span, now: Time) {
        self.flight.sent(span, now);
        self.last_sent = now;
    }

    /// The bus is back: whatever was on its way may be lost.
    pub(super) fn reconnected(&mut self, away: Micros, silence: Micros, line: &mut Line, now: Time) {
        if let Some(ask) = &self.ask {
            self.flight.stop_timing();
            line.say(Command::Query(ask.tag));
        } else if away >= silence && !self.sent.is_empty() {
            self.ask(line, now);
        }
        self.probe_due = self.ask.is_none();
    }

    pub(super) fn query_unsupported(&mut self) {
        self.can_query = false;
        self.ask = None;
    }

    pub(super) fn handle_timeout(&mut self, line: &mut Line, now: Time) {
        if line.timers.due(Timer::Probe, now) {
            self.probe_timer(line, now);
        }
        if line.timers.due(Timer::Ask, now) {
            if self.ask.is_some() {
                self.ask_again(line, now);
            } else {
                self.confirm_again(line, now);
            }
        }
    }

    /// Sets the timers for what is on its way now.
    pub(super) fn rearm(&mut self, line: &mut Line) {
        let loss = self.flight.lose(self.rtt.loss_after(), Time(0), |_| {});
        line.timers.put(Timer::Loss, loss);
        let probe =
            (self.ask.is_none() && loss.is_none() && self.flight.len() > 0).then(|| self.last_sent + self.wait(line));
        line.timers.put(Timer::Probe, probe);
        let ask = match (&self.ask, &self.confirm) {
            (Some(ask), _) => Some(self.next_question(ask, line)),
            (None, Some(confirm)) => Some(confirm.next(&self.rtt)),
            (None, None) => None,
        };
        line.timers.put(Timer::Ask, ask);
    }

    pub(super) fn waiting(&self) -> Option<Waiting> {
        if let Some(ask) = &self.ask {
            let text = format!(
                "asked the device what it has of our push; {} bytes were acknowledged",
                grouped(self.done.covered())
            );
            return Some(Waiting { reason: WaitReason::DeviceAnswer, since: ask.began, text });
        }
        let confirm = self.confirm.as_ref()?;
        let text = format!(
            "all {} bytes are acknowledged; the device has not said yet that the file is good",
            grouped(self.size)
        );
        Some(Waiting { reason: WaitReason::DeviceVerdict, since: confirm.since, text })
    }

    pub(super) fn silent_text(&self) -> String {
        format!("silent since byte {} of our push", grouped(self.done.prefix()))
    }

    pub(super) fn done(&self) -> &Intervals {
        &self.done
    }

    pub(super) fn size(&self) -> Option<u64> {
        Some(self.size)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.flight.len()
    }

    pub(super) fn srtt(&self) -> Option<Micros> {
        self.rtt.smoothed()
    }

    pub(super) fn fill(&self, checkpoint: &mut Checkpoint) {
        checkpoint.done = self.done.clone();
        checkpoint.sent = self.sent.clone();
        checkpoint.size = Some(self.size);
        checkpoint.packet_size = u32::try_from(self.packet).unwrap_or(u32::MAX);
        checkpoint.digests = self.told.clone();
    }
}
