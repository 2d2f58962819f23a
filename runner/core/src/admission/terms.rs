//! What a run asks of admission, resolved when it is created and kept with it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The slot of a run whose workflow names none.
pub const SLOT: &str = "firmware";

/// How urgent a run is; the lower the level, the sooner.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words say it")]
pub enum Priority {
    Critical,
    High,
    #[default]
    Normal,
    Low,
    Bulk,
}

/// What becomes of a run whose group is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// It waits.
    #[default]
    Queue,
    /// It is refused.
    Reject,
    /// The oldest runs of the group are cancelled for it.
    Replace,
}

/// Runs of which only so many are begun at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Shared by all runs that name it, of whatever workflow.
    pub name: String,
    /// At least 1.
    pub limit: u32,
    /// What becomes of one too many.
    #[serde(default)]
    pub on_conflict: OnConflict,
}

/// What a run asks of admission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// How urgent it is.
    #[serde(default)]
    pub priority: Priority,
    /// Its concurrency group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
    /// What of the device a push fills: a newer image for the same slot makes a waiting older one pointless.
    #[serde(default = "slot")]
    pub slot: String,
}

fn slot() -> String {
    SLOT.to_owned()
}

impl Default for Terms {
    fn default() -> Self {
        Self { priority: Priority::default(), group: None, slot: slot() }
    }
}

impl Terms {
    /// Whether nothing was asked for: then nothing of it is stored.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

impl Priority {
    /// Every level, the most urgent first.
    pub const ALL: [Self; 5] = [Self::Critical, Self::High, Self::Normal, Self::Low, Self::Bulk];

    /// From 1 (critical) to 5 (bulk).
    pub const fn level(self) -> u8 {
        self as u8 + 1
    }

    /// As workflows write it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
            Self::Bulk => "bulk",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.word())
    }
}

impl FromStr for Priority {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = |priority: &Self| text == priority.word() || text == priority.level().to_string();
        let wrong = || format!("`{text}` is no priority: critical, high, normal, low, bulk, or 1 to 5");
        Self::ALL.into_iter().find(named).ok_or_else(wrong)
    }
}
