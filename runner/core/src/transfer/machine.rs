//! The transfer machine: one file, one device, one direction, from the first packet to the last word.

use super::action::{Action, CommandKind, Ending, Sent, SentKind, TransferFailure};
use super::checkpoint::{CHECKPOINT_VERSION, Checkpoint};
use super::failure::{code, spoken, verdict_failure};
use super::intervals::Intervals;
use super::line::{Line, Pause};
use super::plan::{Plan, TransferError};
use super::progress::{FaultReport, ProgressReport, Waiting};
use super::role::Role;
use super::time::{Micros, Time};
use super::timers::Timer;
use super::traffic::Traffic;
use super::words::{Command, Digest, Event, Fault, Outcome, Span, Text};

/// How often a device may begin anew by itself in one attempt.
const DEVICE_RETRIES: u32 = 3;

/// One transfer. Tell it what happened (`handle_*`), then call `poll` until it gives `None`, then sleep until `poll_timeout`.
#[derive(Debug)]
pub struct Transfer {
    line: Line,
    role: Role,
    size: Option<u64>,
    packet_size: u32,
    window: u16,
    can_cancel: bool,
    silence: Micros,
    /// Tries of the device's own, each followed by another.
    failed_tries: u32,
    /// Something happened since the last settling of accounts.
    fresh: bool,
}

impl Transfer {
    /// Begins, or goes on from `checkpoint`, which counts as one resume.
    pub fn new(plan: Plan, checkpoint: Option<Checkpoint>, now: Time) -> Result<Self, TransferError> {
        plan.check(checkpoint.as_ref())?;
        let mut traffic = checkpoint.as_ref().map(|checkpoint| checkpoint.traffic).unwrap_or_default();
        traffic.resumes += u32::from(checkpoint.is_some());
        let mut line = Line::new(&plan, traffic, now);
        let role = Role::new(&plan, checkpoint.as_ref(), &mut line, now);
        Ok(Self {
            line,
            role,
            size: plan.file.size,
            packet_size: plan.packet_size,
            window: u16::try_from(plan.effective_window()).unwrap_or(u16::MAX),
            can_cancel: plan.mode.can_cancel,
            silence: plan.silence,
            failed_tries: 0,
            fresh: true,
        })
    }

    /// What the codec read out of the device's messages, in order; nothing of it is believed unseen.
    pub fn handle(&mut self, event: Event, now: Time) {
        if !self.line.running() {
            return;
        }
        self.fresh = true;
        self.line.understand(now);
        if self.line.pause.is_some_and(|pause| pause.until.is_none()) {
            self.line.pause = None;
        }
        match event {
            Event::Pause(millis) => {
                let until = (millis > 0).then(|| now + Micros::from_millis(u64::from(millis)));
                self.line.pause = Some(Pause { since: now, until });
            }
            Event::Cancel(text) => {
                let message = format!("{} gave up the transfer{}", self.line.device, spoken(&text));
                self.line.fail(TransferFailure::permanent(code::DEVICE_CANCELLED, message));
            }
            Event::Progress(progress) => {
                self.line.phase = Some(progress.phase);
                self.role.handle(Event::Progress(progress), &mut self.line, now);
            }
            Event::Retrying(outcome) => self.retrying(&outcome, now),
            event => self.role.handle(event, &mut self.line, now),
        }
    }

    /// A try of the device's own failed. What it said before counts first, as if it had come by itself.
    fn retrying(&mut self, outcome: &Outcome, now: Time) {
        self.role.settle(&mut self.line, now);
        if !self.line.running() {
            return;
        }
        let Some(mut failure) = verdict_failure(&self.line.device, outcome) else {
            self.line.implausible("the device tries again what it says went well");
            return;
        };
        if !self.role.begin_again(outcome, &mut self.line) {
            self.line.implausible("the device tries again what was before this attempt");
            return;
        }
        self.failed_tries += 1;
        self.line.note(format!("try {} of the device failed{}", self.failed_tries, spoken(&outcome.text)));
        if self.failed_tries > DEVICE_RETRIES {
            failure.message = format!("{}; it tried {} times", failure.message, self.failed_tries);
            self.line.fail(failure);
        }
    }

    /// What the codec could not read.
    pub fn handle_fault(&mut self, fault: Fault, now: Time) {
        if !self.line.running() {
            return;
        }
        self.fresh = true;
        match fault {
            Fault::NotMine => self.line.faults.not_mine += 1,
            Fault::Malformed(words) => self.line.garbled(words, now),
            Fault::Unsupported => self.line.implausible("the codec called a message of the device unsupported"),
            Fault::Fatal(text) => {
                let message =
                    format!("the codec says that the transfer to {} cannot go on{}", self.line.device, spoken(&text));
                self.line.fail(TransferFailure::permanent(code::CODEC_FATAL, message));
            }
        }
    }

    /// The codec has no words for a command of this kind.
    pub fn handle_unsupported(&mut self, command: CommandKind, now: Time) {
        if !self.line.running() {
            return;
        }
        self.fresh = true;
        let _ = now;
        self.line.cannot_say(command);
        if self.role.vital() == Some(command) {
            let message = format!("the codec has no words for {}, without which its mode cannot work", command.name());
            self.line.fail(
                TransferFailure::permanent(code::CODEC_WORDS, message)
                    .hint("this is the codec's fault: tell its vendor"),
            );
        }
        self.role.cannot_say(command);
    }

    /// Something went out.
    pub fn handle_sent(&mut self, sent: Sent, now: Time) {
        match sent.what {
            SentKind::Piece(span) => {
                self.line.sent_piece(span, sent.wire_bytes, sent.messages, now);
                self.role.handle_sent(span, now);
            }
            SentKind::Other => self.line.sent_other(sent.wire_bytes, sent.messages, now),
        }
    }

    /// Messages of the device came in, readable or not; called before their events.
    pub fn handle_received(&mut self, wire_bytes: u64, messages: u32, now: Time) {
        self.line.receive(wire_bytes, messages, now);
        if self.line.running() {
            self.fresh = true;
            self.line.hear(now);
        }
    }

    /// Pull: these bytes are durable in the spool.
    pub fn handle_durable(&mut self, spans: &[Span], now: Time) {
        let _ = now;
        if self.line.running() {
            self.fresh = true;
            self.role.durable(spans, &mut self.line);
        }
    }

    /// Pull: the answer to [`Action::Digest`].
    pub fn handle_digests(&mut self, digests: &[Digest], size: u64, now: Time) {
        if self.line.running() {
            self.fresh = true;
            self.role.digested(digests, size, &mut self.line, now);
        }
    }

    /// What the budget has left by now; where another period has begun, more than before.
    pub fn handle_budget(&mut self, left: u64, now: Time) {
        let _ = now;
        self.fresh = true;
        self.line.allow(left);
    }

    /// Our bus lost or regained its broker. A transfer begins with it up.
    pub fn handle_connection(&mut self, up: bool, now: Time) {
        let away = self.line.away();
        self.line.connection(up, now);
        if !self.line.running() {
            return;
        }
        self.fresh = true;
        if let Some(since) = away.filter(|_| up) {
            // The device has lost its connection too, and may come back after us: pauses are as short again as at first.
            self.line.backoff = 0;
            self.role.wake();
            self.role.reconnected(now.since(since), self.silence, &mut self.line, now);
        }
    }

    /// Somebody else has heard the device, which was silent here: pauses between probes are as short again as at first, so that the next
    /// one is due now unless the last has only just gone out. Nothing of it counts as heard.
    pub fn wake(&mut self, now: Time) {
        if self.line.running() && self.line.silent(now) {
            self.fresh = true;
            self.line.backoff = 0;
            self.role.wake();
        }
    }

    /// `poll_timeout` has come.
    pub fn handle_timeout(&mut self, now: Time) {
        if !self.line.running() {
            return;
        }
        self.fresh = true;
        self.role.handle_timeout(&mut self.line, now);
    }

    /// Ends here, to go on from a checkpoint later.
    pub fn park(&mut self, now: Time) {
        let _ = now;
        self.line.finish(Ending::Parked);
    }

    /// Ends for good, at a packet boundary; tells the device where its protocol can say so.
    pub fn cancel(&mut self, reason: Text, now: Time) {
        let _ = now;
        if self.line.running() && self.can_cancel {
            self.line.say(Command::Cancel(reason));
        }
        self.line.finish(Ending::Cancelled);
    }

    /// The next thing to do.
    pub fn poll(&mut self, now: Time) -> Option<Action> {
        if std::mem::take(&mut self.fresh) && self.line.running() {
            self.role.settle(&mut self.line, now);
        }
        if let Some(action) = self.line.pop() {
            return Some(action);
        }
        if !self.line.running() {
            return None;
        }
        if self.line.checkpoint_due(now) {
            return Some(Action::Checkpoint);
        }
        self.line.timers.stop(Timer::Rate);
        if self.line.open(now)
            && let Some(action) = self.role.next(&mut self.line, now)
        {
            return Some(action);
        }
        self.rearm(now);
        if !self.role.is_here() {
            self.line.end_when_spent(self.role.in_flight(), now);
        }
        self.line.pop()
    }

    fn rearm(&mut self, now: Time) {
        if self.line.open(now) && !self.line.is_dry() {
            self.role.rearm(&mut self.line);
            self.line.timers.stop(Timer::Pause);
            return;
        }
        for timer in [Timer::Loss, Timer::Probe, Timer::Ask, Timer::Quiet, Timer::Rate] {
            self.line.timers.stop(timer);
        }
        let until = self.line.pause.map(|pause| pause.ends()).filter(|_| self.line.away().is_none());
        self.line.timers.put(Timer::Pause, until);
    }

    /// When `handle_timeout` wants to be called; none = only when something happens.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.line.timers.next()
    }

    /// Progress to store; see [`Action::Checkpoint`].
    pub fn checkpoint(&self) -> Checkpoint {
        let mut checkpoint = Checkpoint {
            version: CHECKPOINT_VERSION,
            done: Intervals::new(),
            sent: Intervals::new(),
            size: self.size,
            packet_size: self.packet_size,
            name: String::new(),
            digests: Vec::new(),
            upload_id: String::new(),
            resume_key: String::new(),
            traffic: self.line.traffic,
        };
        self.role.fill(&mut checkpoint);
        checkpoint
    }

    /// The accounts so far.
    pub fn traffic(&self) -> Traffic {
        self.line.traffic
    }

    /// What was rejected.
    pub fn faults(&self) -> &FaultReport {
        &self.line.faults
    }

    /// For progress bars and `explain`. `now` decides whether the device counts as silent.
    pub fn progress(&self, now: Time) -> ProgressReport {
        ProgressReport {
            done: self.role.reached(),
            total: self.role.size(),
            window: self.window,
            in_flight: u32::try_from(self.role.in_flight()).unwrap_or(u32::MAX),
            traffic: self.line.traffic,
            srtt: self.role.srtt(),
            waiting: self.waiting(now),
            phase: self.line.phase,
            last_heard: self.line.heard,
            faults: self.line.faults.clone(),
            unsupported: self.line.unsupported(),
        }
    }

    fn waiting(&self, now: Time) -> Option<Waiting> {
        if !self.line.running() {
            return None;
        }
        let obstacle = self.line.obstacle(now, || self.role.silent_text());
        obstacle.or_else(|| self.role.waiting(&self.line, now))
    }

    /// Whether [`Action::Finished`] was given.
    pub fn is_finished(&self) -> bool {
        self.line.finished()
    }
}
