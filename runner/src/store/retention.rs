//! Forgets finished runs that are older than they are kept, and objects that no kept run names. Goes through all runs a few at a time, again
//! and again; what is unfinished, claimed by others or unreadable is left alone.

use super::journal::{Journal, StoreError};
use packhorse_core::run::{Record, Retention, RunId, RunState, WallTime, objects_of};
use std::collections::HashSet;
use std::time::Duration;

/// A claim for as long as a run takes to be forgotten.
const CLAIM: Duration = Duration::from_secs(30);
/// An object may be put so long before the run that names it: a new run's are not taken from it.
const BEFORE_ITS_RUN: Duration = Duration::from_secs(3_600);

/// What one round did.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Swept {
    /// Runs that were looked at.
    pub looked_at: u64,
    /// Forgotten, or to be forgotten.
    pub runs: Vec<RunId>,
    /// Removed, or to be removed.
    pub objects: Vec<String>,
    /// Whether all runs have been gone through.
    pub complete: bool,
}

/// Where the going-through stands.
#[derive(Debug)]
pub struct Sweeper {
    retention: Retention,
    owner: String,
    cycle: Option<Cycle>,
}

#[derive(Debug)]
struct Cycle {
    began: WallTime,
    cursor: Option<RunId>,
    /// Named by runs that are kept.
    needed: HashSet<String>,
    /// A run could not be read: nobody knows what it needs.
    blind: bool,
}

impl Sweeper {
    /// Claims runs as `owner` to forget them.
    pub fn new(retention: Retention, owner: impl Into<String>) -> Self {
        Self { retention, owner: owner.into(), cycle: None }
    }

    /// Goes through at most `most` runs; blocks. When all have been gone through, objects that none of them names are removed, and the next
    /// round begins anew.
    pub fn round(&mut self, journal: &dyn Journal, now: WallTime, most: usize) -> Result<Swept, StoreError> {
        self.sweep(journal, now, most, Journal::remove_object, Self::forget)
    }

    /// What a round would do.
    pub fn dry_round(&mut self, journal: &dyn Journal, now: WallTime, most: usize) -> Result<Swept, StoreError> {
        self.sweep(journal, now, most, |_, _, _| Ok(true), |_, _, _, _| Ok(true))
    }

    fn sweep<J: Journal + ?Sized>(
        &mut self,
        journal: &J,
        now: WallTime,
        most: usize,
        remove: impl Fn(&J, &str, WallTime) -> Result<bool, StoreError>,
        forget: impl Fn(&Self, &J, &RunId, WallTime) -> Result<bool, StoreError>,
    ) -> Result<Swept, StoreError> {
        let new = || Cycle { began: now, cursor: None, needed: HashSet::new(), blind: false };
        let mut cycle = self.cycle.take().unwrap_or_else(new);
        let mut swept = Swept::default();
        let page = journal.recent(cycle.cursor.as_ref(), most)?;
        for run in &page {
            swept.looked_at += 1;
            match look(journal, run) {
                Ok(Some((state, records))) => {
                    if self.retention.is_over(&state, now) && forget(self, journal, run, now)? {
                        swept.runs.push(run.clone());
                    } else {
                        cycle.needed.extend(objects_of(&records));
                    }
                }
                Ok(None) => {}
                Err(StoreError::Damaged { what }) => {
                    tracing::warn!(%run, what, "a run cannot be read: it and all objects are kept");
                    cycle.blind = true;
                }
                Err(error) => return Err(error),
            }
        }
        swept.complete = page.len() < most;
        if !swept.complete {
            cycle.cursor = page.last().cloned();
            self.cycle = Some(cycle);
            return Ok(swept);
        }
        let before = WallTime(cycle.began.0.saturating_sub(u64::try_from(BEFORE_ITS_RUN.as_millis()).unwrap_or(0)));
        for (object, put) in if cycle.blind { Vec::new() } else { journal.objects()? } {
            if put < before && !cycle.needed.contains(&object) && remove(journal, &object, before)? {
                swept.objects.push(object);
            }
        }
        Ok(swept)
    }

    /// Whether it is forgotten: others may work on it.
    fn forget<J: Journal + ?Sized>(&self, journal: &J, run: &RunId, now: WallTime) -> Result<bool, StoreError> {
        match journal.claim(run, &self.owner, CLAIM, now) {
            Ok(token) => Ok(journal.forget(run, token)?.is_ok()),
            Err(StoreError::Held { .. } | StoreError::Damaged { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Nothing for a run that was forgotten meanwhile.
fn look<J: Journal + ?Sized>(journal: &J, run: &RunId) -> Result<Option<(RunState, Vec<Record>)>, StoreError> {
    let facts = journal.read(run, 0)?;
    if facts.is_empty() {
        return Ok(None);
    }
    let unreadable = || StoreError::damaged(format!("the journal of {run}"));
    let records: Result<Vec<Record>, _> = facts.iter().map(|fact| Record::decode(fact)).collect();
    let records = records.map_err(|_| unreadable())?;
    let state = RunState::fold(&records).map_err(|_| unreadable())?;
    Ok(Some((state, records)))
}
