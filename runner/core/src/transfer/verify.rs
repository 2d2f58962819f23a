//! Asks a device what it holds, again and again until it answers: the machine behind `transfer.verify`.

use super::action::{Action, CommandKind, Ending, Sent, TransferFailure};
use super::failure::{code, spoken};
use super::line::Line;
use super::plan::{Plan, TransferError};
use super::progress::{FaultReport, ProgressReport, WaitReason, Waiting};
use super::time::{Micros, Time};
use super::traffic::Traffic;
use super::words::{Command, Digest, Event, Fault, FileInfo, Finish, Tag, Text, Verdict};

/// A question without an answer is repeated after this, doubled each time: to compute a digest takes a device a while.
const ASK_AGAIN: Micros = Micros::from_millis(500);
const ASK_CAP: Micros = Micros::from_secs(30);
/// Questions answered by nothing but a verdict, before that counts as the answer.
const VERDICTS: u32 = 8;

/// What a device said that it holds, computed from what is stored now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Size as the device tells it; none = it told none.
    pub size: Option<u64>,
    /// Digests as the device computed them; empty where it holds no such file or can compute none.
    pub digests: Vec<Digest>,
    /// What it says of the file itself, where it said so. Weaker than a digest.
    pub verdict: Option<Verdict>,
    /// Ours, with which they were compared.
    pub own: Vec<Digest>,
    /// How its answer compares with the plan's file.
    pub comparison: Comparison,
}

/// How a device's answer compares with our file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// A digest is equal, and none differs.
    Equal,
    /// A digest or the size differs.
    Different,
    /// It told nothing that can be compared.
    Unknown,
}

/// What the driver of a [`Verify`] must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifyAction {
    /// Say it, then `handle_sent` or `handle_unsupported`; [`Action::Finished`] is the last action of one that was stopped.
    Act(Action),
    /// The answer; the last action.
    Answered(Verified),
    /// There will be none; the last action.
    Failed(TransferFailure),
}

/// One question to one device, repeated with back-off; the driver's time-out ends it.
#[derive(Debug)]
pub struct Verify {
    line: Line,
    file: FileInfo,
    can_cancel: bool,
    tag: Tag,
    asked: Time,
    tries: u32,
    /// Of these, what no longer lengthens the pause before the next.
    forgotten: u32,
    finish: Option<Finish>,
    /// How often it was asked again when the first answer came that was no good news.
    doubted: Option<u32>,
    stopped: Option<Ending>,
    verdict: Option<Verdict>,
    /// Questions after which a verdict came; whether one came after the last.
    verdicts: u32,
    judged: bool,
    ended: bool,
    result: Option<VerifyAction>,
}

impl Verify {
    /// `plan.file` holds the digests and size to compare with; fails where the mode cannot ask.
    pub fn new(plan: Plan, now: Time) -> Result<Self, TransferError> {
        if !plan.mode.can_query {
            return Err(TransferError::CannotAsk { device: plan.device });
        }
        let mut line = Line::new(&plan, Traffic::default(), now);
        let tag = line.fresh_tag();
        line.say(Command::Query(tag));
        Ok(Self {
            line,
            file: plan.file,
            can_cancel: plan.mode.can_cancel,
            tag,
            asked: now,
            tries: 0,
            forgotten: 0,
            finish: None,
            doubted: None,
            stopped: None,
            verdict: None,
            verdicts: 0,
            judged: false,
            ended: false,
            result: None,
        })
    }

    /// What the device said.
    pub fn handle(&mut self, event: Event, now: Time) {
        self.line.hear(now);
        match event {
            Event::Finish(finish) if finish.tag == self.tag || finish.tag == 0 => self.hear(finish),
            Event::Outcome(outcome) => {
                self.verdict = Some(outcome.verdict);
                self.verdicts += u32::from(!std::mem::replace(&mut self.judged, true));
            }
            Event::Cancel(text) => {
                let message = format!("{} gave up{}", self.line.device, spoken(&text));
                self.fail(TransferFailure::permanent(code::DEVICE_CANCELLED, message));
            }
            Event::Progress(progress) => self.line.phase = Some(progress.phase),
            _ => {}
        }
    }

    /// Good news counts at once. Other news must be told again, in answer to a later question: where answers do not say which
    /// question they belong to, an old one may come late, from before the file was there.
    fn hear(&mut self, finish: Finish) {
        let good = self.compare(&finish) == Comparison::Equal;
        if good || self.doubted.is_some_and(|asked| self.tries > asked) {
            self.finish = Some(finish);
        } else {
            self.doubted.get_or_insert(self.tries);
        }
    }

    /// What could not be read.
    pub fn handle_fault(&mut self, fault: Fault, now: Time) {
        let _ = now;
        match fault {
            Fault::NotMine => self.line.faults.not_mine += 1,
            Fault::Malformed(words) => {
                self.line.faults.malformed += 1;
                self.line.note(words);
            }
            Fault::Unsupported => self.line.implausible("the codec called a message of the device unsupported"),
            Fault::Fatal(text) => {
                let message = format!("the codec says that {} cannot be asked{}", self.line.device, spoken(&text));
                self.fail(TransferFailure::permanent(code::CODEC_FATAL, message));
            }
        }
    }

    /// The codec has no words for it.
    pub fn handle_unsupported(&mut self, command: CommandKind, now: Time) {
        let _ = now;
        if command == CommandKind::Query {
            let message = "the codec has no words to ask a device what it holds";
            self.fail(TransferFailure::permanent(code::CODEC_WORDS, message));
        }
    }

    /// Something went out.
    pub fn handle_sent(&mut self, sent: Sent, now: Time) {
        self.line.sent_other(sent.wire_bytes, sent.messages, now);
    }

    /// Messages came in, called before their events.
    pub fn handle_received(&mut self, wire_bytes: u64, messages: u32, now: Time) {
        self.line.receive(wire_bytes, messages, now);
        self.line.hear(now);
    }

    /// Our bus lost or regained its broker.
    pub fn handle_connection(&mut self, up: bool, now: Time) {
        let was_away = self.line.away().is_some();
        self.line.connection(up, now);
        if up && was_away {
            self.ask(now);
        }
    }

    /// `poll_timeout` has come.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.poll_timeout().is_none_or(|due| due > now) {
            return;
        }
        // A verdict alone is an answer where no `finish` ever comes with it.
        if self.verdicts >= VERDICTS {
            self.finish = Some(Finish { tag: self.tag, size: None, digests: Vec::new() });
            return;
        }
        self.tries += 1;
        self.ask(now);
    }

    /// Somebody else has heard the device, which was silent here: as [`super::Transfer::wake`].
    pub fn wake(&mut self, now: Time) {
        if self.line.silent(now) {
            self.forgotten = self.tries;
        }
    }

    /// Gives up; tells the device where it can. Ends as [`Ending::Cancelled`], unless it has ended.
    pub fn cancel(&mut self, reason: Text, now: Time) {
        let _ = now;
        if self.can_cancel && !self.ended && self.result.is_none() {
            self.line.say(Command::Cancel(reason));
        }
        self.stop(Ending::Cancelled);
    }

    /// Ends here as [`Ending::Parked`], unless it has ended: a later attempt asks anew.
    pub fn park(&mut self, now: Time) {
        let _ = now;
        self.line.forget_all();
        self.stop(Ending::Parked);
    }

    fn stop(&mut self, ending: Ending) {
        if !self.ended {
            self.ended = true;
            self.stopped = Some(ending);
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self, now: Time) -> Option<VerifyAction> {
        let _ = now;
        if self.ended {
            let last = || self.stopped.take().map(Action::Finished);
            return self.line.pop().or_else(last).map(VerifyAction::Act);
        }
        if self.result.is_none() {
            self.result = self.finish.take().map(|finish| VerifyAction::Answered(self.judge(finish)));
        }
        if let Some(result) = self.result.take() {
            self.ended = true;
            self.line.forget_all();
            return Some(result);
        }
        self.line.pop().map(VerifyAction::Act)
    }

    /// When `handle_timeout` wants to be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        let asking = !self.ended && self.line.away().is_none();
        asking.then(|| self.asked + ASK_AGAIN.doubled(self.tries - self.forgotten, ASK_CAP))
    }

    /// The accounts so far; no payload.
    pub fn traffic(&self) -> Traffic {
        self.line.traffic
    }

    /// For `explain`. `now` decides whether the device counts as silent.
    pub fn progress(&self, now: Time) -> ProgressReport {
        let asking = || {
            let text = "asked the device what it holds; no answer yet".to_owned();
            Waiting { reason: WaitReason::DeviceAnswer, since: self.line.began, text }
        };
        let obstacle = || self.line.obstacle(now, || "silent since it was asked what it holds".to_owned());
        ProgressReport {
            done: 0,
            total: None,
            window: 1,
            in_flight: 1,
            traffic: self.line.traffic,
            srtt: None,
            waiting: (!self.ended).then(|| obstacle().unwrap_or_else(asking)),
            phase: self.line.phase,
            last_heard: self.line.heard,
            faults: self.line.faults.clone(),
            unsupported: self.line.unsupported(),
        }
    }

    /// What was rejected.
    pub fn faults(&self) -> &FaultReport {
        &self.line.faults
    }

    fn ask(&mut self, now: Time) {
        if !self.ended {
            self.asked = now;
            self.judged = false;
            self.line.say(Command::Query(self.tag));
        }
    }

    fn fail(&mut self, failure: TransferFailure) {
        self.result.get_or_insert(VerifyAction::Failed(failure));
    }

    fn compare(&self, finish: &Finish) -> Comparison {
        let size_differs = finish.size.zip(self.file.size).is_some_and(|(theirs, ours)| theirs != ours);
        match (compare(&self.file.digests, &finish.digests), self.verdict) {
            (_, Some(Verdict::BadDigest | Verdict::BadSize)) => Comparison::Different,
            _ if size_differs => Comparison::Different,
            (comparison, _) => comparison,
        }
    }

    fn judge(&self, finish: Finish) -> Verified {
        let comparison = self.compare(&finish);
        let own = self.file.digests.clone();
        Verified { size: finish.size, digests: finish.digests, verdict: self.verdict, own, comparison }
    }
}

/// Compares by algorithm; one difference outweighs any number of equals.
pub(super) fn compare(ours: &[Digest], theirs: &[Digest]) -> Comparison {
    let mut result = Comparison::Unknown;
    for digest in theirs.iter().filter(|digest| !digest.value.is_empty()) {
        for own in ours.iter().filter(|own| own.algorithm == digest.algorithm) {
            if own.value != digest.value {
                return Comparison::Different;
            }
            result = Comparison::Equal;
        }
    }
    result
}
