//! Triggers: what starts runs by itself, and what a message, a time or a file comes to.
//!
//! * `context`: the root `trigger` of expressions, and which fields it has.
//! * `judge`: from a trigger and its context to a start, a reason to ignore it, or what is wrong.
//! * `schedule`: the nominal times of a schedule, whatever its clock does; `due`: which of them are due.
//! * `glob`: names of files. `rate`: how many starts a trigger may make.

mod context;
mod due;
mod glob;
mod judge;
mod rate;
mod schedule;
#[cfg(test)]
mod tests;

pub use context::{
    Arrived, FileFound, MAX_PAYLOAD, fields, file, http, manual, mqtt, payload, scheduled, workflow_kind,
};
pub use due::{Due, EARLIEST, GRACE, MOST, Mark, due};
pub use glob::Glob;
pub use judge::{Verdict, given};
pub use rate::{BURST, MAX_RATE, pace};
pub use schedule::{IfMissed, MAX_JITTER, Schedule, check_cron, check_zone, zone_like};

use crate::workflow::expr::{Condition, Template};
use std::collections::BTreeMap;

/// A checked trigger of a workflow.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// As in `id:`, or made of its kind and place (`mqtt_1`); unique in the file. What is durable of a trigger is kept under it.
    pub id: String,
    /// What it listens to.
    pub source: Source,
    /// Started only where this holds.
    pub condition: Option<Condition>,
    /// Inputs of the run, over the root `trigger`.
    pub inputs: BTreeMap<String, Template>,
    /// One run for everything with the same key.
    pub dedupe_key: Option<Template>,
    /// Starts a minute at the most; twice as many at once.
    pub max_rate: u32,
}

/// What a trigger listens to.
#[derive(Debug, Clone)]
pub enum Source {
    /// Messages.
    Mqtt {
        /// A topic filter.
        topic: String,
    },
    /// Times.
    Schedule(Box<Schedule>),
    /// New and changed files.
    File {
        /// Where they lie; relative ones count from the daemon's working folder.
        folder: String,
        /// What they are called.
        glob: Glob,
    },
    /// Requests to the daemon's API.
    Http,
}

/// Kind of a trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Kind {
    Mqtt,
    Schedule,
    File,
    Http,
}

impl Kind {
    /// In the order of the grammar.
    pub const ALL: [Self; 4] = [Self::Mqtt, Self::Schedule, Self::File, Self::Http];

    /// As in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Schedule => "schedule",
            Self::File => "file",
            Self::Http => "http",
        }
    }
}

impl Trigger {
    /// Its kind.
    pub const fn kind(&self) -> Kind {
        match self.source {
            Source::Mqtt { .. } => Kind::Mqtt,
            Source::Schedule(_) => Kind::Schedule,
            Source::File { .. } => Kind::File,
            Source::Http => Kind::Http,
        }
    }

    /// What it listens to, in a line.
    pub fn what(&self) -> String {
        match &self.source {
            Source::Mqtt { topic } => topic.clone(),
            Source::Schedule(schedule) => format!("{} ({})", schedule.cron(), schedule.zone()),
            Source::File { folder, glob } => format!("{}/{}", folder.trim_end_matches('/'), glob.text()),
            Source::Http => String::new(),
        }
    }
}
