//! The seeded simulator of transfers: the platform's machine and a simulated device, with everything between them that can go wrong.
//!
//! One seed is one world: `scenario` draws it, `world` lets it live, `oracle` watches it. `PACKHORSE_SIM_PACKETS` says how
//! many packets to simulate (default 500 000, a full run 5 000 000), `PACKHORSE_SIM_SEED` replays one seed and prints it.
//!
//! * `ground`, `link`, `disk`, `chance`: clock and queue, the lossy link, disks that forget, randomness.
//! * `platform`, `device`: the two ends with what drives them; `lies`: devices that do not tell the truth.
//! * `counts`, `trace`: how often each fault struck, and what happened as one number.
//! * `mutant`: planted bugs that the oracles must see.

#![expect(clippy::print_stdout, reason = "its tables and traces are what it is run for")]

mod chance;
mod counts;
mod device;
#[expect(dead_code, reason = "the simulator of whole worlds uses more of it")]
mod disk;
mod ground;
mod lies;
mod link;
mod mutant;
mod oracle;
mod platform;
mod scenario;
mod trace;
mod world;

use counts::Counts;
use mutant::Mutant;
use scenario::Scenario;

const FIRST_SEED: u64 = 1;

fn wished(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.replace('_', "").parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

fn replay(seed: u64) -> ! {
    let scenario = Scenario::draw(seed);
    println!("{scenario:#?}");
    let report = world::run(scenario, true, None);
    print!("{}", report.counts);
    println!("trace {:016x}: {:?}", report.trace, report.result);
    std::process::exit(i32::from(report.result.is_err()));
}

/// Many worlds; nothing is lost, nothing ends in a false success, and every fault has struck.
#[test]
fn every_transfer_ends_as_it_must() {
    if let Some(seed) = wished("PACKHORSE_SIM_SEED") {
        replay(seed);
    }
    let packets = wished("PACKHORSE_SIM_PACKETS").unwrap_or(500_000);
    let mut counts = Counts::default();
    let (mut sent, mut floor) = (0_u64, 0.0_f64);
    let (mut watched, mut stalled) = (0_u32, 0_u32);
    let mut bad = Vec::new();
    let mut seed = FIRST_SEED;
    let began = std::time::Instant::now();
    while counts.packets < packets {
        let report = world::run(Scenario::draw(seed), false, None);
        if let Err(violation) = &report.result {
            println!(
                "seed {seed}: {violation}\nreplay: PACKHORSE_SIM_SEED={seed} cargo test --release -p packhorse-core --test simulator"
            );
            bad.push(seed);
            assert!(bad.len() < 8, "too many seeds failed: {bad:?}");
        }
        if seed.is_multiple_of(100) {
            let again = world::run(Scenario::draw(seed), false, None);
            assert_eq!(again.trace, report.trace, "seed {seed} went another way when it was replayed");
        }
        if let Some((bytes, least)) = report.cost {
            sent += bytes;
            floor += least;
        }
        if let Some(stood) = report.stalled {
            watched += 1;
            stalled += u32::from(stood);
        }
        counts.merge(&report.counts);
        seed += 1;
    }
    println!("{counts}{:<24}{:>12.3}\nin {:.1?}", "sent / floor", sent as f64 / floor, began.elapsed());
    println!("{:<24}{stalled:>9} of {watched}", "stood still > 1 s, 10 RTT");
    assert!(bad.is_empty(), "seeds that failed: {bad:?}");
    assert!(counts.missing().is_empty(), "never struck: {:?}", counts.missing());
    assert!(sent as f64 <= 1.2 * floor, "sent {sent} bytes where {floor:.0} had to be");
    assert!(stalled * 20 <= watched, "{stalled} of {watched} transfers stood still");
}

/// Each planted bug is seen by an oracle within some seeds; the same seeds without it are clean in the test above.
#[test]
fn oracles_see_planted_bugs() {
    for mutant in Mutant::ALL {
        let seen = (FIRST_SEED..FIRST_SEED + 200)
            .find(|seed| world::run(Scenario::draw(*seed), false, Some(mutant)).result.is_err());
        assert!(seen.is_some(), "no oracle saw {mutant:?}");
    }
}
