//! How many starts a trigger may make: so many at once and then a trickle, in which a workflow that triggers itself ends.

use crate::rate::Pace;

/// Starts a minute where the workflow says nothing.
pub const MAX_RATE: u32 = 60;
/// So many minutes' worth of starts may come at once.
pub const BURST: u32 = 2;

/// Of a trigger that may start so many runs a minute.
pub const fn pace(a_minute: u32) -> Pace {
    Pace { a_minute, burst: a_minute.saturating_mul(BURST) }
}
