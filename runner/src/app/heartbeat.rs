//! What a daemon does every few seconds, whatever else it does: puts what was measured into its buckets, and looks whether somebody has set
//! the clock.

use crate::counts;
use crate::store::{Jumps, steady, wall};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Between two looks at the clocks.
const LOOK: Duration = Duration::from_secs(1);

/// Begins; ended by aborting it.
pub(super) fn begin() -> JoinHandle<()> {
    tokio::spawn(async {
        let (mut jumps, mut looks) = (Jumps::default(), 0_u64);
        loop {
            if let Some(by) = jumps.look(wall(), steady()) {
                let (seconds, wall) = (by / 1_000, wall().to_rfc3339());
                tracing::warn!(
                    seconds,
                    wall,
                    "the clock was set: timers of runs and what is kept for a while go on as before, schedules follow it"
                );
                counts::clock_jumped(Duration::from_millis(by.unsigned_abs()));
            }
            if looks.is_multiple_of(counts::UPKEEP.as_secs()) {
                counts::upkeep();
            }
            looks += 1;
            tokio::time::sleep(LOOK).await;
        }
    })
}
