//! What all four drivers share: the way out, the clock of silence, the accounts, the faults, the end.

use std::collections::VecDeque;

use super::action::{Action, CommandKind, Ending, TransferFailure};
use super::budget::Allowance;
use super::failure::code;
use super::plan::Plan;
use super::progress::{FaultReport, WaitReason, Waiting};
use super::rate::Bucket;
use super::time::{Micros, Time};
use super::timers::{Timer, Timers};
use super::traffic::Traffic;
use super::words::{Command, Phase, Span, Tag};

/// Acknowledged packets after which progress is stored.
const CHECKPOINT_PACKETS: u32 = 256;
/// Time after which it is stored anyway.
const CHECKPOINT_EVERY: Micros = Micros::from_millis(100);
/// Pauses double up to this at first: a device that comes back within minutes is met soon. A connection is lost and made again
/// within half a minute, and both together stay below two keep-alives of thirty seconds.
const NEAR_CAP: Micros = Micros::from_secs(15);
/// So many of these, and they double again, up to [`FAR_CAP`].
const NEAR_PAUSES: u32 = 8;
const FAR_CAP: Micros = Micros::from_secs(60);
const FAULT_WORDS: usize = 200;
/// Messages in a row that could not be read, and the time that they take, before the transfer ends.
const GARBLED_MOST: u32 = 32;
const GARBLED_FOR: Micros = Micros::from_secs(10);

/// A pause that the device asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pause {
    pub(super) since: Time,
    /// None = until it speaks again.
    pub(super) until: Option<Time>,
}

/// The word that ends an open pause may be lost: after so long the device is spoken to again.
const OPEN_PAUSE: Micros = Micros::from_secs(300);

impl Pause {
    pub(super) fn ends(&self) -> Time {
        self.until.unwrap_or(self.since + OPEN_PAUSE)
    }
}

/// How long to wait for an answer after so many tries in vain.
pub(super) fn pause(first: Micros, tries: u32) -> Micros {
    let far = first.doubled(tries.saturating_sub(NEAR_PAUSES), FAR_CAP);
    first.doubled(tries, NEAR_CAP).max(far)
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Running,
    /// The end is in the outbox.
    Ending,
    Finished,
}

/// The shared half of a transfer.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) device: String,
    pub(super) traffic: Traffic,
    pub(super) timers: Timers,
    pub(super) faults: FaultReport,
    pub(super) phase: Option<Phase>,
    pub(super) began: Time,
    pub(super) heard: Option<Time>,
    pub(super) pause: Option<Pause>,
    /// How often in a row something was repeated into silence.
    pub(super) backoff: u32,
    /// The device was silent for longer than `silence` and has spoken again.
    pub(super) returned: bool,
    outbox: VecDeque<Action>,
    silence: Micros,
    /// Since when the bus is away.
    away: Option<Time>,
    unsupported: Vec<CommandKind>,
    bucket: Option<Bucket>,
    allowance: Option<Allowance>,
    overhead: (u64, u64),
    /// Messages in a row that could not be read, and since when.
    garbled: u32,
    garbled_since: Time,
    stage: Stage,
    tag: Tag,
    progressed: u32,
    stored: Time,
}

impl Line {
    pub(super) fn new(plan: &Plan, traffic: Traffic, now: Time) -> Self {
        Self {
            device: plan.device.clone(),
            traffic,
            timers: Timers::default(),
            faults: FaultReport::default(),
            phase: None,
            began: now,
            heard: None,
            pause: None,
            backoff: 0,
            returned: false,
            outbox: VecDeque::new(),
            silence: plan.silence,
            away: None,
            unsupported: Vec::new(),
            bucket: plan.rate.map(Bucket::new),
            allowance: plan.budget.map(|left| Allowance::new(left, u64::from(plan.mode.overhead_fixed))),
            overhead: (u64::from(plan.mode.overhead_fixed), u64::from(plan.mode.overhead_per_mille.max(1_000))),
            garbled: 0,
            garbled_since: now,
            stage: Stage::Running,
            // Numbers of one attempt are unlike those of the one before it.
            tag: u64::from(plan.epoch & 0x7fff) << 16,
            progressed: 0,
            stored: now,
        }
    }

    /// A tag that this attempt has not used.
    pub(super) fn fresh_tag(&mut self) -> Tag {
        self.tag += 1;
        self.tag
    }

    // ---- what comes in

    /// The device gave a sign of life.
    pub(super) fn hear(&mut self, now: Time) {
        if self.silent(now) {
            self.returned = true;
        }
        self.heard = Some(now);
        self.backoff = 0;
    }

    /// The device said something that can be read.
    pub(super) fn understand(&mut self, now: Time) {
        self.hear(now);
        self.garbled = 0;
    }

    /// Counts a message that could not be read. Noise among readable messages is dropped; a device of which nothing can be
    /// read for a while is not waited for until some far deadline.
    pub(super) fn garbled(&mut self, words: String, now: Time) {
        self.faults.malformed += 1;
        if self.garbled == 0 {
            self.garbled_since = now;
        }
        self.garbled += 1;
        if self.garbled >= GARBLED_MOST && now.since(self.garbled_since) >= GARBLED_FOR {
            let count = self.garbled;
            let message =
                format!("the last {count} messages of {} could not be read, the newest because: {words}", self.device);
            self.fail(
                TransferFailure::transient(code::DAMAGED, message)
                    .hint("look at what the device sends, and whether this is the codec for it"),
            );
        }
        self.note(words);
    }

    pub(super) fn receive(&mut self, wire_bytes: u64, messages: u32, now: Time) {
        self.account(wire_bytes, messages);
        self.faults.heard += u64::from(messages);
        self.charge(wire_bytes, now);
        if let Some(allowance) = &mut self.allowance {
            allowance.heard(wire_bytes, messages);
        }
    }

    /// Counts something that could be read and cannot be true.
    pub(super) fn implausible(&mut self, words: impl Into<String>) {
        self.faults.implausible += 1;
        self.note(words);
    }

    pub(super) fn note(&mut self, words: impl Into<String>) {
        let mut words: String = words.into();
        if let Some((cut, _)) = words.char_indices().nth(FAULT_WORDS) {
            words.truncate(cut);
        }
        if self.faults.last.len() >= 5 {
            self.faults.last.remove(0);
        }
        self.faults.last.push(words);
    }

    pub(super) fn cannot_say(&mut self, kind: CommandKind) {
        if !self.unsupported.contains(&kind) {
            self.unsupported.push(kind);
        }
    }

    pub(super) fn can_say(&self, kind: CommandKind) -> bool {
        !self.unsupported.contains(&kind)
    }

    pub(super) fn unsupported(&self) -> Vec<&'static str> {
        self.unsupported.iter().map(|kind| kind.name()).collect()
    }

    pub(super) fn connection(&mut self, up: bool, now: Time) {
        if up {
            self.away = None;
            self.backoff = 0;
        } else if self.away.is_none() {
            self.away = Some(now);
        }
    }

    pub(super) fn away(&self) -> Option<Time> {
        self.away
    }

    // ---- silence

    pub(super) fn last_sign(&self) -> Time {
        self.heard.unwrap_or(self.began)
    }

    pub(super) fn silence(&self) -> Micros {
        self.silence
    }

    pub(super) fn silent(&self, now: Time) -> bool {
        now.since(self.last_sign()) >= self.silence
    }

    /// What keeps it from going on, whatever its role: the bus, the device's wish, silence.
    pub(super) fn obstacle(&self, now: Time, silent: impl FnOnce() -> String) -> Option<Waiting> {
        if let Some(since) = self.away {
            let text = "our broker is away; the transfer goes on when it is back".to_owned();
            return Some(Waiting { reason: WaitReason::BusOffline, since, text });
        }
        if let Some(pause) = self.pause {
            let text = match pause.until {
                Some(_) => "the device asked for silence for a while",
                None => "the device asked for silence until it speaks again",
            };
            return Some(Waiting { reason: WaitReason::DevicePaused, since: pause.since, text: text.to_owned() });
        }
        let since = self.last_sign();
        self.silent(now).then(|| Waiting { reason: WaitReason::DeviceOffline, since, text: silent() })
    }

    /// Whether anything may go out: the bus is there and the device has not asked for silence.
    pub(super) fn open(&mut self, now: Time) -> bool {
        if self.pause.is_some_and(|pause| pause.ends() <= now) {
            self.pause = None;
        }
        self.away.is_none() && self.pause.is_none()
    }

    // ---- what goes out

    /// Says it, unless the codec has no words for it.
    pub(super) fn say(&mut self, command: Command) {
        if self.can_say(CommandKind::from(&command)) {
            self.outbox.push_back(Action::Say(command));
        }
    }

    pub(super) fn act(&mut self, action: Action) {
        self.outbox.push_back(action);
    }

    /// The next action. While the bus is away nothing is said; the rest goes on.
    pub(super) fn pop(&mut self) -> Option<Action> {
        let index = match self.away {
            None => 0,
            Some(_) => self.outbox.iter().position(|action| !matches!(action, Action::Say(_)))?,
        };
        let action = self.outbox.remove(index)?;
        if matches!(action, Action::Finished(_)) {
            self.stage = Stage::Finished;
            self.outbox.clear();
        }
        Some(action)
    }

    /// Drops everything that was to be done.
    pub(super) fn forget_all(&mut self) {
        self.outbox.clear();
    }

    /// Drops what was to be written, for a file that is no longer wanted.
    pub(super) fn forget_writes(&mut self) {
        self.outbox.retain(|action| !matches!(action, Action::Write { .. } | Action::Digest));
    }

    /// Whether the rate lets a packet go now; where not, the rate timer is set.
    pub(super) fn may_send(&mut self, now: Time) -> bool {
        let Some(bucket) = &self.bucket else { return true };
        let ready = bucket.ready();
        if ready > now {
            self.timers.set(Timer::Rate, ready);
            return false;
        }
        self.timers.stop(Timer::Rate);
        true
    }

    /// Whether the budget has room for a piece of so many bytes of file and the answers to it and to all that is on its way.
    pub(super) fn may_spend(&mut self, piece: u64, in_flight: usize, now: Time) -> bool {
        let own = self.estimate(Span::new(0, piece));
        self.allowance.as_mut().is_none_or(|allowance| allowance.affords(own, in_flight.saturating_add(1), None, now))
    }

    /// As [`Line::may_spend`] for a question that a piece of so many bytes answers.
    pub(super) fn may_ask(&mut self, piece: u64, in_flight: usize, now: Time) -> bool {
        let (own, each) = (self.overhead.0, self.overhead.0 + self.estimate(Span::new(0, piece)));
        self.allowance
            .as_mut()
            .is_none_or(|allowance| allowance.affords(own, in_flight.saturating_add(1), Some(each), now))
    }

    /// What may be spent by now, as somebody else counts it.
    pub(super) fn allow(&mut self, left: u64) {
        if let Some(allowance) = &mut self.allowance {
            allowance.set(left);
        }
    }

    /// Whether nothing may go out any more, for the sake of the budget.
    pub(super) fn is_dry(&self) -> bool {
        self.allowance.as_ref().is_some_and(Allowance::is_dry)
    }

    /// Ends the transfer where its budget is spent; before that, answers to what is on its way are waited for.
    pub(super) fn end_when_spent(&mut self, in_flight: usize, now: Time) {
        let Some(allowance) = &self.allowance else { return };
        self.timers.put(Timer::Budget, allowance.drained());
        if allowance.is_over(in_flight, now) {
            let left = allowance.left();
            let message = format!("the traffic budget for {} is spent: {left} bytes of it are left", self.device);
            self.fail(TransferFailure::transient(code::TRAFFIC_BUDGET, message));
        }
    }

    /// Charges a piece as it is handed out; `sent_piece` settles the difference.
    pub(super) fn reserve(&mut self, span: Span, now: Time) {
        let bytes = self.estimate(span);
        self.charge(bytes, now);
        if let Some(allowance) = &mut self.allowance {
            allowance.reserve(bytes);
        }
    }

    pub(super) fn sent_piece(&mut self, span: Span, wire_bytes: u64, messages: u32, now: Time) {
        self.account(wire_bytes, messages);
        let reserved = self.estimate(span);
        if let Some(allowance) = &mut self.allowance {
            allowance.settle(reserved, wire_bytes);
        }
        if let Some(bucket) = &mut self.bucket {
            bucket.refund(reserved);
            bucket.spend(wire_bytes, now);
        }
    }

    pub(super) fn sent_other(&mut self, wire_bytes: u64, messages: u32, now: Time) {
        self.account(wire_bytes, messages);
        self.charge(wire_bytes, now);
    }

    fn estimate(&self, span: Span) -> u64 {
        self.overhead.0 + span.len().saturating_mul(self.overhead.1) / 1_000
    }

    fn charge(&mut self, bytes: u64, now: Time) {
        if let Some(bucket) = &mut self.bucket {
            bucket.spend(bytes, now);
        }
    }

    fn account(&mut self, wire_bytes: u64, messages: u32) {
        self.traffic.wire_bytes = self.traffic.wire_bytes.saturating_add(wire_bytes);
        self.traffic.packets += u64::from(messages);
        if let Some(allowance) = &mut self.allowance {
            allowance.spend(wire_bytes);
        }
    }

    // ---- checkpoints

    /// A packet brought the transfer on, or set it back.
    pub(super) fn progress(&mut self) {
        self.progressed += 1;
    }

    pub(super) fn checkpoint_due(&mut self, now: Time) -> bool {
        let due = self.progressed >= CHECKPOINT_PACKETS
            || (self.progressed > 0 && now.since(self.stored) >= CHECKPOINT_EVERY);
        if due {
            self.progressed = 0;
            self.stored = now;
        }
        let later = (self.progressed > 0).then_some(self.stored + CHECKPOINT_EVERY);
        self.timers.put(Timer::Checkpoint, later);
        due
    }

    // ---- the end

    pub(super) fn running(&self) -> bool {
        self.stage == Stage::Running
    }

    pub(super) fn finished(&self) -> bool {
        self.stage == Stage::Finished
    }

    pub(super) fn fail(&mut self, failure: TransferFailure) {
        self.finish(Ending::Failed(failure));
    }

    /// Ends it, after what is already in the outbox. The first ending counts.
    pub(super) fn finish(&mut self, ending: Ending) {
        if !self.running() {
            return;
        }
        self.stage = Stage::Ending;
        self.timers.clear();
        let worthless = matches!(&ending, Ending::Failed(failure) if failure.restart);
        if !worthless {
            self.outbox.push_back(Action::Checkpoint);
        }
        self.outbox.push_back(Action::Finished(ending));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_a_quarter_of_a_minute_stay_there_for_two_and_then_grow_to_one() {
        let first = Micros::from_secs(1);
        let pauses: Vec<u64> = (0..20).map(|tries| pause(first, tries).0 / 1_000_000).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 15, 15, 15, 15, 15, 15, 15, 15, 16, 32, 60, 60, 60, 60, 60, 60]);
        assert_eq!(pause(Micros::from_secs(40), 0), Micros::from_secs(40));
        assert_eq!(pause(first, u32::MAX), FAR_CAP);
    }
}
