//! The nominal times of a schedule. A pattern with hours means the clock on the wall: what falls into a gap comes at the next valid minute,
//! what an overlap repeats comes once. A pattern whose hours begin with `*` means time that passes, and goes through both.

use crate::run::WallTime;
use crate::workflow::did_you_mean;
use chrono::offset::LocalResult;
use chrono::{DateTime, NaiveDateTime, Offset as _, TimeDelta, TimeZone as _};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// Longest jitter.
pub const MAX_JITTER: Duration = Duration::from_secs(86_400);
/// No clock was ever set back by more.
const LATELY: TimeDelta = TimeDelta::hours(25);
/// A gap is stepped through by minutes; none was ever longer than this.
const GAP: usize = 26 * 60;
/// Patterns are searched for a time after this one, when they are checked.
const PROBE: WallTime = WallTime(1_700_000_000_000);

/// What is done with times that passed unseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IfMissed {
    /// Nothing.
    Skip,
    /// One run, for the last of them.
    #[default]
    RunOnce,
    /// A run for each, the last 100 at the most.
    RunAll,
}

/// Times at which a trigger starts runs.
#[derive(Debug, Clone)]
pub struct Schedule {
    cron: Cron,
    text: String,
    zone: Tz,
    /// Goes by time that passes, not by the clock on the wall.
    through: bool,
    jitter: Duration,
    /// For times that passed unseen.
    pub if_missed: IfMissed,
}

/// Reads a pattern of five fields.
fn read(text: &str) -> Result<Cron, String> {
    if text.len() > 256 || !text.is_ascii() {
        return Err("a cron pattern is at most 256 ASCII characters".to_owned());
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(text).map_err(|error| format!("`{text}` is no cron pattern: {error}"))
}

/// What is wrong with a cron pattern.
///
/// # Errors
///
/// In words: it cannot be read, or no date ever fits it.
pub fn check_cron(text: &str) -> Result<(), String> {
    let schedule = Schedule::new(text, "UTC", Duration::ZERO, IfMissed::Skip)?;
    schedule.next(PROBE).map(drop).ok_or_else(|| format!("no date ever fits `{text}`"))
}

/// What is wrong with the name of a time zone.
///
/// # Errors
///
/// In words.
pub fn check_zone(text: &str) -> Result<(), String> {
    text.parse::<Tz>().map(drop).map_err(|_| format!("`{}` is no time zone of the IANA database", clipped(text)))
}

/// The zone that was perhaps meant.
pub fn zone_like(text: &str) -> Option<String> {
    let names = || chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
    let ending = |name: &&str| name.rsplit('/').next().is_some_and(|city| city.eq_ignore_ascii_case(text));
    let same = names().find(|name| name.eq_ignore_ascii_case(text)).or_else(|| names().find(ending));
    same.or_else(|| did_you_mean(text, names())).map(|name| format!("did you mean `{name}`?"))
}

fn clipped(text: &str) -> String {
    text.chars().take(40).collect()
}

impl Schedule {
    /// A schedule by its pattern and zone.
    ///
    /// # Errors
    ///
    /// In words, where one of them cannot be read.
    pub fn new(cron: &str, zone: &str, jitter: Duration, if_missed: IfMissed) -> Result<Self, String> {
        check_zone(zone)?;
        let through = cron.split_whitespace().nth(1).is_none_or(|hours| hours.starts_with(['*', '?']));
        let zone: Tz = zone.parse().map_err(|_| "no time zone".to_owned())?;
        Ok(Self { cron: read(cron)?, text: cron.to_owned(), zone, through, jitter: jitter.min(MAX_JITTER), if_missed })
    }

    /// Its pattern, as written.
    pub fn cron(&self) -> &str {
        &self.text
    }

    /// Name of its zone.
    pub fn zone(&self) -> &'static str {
        self.zone.name()
    }

    /// What a mark is worth nothing for, where it differs.
    pub fn identity(&self) -> String {
        format!("{} {}", self.text, self.zone.name())
    }

    /// The first nominal time after this one.
    pub fn next(&self, after: WallTime) -> Option<WallTime> {
        let after = self.local(after)?;
        if self.through {
            return instant(&self.cron.find_next_occurrence(&after, false).ok()?);
        }
        let mut wall = after.naive_local();
        loop {
            wall = self.cron.find_next_occurrence(&wall, false).ok()?;
            let found = self.resolved(wall)?;
            if found > after {
                return instant(&found);
            }
        }
    }

    /// The last nominal time that is not after this one.
    pub fn previous(&self, at: WallTime) -> Option<WallTime> {
        if self.through {
            return self.previous_through(at);
        }
        let at = self.local(at)?;
        // In the second half of an overlap the wall shows less than it did.
        let before = at.checked_sub_signed(LATELY)?.offset().fix().local_minus_utc();
        let set_back = (before - at.offset().fix().local_minus_utc()).max(0);
        let mut wall = at.naive_local().checked_add_signed(TimeDelta::seconds(i64::from(set_back)))?;
        let mut inclusive = true;
        loop {
            wall = self.cron.find_previous_occurrence(&wall, inclusive).ok()?;
            inclusive = false;
            let found = self.resolved(wall)?;
            if found <= at {
                return instant(&found);
            }
        }
    }

    /// Backwards over an overlap, `croner` may find a time that is still to come; forwards it is right. So what it finds is gone on from.
    fn previous_through(&self, at: WallTime) -> Option<WallTime> {
        let mut from = self.local(at)?;
        let mut last = loop {
            let found = instant(&self.cron.find_previous_occurrence(&from, true).ok()?)?;
            if found <= at {
                break found;
            }
            from = from.checked_sub_signed(LATELY)?;
        };
        while let Some(next) = self.next(last).filter(|next| (last.0 + 1..=at.0).contains(&next.0)) {
            last = next;
        }
        Some(last)
    }

    /// When a nominal time is carried out: later by a part of the jitter that is the same wherever and whenever it is asked for.
    pub fn fires_at(&self, seed: &str, nominal: WallTime) -> WallTime {
        let most = u64::try_from(self.jitter.as_millis()).unwrap_or(u64::MAX);
        if most == 0 {
            return nominal;
        }
        let digest = Sha256::digest(format!("{seed} {}", nominal.0));
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        nominal.after(Duration::from_millis(u64::from_be_bytes(first) % most))
    }

    /// The longest that a time may be put off.
    pub const fn jitter(&self) -> Duration {
        self.jitter
    }

    fn local(&self, at: WallTime) -> Option<DateTime<Tz>> {
        self.zone.timestamp_millis_opt(i64::try_from(at.0).ok()?).single()
    }

    /// The instant at which the wall shows this; in a gap the first valid minute, in an overlap the first of both.
    fn resolved(&self, wall: NaiveDateTime) -> Option<DateTime<Tz>> {
        let mut wall = wall;
        for _ in 0..GAP {
            match self.zone.from_local_datetime(&wall) {
                LocalResult::Single(found) => return Some(found),
                LocalResult::Ambiguous(first, _) => return Some(first),
                LocalResult::None => wall = wall.checked_add_signed(TimeDelta::minutes(1))?,
            }
        }
        None
    }
}

fn instant(time: &DateTime<Tz>) -> Option<WallTime> {
    u64::try_from(time.timestamp_millis()).ok().map(WallTime)
}
