//! What is kept of a hold: which runs it stops, who asked for it and why.

use crate::run::WallTime;
use serde::{Deserialize, Serialize};

/// While it stands, nothing that it means begins, and running transfers that it means stand back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// `hold_` and a ULID.
    pub id: String,
    /// Which runs, as written: see [`super::Selector`].
    pub selector: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who asked.
    pub by: String,
    /// Since when, UTC in milliseconds.
    #[serde(with = "crate::run::rfc3339")]
    pub since: WallTime,
    /// What a process takes up cleans up no further either: set by `serve --paused`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub still: bool,
}
