//! How often the log tells of the same thing: once a minute for each subject (a workflow) and reason, with how often it was meanwhile.

use packhorse_core::run::WallTime;
use std::collections::HashMap;
use std::time::Duration;

/// Between two lines about the same.
const QUIET: Duration = Duration::from_secs(60);
/// Different things that are remembered; beyond that all are forgotten, and told again.
const MOST: usize = 1_000;

/// What was told, by subject and code.
#[derive(Debug, Default)]
pub struct Told(HashMap<(String, String), (WallTime, u64)>);

impl Told {
    /// Whether to tell it now, and how often it went untold before.
    pub fn tell(&mut self, subject: &str, code: &str, now: WallTime) -> Option<u64> {
        if self.0.len() >= MOST {
            self.0.clear();
        }
        let entry = self.0.entry((subject.to_owned(), code.to_owned()));
        let (last, silent) = entry.or_insert((WallTime(0), 0));
        // A clock that went back must not silence anything for long.
        if *last > WallTime(0) && now >= *last && now < last.after(QUIET) {
            *silent += 1;
            return None;
        }
        *last = now;
        Some(std::mem::take(silent))
    }
}
