//! A bucket of tokens: so many of something in a time, and so many at once.

use crate::run::WallTime;

/// How fast a bucket fills, and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Tokens that come in a minute.
    pub a_minute: u32,
    /// Tokens of a full bucket.
    pub burst: u32,
}

impl Pace {
    fn per_ms(self) -> f64 {
        f64::from(self.a_minute.max(1)) / 60_000.0
    }

    fn most(self) -> f64 {
        f64::from(self.burst.max(1))
    }

    /// Milliseconds in which an empty bucket is full.
    pub fn window_ms(self) -> u64 {
        (self.most() / self.per_ms()).ceil() as u64
    }
}

/// Tokens that are there. A clock that goes back gives none and takes none.
#[derive(Debug, Clone, PartialEq)]
pub struct Rate {
    tokens: f64,
    last: WallTime,
}

impl Rate {
    /// Full.
    pub fn new(pace: Pace, now: WallTime) -> Self {
        Self { tokens: f64::from(pace.burst), last: now }
    }

    /// Takes one token.
    ///
    /// # Errors
    ///
    /// Milliseconds until there is one.
    pub fn take(&mut self, pace: Pace, now: WallTime) -> Result<(), u64> {
        self.tokens = self.filled(pace, now);
        self.last = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(((1.0 - self.tokens) / pace.per_ms()).ceil() as u64)
    }

    /// Whole tokens that were left after the last one was taken.
    pub fn left(&self) -> u32 {
        self.tokens as u32
    }

    /// Milliseconds from the last one that was taken until the bucket is full.
    pub fn full_in_ms(&self, pace: Pace) -> u64 {
        ((pace.most() - self.tokens).max(0.0) / pace.per_ms()).ceil() as u64
    }

    /// Whether it is as good as a new one.
    pub fn is_full(&self, pace: Pace, now: WallTime) -> bool {
        self.filled(pace, now) >= pace.most()
    }

    fn filled(&self, pace: Pace, now: WallTime) -> f64 {
        (self.tokens + now.0.saturating_sub(self.last.0) as f64 * pace.per_ms()).min(pace.most())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { a_minute: 6_000, burst: 10 };

    #[test]
    fn a_bucket_tells_what_is_left_and_when_it_is_full() {
        let mut rate = Rate::new(PACE, WallTime(0));
        assert!(rate.is_full(PACE, WallTime(0)) && PACE.window_ms() == 100);
        for left in (0..10).rev() {
            assert_eq!((rate.take(PACE, WallTime(0)), rate.left()), (Ok(()), left));
        }
        assert_eq!((rate.take(PACE, WallTime(0)), rate.full_in_ms(PACE)), (Err(10), 100));
        assert_eq!((rate.take(PACE, WallTime(10)), rate.left()), (Ok(()), 0));
        assert!(!rate.is_full(PACE, WallTime(109)) && rate.is_full(PACE, WallTime(110)));
    }
}
