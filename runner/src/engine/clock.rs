//! The engine's clock: the wall clock as it was at the start, carried on by the monotonic one.

use packhorse_core::run::WallTime;
use std::time::{Duration, Instant, SystemTime};

/// Tells wall time that never goes back and never jumps while the process lives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    wall: WallTime,
    started: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        // A clock before 1970 is no clock: timers are kept right by the run machine, which moves them.
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { wall: WallTime(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)), started: Instant::now() }
    }

    pub(super) fn now(&self) -> WallTime {
        WallTime(self.wall.0.saturating_add(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)))
    }

    /// Time until then, at most a day; one millisecond more than reckoned, as the clock's milliseconds are cut off.
    pub(super) fn until(&self, at: WallTime) -> Duration {
        at.since(self.now()).min(Duration::from_secs(86_400)) + Duration::from_millis(1)
    }
}
