//! One face for the machines that this room drives: a transfer, and the question of a verify.

use packhorse_core::effect::Traffic;
use packhorse_core::transfer::{
    Action, CommandKind, Digest, Ending, Event, Fault, FaultReport, ProgressReport, Sent, Span, Text, Time, Transfer,
    TransferFailure, Verified, Verify, VerifyAction,
};

/// What a machine wants.
#[derive(Debug)]
pub enum Wish {
    /// This to be done.
    Do(Action),
    /// To end as a transfer.
    End(Ending),
    /// To end with the answer of a verify.
    Answer(Verified),
    /// To end without one.
    Fail(TransferFailure),
}

/// A sans-IO machine of `core::transfer`.
pub trait Machine {
    /// What the codec read out of the device's messages.
    fn handle(&mut self, event: Event, now: Time);
    /// What the codec could not read.
    fn handle_fault(&mut self, fault: Fault, now: Time);
    /// The codec has no words for this.
    fn handle_unsupported(&mut self, command: CommandKind, now: Time);
    /// Something went out.
    fn handle_sent(&mut self, sent: Sent, now: Time);
    /// Messages came in, readable or not.
    fn handle_received(&mut self, wire_bytes: u64, messages: u32, now: Time);
    /// Bytes of a pull are on disk.
    fn handle_durable(&mut self, spans: &[Span], now: Time);
    /// The file of a pull is made.
    fn handle_digests(&mut self, digests: &[Digest], size: u64, now: Time);
    /// How many wire bytes may still be spent.
    fn handle_budget(&mut self, left: u64, now: Time);
    /// The bus lost or regained its broker.
    fn handle_connection(&mut self, up: bool, now: Time);
    /// Somebody else has heard the device.
    fn wake(&mut self, now: Time);
    /// `poll_timeout` has come.
    fn handle_timeout(&mut self, now: Time);
    /// Ends here, to go on later.
    fn park(&mut self, now: Time);
    /// Ends for good.
    fn cancel(&mut self, reason: Text, now: Time);
    /// What to do next.
    fn poll(&mut self, now: Time) -> Option<Wish>;
    /// When `handle_timeout` wants to be called.
    fn poll_timeout(&self) -> Option<Time>;
    /// For people.
    fn progress(&self, now: Time) -> ProgressReport;
    /// What it has cost so far, with what the checkpoint that it began with had cost.
    fn traffic(&self) -> Traffic;
    /// What could not be used.
    fn faults(&self) -> &FaultReport;
    /// Serialized, where there is anything to keep.
    fn checkpoint(&self) -> Option<Vec<u8>>;
}

macro_rules! forward {
    () => {
        fn handle(&mut self, event: Event, now: Time) {
            self.handle(event, now);
        }
        fn handle_fault(&mut self, fault: Fault, now: Time) {
            self.handle_fault(fault, now);
        }
        fn handle_unsupported(&mut self, command: CommandKind, now: Time) {
            self.handle_unsupported(command, now);
        }
        fn handle_sent(&mut self, sent: Sent, now: Time) {
            self.handle_sent(sent, now);
        }
        fn handle_received(&mut self, wire_bytes: u64, messages: u32, now: Time) {
            self.handle_received(wire_bytes, messages, now);
        }
        fn handle_connection(&mut self, up: bool, now: Time) {
            self.handle_connection(up, now);
        }
        fn wake(&mut self, now: Time) {
            self.wake(now);
        }
        fn handle_timeout(&mut self, now: Time) {
            self.handle_timeout(now);
        }
        fn cancel(&mut self, reason: Text, now: Time) {
            self.cancel(reason, now);
        }
        fn poll_timeout(&self) -> Option<Time> {
            self.poll_timeout()
        }
        fn progress(&self, now: Time) -> ProgressReport {
            self.progress(now)
        }
        fn traffic(&self) -> Traffic {
            self.traffic()
        }
        fn faults(&self) -> &FaultReport {
            self.faults()
        }
    };
}

impl Machine for Transfer {
    forward!();

    fn handle_durable(&mut self, spans: &[Span], now: Time) {
        self.handle_durable(spans, now);
    }

    fn handle_digests(&mut self, digests: &[Digest], size: u64, now: Time) {
        self.handle_digests(digests, size, now);
    }

    fn handle_budget(&mut self, left: u64, now: Time) {
        self.handle_budget(left, now);
    }

    fn park(&mut self, now: Time) {
        self.park(now);
    }

    fn poll(&mut self, now: Time) -> Option<Wish> {
        self.poll(now).map(|action| match action {
            Action::Finished(ending) => Wish::End(ending),
            action => Wish::Do(action),
        })
    }

    fn checkpoint(&self) -> Option<Vec<u8>> {
        serde_json::to_vec(&self.checkpoint()).ok()
    }
}

impl Machine for Verify {
    forward!();

    fn handle_durable(&mut self, _spans: &[Span], _now: Time) {}

    fn handle_digests(&mut self, _digests: &[Digest], _size: u64, _now: Time) {}

    fn handle_budget(&mut self, _left: u64, _now: Time) {}

    fn park(&mut self, now: Time) {
        self.park(now);
    }

    fn poll(&mut self, now: Time) -> Option<Wish> {
        self.poll(now).map(|action| match action {
            VerifyAction::Act(Action::Finished(ending)) => Wish::End(ending),
            VerifyAction::Act(action) => Wish::Do(action),
            VerifyAction::Answered(verified) => Wish::Answer(verified),
            VerifyAction::Failed(failure) => Wish::Fail(failure),
        })
    }

    fn checkpoint(&self) -> Option<Vec<u8>> {
        None
    }
}
