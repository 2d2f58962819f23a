//! The clocks of this process.

use packhorse_core::run::WallTime;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Now, as the wall clock says. A clock before 1970 tells 0.
pub fn wall() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Now, as the wall clock said when it was first asked, carried on by the monotonic one: what is kept for a while, and what is forgotten
/// after one, must not go because somebody set the clock.
pub fn steady() -> WallTime {
    static BEGUN: OnceLock<(WallTime, Instant)> = OnceLock::new();
    let (begun, instant) = BEGUN.get_or_init(|| (wall(), Instant::now()));
    begun.after(instant.elapsed())
}

/// By how much the wall clock was set since a moment at which it was `behind` the steady one by so much, in milliseconds.
#[derive(Debug, Default)]
pub struct Jumps {
    /// How far it was ahead when looked at last, in milliseconds; behind where negative.
    ahead: i64,
}

/// What is no jump but a clock that is kept right.
const SLEW: Duration = Duration::from_secs(5);

impl Jumps {
    /// Looks at both clocks: by how much, in milliseconds, the wall clock was set since the last look, where that is more than 5 s.
    pub fn look(&mut self, wall: WallTime, steady: WallTime) -> Option<i64> {
        let ahead = i64::try_from(i128::from(wall.0) - i128::from(steady.0)).unwrap_or(i64::MAX);
        // A clock that is slowed or hurried a little is at its next place when it is looked at again.
        let jump = ahead.saturating_sub(std::mem::replace(&mut self.ahead, ahead));
        Some(jump).filter(|jump| u128::from(jump.unsigned_abs()) > SLEW.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_told_once_and_one_that_is_kept_right_is_not() {
        let mut jumps = Jumps::default();
        let mut look = |wall, steady| jumps.look(WallTime(wall), WallTime(steady));
        assert_eq!(look(1_000_000, 1_000_000), None);
        assert_eq!(look(1_004_900, 1_000_000), None);
        assert_eq!(look(1_010_800, 1_001_000), None, "ten seconds in all, and not at once");
        assert_eq!(look(32_000_000_000, 1_001_000), Some(31_998_989_200));
        assert_eq!(look(32_000_000_100, 1_001_100), None);
        assert_eq!(look(1_001_300, 1_001_200), Some(-31_998_998_900), "and back again");
        assert_eq!(look(u64::MAX, 0), Some(i64::MAX - 100), "no clock is too wrong");
    }

    #[test]
    fn the_steady_clock_never_goes_back() {
        let first = steady();
        assert!(steady() >= first && first.0 > 0);
    }
}
