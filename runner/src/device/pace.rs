//! How long it takes from a device's word to the next message that it gets: counted in buckets, shared by many devices.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets; each is a quarter wider than the one before it, from 10 µs to some minutes.
const BUCKETS: usize = 80;

/// Counts of times. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct Pace(Arc<[AtomicU64; BUCKETS]>);

impl Default for Pace {
    fn default() -> Self {
        Self(Arc::new([const { AtomicU64::new(0) }; BUCKETS]))
    }
}

impl Pace {
    /// Counts one.
    pub fn count(&self, time: Duration) {
        let steps = (time.as_secs_f64() / 1e-5).max(1.0).ln() / 1.25_f64.ln();
        self.0[(steps.ceil() as usize).min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
    }

    /// How many were counted.
    pub fn counted(&self) -> u64 {
        self.0.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// The time that so large a share (0 to 1) does not pass, to a quarter; zero of none.
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = (self.counted() as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (index, bucket) in self.0.iter().enumerate() {
            seen += bucket.load(Ordering::Relaxed);
            if seen >= wanted && seen > 0 {
                return Duration::from_secs_f64(1e-5 * 1.25_f64.powi(i32::try_from(index).unwrap_or(i32::MAX)));
            }
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_true_to_a_quarter() {
        let pace = Pace::default();
        assert_eq!(pace.quantile(0.99), Duration::ZERO);
        for millis in 1..=1_000 {
            pace.clone().count(Duration::from_millis(millis));
        }
        assert_eq!(pace.counted(), 1_000);
        for (share, millis) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1_000.0)] {
            let found = pace.quantile(share).as_secs_f64() * 1e3;
            assert!((millis..millis * 1.26).contains(&found), "{share}: {found}");
        }
        pace.count(Duration::from_secs(100_000));
        assert_eq!(pace.counted(), 1_001);
    }
}
