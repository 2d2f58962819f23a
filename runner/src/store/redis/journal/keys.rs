//! Names of the journal's keys. The braces keep them together on a server that spreads its keys.

use packhorse_core::run::RunId;

/// Version of the layout of keys and values; a later one is refused.
pub(super) const FORMAT: u64 = 1;

/// Names under one prefix.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(journal: &str) -> Self {
        Self { prefix: format!("packhorse:{{{journal}}}:") }
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Version of the layout.
    pub(super) fn format(&self) -> String {
        format!("{}format", self.prefix)
    }

    /// Drawn when the journal was made: another one is another journal.
    pub(super) fn id(&self) -> String {
        format!("{}id", self.prefix)
    }

    /// The generation: commits of one owner, and which of its processes made the last.
    pub(super) fn writer(&self, owner: &str) -> String {
        format!("{}writer:{owner}", self.prefix)
    }

    /// There while the owner's process lives.
    pub(super) fn lease(&self, owner: &str) -> String {
        format!("{}lease:{owner}", self.prefix)
    }

    /// Ids of all runs with facts, in order.
    pub(super) fn all(&self) -> String {
        format!("{}runs", self.prefix)
    }

    /// Ids of the unfinished ones.
    pub(super) fn unfinished(&self) -> String {
        format!("{}unfinished", self.prefix)
    }

    pub(super) fn row(&self, run: &RunId) -> String {
        format!("{}run:{run}", self.prefix)
    }

    pub(super) fn facts(&self, run: &RunId) -> String {
        format!("{}facts:{run}", self.prefix)
    }

    pub(super) fn checkpoint(&self, run: &RunId) -> String {
        format!("{}checkpoint:{run}", self.prefix)
    }

    pub(super) fn object(&self, sha256: &str) -> String {
        format!("{}object:{sha256}", self.prefix)
    }

    /// Digests of objects by the time at which they were last put.
    pub(super) fn objects(&self) -> String {
        format!("{}objects", self.prefix)
    }
}
