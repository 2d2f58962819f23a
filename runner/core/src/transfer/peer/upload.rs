//! The sending half of a device that uploads its file: asks to begin, sends a window of pieces, repeats what is not acknowledged.

use std::collections::VecDeque;

use super::plan::{PeerAction, PeerPlan};
use super::serve::send;
use crate::transfer::{
    Accept, Acks, Event, FileInfo, Finish, Intervals, Micros, Mode, Order, Receipt, Span, StartUpload, Tag, Time, Want,
};

/// How often the device asks to begin, or says that it has sent everything, into silence.
const REPEATS: u32 = 30;

/// One piece that is not acknowledged yet.
#[derive(Debug, Clone, Copy)]
struct Flying {
    span: Span,
    due: Time,
    tries: u32,
}

#[derive(Debug)]
enum State {
    Idle,
    /// Asked to begin; the tag of the newest request.
    Starting {
        tag: Tag,
        due: Time,
        said: u32,
    },
    Sending {
        next: u64,
    },
    /// Everything is acknowledged, or sent where nothing acknowledges.
    Finishing {
        due: Time,
        said: u32,
    },
    Ended,
}

/// What a device-push device does.
#[derive(Debug)]
pub(super) struct Upload {
    packet: u64,
    window: usize,
    patience: Micros,
    acked_by: Acks,
    state: State,
    next_tag: Tag,
    /// When it last asked to begin: a repeated wish of the platform within the patience changes nothing.
    started: Option<Time>,
    acked: Intervals,
    flying: Vec<Flying>,
}

impl Upload {
    pub(super) fn new(plan: &PeerPlan, mode: &Mode) -> Self {
        Self {
            packet: u64::from(plan.packet_size.max(1)),
            window: if mode.order == Order::Sequential { 1 } else { usize::from(plan.window.max(1)) },
            patience: plan.patience.max(Micros(1)),
            acked_by: mode.acks,
            state: State::Idle,
            next_tag: 1,
            started: None,
            acked: Intervals::default(),
            flying: Vec::new(),
        }
    }

    /// The process died. Nothing of an upload is kept: the platform knows what it has.
    pub(super) fn restart(&mut self) {
        self.state = State::Idle;
        self.acked = Intervals::default();
        self.flying.clear();
    }

    /// Asks to begin, by itself or because the platform wants it; during an upload this asks where to go on.
    pub(super) fn start(&mut self, file: &FileInfo, now: Time, out: &mut VecDeque<PeerAction>) {
        if self.is_active() && self.started.is_some_and(|at| now < at + self.patience) {
            return;
        }
        self.started = Some(now);
        self.next_tag += 1;
        self.state = State::Starting { tag: self.next_tag, due: self.later(now, 0), said: 1 };
        self.say_start(file, out);
    }

    /// The platform could not use what came: asks to begin anew, after a while.
    pub(super) fn start_later(&mut self, now: Time) {
        if self.is_active() {
            self.flying.clear();
            self.next_tag += 1;
            self.state = State::Starting { tag: self.next_tag, due: self.later(now, 3), said: 0 };
        }
    }

    /// The platform takes it, and says where to go on.
    pub(super) fn accept(&mut self, accept: &Accept, file: &FileInfo, now: Time, out: &mut VecDeque<PeerAction>) {
        let State::Starting { tag, .. } = self.state else { return };
        if accept.tag != 0 && accept.tag != tag {
            return;
        }
        self.acked = Intervals::default();
        self.acked.insert(Span::new(0, accept.resume_at.min(size(file))));
        self.flying.clear();
        self.state = State::Sending { next: accept.resume_at.min(size(file)) };
        if size(file) == 0 {
            out.push_back(PeerAction::SendData { tag, span: Span::new(0, 0), last: true });
        }
        self.fill(file, now, out);
    }

    /// The platform has a piece, or says that it was damaged on the way.
    pub(super) fn receipt(&mut self, receipt: &Receipt, file: &FileInfo, now: Time, out: &mut VecDeque<PeerAction>) {
        if !matches!(self.state, State::Sending { .. } | State::Finishing { .. }) {
            return;
        }
        if receipt.good {
            self.acked.insert(Span::new(receipt.span.start, receipt.span.end.min(size(file))));
            let acked = &self.acked;
            self.flying.retain(|flying| !acked.contains(flying.span));
        } else if let Some(at) = self.flying.iter().position(|flying| flying.span.start == receipt.span.start) {
            let flying = self.flying.remove(at);
            self.launch(flying.span, flying.tries, file, now, out);
        }
        self.fill(file, now, out);
    }

    /// The platform lacks bytes: sends them at once, whatever was acknowledged.
    pub(super) fn need(&mut self, want: &Want, file: &FileInfo, out: &mut VecDeque<PeerAction>) {
        if matches!(self.state, State::Sending { .. } | State::Finishing { .. }) {
            let piece = if want.limit == 0 { self.packet } else { u64::from(want.limit) };
            send(want.tag, want.span, size(file), piece.min(self.packet), out);
        }
    }

    /// It is over for the platform.
    pub(super) fn ended(&mut self) {
        self.state = State::Ended;
        self.flying.clear();
    }

    pub(super) fn is_active(&self) -> bool {
        matches!(self.state, State::Starting { .. } | State::Sending { .. } | State::Finishing { .. })
    }

    pub(super) fn timeout(&mut self, file: &FileInfo, now: Time, out: &mut VecDeque<PeerAction>) {
        match self.state {
            State::Starting { tag, due, said } if due <= now => {
                self.state = if said < REPEATS {
                    self.say_start(file, out);
                    State::Starting { tag, due: self.later(now, said), said: said + 1 }
                } else {
                    State::Idle
                };
            }
            State::Finishing { due, said } if due <= now => self.finish(file, said, now, out),
            State::Sending { .. } => {
                let late: Vec<Flying> = self.flying.extract_if(.., |flying| flying.due <= now).collect();
                let repeated = if self.acked_by == Acks::Message { late } else { Vec::new() };
                for flying in repeated {
                    self.launch(flying.span, flying.tries + 1, file, now, out);
                }
                self.fill(file, now, out);
            }
            State::Idle | State::Ended | State::Starting { .. } | State::Finishing { .. } => {}
        }
    }

    pub(super) fn due(&self) -> Option<Time> {
        match self.state {
            State::Starting { due, .. } | State::Finishing { due, .. } => Some(due),
            State::Sending { .. } => self.flying.iter().map(|flying| flying.due).min(),
            State::Idle | State::Ended => None,
        }
    }

    fn fill(&mut self, file: &FileInfo, now: Time, out: &mut VecDeque<PeerAction>) {
        let State::Sending { mut next } = self.state else { return };
        let size = size(file);
        while next < size && self.flying.len() < self.window {
            let span = Span::new(next, next.saturating_add(self.packet).min(size));
            next = span.end;
            if !self.acked.contains(span) {
                self.launch(span, 0, file, now, out);
            }
        }
        self.state = State::Sending { next };
        if next >= size && self.flying.is_empty() {
            self.finish(file, 0, now, out);
        }
    }

    fn launch(&mut self, span: Span, tries: u32, file: &FileInfo, now: Time, out: &mut VecDeque<PeerAction>) {
        self.next_tag += 1;
        let last = span.end == size(file);
        out.push_back(PeerAction::SendData { tag: self.next_tag, span, last });
        // Where nothing is acknowledged it only keeps a pace: a window of pieces in an eighth of its patience.
        let due =
            if self.acked_by == Acks::Message { self.later(now, tries) } else { now + Micros(self.patience.0 / 8) };
        self.flying.push(Flying { span, due, tries });
    }

    fn finish(&mut self, file: &FileInfo, said: u32, now: Time, out: &mut VecDeque<PeerAction>) {
        if said >= REPEATS {
            self.state = State::Ended;
            return;
        }
        self.state = State::Finishing { due: self.later(now, said), said: said + 1 };
        let finish = Finish { tag: self.next_tag, size: file.size, digests: file.digests.clone() };
        out.push_back(PeerAction::Say(Event::Finish(finish)));
    }

    fn say_start(&self, file: &FileInfo, out: &mut VecDeque<PeerAction>) {
        let start = StartUpload { tag: self.next_tag, file: file.clone(), resume_key: file.name.clone() };
        out.push_back(PeerAction::Say(Event::StartUpload(start)));
    }

    fn later(&self, now: Time, tries: u32) -> Time {
        now + self.patience.doubled(tries.min(3), Micros(u64::MAX))
    }
}

fn size(file: &FileInfo) -> u64 {
    file.size.unwrap_or(0)
}
