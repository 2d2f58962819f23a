//! What came of testing a plugin.

use packhorse_core::transfer::Pairs;
use serde::Serialize;

use super::super::super::Plugin;

/// The outcome of all checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TestReport {
    /// Of the plugin.
    pub name: String,
    /// Of the plugin.
    pub version: String,
    /// SHA-256 of the component, in hex.
    pub digest: String,
    /// Repeats this very test.
    pub seed: u64,
    /// Variables that sessions were opened with, as name and value.
    pub vars: Pairs,
    /// No check failed.
    pub passed: bool,
    /// In the order in which they ran.
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Of the check.
    pub name: String,
    /// What came of it.
    pub status: Status,
    /// How much was tried.
    pub cases: u64,
    /// What was found, or why it was skipped.
    pub detail: String,
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should be.
    Passed,
    /// Not so.
    Failed,
    /// It does not apply to this plugin.
    Skipped,
}

impl TestReport {
    pub(super) fn new(plugin: &Plugin, seed: u64, vars: Pairs) -> Self {
        Self {
            name: plugin.name().to_owned(),
            version: plugin.version().to_owned(),
            digest: plugin.digest().to_owned(),
            seed,
            vars,
            passed: true,
            checks: Vec::new(),
        }
    }

    /// Takes one more check in.
    pub fn add(&mut self, check: Check) {
        self.passed &= check.status != Status::Failed;
        self.checks.push(check);
    }
}

impl Check {
    /// A check that tried so many cases, or failed for a reason.
    pub fn of(name: impl Into<String>, came: Result<(u64, String), String>) -> Self {
        let (status, cases, detail) = match came {
            Ok((cases, detail)) => (Status::Passed, cases, detail),
            Err(detail) => (Status::Failed, 0, detail),
        };
        Self { name: name.into(), status, cases, detail }
    }

    /// A check that does not apply.
    pub fn skipped(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self { name: name.into(), status: Status::Skipped, cases: 0, detail: why.into() }
    }
}
