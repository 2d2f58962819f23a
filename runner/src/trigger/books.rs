//! Counts and times of each trigger, for lists; they begin anew with the process.

use packhorse_core::run::WallTime;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Workflow and id of a trigger.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name {
    pub(super) workflow: String,
    pub(super) id: String,
}

/// What came to a trigger since the process began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Messages, times, files or requests.
    pub received: u64,
    /// Runs.
    pub started: u64,
    /// Came to a run that was there already.
    pub replayed: u64,
    /// Its `if` did not hold.
    pub ignored: u64,
    /// No run could be made of it.
    pub failed: u64,
    /// Came faster than it could be taken, and was lost.
    pub dropped: u64,
}

/// A trigger as people and programs see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggerView {
    /// Name of its workflow.
    pub workflow: String,
    /// Its id.
    pub id: String,
    /// `mqtt`, `schedule`, `file` or `http`.
    pub kind: String,
    /// Topic, pattern and zone, or folder and pattern.
    pub what: String,
    /// When it last started a run, as far as this process knows; of a schedule the last nominal time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_fired: Option<String>,
    /// When a schedule starts its next run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_fire: Option<String>,
    /// Whether it would hear of something now.
    pub listens: bool,
    /// What waits for its turn.
    pub waiting: u64,
    /// Since the process began.
    pub counts: Counts,
    /// Why it does not listen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// What is known of one trigger beside its definition.
#[derive(Debug, Clone, Default)]
pub(super) struct Page {
    pub(super) counts: Counts,
    pub(super) last_fired: Option<WallTime>,
    pub(super) next_fire: Option<WallTime>,
    pub(super) listens: bool,
    pub(super) waiting: u64,
    pub(super) trouble: Option<String>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Books(Mutex<BTreeMap<Name, Page>>);

impl Books {
    /// Writes something down.
    pub(super) fn note(&self, name: &Name, write: impl FnOnce(&mut Page)) {
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = pages.get_mut(name) {
            return write(page);
        }
        write(pages.entry(name.clone()).or_default());
    }

    pub(super) fn page(&self, name: &Name) -> Page {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned().unwrap_or_default()
    }

    /// Whether it listens, and why not where that is known.
    pub(super) fn listens(&self, name: &Name, trouble: Option<String>, listens: bool) {
        self.note(name, |page| (page.listens, page.trouble) = (listens, trouble));
    }

    /// A trigger that is gone leaves nothing.
    pub(super) fn forget(&self, name: &Name) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}
