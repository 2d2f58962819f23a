//! What everything stands on: clock, chance, counts, trace, and the queue of what will happen.

use crate::chance::Chance;
use crate::counts::Counts;
use crate::mutant::Mutant;
use crate::trace::Trace;
use packhorse::bus::Message;
use packhorse_core::run::RunId;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// What an oracle saw.
pub(crate) type Violation = String;

/// Why a runner stops in the middle of something.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It was killed at an effect boundary.
    Died,
    /// An oracle has seen something.
    Wrong(Violation),
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Self {
        Self::Wrong(violation)
    }
}

/// Who receives messages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum To {
    Device(usize),
    /// A job of a runner in one of its lives, by ticket.
    Job {
        runner: usize,
        life: u32,
        ticket: u64,
    },
}

/// Who sent a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Device(usize),
    /// A session with its epoch.
    Session {
        run: usize,
        epoch: u32,
        /// When it was published.
        at: u64,
    },
}

impl Origin {
    /// Run and epoch; nothing of a device.
    pub(crate) fn session(self) -> Option<(usize, u32)> {
        match self {
            Self::Session { run, epoch, .. } => Some((run, epoch)),
            Self::Device(_) => None,
        }
    }
}

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Happening {
    Arrive {
        to: To,
        filter: usize,
        message: Message,
        from: Origin,
    },
    Commit {
        runner: usize,
        life: u32,
    },
    Synced {
        runner: usize,
        life: u32,
        part: String,
        generation: u32,
    },
    DeviceSynced {
        device: usize,
        generation: u32,
    },
    /// A plain effect's time has come.
    Effect {
        runner: usize,
        life: u32,
        run: RunId,
        ticket: u64,
    },
    RunnerBack(usize),
    Thaw(usize),
    TakeOver(usize),
    Connected(usize),
    BrokerBack,
    DeviceBack(usize),
    DeviceOnline(usize),
    DeviceSpeaks(usize),
    Begin(usize),
    Resume(usize),
    WallRuns,
}

#[derive(Debug)]
struct Entry {
    at: u64,
    serial: u64,
    what: Happening,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.serial).cmp(&(self.at, self.serial))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

/// See the file. Times are virtual microseconds.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) now: u64,
    pub(crate) chance: Chance,
    pub(crate) counts: Counts,
    pub(crate) trace: Trace,
    pub(crate) mutant: Option<Mutant>,
    /// Effect boundaries passed, and the one at which the runner dies.
    pub(crate) boundaries: u64,
    pub(crate) dies_at: Option<u64>,
    queue: BinaryHeap<Entry>,
    serial: u64,
}

impl Ground {
    pub(crate) fn new(seed: u64, print: bool, mutant: Option<Mutant>) -> Self {
        Self {
            now: 0,
            chance: Chance::new(seed ^ 0x5eed_0f11),
            counts: Counts::default(),
            trace: Trace::new(print),
            mutant,
            boundaries: 0,
            dies_at: None,
            queue: BinaryHeap::new(),
            serial: 0,
        }
    }

    pub(crate) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    pub(crate) fn later(&mut self, by: u64, what: Happening) {
        self.at(self.now.saturating_add(by), what);
    }

    pub(crate) fn at(&mut self, at: u64, what: Happening) {
        self.serial += 1;
        self.queue.push(Entry { at, serial: self.serial, what });
    }

    pub(crate) fn next_at(&self) -> Option<u64> {
        self.queue.peek().map(|entry| entry.at)
    }

    /// What is due by now.
    pub(crate) fn due(&mut self) -> Option<Happening> {
        if self.next_at()? > self.now {
            return None;
        }
        self.queue.pop().map(|entry| entry.what)
    }

    /// A line between two things that a runner does to the outside.
    pub(crate) fn boundary(&mut self, what: &'static str) -> Result<(), Stop> {
        self.boundaries += 1;
        if self.dies_at == Some(self.boundaries) {
            self.tell(9, || format!("!! dies at boundary: {what}"));
            return Err(Stop::Died);
        }
        Ok(())
    }

    pub(crate) fn tell(&mut self, kind: u8, what: impl FnOnce() -> String) {
        self.trace.note(self.now, kind, 0, what);
    }
}
