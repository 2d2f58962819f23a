//! Schedules on a virtual clock, names of files, rates, and what messages come to.

use super::*;
use crate::run::WallTime;
use crate::workflow::{Workflow, check};
use proptest::prelude::*;
use serde_json::json;
use std::time::Duration;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const YEAR: u64 = 365 * DAY;

/// Milliseconds of a time as people write it.
fn at(text: &str) -> WallTime {
    let time = chrono::DateTime::parse_from_rfc3339(text).expect("a time");
    WallTime(u64::try_from(time.timestamp_millis()).expect("after 1970"))
}

fn schedule(cron: &str, zone: &str) -> Schedule {
    Schedule::new(cron, zone, Duration::ZERO, IfMissed::RunOnce).expect("a schedule")
}

fn times(schedule: &Schedule, from: &str, count: usize) -> Vec<String> {
    let mut last = at(from);
    let mut all = Vec::new();
    for _ in 0..count {
        last = schedule.next(last).expect("it comes again");
        all.push(last.to_rfc3339());
    }
    all
}

#[test]
fn a_gap_is_made_up_for_at_the_next_valid_minute() {
    let berlin = schedule("30 2 * * *", "Europe/Berlin");
    // 29 March 2026: 02:00 becomes 03:00.
    let expected = ["2026-03-28T01:30:00.000Z", "2026-03-29T01:00:00.000Z", "2026-03-30T00:30:00.000Z"];
    assert_eq!(times(&berlin, "2026-03-28T00:00:00Z", 3), expected);
    // Several that fall into one gap are one.
    let many = schedule("*/10 2 * * *", "Europe/Berlin");
    assert_eq!(times(&many, "2026-03-29T00:00:00Z", 2), ["2026-03-29T01:00:00.000Z", "2026-03-30T00:00:00.000Z"]);
}

#[test]
fn an_overlap_counts_once_and_time_that_passes_goes_through() {
    // 25 October 2026: 03:00 becomes 02:00.
    let once = schedule("30 2 * * *", "Europe/Berlin");
    let expected = ["2026-10-24T00:30:00.000Z", "2026-10-25T00:30:00.000Z", "2026-10-26T01:30:00.000Z"];
    assert_eq!(times(&once, "2026-10-24T00:00:00Z", 3), expected);
    let through = schedule("0 * * * *", "Europe/Berlin");
    let expected = ["2026-10-25T00:00:00.000Z", "2026-10-25T01:00:00.000Z", "2026-10-25T02:00:00.000Z"];
    assert_eq!(times(&through, "2026-10-24T23:30:00Z", 3), expected);
}

#[test]
fn the_leap_day_comes_every_four_years_and_some_days_never() {
    let leap = schedule("0 0 29 2 *", "UTC");
    assert_eq!(times(&leap, "2026-01-01T00:00:00Z", 2), ["2028-02-29T00:00:00.000Z", "2032-02-29T00:00:00.000Z"]);
    assert!(check_cron("0 0 30 2 *").is_err());
    for bad in ["", "* * * *", "* * * * * *", "61 * * * *", "x", "\u{0}", "* * * * * * *", "@@", "1-0 * * * *"] {
        assert!(check_cron(bad).is_err(), "{bad}");
    }
    assert!(check_cron("17 3 * * MON-FRI").is_ok());
    assert_eq!(zone_like("berlin").as_deref(), Some("did you mean `Europe/Berlin`?"));
}

/// A process that looks at its clock now and then, and keeps what must be kept.
struct Runner {
    schedule: Schedule,
    mark: Option<Mark>,
    fired: Vec<WallTime>,
}

impl Runner {
    fn new(schedule: Schedule) -> Self {
        Self { schedule, mark: None, fired: Vec::new() }
    }

    fn look(&mut self, now: WallTime) -> Due {
        let due = due(&self.schedule, "w t", self.mark.as_ref(), now);
        self.fired.extend(&due.fire);
        if !due.clock_behind {
            self.mark = Some(due.mark.clone());
        }
        due
    }

    fn fired_once(&self) {
        let mut sorted = self.fired.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), self.fired.len(), "a nominal time came twice");
    }
}

fn daily(if_missed: IfMissed) -> Schedule {
    Schedule::new("0 3 * * *", "UTC", Duration::ZERO, if_missed).expect("a schedule")
}

#[test]
fn times_that_passed_unseen_are_judged() {
    let begin = at("2026-01-01T00:00:00Z");
    for (policy, expected) in [(IfMissed::Skip, 0), (IfMissed::RunOnce, 1), (IfMissed::RunAll, 10)] {
        let mut runner = Runner::new(daily(policy));
        assert!(runner.look(begin).fire.is_empty(), "nothing is due at once");
        let later = at("2026-01-10T12:00:00Z");
        let due = runner.look(later);
        assert_eq!(due.fire.len(), expected, "{policy:?}");
        assert_eq!(due.wake_at, Some(at("2026-01-11T03:00:00Z")));
        assert!(runner.look(later).fire.is_empty());
        runner.fired_once();
    }
    let mut late = Runner::new(daily(IfMissed::Skip));
    late.look(begin);
    assert_eq!(late.look(at("2026-01-01T03:00:59Z")).fire.len(), 1, "a moment late is not missed");
}

#[test]
fn a_clock_that_jumps_a_year_fires_nothing_twice_and_not_without_end() {
    for policy in [IfMissed::Skip, IfMissed::RunOnce, IfMissed::RunAll] {
        let every = Schedule::new("* * * * *", "UTC", Duration::ZERO, policy).expect("a schedule");
        let mut runner = Runner::new(every);
        let begin = at("2026-06-01T00:00:30Z");
        runner.look(begin);
        runner.look(WallTime(begin.0 + MINUTE));
        let ahead = runner.look(WallTime(begin.0 + YEAR));
        assert!(ahead.fire.len() <= MOST + 1, "{policy:?}: {}", ahead.fire.len());
        let back = runner.look(WallTime(begin.0 + 2 * MINUTE));
        assert!(back.fire.is_empty() && back.clock_behind, "{policy:?}");
        for minute in 0..5 {
            runner.look(WallTime(begin.0 + YEAR + minute * MINUTE));
        }
        runner.fired_once();
    }
}

#[test]
fn nothing_begins_by_a_clock_that_was_never_set() {
    let mut runner = Runner::new(daily(IfMissed::RunAll));
    let boot = runner.look(WallTime(5_000));
    assert!(boot.clock_behind && boot.fire.is_empty() && runner.mark.is_none());
    let set = runner.look(at("2026-01-01T00:00:00Z"));
    assert!(!set.clock_behind && set.fire.is_empty(), "56 years were not missed");
    assert_eq!(runner.look(at("2026-01-01T03:00:00Z")).fire.len(), 1);
    // Once more without a clock: what was carried out is known.
    assert!(runner.look(WallTime(5_000)).fire.is_empty());
    assert_eq!(runner.look(at("2026-01-02T03:00:00Z")).fire.len(), 1);
    runner.fired_once();
}

#[test]
fn an_edited_schedule_begins_anew() {
    let mut runner = Runner::new(daily(IfMissed::RunAll));
    runner.look(at("2026-01-01T00:00:00Z"));
    runner.schedule = Schedule::new("* * * * *", "UTC", Duration::ZERO, IfMissed::RunAll).expect("a schedule");
    assert!(runner.look(at("2026-07-01T00:00:30Z")).fire.is_empty());
    assert_eq!(runner.look(at("2026-07-01T00:01:00Z")).fire.len(), 1);
}

#[test]
fn jitter_is_the_same_whenever_it_is_asked_for() {
    let jittered = Schedule::new("0 3 * * *", "UTC", Duration::from_secs(3600), IfMissed::Skip).expect("a schedule");
    let nominal = at("2026-01-01T03:00:00Z");
    let put_off = jittered.fires_at("w t", nominal);
    assert_eq!(put_off, jittered.fires_at("w t", nominal));
    assert!(put_off >= nominal && put_off < nominal.after(Duration::from_secs(3600)));
    assert_ne!(put_off, jittered.fires_at("w other", nominal));
    let mut runner = Runner::new(jittered);
    runner.look(at("2026-01-01T00:00:00Z"));
    assert!(runner.look(WallTime(put_off.0 - 1)).fire.is_empty());
    assert_eq!(runner.look(put_off).fire, [nominal]);
}

#[test]
fn names_fit_their_pattern() {
    let table = [
        ("*", "a.bin", true),
        ("*", ".hidden", false),
        (".*", ".hidden", true),
        ("*.bin", "fw.bin", true),
        ("*.bin", "fw.bin.part", false),
        ("fw-?.bin", "fw-1.bin", true),
        ("fw-?.bin", "fw-12.bin", false),
        ("a*b*c", "axxbyyc", true),
        ("a*b*c", "axxbyy", false),
        ("ü?", "üö", true),
        ("**", "x", true),
    ];
    for (pattern, name, expected) in table {
        assert_eq!(Glob::new(pattern).expect("a pattern").matches(name), expected, "{pattern} {name}");
    }
    for bad in ["", "a/b", "../x", "[a]", "{a}", "a\nb"] {
        assert!(Glob::new(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_rate_gives_its_burst_and_then_a_trickle() {
    let mut rate = crate::rate::Rate::new(pace(60), WallTime(0));
    let taken = (0..200).filter(|_| rate.take(pace(60), WallTime(0)).is_ok()).count();
    assert_eq!(taken, 120);
    assert_eq!(rate.take(pace(60), WallTime(0)), Err(1_000));
    assert_eq!(rate.take(pace(60), WallTime(1_000)), Ok(()));
    assert!(rate.take(pace(60), WallTime(0)).is_err(), "a clock that goes back gives nothing");
    let hour = (0..3_600).filter(|second| rate.take(pace(60), WallTime(2_000 + second * 1_000)).is_ok()).count();
    assert!((3_599..=3_600).contains(&hour), "{hour}");
}

fn on_large_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::Builder::new().stack_size(crate::workflow::expr::STACK);
    thread.spawn(work).expect("spawns").join().expect("does not panic")
}

fn workflow(triggers: &str) -> Workflow {
    let text = format!(
        "kind: workflow/v1\nname: w\ninputs:\n  device: {{ type: string, pattern: '[a-z0-9-]+' }}\n  level: {{ type: integer, default: 1 }}\ntriggers:\n{triggers}\nsteps:\n  - uses: log\n    with: {{ message: \"${{{{ trigger.kind }}}}\" }}\n"
    );
    check(text.as_bytes(), "w.yaml").unwrap_or_else(|problems| panic!("{problems}"))
}

const CRASH: &str = "  - mqtt: { topic: 'p/+/crash', if: \"trigger.payload.level != 0\", inputs: { device: \"${{ trigger.topic_levels[1] }}\", level: \"${{ trigger.payload.level }}\" }, dedupe_key: \"${{ trigger.payload.boot }}\" }";

fn judged(topic: &'static str, payload: &'static [u8]) -> Verdict {
    on_large_stack(move || {
        let workflow = workflow(CRASH);
        let context = mqtt(&Arrived { topic, payload, at: WallTime(1_700_000_000_000) });
        workflow.triggers[0].judge(&workflow, &context)
    })
}

#[test]
fn a_message_comes_to_a_start_or_to_a_reason() {
    let Verdict::Start { inputs, dedupe } = judged("p/gw-1/crash", br#"{"boot":"b7","level":3}"#) else {
        panic!("it starts a run")
    };
    assert_eq!((inputs["device"].as_str(), inputs["level"].as_str()), ("gw-1", "3"));
    assert_eq!(dedupe.as_deref(), Some("b7"));
    assert_eq!(judged("p/gw-1/crash", br#"{"boot":"b7","level":0}"#), Verdict::Ignored);
    let code = |topic, payload| match judged(topic, payload) {
        Verdict::Malformed(failure) => failure.code,
        other => panic!("{other:?}"),
    };
    assert_eq!(code("p/gw-1/crash", b"not JSON"), "PH0301");
    assert_eq!(code("p/gw-1/crash", b"\xff\xfe"), "PH0301");
    assert_eq!(code("p/GW 1/crash", br#"{"boot":"b","level":1}"#), "PH0113");
    assert_eq!(code("p/gw-1/crash", br#"{"boot":"b","level":"x"}"#), "PH0112");
    assert_eq!(code("p/gw-1/crash", br#"{"boot":"","level":1}"#), "PH0268");
    assert_eq!(code("p/gw-1/crash", br#"{"level":1}"#), "PH0301");
}

#[test]
fn payloads_are_json_text_or_base64() {
    assert_eq!(payload(br#"{"a":1}"#), (json!({ "a": 1 }), "json"));
    assert_eq!(payload(b"hello"), (json!("hello"), "text"));
    assert_eq!(payload(b"\xff\x00"), (json!("/wA="), "base64"));
    assert_eq!(payload(b""), (json!(""), "text"));
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    assert_eq!(payload(deep.as_bytes()).1, "text", "what is nested too deep is text");
}

/// Days at which zones change their clocks.
fn near_changes() -> impl Strategy<Value = u64> {
    let days = prop::sample::select(vec!["03-08", "03-25", "04-01", "10-01", "10-24", "11-01"]);
    (2020_u64..2030, days, 0..8 * DAY).prop_map(|(year, day, past)| at(&format!("{year}-{day}T00:00:00Z")).0 + past)
}

#[test]
fn backwards_over_an_overlap_nothing_comes_that_is_yet_to_come() {
    // 3 November 2024, 06:00 UTC: 02:00 becomes 01:00.
    let hourly = schedule("0 * * * *", "America/New_York");
    assert_eq!(hourly.previous(at("2024-11-03T05:59:59.999Z")), Some(at("2024-11-03T05:00:00Z")));
    assert_eq!(hourly.previous(at("2024-11-03T06:59:59Z")), Some(at("2024-11-03T06:00:00Z")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn forwards_and_backwards_are_the_same_times(
        start in prop_oneof![1_577_836_800_000_u64..1_900_000_000_000, near_changes()],
        cron in prop::sample::select(vec!["30 2 * * *", "*/15 1-3 * * *", "0 * * * *", "7 0,2,3 * * SUN", "0 3 1 * *", "5 */2 * * *"]),
        zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"]),
    ) {
        let schedule = schedule(cron, zone);
        let mut last = WallTime(start);
        for _ in 0..40 {
            let next = schedule.next(last).expect("it comes again");
            prop_assert!(next > last);
            prop_assert_eq!(schedule.previous(next), Some(next), "{} {}", cron, zone);
            prop_assert_eq!(schedule.previous(next.after(Duration::from_millis(1))), Some(next));
            let before = schedule.previous(WallTime(next.0 - 1)).expect("it came before");
            prop_assert!(before <= last, "{} lies between {} and {}", before.to_rfc3339(), last.to_rfc3339(), next.to_rfc3339());
            last = next;
        }
    }

    #[test]
    fn whatever_the_clock_does_no_time_comes_twice(
        policy in prop::sample::select(vec![IfMissed::Skip, IfMissed::RunOnce, IfMissed::RunAll]),
        jitter in 0_u64..7_200,
        jumps in prop::collection::vec((-400_i64..400, 0_u64..DAY), 1..30),
        cron in prop::sample::select(vec!["*/7 * * * *", "30 2 * * *", "0 0 29 2 *"]),
    ) {
        let schedule = Schedule::new(cron, "Europe/Berlin", Duration::from_secs(jitter), policy).expect("a schedule");
        let mut runner = Runner::new(schedule);
        let mut now = at("2026-03-01T00:00:00Z").0;
        for (days, ms) in jumps {
            now = now.saturating_add_signed(days * i64::try_from(DAY).unwrap_or(0)) + ms;
            let due = runner.look(WallTime(now));
            prop_assert!(due.fire.len() <= 2 * MOST + 1, "{}", due.fire.len());
            prop_assert!(due.fire.is_sorted());
            prop_assert!(due.fire.iter().all(|nominal| nominal.0 <= now));
        }
        runner.fired_once();
    }

    #[test]
    fn no_text_panics(text in any::<String>(), name in any::<String>(), bytes in any::<Vec<u8>>()) {
        let _ = (check_cron(&text), check_zone(&text), zone_like(&name), payload(&bytes));
        if let Ok(glob) = Glob::new(&text) {
            let _ = glob.matches(&name);
        }
    }
}
