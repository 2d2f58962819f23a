//! A lossy link with a device at its end that stores pieces and acknowledges them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;

/// What a link does to packets, in per mille.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weather {
    pub(super) loss_down: u64,
    pub(super) loss_up: u64,
    pub(super) duplicate: u64,
    pub(super) reorder: u64,
    /// One way.
    pub(super) delay: u64,
    pub(super) reorder_by: u64,
    /// Acknowledgements tell of everything.
    pub(super) maps: bool,
}

impl Weather {
    pub(super) fn fair() -> Self {
        Self { loss_down: 0, loss_up: 0, duplicate: 0, reorder: 0, delay: 100, reorder_by: 0, maps: false }
    }

    pub(super) fn loss(per_mille: u64) -> Self {
        Self { loss_down: per_mille, loss_up: per_mille, ..Self::fair() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Flying {
    Piece(u64, u64),
    Ack(u64, u64),
}

/// What came of a push over it.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) ending: Ending,
    pub(super) traffic: Traffic,
    pub(super) sends: u64,
    /// The longest time without a new byte at the device.
    pub(super) stall: Micros,
    pub(super) lasted: Micros,
}

pub(super) struct Link {
    weather: Weather,
    seed: u64,
    queue: BinaryHeap<Reverse<(Time, u64, Flying)>>,
    serial: u64,
}

impl Link {
    pub(super) fn new(weather: Weather, seed: u64) -> Self {
        Self { weather, seed: seed | 1, queue: BinaryHeap::new(), serial: 0 }
    }

    fn chance(&mut self, per_mille: u64) -> bool {
        self.draw() % 1_000 < per_mille
    }

    fn draw(&mut self) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed >> 11
    }

    fn put(&mut self, flying: Flying, loss: u64, now: Time) {
        let copies = 1 + u64::from(self.chance(self.weather.duplicate));
        for _ in 0..copies {
            if self.chance(loss) {
                continue;
            }
            let mut at = now + Micros(self.weather.delay + self.draw() % 20);
            if self.chance(self.weather.reorder) {
                let extra = self.draw() % self.weather.reorder_by.max(1);
                at = at + Micros(extra);
            }
            self.serial += 1;
            self.queue.push(Reverse((at, self.serial, flying.clone())));
        }
    }

    pub(super) fn push(mut self, plan: Plan) -> Report {
        let mut rig = Rig::new(plan);
        let began = rig.now;
        let (mut stored, mut sends, mut stall, mut last_new) = (Intervals::new(), 0, Micros(0), rig.now);
        loop {
            for (start, end) in pieces(&rig.drain()) {
                sends += 1;
                self.put(Flying::Piece(start, end), self.weather.loss_down, rig.now);
            }
            if let Some(ending) = rig.ending.take() {
                let lasted = rig.now.since(began);
                return Report { ending, traffic: rig.transfer.traffic(), sends, stall, lasted };
            }
            let arrives = self.queue.peek().map(|Reverse((at, _, _))| *at);
            let due = rig.transfer.poll_timeout();
            let next = arrives.into_iter().chain(due).min().expect("something is always to come");
            rig.now = rig.now.max(next);
            if arrives != Some(next) {
                rig.transfer.handle_timeout(rig.now);
                continue;
            }
            match self.queue.pop() {
                Some(Reverse((_, _, Flying::Piece(start, end)))) => {
                    if stored.insert(Span::new(start, end)) > 0 {
                        stall = stall.max(rig.now.since(last_new));
                        last_new = rig.now;
                    }
                    let prefix = if self.weather.maps { stored.prefix() } else { 0 };
                    let _ = prefix;
                    self.put(Flying::Ack(start, end), self.weather.loss_up, rig.now);
                }
                Some(Reverse((_, _, Flying::Ack(start, end)))) => {
                    rig.transfer.handle_received(OVERHEAD, 1, rig.now);
                    if self.weather.maps {
                        for span in stored.iter().collect::<Vec<_>>() {
                            rig.transfer.handle(Event::Ack(span), rig.now);
                        }
                    } else {
                        rig.transfer.handle(ack(start, end), rig.now);
                    }
                }
                None => {}
            }
        }
    }
}
