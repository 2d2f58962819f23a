//! Faults on whole messages of one direction: seeded, so that a run can be repeated as far as timing allows.

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Messages that may overtake one that is held back.
const OVERTAKING: u32 = 8;
/// Longest time that a message is held back.
const HELD: Duration = Duration::from_millis(20);

/// How often each fault struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Struck {
    /// Messages in.
    pub messages: u64,
    /// Lost.
    pub lost: u64,
    /// Doubled.
    pub duplicated: u64,
    /// Held back.
    pub reordered: u64,
    /// Changed.
    pub corrupted: u64,
}

impl std::ops::Add for Struck {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            messages: self.messages + other.messages,
            lost: self.lost + other.lost,
            duplicated: self.duplicated + other.duplicated,
            reordered: self.reordered + other.reordered,
            corrupted: self.corrupted + other.corrupted,
        }
    }
}

/// The weather of one direction.
#[derive(Debug)]
pub struct Weather<T> {
    loss: f64,
    duplicate: f64,
    reorder: f64,
    corrupt: f64,
    random: SmallRng,
    held: VecDeque<Held<T>>,
    struck: Struck,
}

#[derive(Debug)]
struct Held<T> {
    message: T,
    overtaking: u32,
    until: Instant,
}

impl<T: Clone> Weather<T> {
    /// Shares from 0 to 1.
    pub fn new(loss: f64, faults: &super::Faults, seed: u64) -> Self {
        Self {
            loss,
            duplicate: faults.duplicate,
            reorder: faults.reorder,
            corrupt: faults.corrupt,
            random: SmallRng::seed_from_u64(seed),
            held: VecDeque::new(),
            struck: Struck::default(),
        }
    }

    /// What becomes of a message: what is delivered now, in order. `corrupt` changes one byte of it, chosen by the number.
    pub fn pass(&mut self, mut message: T, now: Instant, corrupt: impl FnOnce(&mut T, u64)) -> Vec<T> {
        self.struck.messages += 1;
        let mut out = Vec::new();
        if self.strikes(self.loss) {
            self.struck.lost += 1;
        } else {
            if self.strikes(self.corrupt) {
                self.struck.corrupted += 1;
                corrupt(&mut message, self.random.random());
            }
            if self.strikes(self.duplicate) {
                self.struck.duplicated += 1;
                out.push(message.clone());
            }
            if self.strikes(self.reorder) {
                self.struck.reordered += 1;
                let overtaking = self.random.random_range(1..=OVERTAKING);
                self.held.push_back(Held { message, overtaking, until: now + HELD });
            } else {
                out.push(message);
            }
        }
        self.overtaken(u32::try_from(out.len()).unwrap_or(u32::MAX));
        out.extend(self.due(now));
        out
    }

    /// Messages that were held back long enough.
    pub fn due(&mut self, now: Instant) -> Vec<T> {
        let mut out = Vec::new();
        let mut index = 0;
        while index < self.held.len() {
            if self.held[index].overtaking == 0 || self.held[index].until <= now {
                out.extend(self.held.remove(index).map(|held| held.message));
            } else {
                index += 1;
            }
        }
        out
    }

    /// When [`Weather::due`] has something.
    pub fn next(&self) -> Option<Instant> {
        self.held.iter().map(|held| held.until).min()
    }

    /// What struck so far.
    pub const fn struck(&self) -> Struck {
        self.struck
    }

    fn overtaken(&mut self, by: u32) {
        for held in &mut self.held {
            held.overtaking = held.overtaking.saturating_sub(by);
        }
    }

    fn strikes(&mut self, share: f64) -> bool {
        share > 0.0 && self.random.random_bool(share.min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Faults;
    use super::*;

    fn run(loss: f64, faults: Faults) -> (Vec<u32>, Struck) {
        let mut weather = Weather::new(loss, &faults, 7);
        let now = Instant::now();
        let mut out: Vec<u32> = (0..10_000).flat_map(|n| weather.pass(n, now, |n, _| *n += 1_000_000)).collect();
        out.extend(weather.due(now + HELD));
        (out, weather.struck())
    }

    #[test]
    fn calm_weather_changes_nothing() {
        assert_eq!(run(0.0, Faults::default()).0, (0..10_000).collect::<Vec<_>>());
    }

    #[test]
    fn each_fault_strikes_as_often_as_asked_and_loses_nothing_else() {
        let (out, struck) = run(0.2, Faults { duplicate: 0.05, reorder: 0.1, corrupt: 0.05, ..Faults::default() });
        assert!((1_700..2_300).contains(&struck.lost), "{struck:?}");
        assert!(struck.duplicated > 200 && struck.reordered > 500 && struck.corrupted > 200, "{struck:?}");
        assert_eq!(out.len() as u64, 10_000 - struck.lost + struck.duplicated);
        assert!(!out.is_sorted(), "some were overtaken");
    }
}
