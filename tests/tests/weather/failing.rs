//! Failpoints that return errors, that stop the process for a while, and those that only bad files come by.

use packhorse::failpoint::ALL;
use packhorse_tests::station::SIZE;
use packhorse_tests::{Station, World, files};
use rustix::process::Signal;
use std::time::Duration;

/// A pull alone, without a second attempt.
const PULL: &str = "kind: workflow/v1
name: pull
inputs:
  image: { type: file }
  log: { type: string }
codec: json-base64
steps:
  - id: pull
    uses: transfer.pull
    with: { device: dev-1, file_type: \"${{ inputs.log }}\", window: 16, rate: 256KiB/s }
    retry: { max_attempts: 1 }
outputs:
  sha256: \"${{ steps.pull.outputs.sha256 }}\"
";

#[test]
fn every_place_that_can_fail_fails_in_words_and_goes_on_later() {
    let mut station = Station::new("json-base64");
    let mut struck = 0;
    for (seed, point) in ALL.iter().filter(|point| point.can_fail() && !point.name().starts_with("pull.q")).enumerate()
    {
        station.begin(seed as u64 + 500);
        let ended = station.go(&[("PACKHORSE_FAILPOINT", &format!("{}:error", point.name()))]).end();
        println!("{}: exit {:?} {}", point.name(), ended.code, ended.err.lines().last().unwrap_or_default());
        // Some are tried again by the run itself, as its workflow says; all others have to say what it was.
        if ended.code == Some(0) {
            station.is_whole(&ended.json());
        } else {
            let code = ended.code;
            assert!(matches!(code, Some(1 | 6 | 69)), "{}: {code:?}\n{}", point.name(), ended.err);
            ended.says(&["armed to fail"]);
        }
        struck += 1;
        match station.run() {
            // A step that failed for good has failed for good.
            Some((_, status)) if status == "failed" => continue,
            _ => {}
        }
        let run = station.go(&[]).end().exits(0).json();
        station.is_whole(&run);
    }
    println!("{struck} places failed");
    assert!(struck > 0);
}

#[test]
fn a_runner_that_stands_still_for_a_while_goes_on() {
    let mut station = Station::new("acme-tlv");
    let mut struck = 0;
    for (seed, name) in ["link.publish:200", "spool.sync:2", "journal.committed:3", "effect.ended"].iter().enumerate() {
        station.begin(seed as u64 + 600);
        let run = station.go(&[("PACKHORSE_FAILPOINT", &format!("{name}:stop"))]);
        struck += usize::from(stopped(run.pid()));
        std::thread::sleep(Duration::from_millis(700));
        run.signal(Signal::CONT);
        let run = run.end().exits(0).json();
        station.is_whole(&run);
    }
    println!("{struck} stops struck");
    assert_eq!(struck, 4);
}

/// Waits until a process is stopped by a signal; false where it ends before.
fn stopped(pid: u32) -> bool {
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        match stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()) {
            Some('T') => return true,
            None | Some('Z' | 'X') => return false,
            Some(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

#[test]
fn a_bad_file_is_kept_apart_whenever_the_runner_is_killed() {
    let mut station = Station::new("json-base64");
    station.workflow(PULL);
    for (round, name) in ["pull.quarantine", "pull.quarantined", "pull.quarantine:error"].iter().enumerate() {
        let round = round as u64 + 1;
        station.begin(round + 700);
        let mut run = station.go(&[("PACKHORSE_FAILPOINT", name)]);
        let half =
            |run: &serde_json::Value| run.pointer("/progress/done")?.as_u64().filter(|done| *done > SIZE as u64 / 2);
        station.world.until(&mut run, half).expect("the pull is slow enough");
        // The device's file becomes another one of the same size in the middle.
        let (path, other) = (station.world.path(&format!("device/log-{round}")), files::bytes(SIZE, 99 + round));
        std::fs::write(&path, &other).unwrap();
        let ended = run.end();
        if !name.ends_with("error") {
            assert_eq!(ended.code, None, "{name}: {}\n{}", ended.out, ended.err);
            let ended = station.go(&[]).end();
            println!("{name}: then exit {:?}", ended.code);
            if ended.code == Some(0) {
                assert_eq!(ended.json()["outputs"]["sha256"], files::sha256(&other).as_str());
            } else {
                ended.exits(1).says(&["PH50"]);
            }
        } else {
            ended.says(&["armed to fail"]);
        }
    }
}

#[test]
fn a_failpoint_that_does_not_exist_is_refused() {
    let world = World::new();
    let mut command = world.command(&["--version"]);
    command.env("PACKHORSE_FAILPOINT", "nowhere");
    packhorse_tests::Child::start(command, "packhorse").end().exits(2).says(&["PH9010", "nowhere"]);
}
