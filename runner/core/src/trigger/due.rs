//! Which nominal times of a schedule are due, whatever the clock does: none comes twice, and those that passed unseen are judged.

use super::schedule::{IfMissed, Schedule};
use crate::run::WallTime;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A time that is later than this was missed.
pub const GRACE: Duration = Duration::from_secs(60);
/// Runs that `run_all` makes at the most.
pub const MOST: usize = 100;
/// Times of a pattern within the longest jitter.
const STEPS: usize = 24 * 60 + 2;
/// A clock before 2020 was never set: nothing is begun by it.
pub const EARLIEST: WallTime = WallTime(1_577_836_800_000);

/// How far a schedule is. Durable, so that a time which passed while nobody looked is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Every nominal time up to this one was carried out or passed over.
    pub settled: WallTime,
    /// Pattern and zone that it is about: an edited schedule begins anew.
    pub of: String,
    /// The last nominal time that was carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fired: Option<WallTime>,
}

/// What is to be done at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Nominal times to carry out, in their order. Each bears a key of its own, so that it is carried out once though asked for twice.
    pub fire: Vec<WallTime>,
    /// How far the schedule is when they are carried out; durable before anything else is asked.
    pub mark: Mark,
    /// When to look again; nothing where no time ever comes.
    pub wake_at: Option<WallTime>,
    /// How many times were passed over.
    pub skipped: bool,
    /// The clock lies before what was carried out, or was never set: nothing comes until it has caught up.
    pub clock_behind: bool,
}

/// What is due at `now`, for a trigger of this name. Without a mark, or with another schedule's, it begins now.
pub fn due(schedule: &Schedule, seed: &str, mark: Option<&Mark>, now: WallTime) -> Due {
    let own = mark.filter(|mark| mark.of == schedule.identity());
    let begin = || Mark { settled: now, of: schedule.identity(), fired: mark.and_then(|mark| mark.fired) };
    let mut due = Due {
        fire: Vec::new(),
        mark: own.cloned().unwrap_or_else(begin),
        wake_at: None,
        skipped: false,
        clock_behind: false,
    };
    if now < EARLIEST && own.is_none() {
        // Anything would be begun by a clock that is about to jump.
        due.clock_behind = true;
        due.wake_at = Some(now.after(GRACE));
        return due;
    }
    // What was carried out is not carried out again, though an edit or the clock leads back to it.
    if let Some(fired) = due.mark.fired {
        due.mark.settled = due.mark.settled.max(fired);
    }
    due.clock_behind = due.mark.settled > now.after(GRACE);
    while due.fire.len() <= MOST {
        let Some(head) = schedule.next(due.mark.settled) else { break };
        let at = schedule.fires_at(seed, head);
        if at > now {
            due.wake_at = Some(at);
            break;
        }
        if at.after(GRACE) < now {
            missed(schedule, seed, head, now, &mut due);
        } else {
            due.carry_out(head);
        }
    }
    if due.wake_at.is_none() && due.fire.len() > MOST {
        due.wake_at = Some(now);
    }
    due
}

/// Judges everything from `head` on that is late.
fn missed(schedule: &Schedule, seed: &str, head: WallTime, now: WallTime, due: &mut Due) {
    let newest = newest_late(schedule, seed, now).filter(|newest| *newest > head).unwrap_or(head);
    match schedule.if_missed {
        IfMissed::Skip => {
            due.skipped = true;
            due.mark.settled = newest;
        }
        IfMissed::RunOnce => {
            due.skipped |= newest != head;
            due.carry_out(newest);
        }
        IfMissed::RunAll => {
            let mut all = vec![newest];
            while let Some(earlier) =
                all.last().and_then(|last| schedule.previous(before(*last, Duration::from_millis(1))))
                && earlier >= head
            {
                if all.len() == MOST {
                    due.skipped = true;
                    break;
                }
                all.push(earlier);
            }
            all.into_iter().rev().for_each(|nominal| due.carry_out(nominal));
        }
    }
}

/// The last nominal time that is late, jitter included.
fn newest_late(schedule: &Schedule, seed: &str, now: WallTime) -> Option<WallTime> {
    let mut newest = schedule.previous(before(now, GRACE))?;
    for _ in 0..STEPS {
        if schedule.fires_at(seed, newest).after(GRACE) < now {
            return Some(newest);
        }
        newest = schedule.previous(before(newest, Duration::from_millis(1)))?;
    }
    None
}

fn before(at: WallTime, by: Duration) -> WallTime {
    WallTime(at.0.saturating_sub(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
}

impl Due {
    fn carry_out(&mut self, nominal: WallTime) {
        self.fire.push(nominal);
        self.mark.settled = nominal;
        self.mark.fired = Some(nominal);
    }
}
