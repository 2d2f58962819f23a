//! The embedded store's file: bits turned over, pages torn, its end cut off; and a disk that is full.

use crate::drive::{self, Outcome};
use crate::room::Room;
use packhorse_tests::station::SIZE;
use packhorse_tests::world::{done, id};
use packhorse_tests::{Child, Station, World, count};
use rand::SeedableRng as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

/// Bytes of a page of redb.
const PAGE: u64 = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    Bit,
    TornPage,
    Truncated,
}

/// Damages the file somewhere.
fn damage(path: &Path, what: Damage, random: &mut impl rand::Rng) {
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    match what {
        Damage::Bit => {
            let at = random.random_range(0..length);
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ 1 << random.random_range(0..8)], at).unwrap();
        }
        // The second half of a page is as it was before the page was written for the first time.
        Damage::TornPage => {
            let page = random.random_range(0..length / PAGE);
            file.write_all_at(&[0; PAGE as usize / 2], page * PAGE + PAGE / 2).unwrap();
        }
        Damage::Truncated => file.set_len(random.random_range(1..length)).unwrap(),
    }
}

/// What became of a damaged store.
#[derive(Debug, Default)]
struct Counts {
    harmless: usize,
    refused: usize,
    lost: usize,
    /// Of these, stores that do not open any more: all of their runs are lost.
    closed: usize,
    /// Other runs that were shown from a damaged store.
    others: usize,
}

/// Runs that lie in the store beside the one that is under way.
const OTHERS: usize = 3;

#[test]
fn a_damaged_store_is_told_and_never_gives_a_wrong_file() {
    let mut station = Station::new("json-base64");
    let mut random = rand::rngs::SmallRng::seed_from_u64(4);
    let mut counts = Counts::default();
    let rounds = count(9, 120);
    let small = "kind: workflow/v1\nname: small\nsteps:\n  - uses: log\n    with: { message: here }\n";
    let small = station.world.text("small.yaml", small);
    for round in 0..rounds {
        station.begin(4000 + round as u64);
        let others: Vec<String> =
            (0..OTHERS).map(|_| id(&station.world.embedded(&small, &[]).end().exits(0).json())).collect();
        let mut run = Child::start(station.begun(), "packhorse run");
        let third = |run: &serde_json::Value| done(run).filter(|done| *done > SIZE as u64 / 3).map(|_| id(run));
        let name = station.world.until(&mut run, third);
        assert!(run.kill(), "the run was over too soon");
        let name = name.expect("the run is known");
        let what = [Damage::Bit, Damage::TornPage, Damage::Truncated][round % 3];
        damage(&station.world.data().join("store.redb"), what, &mut random);
        judge(&station, &name, what, &mut counts);
        others_live(&station, &others, what, &mut counts);
    }
    println!("{rounds} damaged stores: {counts:?}");
    assert!(counts.refused + counts.lost > 0, "no damage was noticed");
    assert!(counts.others > 0, "no other run was seen");
    assert_eq!(counts.harmless + counts.refused + counts.lost, rounds);
}

/// Takes the run up: it ends right, or the store says what is the matter with it.
fn judge(station: &Station, name: &str, what: Damage, counts: &mut Counts) {
    for attempt in 0..2 {
        match drive::judged(station.resumed(name).end()) {
            Outcome::Good(run) => {
                station.is_whole(&run);
                if attempt == 0 {
                    counts.harmless += 1;
                } else {
                    counts.refused += 1;
                }
                return;
            }
            Outcome::Failed { exit: 69, code, text } => {
                println!("{what:?}: {code} {}", text.trim());
                assert!(matches!(code.as_str(), "PH1003" | "PH7002" | "PH8005" | "PH8003"), "{code} {text}");
            }
            Outcome::Failed { exit, code, text } => panic!("{what:?}: exit {exit} {code} {text}"),
        }
    }
    counts.lost += 1;
}

/// A store that opens shows every other run as it ended; one that does not says so.
fn others_live(station: &Station, others: &[String], what: Damage, counts: &mut Counts) {
    let data = station.world.data().display().to_string();
    let listed = station.world.ask(&["ps", "-a", "-o", "json", "--data", &data]);
    if listed.code == Some(69) {
        listed.says(&["PH1003"]);
        counts.closed += 1;
        return;
    }
    let listed = listed.exits(0).json();
    for other in others {
        let mut runs = listed["items"].as_array().unwrap().iter();
        let run = runs.find(|run| run["run"] == other.as_str()).unwrap_or_else(|| panic!("{what:?}: {other} is gone"));
        assert_eq!(run["status"], "succeeded", "{what:?}: {run:#}");
        counts.others += 1;
    }
}

/// A run in a folder whose disk is full when half of it is done, or whose files may not grow.
fn starved(station: &mut Station, room: &Room) -> Child {
    if room.is_disk() {
        let mut run = station.go(&[]);
        station
            .world
            .until(&mut run, |run| done(run).filter(|done| *done > SIZE as u64 / 2))
            .expect("it is slow enough");
        room.fill(40_000);
        return run;
    }
    // The signal that comes with it would be a kill; ignored, writing fails.
    let begun = station.begun();
    let mut command = station.world.command(&[]);
    let line = "trap '' XFSZ; ulimit -f 1200; exec \"$@\"";
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", line, "sh"]).arg(begun.get_program()).args(begun.get_args());
    limited.envs(command.env("NO_COLOR", "1").get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited.env("PACKHORSE_STORE__RESERVE", "0").current_dir(station.world.folder());
    Child::start(limited, "packhorse under a limit of file sizes")
}

#[test]
fn a_full_disk_stops_the_run_with_a_reason_and_it_goes_on_when_there_is_room() {
    let world = World::new();
    let services = world.services();
    let room = Room::of(&world, "data", 32 << 20);
    println!("disk full by {}", room.way());
    let (mqtt, broker) = (services.mqtt.clone(), services.broker.clone());
    let mut station =
        Station::among(world, services, &mqtt, &broker, "json-base64", &[("PACKHORSE_STORE__RESERVE", "0")]);
    let mut told = 0;
    for round in 0..count(2, 12) as u64 {
        room.free();
        station.begin(4500 + round);
        let mut run = starved(&mut station, &room);
        drive::until(&mut run, Duration::from_secs(60), || false);
        match drive::judged(run.end()) {
            Outcome::Good(run) => panic!("the disk was not full: {run:#}"),
            Outcome::Failed { exit, code, text } => {
                println!("exit {exit}: {code} {}", text.trim());
                assert!(text.contains("space") || text.contains("large"), "{code} {text}");
                told += 1;
            }
        }
        room.free();
        let run = station.go(&[]).end().exits(0).json();
        station.is_whole(&run);
    }
    println!("{told} full disks");
    assert!(told > 0);
}
