//! How long to wait before the next connection attempt.

use std::time::Duration;

use rand::Rng;

/// Exponential back-off with full jitter, so that a fleet which lost its broker does not come back as one wave.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    ceiling: Duration,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, ceiling: first }
    }

    /// The next wait: anything between half of `first` and a ceiling that starts at `first` and doubles up to `longest`.
    pub(super) fn next(&mut self, random: &mut impl Rng) -> Duration {
        let ceiling = self.ceiling;
        self.ceiling = (ceiling * 2).min(self.longest);
        random.random_range(self.first / 2..=ceiling)
    }

    /// Whether a connection that lasted so long ends a bad time: ten of the first waits, and twice the longest wait that
    /// is due now. Two clients of one id, who throw each other out in turn, never get there.
    pub(super) fn outlived(&self, lasted: Duration) -> bool {
        lasted > 10 * self.first && lasted > 2 * self.ceiling
    }

    /// After a connection that lasted.
    pub(super) fn reset(&mut self) {
        self.ceiling = self.first;
    }

    /// One of the longest waits: somebody else holds what we want.
    pub(super) fn give_way(&mut self, random: &mut impl Rng) -> Duration {
        self.ceiling = self.longest;
        random.random_range(self.longest / 2..=self.longest)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    #[test]
    fn the_longer_the_waits_the_longer_a_connection_must_last() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(120));
        assert!(backoff.outlived(Duration::from_secs(11)) && !backoff.outlived(Duration::from_secs(9)));
        backoff.give_way(&mut SmallRng::seed_from_u64(1));
        assert!(!backoff.outlived(Duration::from_secs(200)) && backoff.outlived(Duration::from_secs(241)));
    }

    #[test]
    fn it_doubles_up_to_the_limit_and_spreads() {
        let mut random = SmallRng::seed_from_u64(7);
        let second = Duration::from_secs(1);
        let mut longest = [Duration::ZERO; 10];
        let mut shortest = [Duration::MAX; 10];
        for _ in 0..500 {
            let mut backoff = Backoff::new(second, 120 * second);
            for index in 0..10 {
                let wait = backoff.next(&mut random);
                longest[index] = longest[index].max(wait);
                shortest[index] = shortest[index].min(wait);
            }
        }
        for (index, (longest, shortest)) in longest.into_iter().zip(shortest).enumerate() {
            let ceiling = second * (1 << index).min(120);
            assert!(longest <= ceiling && longest > ceiling * 9 / 10, "{index}: {longest:?}");
            assert!(shortest >= second / 2 && shortest <= second / 2 + ceiling / 10, "{index}: {shortest:?}");
        }
    }
}
