//! The four drivers behind one face.

use super::action::{Action, CommandKind};
use super::checkpoint::Checkpoint;
use super::intervals::Intervals;
use super::line::Line;
use super::plan::Plan;
use super::progress::Waiting;
use super::push::Push;
use super::receive::Receive;
use super::serve::Serve;
use super::time::{Micros, Time};
use super::words::{Digest, Driver, Event, Outcome, Span};

/// Who drives, with the state of that.
#[derive(Debug)]
pub(super) enum Role {
    Push(Box<Push>),
    Serve(Box<Serve>),
    Receive(Box<Receive>),
}

macro_rules! each {
    ($role:expr, $it:ident => $do:expr) => {
        match $role {
            Role::Push($it) => $do,
            Role::Serve($it) => $do,
            Role::Receive($it) => $do,
        }
    };
}

impl Role {
    pub(super) fn new(plan: &Plan, checkpoint: Option<&Checkpoint>, line: &mut Line, now: Time) -> Self {
        match plan.mode.driver {
            Driver::PlatformPush => Self::Push(Box::new(Push::new(plan, checkpoint, line, now))),
            Driver::DevicePull => Self::Serve(Box::new(Serve::new(plan, checkpoint, line, now))),
            Driver::DevicePush | Driver::PlatformPull => {
                Self::Receive(Box::new(Receive::new(plan, checkpoint, line, now)))
            }
        }
    }

    pub(super) fn handle(&mut self, event: Event, line: &mut Line, now: Time) {
        each!(self, it => it.handle(event, line, now));
    }

    /// The device failed and begins anew by itself. False where that is not about this attempt.
    pub(super) fn begin_again(&mut self, outcome: &Outcome, line: &mut Line) -> bool {
        match self {
            Self::Push(push) => push.begin_again(line),
            Self::Serve(serve) => serve.begin_again(outcome, line),
            Self::Receive(_) => true,
        }
    }

    pub(super) fn settle(&mut self, line: &mut Line, now: Time) {
        each!(self, it => it.settle(line, now));
    }

    pub(super) fn next(&mut self, line: &mut Line, now: Time) -> Option<Action> {
        each!(self, it => it.next(line, now))
    }

    pub(super) fn rearm(&mut self, line: &mut Line) {
        each!(self, it => it.rearm(line));
    }

    pub(super) fn handle_timeout(&mut self, line: &mut Line, now: Time) {
        each!(self, it => it.handle_timeout(line, now));
    }

    pub(super) fn done(&self) -> &Intervals {
        each!(self, it => it.done())
    }

    /// Bytes delivered, for showing: those that the device fetched elsewhere too.
    pub(super) fn reached(&self) -> u64 {
        match self {
            Self::Serve(serve) => serve.reached(),
            Self::Push(_) | Self::Receive(_) => self.done().covered(),
        }
    }

    pub(super) fn size(&self) -> Option<u64> {
        each!(self, it => it.size())
    }

    pub(super) fn in_flight(&self) -> usize {
        each!(self, it => it.in_flight())
    }

    /// Whether every byte of a pull is here, so that nothing more needs to go over the wire.
    pub(super) fn is_here(&self) -> bool {
        match self {
            Self::Push(_) | Self::Serve(_) => false,
            Self::Receive(receive) => receive.size() == Some(receive.done().covered()),
        }
    }

    pub(super) fn srtt(&self) -> Option<Micros> {
        match self {
            Self::Push(push) => push.srtt(),
            Self::Serve(_) => None,
            Self::Receive(receive) => receive.srtt(),
        }
    }

    pub(super) fn waiting(&self, line: &Line, now: Time) -> Option<Waiting> {
        match self {
            Self::Push(push) => push.waiting(),
            Self::Serve(serve) => serve.waiting(line),
            Self::Receive(receive) => receive.waiting(line, now),
        }
    }

    pub(super) fn silent_text(&self) -> String {
        each!(self, it => it.silent_text())
    }

    pub(super) fn fill(&self, checkpoint: &mut Checkpoint) {
        each!(self, it => it.fill(checkpoint));
    }

    pub(super) fn reconnected(&mut self, away: Micros, silence: Micros, line: &mut Line, now: Time) {
        match self {
            Self::Push(push) => push.reconnected(away, silence, line, now),
            Self::Serve(serve) => serve.reconnected(line, now),
            Self::Receive(receive) => receive.reconnected(line, now),
        }
    }

    /// Forgets how often silence was probed, beside what the line knows of it.
    pub(super) fn wake(&mut self) {
        match self {
            Self::Push(push) => push.wake(),
            Self::Serve(_) => {}
            Self::Receive(receive) => receive.wake(),
        }
    }

    pub(super) fn handle_sent(&mut self, span: Span, now: Time) {
        match self {
            Self::Push(push) => push.handle_sent(span, now),
            Self::Serve(_) | Self::Receive(_) => {}
        }
    }

    pub(super) fn durable(&mut self, spans: &[Span], line: &mut Line) {
        match self {
            Self::Push(_) | Self::Serve(_) => {}
            Self::Receive(receive) => receive.durable(spans, line),
        }
    }

    pub(super) fn digested(&mut self, digests: &[Digest], size: u64, line: &mut Line, now: Time) {
        match self {
            Self::Push(_) | Self::Serve(_) => {}
            Self::Receive(receive) => receive.digested(digests, size, line, now),
        }
    }

    pub(super) fn cannot_say(&mut self, kind: CommandKind) {
        match self {
            Self::Push(push) if kind == CommandKind::Query => push.query_unsupported(),
            Self::Receive(receive) if kind == CommandKind::Ack => receive.cannot_ack(),
            Self::Receive(receive) if kind == CommandKind::Need => receive.cannot_need(),
            Self::Push(_) | Self::Serve(_) | Self::Receive(_) => {}
        }
    }

    /// The command without which this driver cannot work.
    pub(super) fn vital(&self) -> Option<CommandKind> {
        match self {
            Self::Push(_) | Self::Serve(_) => Some(CommandKind::Chunk),
            Self::Receive(receive) => receive.vital(),
        }
    }
}
