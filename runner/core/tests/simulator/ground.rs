//! What both ends stand on: the clock, the queue of what will happen, and the link between them.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use packhorse_core::transfer::{Command, Event, Sum};

use crate::chance::Chance;
use crate::counts::{Counts, Struck};
use crate::link::{Fate, Link};
use crate::scenario::Scenario;
use crate::trace::Trace;

/// Bytes of a message besides its piece.
pub(crate) const HEADER: u64 = 48;

/// A message as it arrives.
#[derive(Debug, Clone)]
pub(crate) struct Frame<W> {
    pub(crate) word: Word<W>,
    /// Of whoever sent it; 0 = it knew none.
    pub(crate) epoch: u32,
    pub(crate) wire: u64,
}

/// What a codec makes of a message.
#[derive(Debug, Clone)]
pub(crate) enum Word<W> {
    Said(W),
    Malformed,
    NotMine,
}

/// Words that a damaged message may still be read as.
pub(crate) trait Damage: Sized {
    fn damaged(self, chance: &mut Chance) -> Word<Self>;
}

impl Damage for Command {
    fn damaged(self, _: &mut Chance) -> Word<Self> {
        Word::Malformed
    }
}

/// What one message of the device says.
impl Damage for Vec<Event> {
    /// A piece whose own check fails is still told, as bad.
    fn damaged(mut self, chance: &mut Chance) -> Word<Self> {
        match self.first_mut() {
            Some(Event::Data(data)) if chance.hit(0.5) => {
                let at = chance.from(0, (data.bytes.len() as u64).saturating_sub(1)) as usize;
                if let Some(byte) = data.bytes.get_mut(at) {
                    *byte ^= 1 << chance.from(0, 7);
                }
                data.sum = Sum::Bad;
                Word::Said(self)
            }
            _ => Word::Malformed,
        }
    }
}

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Happening {
    ToDevice(Frame<Command>),
    ToPlatform(Frame<Vec<Event>>),
    DeviceSynced(u32),
    PlatformSynced(u32),
    DeviceBack,
    /// An open pause ends, with a word that may be lost.
    DeviceSpeaks,
    PlatformBack,
    Connected,
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

/// See the file.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) now: u64,
    pub(crate) chance: Chance,
    pub(crate) counts: Counts,
    pub(crate) trace: Trace,
    pub(crate) connected: bool,
    pub(crate) silent_until: u64,
    queue: BinaryHeap<Entry>,
    serial: u64,
    down: Link,
    up: Link,
}

impl Ground {
    pub(crate) fn new(scenario: &Scenario, print: bool) -> Self {
        Self {
            now: 0,
            chance: Chance::new(scenario.seed ^ 0x5eed_0f11),
            counts: Counts::default(),
            trace: Trace::new(print),
            connected: true,
            silent_until: 0,
            queue: BinaryHeap::new(),
            serial: 0,
            down: Link::new(scenario.down.clone()),
            up: Link::new(scenario.up.clone()),
        }
    }

    pub(crate) fn later(&mut self, by: u64, what: Happening) {
        self.at(self.now.saturating_add(by), what);
    }

    pub(crate) fn next_at(&self) -> Option<u64> {
        self.queue.peek().map(|entry| entry.at)
    }

    pub(crate) fn next(&mut self) -> Option<Happening> {
        self.queue.pop().map(|entry| entry.what)
    }

    pub(crate) fn heal(&mut self) {
        self.down.heal();
        self.up.heal();
    }

    /// Whether messages get through at this moment at all.
    pub(crate) fn reachable(&self) -> bool {
        self.connected && self.now >= self.silent_until
    }

    pub(crate) fn send_down(&mut self, command: Command, epoch: u32, wire: u64) {
        self.trace.note(self.now, 1, wire, u64::from(epoch), || format!("-> {}", brief(&command)));
        self.counts.packets += 1;
        if !self.reachable() {
            return;
        }
        let arrivals = self.down.carry(self.now, &mut self.chance, &mut self.counts);
        for (at, frame) in self.frames(arrivals, command, epoch, wire, self.down.plan.alien) {
            self.at(at, Happening::ToDevice(frame));
        }
    }

    pub(crate) fn send_up(&mut self, events: Vec<Event>, epoch: u32, wire: u64) {
        self.trace.note(self.now, 2, wire, u64::from(epoch), || format!("   <- {}", brief(&events)));
        self.counts.packets += 1;
        if !self.reachable() {
            return;
        }
        let arrivals = self.up.carry(self.now, &mut self.chance, &mut self.counts);
        for (at, frame) in self.frames(arrivals, events, epoch, wire, self.up.plan.alien) {
            self.at(at, Happening::ToPlatform(frame));
        }
    }

    fn frames<W: Damage + Clone>(
        &mut self,
        arrivals: Vec<(u64, Fate)>,
        word: W,
        epoch: u32,
        wire: u64,
        alien: f64,
    ) -> Vec<(u64, Frame<W>)> {
        let mut frames = Vec::with_capacity(arrivals.len() + 1);
        if let Some((at, _)) = arrivals.first().filter(|_| alien > 0.0 && self.chance.hit(alien)) {
            frames.push((*at, Frame { word: Word::NotMine, epoch, wire: HEADER }));
        }
        let mut word = Some(word);
        let count = arrivals.len();
        for (nth, (at, fate)) in arrivals.into_iter().enumerate() {
            let copy = if nth + 1 == count { word.take() } else { word.clone() };
            let copy = copy.expect("taken with the last copy only");
            let word = match fate {
                Fate::Whole => Word::Said(copy),
                Fate::Damaged => copy.damaged(&mut self.chance),
            };
            if matches!(fate, Fate::Damaged) {
                let bad_sum = matches!(word, Word::Said(_));
                self.counts.add(if bad_sum { Struck::BadSum } else { Struck::Malformed });
            }
            frames.push((at, Frame { word, epoch, wire }));
        }
        frames
    }

    fn at(&mut self, at: u64, what: Happening) {
        self.serial += 1;
        self.queue.push(Entry { at, serial: self.serial, what });
    }
}

/// A word without its bytes, for the trace.
fn brief(word: &dyn std::fmt::Debug) -> String {
    let mut text = format!("{word:?}");
    if let Some(from) = text.find("bytes: [")
        && let Some(length) = text[from..].find(']')
    {
        text.replace_range(from..=from + length, "bytes: …");
    }
    text
}
