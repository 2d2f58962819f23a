//! Calls into one build of a plugin.

use super::{Memory, names};
use metrics::{Histogram, counter, gauge, histogram};
use std::sync::OnceLock;
use std::time::Duration;

/// Counts the calls of one plugin, each function by a handle that is made once.
pub struct Calls<const FUNCTIONS: usize> {
    name: String,
    version: String,
    times: [OnceLock<Histogram>; FUNCTIONS],
}

impl<const FUNCTIONS: usize> std::fmt::Debug for Calls<FUNCTIONS> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Calls")
            .field("name", &self.name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl<const FUNCTIONS: usize> Calls<FUNCTIONS> {
    /// Of this plugin.
    pub fn new(name: &str, version: &str) -> Self {
        Self { name: name.to_owned(), version: version.to_owned(), times: [const { OnceLock::new() }; FUNCTIONS] }
    }

    /// A call of the function of this index and name took so long.
    pub fn took(&self, (index, function): (usize, &'static str), took: Duration) {
        let Some(times) = self.times.get(index) else { return };
        let made = || {
            let (plugin, version) = (self.name.clone(), self.version.clone());
            histogram!(names::CALLS, "plugin" => plugin, "version" => version, "function" => function)
        };
        times.get_or_init(made).record(took.as_secs_f64());
    }

    /// An instance of it holds this memory.
    pub fn holds(&self, memory: &mut Memory) {
        let (plugin, version) = (self.name.clone(), self.version.clone());
        memory.count(gauge!(names::PLUGIN_MEMORY, "plugin" => plugin, "version" => version));
    }

    /// One was stopped, or broke the contract.
    pub fn failed(&self, function: &'static str) {
        let (plugin, version) = (self.name.clone(), self.version.clone());
        counter!(names::TRAPS, "plugin" => plugin, "version" => version, "function" => function).increment(1);
    }
}
