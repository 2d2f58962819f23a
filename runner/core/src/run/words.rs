//! The small words of runs: ids, wall time, timers, the moment at which something is decided.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Id of a run: `run_` and a ULID in Crockford's Base32, upper case; sorts by the time of creation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

/// Not the id of a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the id of a run: run_ and 26 characters are expected")]
pub struct NotARunId(String);

impl RunId {
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RunId {
    type Err = NotARunId;

    fn from_str(text: &str) -> Result<Self, NotARunId> {
        let base32 = |byte: u8| matches!(byte, b'0'..=b'9' | b'A'..=b'Z') && !b"ILOU".contains(&byte);
        match text.strip_prefix("run_") {
            Some(ulid) if ulid.len() == 26 && ulid.bytes().all(base32) => Ok(Self(text.to_owned())),
            _ => Err(NotARunId(text.chars().take(64).collect())),
        }
    }
}

impl TryFrom<String> for RunId {
    type Error = NotARunId;

    fn try_from(text: String) -> Result<Self, NotARunId> {
        text.parse()
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// UTC in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WallTime(pub u64);

impl WallTime {
    /// So much later; stops at the end of time.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(millis(wait)))
    }

    /// As `2023-11-14T22:13:20.000Z`.
    pub fn to_rfc3339(self) -> String {
        let (seconds, millis) = (self.0 / 1_000, self.0 % 1_000);
        let (day, second) = (seconds / 86_400, seconds % 86_400);
        let (year, month, date) = civil(day);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }

    /// Time from `earlier` to here; zero where it lies later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Year, month and day of a day since 1970 (H. Hinnant, "chrono-compatible low-level date algorithms").
fn civil(day: u64) -> (u64, u64, u64) {
    let shifted = day + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, date)
}

/// Whole milliseconds, rounded up: no wait becomes shorter than asked.
pub(super) fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// A point in time with the wait that it stands for, so that it can be moved when the clock was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// When it is due.
    pub at: WallTime,
    /// Milliseconds that were meant.
    pub ms: u64,
}

impl Timer {
    /// Due after `wait`.
    pub fn new(now: WallTime, wait: Duration) -> Self {
        Self { at: now.after(wait), ms: millis(wait) }
    }

    /// Whether it is due.
    pub fn due(&self, now: WallTime) -> bool {
        self.at <= now
    }
}

/// When, and with which luck, something is decided: all that [`super::Run::decide`] may know of the outside beside the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// UTC. The engine's clock never goes back while the process lives.
    pub now: WallTime,
    /// Uniformly random, fresh for each event: spreads retries.
    pub random: u64,
}

/// Names one attempt of one step. A step has at most one attempt under way, and a run at most one step with an effect.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EffectId {
    /// The run.
    pub run: RunId,
    /// The step's id.
    pub step: String,
    /// From 1; grows each time the step begins anew because a block around it is repeated.
    pub round: u32,
    /// From 1; grows with each attempt in the round that counts: after a restart of the process, or a wait for the device, the same
    /// one is made again.
    pub attempt: u32,
}

impl fmt::Display for EffectId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}/{}", self.run, self.step, self.round, self.attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_write_them() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_700_000_000_000, "2023-11-14T22:13:20.000Z"),
            (951_826_154_321, "2000-02-29T12:09:14.321Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(WallTime(millis).to_rfc3339(), text);
        }
    }

    #[test]
    fn ids_are_read_strictly() {
        assert!("run_01J9ZK3M5N7P9Q1R3S5T7V9W1X".parse::<RunId>().is_ok());
        for wrong in [
            "",
            "run_",
            "01J9ZK3M5N7P9Q1R3S5T7V9W1X",
            "run_01J9ZK3M5N7P9Q1R3S5T7V9W1",
            "run_01j9zk3m5n7p9q1r3s5t7v9w1x",
            "run_01J9ZK3M5N7P9Q1R3S5T7V9W1U",
        ] {
            assert!(wrong.parse::<RunId>().is_err(), "{wrong}");
        }
    }
}
