//! The rules of the transfer machine, each with a fake clock and a device of a few lines.

mod budget;
mod intervals;
mod link;
mod push;
mod push_asks;
mod push_rules;
mod receive;
mod retrying;
mod serve;
mod verify;

use super::*;

pub(super) const OVERHEAD: u64 = 100;

pub(super) fn mode(driver: Driver) -> Mode {
    Mode {
        driver,
        packet_min: 1,
        packet_max: 65_536,
        packet_default: 640,
        packet_align: 0,
        grid: false,
        window_default: 16,
        window_max: 256,
        overhead_fixed: 100,
        overhead_per_mille: 1_000,
        replies: Replies::Resend,
        acks: Acks::Message,
        order: Order::Any,
        confirms: false,
        can_query: false,
        can_cancel: false,
        file_max: 0,
    }
}

pub(super) fn digest(value: &[u8]) -> Digest {
    Digest { algorithm: Algorithm::Md5, value: value.to_vec() }
}

pub(super) fn plan(driver: Driver, size: u64) -> Plan {
    let file = FileInfo { size: Some(size), digests: vec![digest(b"ours")], ..FileInfo::default() };
    Plan::new(mode(driver), "dev-1", file)
}

pub(super) fn pull_plan(driver: Driver) -> Plan {
    Plan::new(mode(driver), "dev-1", FileInfo { name: "log".to_owned(), ..FileInfo::default() })
}

/// A machine whose every action is at once carried out in words, with its clock.
pub(super) struct Rig {
    pub(super) transfer: Transfer,
    pub(super) now: Time,
    /// Every ending, at most one.
    pub(super) ending: Option<Ending>,
    pub(super) checkpoints: Vec<Checkpoint>,
}

impl Rig {
    pub(super) fn new(plan: Plan) -> Self {
        Self::resumed(plan, None)
    }

    pub(super) fn resumed(plan: Plan, checkpoint: Option<Checkpoint>) -> Self {
        let now = Time(1_000_000_000);
        let transfer = Transfer::new(plan, checkpoint, now).unwrap();
        Self { transfer, now, ending: None, checkpoints: Vec::new() }
    }

    /// Everything that the machine wants now; pieces and words count as sent.
    pub(super) fn drain(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some(action) = self.transfer.poll(self.now) {
            match &action {
                Action::Send { span, .. } => self.sent(SentKind::Piece(*span), OVERHEAD + span.len()),
                Action::Say(_) => self.sent(SentKind::Other, OVERHEAD),
                Action::Checkpoint => self.checkpoints.push(self.transfer.checkpoint()),
                Action::Finished(ending) => self.ending = Some(ending.clone()),
                Action::Write { .. } | Action::Truncate | Action::Digest => {}
            }
            if action != Action::Checkpoint {
                actions.push(action);
            }
            assert!(actions.len() < 100_000, "the machine never stops wanting things");
        }
        actions
    }

    fn sent(&mut self, what: SentKind, wire_bytes: u64) {
        self.transfer.handle_sent(Sent { what, wire_bytes, messages: 1 }, self.now);
    }

    /// One batch of events, as one message of the device.
    pub(super) fn hear(&mut self, events: impl IntoIterator<Item = Event>) -> Vec<Action> {
        self.transfer.handle_received(OVERHEAD, 1, self.now);
        for event in events {
            self.transfer.handle(event, self.now);
        }
        self.drain()
    }

    pub(super) fn wait(&mut self, millis: u64) -> Vec<Action> {
        let until = self.now + Micros::from_millis(millis);
        let mut actions = Vec::new();
        let mut idle = 0;
        while let Some(next) = self.transfer.poll_timeout().filter(|next| *next <= until) {
            idle = if next <= self.now { idle + 1 } else { 0 };
            assert!(idle < 10, "the machine asks to be called again and again at one moment");
            self.now = self.now.max(next);
            self.transfer.handle_timeout(self.now);
            actions.extend(self.drain());
        }
        self.now = until;
        actions
    }

    pub(super) fn failure(&self) -> &TransferFailure {
        match &self.ending {
            Some(Ending::Failed(failure)) => failure,
            other => panic!("expected a failure, got {other:?}"),
        }
    }

    pub(super) fn confirmed(&self) -> Confirmed {
        match &self.ending {
            Some(Ending::Good { confirmed, .. }) => *confirmed,
            other => panic!("expected a good ending, got {other:?}"),
        }
    }
}

pub(super) fn pieces(actions: &[Action]) -> Vec<(u64, u64)> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Send { span, .. } => Some((span.start, span.end)),
            _ => None,
        })
        .collect()
}

pub(super) fn said(actions: &[Action]) -> Vec<CommandKind> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Say(command) => Some(CommandKind::from(command)),
            _ => None,
        })
        .collect()
}

pub(super) fn ack(start: u64, end: u64) -> Event {
    Event::Ack(Span::new(start, end))
}
