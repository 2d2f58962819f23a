//! The wall clock, as the records of runs and keys tell time.

use packhorse_core::run::WallTime;
use std::time::{SystemTime, UNIX_EPOCH};

/// Now. A clock before 1970 tells 0.
pub fn wall() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
