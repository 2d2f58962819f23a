//! Times as people read them: on the wall of this place, and how long ago.

use super::super::print;
use packhorse_core::run::WallTime;

/// Now, and how a moment is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    now: WallTime,
    write: fn(WallTime) -> [String; 2],
}

impl Clock {
    /// The clock of this place.
    pub(super) fn local() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self { now: WallTime(u64::try_from(now.as_millis()).unwrap_or(u64::MAX)), write: here }
    }

    /// UTC at a moment.
    #[cfg(test)]
    pub(super) fn utc(now: WallTime) -> Self {
        let write = |time: WallTime| {
            let text = time.to_rfc3339();
            [text[..10].to_owned(), text[11..19].to_owned()]
        };
        Self { now, write }
    }

    /// `14:02:09`, with the date where it is another day.
    pub(super) fn at(self, time: WallTime) -> String {
        let [date, clock] = (self.write)(time);
        if date == (self.write)(self.now)[0] { clock } else { format!("{date} {clock}") }
    }

    /// `14:02:09, 2m03s ago`, or `…, in 5.0 s`.
    pub(super) fn ago(self, time: WallTime) -> String {
        let at = self.at(time);
        if time > self.now {
            format!("{at}, in {}", long(time.0 - self.now.0))
        } else {
            format!("{at}, {} ago", long(self.now.0 - time.0))
        }
    }

    /// `14:02:09, for 2m03s`.
    pub(super) fn since(self, time: WallTime) -> String {
        format!("{}, for {}", self.at(time), long(self.now.0.saturating_sub(time.0)))
    }
}

/// A duration, in days where it is days.
fn long(ms: u64) -> String {
    const HOUR: u64 = 3_600_000;
    if ms < 48 * HOUR { print::duration(ms) } else { format!("{} days {} h", ms / HOUR / 24, ms / HOUR % 24) }
}

/// Date and time in the time zone of this machine (`TZ`).
fn here(time: WallTime) -> [String; 2] {
    use chrono::{DateTime, Local};
    let moment = i64::try_from(time.0).ok().and_then(DateTime::from_timestamp_millis);
    let local = moment.map(|moment| moment.with_timezone(&Local));
    ["%Y-%m-%d", "%H:%M:%S"].map(|format| local.map_or_else(String::new, |local| local.format(format).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_with_their_distance() {
        // 2023-11-14T22:13:20Z
        let clock = Clock::utc(WallTime(1_700_000_000_000));
        assert_eq!(clock.since(WallTime(1_699_999_877_000)), "22:11:17, for 2m03s");
        assert_eq!(clock.ago(WallTime(1_700_000_005_000)), "22:13:25, in 5.0 s");
        assert_eq!(clock.ago(WallTime(1_699_900_000_000)), "2023-11-13 18:26:40, 27h46m ago");
        assert_eq!(clock.since(WallTime(1_699_000_000_000)), "2023-11-03 08:26:40, for 11 days 13 h");
    }
}
