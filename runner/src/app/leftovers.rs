//! What pulls have left in the spool: whose run is over, or is not known, needs it no more. A run that failed may be tried again, and goes on with
//! what it has; so that is kept for a while, the last ended first.

use crate::link::{Link, Spooled};
use crate::store::{Journal, StoreError};
use packhorse_core::run::{Record, RunId, RunState, RunStatus, Stage, WallTime};
use std::time::Duration;

/// How long pieces of a run that failed are kept after its end.
const KEPT: Duration = Duration::from_secs(7 * 86_400);
/// Bytes of such pieces that are kept in all.
const MOST: u64 = 4 << 30;

/// What a run's pieces are good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// The run goes on with them.
    Needed,
    /// Somebody may have the run tried again, which ended then.
    Perhaps(WallTime),
    /// Nothing.
    None,
}

/// Lets go of what is not needed; gives the number of pulls. Blocks.
pub(super) fn forget(link: &Link, journal: &dyn Journal, now: WallTime) -> Result<usize, StoreError> {
    let mut found = Vec::new();
    for spooled in link.spooled() {
        let (of, bytes) = (of(journal, &spooled)?, spooled.bytes);
        found.push((spooled, bytes, of));
    }
    Ok(link.forget(useless(found, now)))
}

fn of(journal: &dyn Journal, spooled: &Spooled) -> Result<Use, StoreError> {
    let run = spooled.name.split('/').next().and_then(|run| run.parse::<RunId>().ok());
    let Some(run) = run else { return Ok(Use::None) };
    let facts = match journal.read(&run, 0) {
        Ok(facts) => facts,
        // It may be mended from a backup.
        Err(StoreError::Damaged { .. }) => return Ok(Use::Needed),
        Err(error) => return Err(error),
    };
    let records: Option<Vec<Record>> = facts.iter().map(|fact| Record::decode(fact).ok()).collect();
    Ok(match records.map(|records| (records.is_empty(), RunState::fold(&records))) {
        Some((true, _)) => Use::None,
        Some((false, Ok(state))) => of_state(&state),
        Some((false, Err(_))) | None => Use::Needed,
    })
}

fn of_state(state: &RunState) -> Use {
    match (state.stage, state.status()) {
        (Stage::Finished { at }, RunStatus::Failed | RunStatus::TimedOut) => Use::Perhaps(at),
        (Stage::Finished { .. }, _) => Use::None,
        _ => Use::Needed,
    }
}

/// What is to go.
fn useless<T>(found: Vec<(T, u64, Use)>, now: WallTime) -> Vec<T> {
    let (mut gone, mut perhaps) = (Vec::new(), Vec::new());
    for (spooled, bytes, of) in found {
        match of {
            Use::Needed => {}
            Use::None => gone.push(spooled),
            Use::Perhaps(at) => perhaps.push((at, bytes, spooled)),
        }
    }
    perhaps.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
    let mut kept = 0_u64;
    for (at, bytes, spooled) in perhaps {
        kept = kept.saturating_add(bytes);
        if now.since(at) > KEPT || kept > MOST {
            gone.push(spooled);
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_kept_for_a_while_the_last_ended_first() {
        let now = WallTime(1_000 * 86_400_000);
        let ago = |hours: u64| Use::Perhaps(WallTime(now.0 - hours * 3_600_000));
        let found = vec![
            ("old", 1, ago(7 * 24 + 1)),
            ("early", MOST / 2, ago(9)),
            ("late", MOST / 2, ago(1)),
            ("small", 10, ago(5)),
            ("live", MOST * 2, Use::Needed),
            ("done", 1, Use::None),
        ];
        assert_eq!(useless(found, now), ["done", "early", "old"]);
    }
}
