//! The seeded simulator of whole worlds: runners, devices, broker, journal, file store and clocks, with the real workflows and the
//! real codecs, and with everything between them that can go wrong.
//!
//! One seed is one world: `scenario` draws it, `world` lets it live, `troubles` strike it, the oracles watch it (`faults.md`
//! section 2). `PACKHORSE_SIM_WORLD_PACKETS` says how many packets to simulate, `PACKHORSE_SIM_SEED` replays one seed and tells its story.
//!
//! * `ground`, `chance`, `counts`, `trace`: clock and queue, randomness, how often each fault struck, what happened as one number.
//! * `broker`, `weather`, `store`, `files`, `disk`: the services and what they suffer.
//! * `runner`, `job`, `drive`, `plain`: the engine's and the link's shells around the production code that decides.
//! * `device`, `lies`: devices, with the codecs' device side.
//! * `outside`, `oracle`: everything outside the runners, and what must hold. `mutant`: planted bugs that the oracles must see.

#![expect(clippy::print_stdout, reason = "its tables and stories are what it is run for")]

mod broker;
#[path = "../../../runner/core/tests/simulator/chance.rs"]
mod chance;
mod counts;
mod device;
#[path = "../../../runner/core/tests/simulator/disk.rs"]
mod disk;
mod drive;
mod files;
mod ground;
mod job;
mod lies;
mod mutant;
mod oracle;
mod outside;
mod plain;
mod runner;
mod scenario;
mod setting;
mod store;
mod trace;
mod troubles;
mod weather;
mod world;

use counts::Counts;
use mutant::Mutant;
use scenario::Scenario;
use setting::Setting;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Expressions need a large stack.
const STACK: usize = 64 << 20;
/// Seeds that are tried with each planted bug.
const SEEDS: u64 = 1_500;
/// These need several hundred of them, minutes: they are planted in the full count only.
const RARE: [Mutant; 2] = [Mutant::SleepsThroughClaim, Mutant::ForgetsCheckpoint];

fn setting() -> &'static Setting {
    static SETTING: OnceLock<Setting> = OnceLock::new();
    SETTING.get_or_init(Setting::new)
}

fn wished(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.replace('_', "").parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// Runs on threads of their own with stacks that expressions fit in.
fn on_threads<T: Send>(threads: usize, work: impl Fn() -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let spawn = |_| std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, &work).expect("a thread");
        let threads: Vec<_> = (0..threads).map(spawn).collect();
        threads.into_iter().map(|thread| thread.join().expect("a simulating thread")).collect()
    })
}

fn replay(seed: u64) -> ! {
    let scenario = Scenario::draw(seed);
    println!("{scenario:#?}");
    let report = world::run(scenario, setting(), (true, None, None));
    println!("{}trace {:016x}: {:?}", report.counts, report.trace, report.result);
    std::process::exit(i32::from(report.result.is_err()));
}

/// What one thread has seen.
#[derive(Default)]
struct Seen {
    counts: Counts,
    bad: Vec<u64>,
    replayed: u64,
}

fn simulate(seeds: &AtomicU64, packets: &AtomicU64, goal: u64) -> Seen {
    let mut seen = Seen::default();
    while packets.load(Ordering::Relaxed) < goal && seen.bad.len() < 6 {
        let seed = seeds.fetch_add(1, Ordering::Relaxed);
        let report = world::run(Scenario::draw(seed), setting(), (false, None, None));
        if let Err(violation) = &report.result {
            println!(
                "seed {seed}: {violation}\nreplay: PACKHORSE_SIM_SEED={seed} cargo test --release -p packhorse-tests --test simulation"
            );
            seen.bad.push(seed);
        }
        if seed.is_multiple_of(100) {
            let again = world::run(Scenario::draw(seed), setting(), (false, None, None));
            assert_eq!(again.trace, report.trace, "seed {seed} went another way when it was replayed");
            seen.replayed += 1;
        }
        packets.fetch_add(report.counts.packets, Ordering::Relaxed);
        seen.counts.merge(&report.counts);
    }
    seen
}

/// Packets of the worlds that the tests play, and of all that are played for evidence.
const QUICK: usize = 500_000;
const FULL: usize = 20_000_000;

/// World after world; in none is anything lost, or does anything end in a false success.
#[test]
fn worlds_end_as_they_must() {
    if let Some(seed) = wished("PACKHORSE_SIM_SEED") {
        on_threads(1, || replay(seed));
    }
    let goal = wished("PACKHORSE_SIM_WORLD_PACKETS").unwrap_or(packhorse_tests::count(QUICK, FULL) as u64);
    all_worlds(goal, packhorse_tests::count(0, 1) == 1);
}

/// Worlds of so many packets, on two threads. In the full count every fault has struck, in at least ten thousand runs.
fn all_worlds(goal: u64, full: bool) {
    let (seeds, packets, began) = (AtomicU64::new(1), AtomicU64::new(0), Instant::now());
    let seen = on_threads(2, || simulate(&seeds, &packets, goal));
    let mut counts = Counts::default();
    seen.iter().for_each(|seen| counts.merge(&seen.counts));
    let bad: Vec<u64> = seen.iter().flat_map(|seen| seen.bad.clone()).collect();
    let replayed: u64 = seen.iter().map(|seen| seen.replayed).sum();
    println!("{counts}{:<44}{replayed:>14}\nin {:.1?}", "worlds replayed to the same trace", began.elapsed());
    assert!(bad.is_empty(), "seeds that failed: {bad:?}");
    assert!(replayed > 0, "no world was replayed");
    let missing = counts.missing();
    if full {
        assert!(missing.is_empty(), "never struck: {missing:?}");
        assert!(counts.runs >= 10_000, "{} runs", counts.runs);
    } else {
        println!("never struck here: {missing:?}");
    }
}

/// A runner dies at every effect boundary of short runs; each is taken up, and ends as if nothing had been.
#[test]
fn a_runner_may_die_at_every_boundary() {
    let scenarios = packhorse_tests::count(4, 60) as u64;
    let next = AtomicU64::new(0);
    let seen = on_threads(1, || {
        let (mut points, mut counts, mut bad) = (0, Counts::default(), Vec::new());
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= scenarios {
                return (points, counts, bad);
            }
            let whole = world::run(Scenario::short(seed), setting(), (false, None, None));
            assert_eq!(whole.result, Ok(()), "scenario {seed} without a crash");
            for at in 1..=whole.boundaries {
                let report = world::run(Scenario::short(seed), setting(), (false, None, Some(at)));
                if let Err(violation) = report.result {
                    bad.push(format!("scenario {seed}, boundary {at}: {violation}"));
                }
                counts.merge(&report.counts);
                points += 1;
            }
        }
    });
    for (points, counts, bad) in seen {
        println!("{points} boundaries in {scenarios} scenarios, {} packets", counts.packets);
        assert_eq!(bad, Vec::<String>::new());
        assert_eq!(counts.of(counts::Struck::RunnerCrash), points, "a crash for each boundary");
    }
}

/// Each planted bug is seen by an oracle within some seeds; without it they are clean, as the full count of worlds shows.
#[test]
fn oracles_see_planted_bugs() {
    let next = AtomicU64::new(0);
    let missed: Vec<Vec<Mutant>> = on_threads(1, || {
        let mut missed = Vec::new();
        while let Some(mutant) = Mutant::ALL.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
            if RARE.contains(mutant) && packhorse_tests::count(0, 1) == 0 {
                continue;
            }
            let seen = (1..=SEEDS).find_map(|seed| {
                let report = world::run(Scenario::draw(seed), setting(), (false, Some(*mutant), None));
                report.result.err().map(|violation| (seed, violation))
            });
            match seen {
                Some((seeds, violation)) => {
                    let words: String = violation.chars().take(90).collect();
                    println!("{:<20} seen after {seeds:>3} seeds: {words}", format!("{mutant:?}"));
                }
                None => missed.push(*mutant),
            }
        }
        missed
    });
    let missed: Vec<Mutant> = missed.into_iter().flatten().collect();
    assert!(missed.is_empty(), "no oracle saw {missed:?} in {SEEDS} seeds");
}
