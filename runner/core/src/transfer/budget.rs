//! Byte budgets: what may go over the wire in a run, a day or a month, when the next one begins, and the allowance of one attempt.

use super::time::{Micros, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Milliseconds of a day.
const DAY: u64 = 86_400_000;
/// What is set aside for topic and properties of a message until one was seen, in bytes.
const AROUND: u64 = 192;
/// How long a transfer whose budget is nearly spent waits for answers to what is on its way.
const DRAIN: Micros = Micros::from_secs(1);
/// A budget has room for so many packets with their answers at least.
const LEAST_PACKETS: u64 = 4;

/// So many wire bytes, both directions together, in each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Wire bytes.
    pub bytes: u64,
    /// In what.
    pub per: Period,
}

/// What a budget is for. Days and months are those of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Period {
    /// One run with one device.
    Run,
    /// A day with one device, over all runs.
    Day,
    /// A calendar month with one device, over all runs.
    Month,
}

impl Period {
    /// As in workflows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// When the next one begins, in Unix milliseconds; none for a run, which has no next one.
    pub fn next(self, unix_ms: u64) -> Option<u64> {
        let days = unix_ms / DAY;
        match self {
            Self::Run => None,
            Self::Day => Some((days + 1).saturating_mul(DAY)),
            Self::Month => {
                let (year, month, _) = civil(days);
                // No month is longer: the first day that bears another name is found within 31 steps.
                let first = (days + 1..=days + 31).find(|day| civil(*day).1 != month || civil(*day).0 != year);
                first.map(|day| day.saturating_mul(DAY))
            }
        }
    }
}

/// The UTC day of a time, as in `2026-11-21`.
pub fn day_of(unix_ms: u64) -> String {
    let (year, month, day) = civil(unix_ms / DAY);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The UTC month of a time, as in `2026-11`.
pub fn month_of(unix_ms: u64) -> String {
    let (year, month, _) = civil(unix_ms / DAY);
    format!("{year:04}-{month:02}")
}

/// Year, month and day of a day since 1970, in the Gregorian calendar: counted in years that begin with March, of which 400 have
/// 146 097 days.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

/// The smallest budget with which a transfer gets on: some packets of `payload` bytes on topics of `topic` bytes, with answers.
pub fn least_budget(payload: u64, topic: u64) -> u64 {
    payload.saturating_add(topic).saturating_add(AROUND).saturating_mul(2 * LEAST_PACKETS)
}

/// What one attempt may still spend. A packet goes out only where it, its answer and the answers to everything on its way fit in.
#[derive(Debug)]
pub(super) struct Allowance {
    left: u64,
    /// Handed out and not yet counted.
    reserved: u64,
    /// By how much packets were larger than reckoned.
    above: u64,
    /// The largest answer.
    answer: u64,
    /// Since when nothing may go out.
    dry: Option<Time>,
}

impl Allowance {
    /// `overhead` is what the codec says of a message around its piece.
    pub(super) fn new(left: u64, overhead: u64) -> Self {
        Self { left, reserved: 0, above: AROUND, answer: overhead.saturating_add(AROUND), dry: None }
    }

    /// What the books say by now: another period may have begun.
    pub(super) fn set(&mut self, left: u64) {
        if left > self.left {
            self.dry = None;
        }
        self.left = left;
    }

    pub(super) fn spend(&mut self, bytes: u64) {
        self.left = self.left.saturating_sub(bytes);
    }

    pub(super) fn reserve(&mut self, bytes: u64) {
        self.reserved = self.reserved.saturating_add(bytes);
    }

    /// A packet that was reckoned to be of so many bytes went out.
    pub(super) fn settle(&mut self, reckoned: u64, bytes: u64) {
        self.reserved = self.reserved.saturating_sub(reckoned);
        self.above = self.above.max(bytes.saturating_sub(reckoned));
    }

    /// The largest of so many answers cannot be larger than all of them.
    pub(super) fn heard(&mut self, bytes: u64, messages: u32) {
        self.answer = self.answer.max(bytes.div_ceil(u64::from(messages.max(1))));
    }

    /// Whether a packet of `own` bytes may go, with `awaited` answers of `each` bytes, or of what answers here were; where not, the
    /// attempt is dry from now on.
    pub(super) fn affords(&mut self, own: u64, awaited: usize, each: Option<u64>, now: Time) -> bool {
        let each = each.map_or(self.answer, |each| each.saturating_add(self.above)).max(1);
        let answers = each.saturating_mul(u64::try_from(awaited).unwrap_or(u64::MAX));
        let need = own.saturating_add(self.above).saturating_add(self.reserved).saturating_add(answers);
        let affords = need <= self.left;
        self.dry = if affords { None } else { self.dry.or(Some(now)) };
        affords
    }

    pub(super) fn is_dry(&self) -> bool {
        self.dry.is_some()
    }

    /// Whether the attempt is to end: all is spent, or nothing may go out and nothing is awaited, or not any longer.
    pub(super) fn is_over(&self, awaited: usize, now: Time) -> bool {
        self.left == 0 || self.dry.is_some_and(|since| awaited == 0 || now.since(since) >= DRAIN)
    }

    /// Until when answers are waited for.
    pub(super) fn drained(&self) -> Option<Time> {
        self.dry.map(|since| since + DRAIN)
    }

    pub(super) fn left(&self) -> u64 {
        self.left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Unix milliseconds of a day's first moment.
    fn at(days: u64) -> u64 {
        days * DAY
    }

    #[test]
    fn days_have_the_names_of_the_calendar() {
        // Days since 1970 as `date -u -d DAY +%s` tells them, divided by 86 400.
        let known = [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (789, "1972-02-29"),
            (790, "1972-03-01"),
            (10_956, "1999-12-31"),
            (11_016, "2000-02-29"),
            (20_778, "2026-11-21"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ];
        for (days, name) in known {
            assert_eq!(day_of(at(days)), name);
            assert_eq!(day_of(at(days + 1) - 1), name, "to its last millisecond");
            assert_eq!(month_of(at(days)), name[..7]);
        }
    }

    #[test]
    fn a_period_ends_where_the_next_name_begins() {
        for days in (0..60_000).step_by(7) {
            let now = at(days) + days % DAY;
            let next = Period::Day.next(now).unwrap();
            assert!(next > now && day_of(next) != day_of(now) && day_of(next - 1) == day_of(now));
            let next = Period::Month.next(now).unwrap();
            assert!(next > now && month_of(next) != month_of(now) && month_of(next - 1) == month_of(now), "{days}");
            assert!(day_of(next).ends_with("-01"));
        }
        assert_eq!(Period::Day.next(at(1) - 1), Some(at(1)));
        assert_eq!(Period::Day.next(at(1)), Some(at(2)), "the first moment of a day is of that day");
        assert_eq!(Period::Run.next(at(1)), None);
    }

    #[test]
    fn a_packet_goes_only_where_its_answer_and_those_on_their_way_fit_in() {
        let mut allowance = Allowance::new(10_000, 100);
        allowance.settle(0, 0);
        let each = 100 + AROUND;
        assert!(allowance.affords(1_000, 4, None, Time(0)));
        assert!(!allowance.affords(10_000 - AROUND - each + 1, 1, None, Time(1)));
        assert!(allowance.affords(10_000 - AROUND - each, 1, None, Time(1)));
        allowance.reserve(10_000 - AROUND - each);
        assert!(!allowance.affords(1, 1, None, Time(2)), "what was handed out counts before it is sent");
        allowance.settle(10_000 - AROUND - each, 10_000 - AROUND - each);
        assert!(allowance.affords(1, 1, None, Time(2)));
        allowance.heard(3_000, 2);
        assert!(!allowance.affords(1_000, 6, None, Time(2)), "answers are as large as they were");
    }

    #[test]
    fn a_dry_attempt_ends_when_its_answers_are_there_or_late() {
        let mut allowance = Allowance::new(1_000, 100);
        assert!(!allowance.is_over(3, Time(0)));
        assert!(!allowance.affords(5_000, 1, None, Time(7)) && allowance.is_dry());
        assert!(!allowance.is_over(3, Time(7)) && allowance.is_over(0, Time(7)));
        assert!(allowance.is_over(3, Time(7) + DRAIN));
        allowance.set(900);
        assert!(allowance.is_dry(), "less than before changes nothing");
        allowance.set(90_000);
        assert!(!allowance.is_dry(), "another day has begun");
        allowance.spend(90_000);
        assert!(allowance.is_over(3, Time(8)), "all is spent");
    }

    #[test]
    fn huge_numbers_saturate() {
        let mut allowance = Allowance::new(u64::MAX, u64::MAX);
        assert!(!allowance.affords(u64::MAX, usize::MAX, Some(u64::MAX), Time(1)) || allowance.left() == u64::MAX);
        allowance.reserve(u64::MAX);
        allowance.reserve(1);
        allowance.heard(u64::MAX, 0);
        assert_eq!(least_budget(u64::MAX, 1), u64::MAX);
        assert!(Period::Month.next(u64::MAX).is_some());
    }
}
