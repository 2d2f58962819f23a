//! A ceiling on wire bytes a second, as a virtual clock: every byte moves it on, and sending waits while it is ahead.

use super::time::{Micros, Time};

/// How far a line that was idle may run ahead.
const BURST: Micros = Micros::from_millis(50);
const NANOS_A_SECOND: u128 = 1_000_000_000;

/// The bucket of one transfer. What comes in counts as what goes out does, and may overdraw it.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: u64,
    /// Nanoseconds of the machine's clock up to which the line is spoken for.
    spoken: u64,
}

impl Bucket {
    /// `rate` in bytes a second; 0 is taken as 1.
    pub(super) fn new(rate: u64) -> Self {
        Self { rate: rate.max(1), spoken: 0 }
    }

    pub(super) fn spend(&mut self, bytes: u64, now: Time) {
        let idle = (now - BURST).0.saturating_mul(1_000);
        self.spoken = self.spoken.max(idle).saturating_add(self.cost(bytes));
    }

    pub(super) fn refund(&mut self, bytes: u64) {
        self.spoken = self.spoken.saturating_sub(self.cost(bytes));
    }

    /// When the next packet may go; in the past where it may go at once.
    pub(super) fn ready(&self) -> Time {
        Time(self.spoken.div_ceil(1_000))
    }

    fn cost(&self, bytes: u64) -> u64 {
        let nanos = u128::from(bytes) * NANOS_A_SECOND / u128::from(self.rate);
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_sending_costs_a_second() {
        let mut bucket = Bucket::new(10_000);
        let mut now = Time(1_000_000);
        let mut sent = 0;
        while now < Time(11_000_000) {
            if bucket.ready() <= now {
                bucket.spend(100, now);
                sent += 100;
            } else {
                now = bucket.ready();
            }
        }
        assert!((100_000..=100_700).contains(&sent), "{sent} bytes in ten seconds");
    }

    #[test]
    fn what_was_reserved_and_not_used_comes_back() {
        let mut bucket = Bucket::new(1_000);
        bucket.spend(1_000, Time(5_000_000));
        bucket.refund(900);
        assert_eq!(bucket.ready(), Time(5_050_000));
    }

    #[test]
    fn huge_numbers_saturate() {
        let mut bucket = Bucket::new(0);
        bucket.spend(u64::MAX, Time(1));
        assert!(bucket.ready() > Time(1 << 50));
    }
}
