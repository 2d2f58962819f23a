//! A failure that outlives the process: data with a stable code, written to the journal and shown to people.

use serde::{Deserialize, Serialize};

/// What a failure means for what happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// May go away by itself: retried.
    Transient,
    /// The device is not there: a durable wait that burns no attempt.
    DeviceOffline,
    /// Will be the same again: not retried.
    Permanent,
    /// A person must do something: the run pauses.
    Operator,
    /// Ours.
    Bug,
}

/// Why a step or a run failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable code, `PH` and four digits; never reused. `packhorse explain CODE` tells more.
    pub code: String,
    /// What it means for what happens next.
    pub class: Class,
    /// What was tried, on what, and why it failed; lower case, no full stop.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Another attempt makes no sense before this time (UTC, milliseconds): a durable wait until then burns no attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<u64>,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(code: &str, class: Class, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), class, message: message.into(), hint: None, not_before: None }
    }

    /// The same with words on what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same, and worth another attempt only at this time (UTC, milliseconds).
    #[must_use]
    pub fn not_before(mut self, unix_ms: u64) -> Self {
        self.not_before = Some(unix_ms);
        self
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} [{}]", self.message, self.code)
    }
}

impl std::error::Error for Failure {}

/// The words of an error and of all its causes, from the outside in.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |words, cause| {
        let cause = cause.to_string();
        if words.ends_with(&cause) { words } else { format!("{words}: {cause}") }
    })
}
