//! Monotonic time as the machine knows it: microseconds, told by whoever drives it.

use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// A moment: microseconds since any origin that does not change while the machine lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub u64);

/// A length of time in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub u64);

impl Micros {
    /// From milliseconds; saturates.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// From seconds; saturates.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// Doubled `times` times, never above `cap`.
    pub fn doubled(self, times: u32, cap: Self) -> Self {
        let factor = 1_u64.checked_shl(times.min(63)).unwrap_or(u64::MAX);
        Self(self.0.saturating_mul(factor)).min(cap)
    }
}

impl Time {
    /// How long ago `earlier` was; zero where it lies ahead.
    pub const fn since(self, earlier: Self) -> Micros {
        Micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Micros> for Time {
    type Output = Self;

    fn add(self, length: Micros) -> Self {
        Self(self.0.saturating_add(length.0))
    }
}

impl Sub<Micros> for Time {
    type Output = Self;

    fn sub(self, length: Micros) -> Self {
        Self(self.0.saturating_sub(length.0))
    }
}
