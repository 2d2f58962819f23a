//! Random days of a process: runs come, are held, paused and parked, end; after each thing that happens the verdicts are carried out as the
//! engine does, and the promises are checked by rules of their own.

use super::*;
use crate::run::{Bar, RunId, WallTime};
use proptest::prelude::*;
use std::collections::BTreeMap;

const HOUR: u64 = 3_600_000;

fn id(number: usize) -> RunId {
    format!("run_{number:026}").parse().expect("an id")
}

fn candidate(number: usize) -> Candidate {
    Candidate {
        run: id(number),
        created_at: WallTime(number as u64),
        since: WallTime(number as u64),
        device: Some("gw-1".to_owned()),
        terms: Terms::default(),
        image: None,
        held: None,
        paused: false,
        live: false,
        parked: true,
        standing: Standing::New,
    }
}

fn group(limit: u32, on_conflict: OnConflict) -> Option<Group> {
    Some(Group { name: "g".to_owned(), limit, on_conflict })
}

fn of(priority: Priority, group: Option<Group>) -> Terms {
    Terms { priority, group, ..Terms::default() }
}

fn wait(why: Bar, behind: usize) -> Verdict {
    Verdict::Wait { why, behind: Some(id(behind).to_string()) }
}

#[test]
fn a_full_group_queues_refuses_or_replaces() {
    for (on_conflict, first, second) in [
        (OnConflict::Queue, Verdict::Begin, wait(Bar::ConcurrencyLimit, 0)),
        (OnConflict::Reject, Verdict::Begin, Verdict::Reject(id(0))),
        (OnConflict::Replace, Verdict::Replace(id(1)), wait(Bar::ConcurrencyLimit, 0)),
    ] {
        let terms = of(Priority::Normal, group(1, on_conflict));
        let begun = Candidate { standing: Standing::Seated, live: true, terms: terms.clone(), ..candidate(0) };
        let new = Candidate { terms, device: None, ..candidate(1) };
        assert_eq!(judge(&[begun.clone(), new.clone()], WallTime(9)), [first, second], "{on_conflict:?}");
        let accepted = Candidate { standing: Standing::Waiting { overtaken: false }, ..new };
        let waits = judge(&[begun, accepted], WallTime(9)).remove(1);
        assert_eq!(waits, wait(Bar::ConcurrencyLimit, 0), "once accepted, it is not refused any more");
    }
}

#[test]
fn a_replacing_run_ends_only_those_too_many() {
    let terms = of(Priority::Normal, group(2, OnConflict::Replace));
    let begun = |number| Candidate { standing: Standing::Seated, terms: terms.clone(), ..candidate(number) };
    let runs = [begun(0), begun(1), Candidate { terms: terms.clone(), ..candidate(2) }];
    let verdicts = judge(&runs, WallTime(9));
    assert_eq!(verdicts, [Verdict::Replace(id(2)), Verdict::Begin, wait(Bar::ConcurrencyLimit, 0)]);
    let urgent = Candidate { terms: of(Priority::High, group(2, OnConflict::Replace)), ..begun(0) };
    assert_eq!(judge(&[urgent, begun(1), runs[2].clone()], WallTime(9))[0], Verdict::Begin, "never a more urgent one");
}

#[test]
fn a_critical_run_has_its_device_for_itself() {
    let begun = Candidate { standing: Standing::Seated, live: true, parked: false, ..candidate(0) };
    let critical = Candidate { terms: of(Priority::Critical, None), ..candidate(1) };
    let behind = candidate(2);
    let elsewhere = Candidate { device: Some("gw-2".to_owned()), ..candidate(3) };
    let verdicts = judge(&[begun, critical, behind, elsewhere], WallTime(9));
    assert_eq!(verdicts, [wait(Bar::Overtaken, 1), Verdict::Begin, wait(Bar::BehindPriority, 1), Verdict::Begin]);
}

#[test]
fn a_critical_run_takes_the_seat_of_the_one_that_it_overtakes() {
    let grouped = |priority| of(priority, group(1, OnConflict::Queue));
    let begun = Candidate { standing: Standing::Seated, live: true, terms: grouped(Priority::Normal), ..candidate(0) };
    let critical = Candidate { terms: grouped(Priority::Critical), ..candidate(1) };
    let first = judge(&[begun.clone(), critical.clone()], WallTime(9));
    assert_eq!(first, [wait(Bar::Overtaken, 1), wait(Bar::ConcurrencyLimit, 0)]);
    let parked = Candidate { standing: Standing::Waiting { overtaken: true }, live: false, ..begun };
    let other = Candidate { device: Some("gw-2".to_owned()), terms: grouped(Priority::Critical), ..candidate(2) };
    let verdicts = judge(&[parked.clone(), critical, other.clone()], WallTime(9));
    assert_eq!(verdicts, [wait(Bar::Overtaken, 1), Verdict::Begin, wait(Bar::ConcurrencyLimit, 0)]);
    assert_eq!(
        judge(&[parked, other], WallTime(9)),
        [Verdict::Begin, wait(Bar::ConcurrencyLimit, 0)],
        "its seat waits"
    );
}

#[test]
fn a_newer_image_ends_what_is_parked_and_nothing_else() {
    let image = |number, image: &str| Candidate { image: Some(image.to_owned()), ..candidate(number) };
    let newer = image(9, "b");
    let held = Candidate { held: Some("hold_1".to_owned()), ..image(0, "a") };
    let paused = Candidate { paused: true, standing: Standing::Seated, ..image(1, "a") };
    let live = Candidate { live: true, parked: false, standing: Standing::Seated, ..image(2, "a") };
    let same = image(3, "b");
    let no_push = candidate(4);
    let slot = Candidate { terms: Terms { slot: "app".to_owned(), ..Terms::default() }, ..image(5, "a") };
    let verdicts = judge(&[held, paused, live, same, no_push, slot, newer], WallTime(9));
    let gone = Verdict::Supersede(id(9));
    let begin = Verdict::Begin;
    assert_eq!(verdicts, [gone.clone(), gone, begin.clone(), begin.clone(), begin.clone(), begin.clone(), begin]);
}

#[test]
fn waiting_makes_urgent() {
    let terms = |priority| of(priority, group(1, OnConflict::Queue));
    let queued = |number, priority| Candidate { terms: terms(priority), device: None, ..candidate(number) };
    let bulk = queued(0, Priority::Bulk);
    let later = |hours| Candidate { since: WallTime(hours * HOUR), ..queued(1, Priority::High) };
    assert_eq!(judge(&[bulk.clone(), later(1)], WallTime(HOUR))[1], Verdict::Begin);
    assert_eq!(judge(&[bulk, later(4)], WallTime(4 * HOUR))[0], Verdict::Begin, "four hours make it critical");
}

#[test]
fn a_selector_is_read_with_its_place_and_asked_about_a_run() {
    let work = || {
        let mut run = crate::run::tests_created();
        run.device = serde_json::json!({ "id": "gw-1", "site": "north" });
        let means = |text: &str| Selector::parse(text).map(|selector| selector.means(&run));
        for (text, expected) in [
            ("all", true),
            ("device.id == 'gw-1'", true),
            ("workflow == 'sample' && run.priority <= 3", true),
            ("run.slot == 'app'", false),
            ("has(device.site) && device.site.startsWith('nor')", true),
        ] {
            assert_eq!(means(text), Ok(Ok(expected)), "{text}");
        }
        assert!(means("device.model == 'x'").is_ok_and(|asked| asked.is_err()), "a field that is not there");
        for (text, at) in [
            ("device.id ==", "character"),
            ("inputs.x", "character 1"),
            ("run.age > 1", "character 1"),
            ("  ", "empty"),
        ] {
            let failure = Selector::parse(text).expect_err("refused");
            assert!(failure.code == "PH0307" && failure.message.contains(at), "{text}: {failure}");
        }
    };
    std::thread::Builder::new().stack_size(64 << 20).spawn(work).expect("a thread").join().expect("no panic");
}

/// A process in which things happen.
#[derive(Default)]
struct Day {
    now: u64,
    runs: BTreeMap<usize, Candidate>,
    bars: BTreeMap<usize, Bar>,
    made: usize,
    ended: usize,
}

impl Day {
    fn happen(&mut self, dice: u32) {
        let pick =
            |runs: &BTreeMap<usize, Candidate>| runs.keys().copied().nth((dice / 64) as usize % runs.len().max(1));
        match (dice % 16, pick(&self.runs)) {
            (0..=4, _) if self.runs.len() < 24 => self.arrive(dice / 16),
            (5 | 6, Some(run)) if self.is_begun(run) && !self.runs[&run].paused => self.end(run),
            (7, Some(run)) => self.with(run, |run| run.paused ^= true),
            (8, Some(run)) => self.with(run, |run| run.held = run.held.take().xor(Some("hold_1".to_owned()))),
            (9, Some(run)) if self.is_begun(run) => self.with(run, |run| run.parked ^= true),
            (10, Some(run)) => self.stop(run),
            (11, Some(run)) => self.with(run, |run| run.standing = Standing::Leaving),
            (12, _) => self.now += u64::from(dice) % (2 * HOUR),
            (13, Some(run)) if self.runs[&run].standing == Standing::Leaving => self.end(run),
            _ => self.now += 1,
        }
        self.settle();
    }

    fn arrive(&mut self, dice: u32) {
        let priority = Priority::ALL[(dice % 5) as usize];
        let conflict =
            [OnConflict::Queue, OnConflict::Queue, OnConflict::Reject, OnConflict::Replace][(dice / 5 % 4) as usize];
        let group = match dice / 20 % 3 {
            0 => None,
            number => Some(Group { name: number.to_string(), limit: number, on_conflict: conflict }),
        };
        let device = Some(format!("gw-{}", dice / 60 % 4));
        let image = (!(dice / 240).is_multiple_of(3)).then(|| (dice / 720 % 2).to_string());
        let created_at = WallTime(self.now);
        let terms = Terms { priority, group, ..Terms::default() };
        let new = Candidate { created_at, since: created_at, device, image, terms, ..candidate(self.made) };
        self.runs.insert(self.made, new);
        self.made += 1;
    }

    fn with(&mut self, run: usize, change: impl FnOnce(&mut Candidate)) {
        if let Some(run) = self.runs.get_mut(&run) {
            change(run);
        }
    }

    fn is_begun(&self, run: usize) -> bool {
        self.runs[&run].standing == Standing::Seated && !self.bars.contains_key(&run)
    }

    fn end(&mut self, run: usize) {
        self.runs.remove(&run);
        self.bars.remove(&run);
        self.ended += 1;
    }

    /// An effect that was asked to stop has stopped.
    fn stop(&mut self, run: usize) {
        let barred = self.bars.contains_key(&run) || self.runs[&run].paused;
        self.with(run, |run| {
            run.live &= !barred;
            run.parked |= barred;
        });
    }

    /// Carries verdicts out until nothing changes.
    fn settle(&mut self) {
        for _ in 0..64 {
            let numbers: Vec<usize> = self.runs.keys().copied().collect();
            let runs: Vec<Candidate> = self.runs.values().cloned().collect();
            let verdicts = judge(&runs, WallTime(self.now));
            let before = (self.runs.clone(), self.bars.clone());
            numbers.iter().zip(verdicts).for_each(|(run, verdict)| self.carry_out(*run, verdict));
            self.check();
            if (&self.runs, &self.bars) == (&before.0, &before.1) {
                return self.check_reasons();
            }
        }
        panic!("the verdicts never come to rest");
    }

    fn carry_out(&mut self, run: usize, verdict: Verdict) {
        match verdict {
            Verdict::Begin => {
                let barred = self.bars.remove(&run).is_some();
                let begins = barred || self.runs[&run].waits_here();
                self.with(run, |run| {
                    run.standing = Standing::Seated;
                    run.live |= begins;
                    run.parked &= !begins;
                });
            }
            Verdict::Wait { why, .. } => {
                self.bars.insert(run, why);
                let now = WallTime(self.now);
                self.with(run, |run| match (run.standing, why) {
                    (Standing::Seated, Bar::Held) => {}
                    (Standing::Seated, _) => {
                        run.since = now;
                        run.standing = Standing::Waiting { overtaken: why == Bar::Overtaken };
                    }
                    (_, why) => run.standing = Standing::Waiting { overtaken: why == Bar::Overtaken },
                });
            }
            Verdict::Supersede(by) => {
                assert!(self.runs[&run].parked && by > self.runs[&run].run, "only what is parked, by a later one");
                self.end(run);
            }
            Verdict::Replace(_) => self.with(run, |run| run.standing = Standing::Leaving),
            Verdict::Reject(_) => {
                assert_eq!(self.runs[&run].standing, Standing::New, "what was accepted is not refused");
                self.end(run);
            }
            Verdict::Leave => {}
        }
    }

    fn seats(&self, name: &str) -> Vec<&Candidate> {
        let in_it = |run: &&Candidate| run.terms.group.as_ref().is_some_and(|group| group.name == name);
        let begun = |run: &&Candidate| run.live || matches!(run.standing, Standing::Seated);
        self.runs.values().filter(in_it).filter(begun).collect()
    }

    fn check(&self) {
        for (name, limit) in [("1", 1), ("2", 2)] {
            let seats = self.seats(name);
            assert!(seats.len() <= limit, "{} begun in group {name}: {seats:#?}", seats.len());
        }
    }

    /// At rest: nobody stands before a critical run, and every reason is a true one.
    fn check_reasons(&self) {
        for (number, run) in &self.runs {
            let idle = run.paused || run.standing == Standing::Leaving;
            let critical_here = self.runs.values().any(|other| {
                let works = !other.paused && other.held.is_none() && other.terms.priority == Priority::Critical;
                other.device == run.device && (works || other.standing == Standing::Leaving) && other.run != run.run
            });
            let lower = run.terms.priority != Priority::Critical;
            match self.bars.get(number) {
                _ if idle => {}
                None => {
                    assert!(run.held.is_none() && run.standing == Standing::Seated, "it goes on: {run:?}");
                    let sits =
                        |other: &Candidate| other.standing == Standing::Seated && !other.paused && other.held.is_none();
                    let passed = self.runs.values().any(|other| {
                        other.device == run.device && other.terms.priority == Priority::Critical && sits(other)
                    });
                    assert!(!(lower && passed), "a critical run is behind {run:?}");
                }
                Some(Bar::Held) => assert!(run.held.is_some()),
                Some(Bar::ConcurrencyLimit) => assert!(run.terms.group.is_some() && run.held.is_none()),
                Some(Bar::Overtaken | Bar::BehindPriority) => {
                    assert!(lower && critical_here, "nobody is before {run:?}")
                }
            }
        }
    }

    /// No hold, no pause, and what has begun ends: all must come to their end.
    fn drain(mut self) {
        for _ in 0..1_000 {
            if self.runs.is_empty() {
                return;
            }
            self.runs.values_mut().for_each(|run| (run.held, run.paused) = (None, false));
            self.settle();
            let all: Vec<usize> = self.runs.keys().copied().collect();
            all.iter()
                .filter(|run| self.runs.contains_key(run))
                .copied()
                .collect::<Vec<_>>()
                .into_iter()
                .for_each(|run| self.stop(run));
            self.settle();
            let over = |run: &usize| self.is_begun(*run) || self.runs[run].standing == Standing::Leaving;
            let ends: Vec<usize> = self.runs.keys().copied().filter(over).collect();
            assert!(!ends.is_empty(), "all wait for each other: {:#?}", self.runs);
            self.end(ends[0]);
        }
        panic!("they do not come to an end");
    }
}

impl Candidate {
    fn waits_here(&self) -> bool {
        matches!(self.standing, Standing::New | Standing::Waiting { .. })
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// 500 days of 100 to 400 things each: some 125 000.
    #[test]
    fn any_day_keeps_the_promises(dice in proptest::collection::vec(any::<u32>(), 100..400)) {
        let mut day = Day::default();
        dice.into_iter().for_each(|dice| day.happen(dice));
        day.drain();
    }
}

/// A stream of urgent runs without end: a bulk one begins all the same.
#[test]
fn nobody_starves() {
    let mut runs =
        vec![Candidate { terms: of(Priority::Bulk, group(1, OnConflict::Queue)), device: None, ..candidate(0) }];
    let mut begun: Option<RunId> = None;
    for minute in 1..=600 {
        let now = WallTime(minute * HOUR / 60);
        let terms = of(Priority::Critical, group(1, OnConflict::Queue));
        let new = candidate(minute as usize);
        runs.push(Candidate { created_at: now, since: now, device: None, terms, ..new });
        runs.retain(|run| Some(&run.run) != begun.as_ref());
        let verdicts = judge(&runs, now);
        let first = verdicts.iter().position(|verdict| *verdict == Verdict::Begin).expect("a seat is free");
        if first == 0 {
            assert!((240..=480).contains(&minute), "after {minute} minutes");
            return;
        }
        begun = Some(runs[first].run.clone());
    }
    panic!("the bulk run starved");
}
