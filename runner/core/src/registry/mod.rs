//! Devices by entry: which codec, variables and bounds go with a device id, and what expressions see of a device.
//!
//! * `pattern`: ids and globs, which of two is nearer, and whether two can mean the same id.
//! * `read`: from a file's bytes to entries; `find`: all files together, and which new ones fit beside the others.
//! * `context`: the root `device` of expressions, and what an entry gives to steps that say nothing themselves.

mod context;
mod find;
mod pattern;
mod read;
#[cfg(test)]
mod tests;

pub(crate) use context::give;
pub use context::{context, greeting, id_of};
pub use find::{Clash, Placed, Registry, clashes};
pub use pattern::Pattern;
pub use read::{is_devices, read};

use crate::presence::Rule;
use crate::transfer::Budget;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One file of the devices folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Devices {
    /// For people.
    pub description: String,
    /// In the order of the file.
    pub entries: Vec<Arc<Entry>>,
}

impl Devices {
    /// Codecs that entries name, each once, in the order of names.
    pub fn codecs(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.entries.iter().filter_map(|entry| entry.codec.as_deref()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// What goes with the devices that one pattern means. A device has one entry, the nearest: entries are never merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Which devices.
    #[serde(rename = "match")]
    pub pattern: Pattern,
    /// `NAME` or `NAME@VERSION`; goes before the workflow's.
    pub codec: Option<String>,
    /// For the codec; go before the workflow's.
    pub vars: BTreeMap<String, String>,
    /// What it is.
    pub model: Option<String>,
    /// Which hardware it is.
    pub hw: Option<String>,
    /// Wire bytes a second, for transfers that name none.
    pub rate: Option<u64>,
    /// Wire bytes in a run, a day or a month, for transfers that name none.
    pub budget: Option<Budget>,
    /// IANA name.
    pub timezone: Option<String>,
    /// For searching and expressions.
    pub labels: BTreeMap<String, String>,
    /// How they tell whether they are there; not copied into runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence: Option<Arc<Rule>>,
    /// Line in the file, from 1.
    #[serde(skip)]
    pub line: usize,
}
