//! Traffic budgets with the real program: what goes over the wire, both ways, is counted by somebody who only listens; days come and
//! go by libfaketime, which shifts the clock of the runner alone.

use packhorse_tests::child::Child;
use packhorse_tests::wire::Tally;
use packhorse_tests::world::{self, id, number};
use packhorse_tests::{Service, World, files};
use serde_json::Value;
use std::path::PathBuf;

/// The largest message of these transfers, with its topic.
const PACKET: u64 = 1_100;

/// A world with a device and a listener.
struct Place {
    world: World,
    services: Service,
    tally: Tally,
    _device: Child,
}

impl Place {
    fn new() -> Self {
        let world = World::new();
        let services = world.services();
        let tally = Tally::listen(&services.broker, "packhorse/dev-1/#");
        std::fs::create_dir_all(world.path("device")).unwrap();
        let device = world.device(&services.mqtt, "json-base64", "dev-1", &[]);
        Self { world, services, tally, _device: device }
    }

    fn workflow(&self, name: &str, step: &str) -> PathBuf {
        let text = format!(
            "kind: workflow/v1\nname: {name}\ninputs:\n  file: {{ type: file, optional: true }}\n  bytes: {{ type: size }}\ncodec: json-base64\nsteps:\n  - id: move\n    {step}\n"
        );
        self.world.text(&format!("{name}.yaml"), &text)
    }

    fn push(&self, per: &str, rate: &str) -> PathBuf {
        self.workflow(
            "push",
            &format!(
                "uses: transfer.push\n    with: {{ device: dev-1, file: \"${{{{ inputs.file }}}}\", window: 16{rate}, budget: {{ bytes: \"${{{{ inputs.bytes }}}}\", per: {per} }} }}"
            ),
        )
    }

    /// Starts `packhorse ARGS…` on the data folder as if it were this time, UTC.
    fn at(&self, time: &str, args: &[&str]) -> Child {
        let data = self.world.data().display().to_string();
        let more = ["-o", "json", "--mqtt", &self.services.mqtt, "--fastdfs", &self.services.tracker, "--data", &data];
        let mut command = self.world.command(&[args, &more].concat());
        // The library alone: the command `faketime` stays as a parent, which SIGKILL would take instead.
        command.env("LD_PRELOAD", library()).env("FAKETIME", format!("@{time}"));
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1").env("TZ", "UTC");
        Child::start(command, "packhorse under a shifted clock")
    }

    fn run(&self, time: &str, workflow: &std::path::Path, file: &std::path::Path, bytes: u64) -> Child {
        let inputs = [format!("file={}", file.display()), format!("bytes={bytes}")];
        self.at(time, &["run", &workflow.display().to_string(), "-i", &inputs[0], "-i", &inputs[1]])
    }

    /// Waits until the run waits for its budget; its id.
    fn spent(&self, run: &mut Child) -> String {
        let waits = |run: &Value| {
            let reason = run.pointer("/unfinished/reason").and_then(Value::as_str);
            (reason == Some("traffic_budget")).then(|| {
                assert_eq!(run["status"], "waiting", "{run:#}");
                id(run)
            })
        };
        self.world.until(run, waits).unwrap_or_else(|| panic!("it ended:\n{}\n{}", run.out(), run.err()))
    }

    /// Wire bytes since the last time; no more than this.
    fn spends(&mut self, most: u64) -> u64 {
        let spent = self.tally.bytes();
        println!("{spent} bytes on the wire, {most} allowed");
        assert!(spent <= most + PACKET, "{spent} bytes on the wire, above {most} and a packet");
        spent
    }

    fn arrived(&self, name: &str, bytes: &[u8]) {
        assert!(std::fs::read(self.world.path(&format!("device/{name}"))).unwrap() == bytes, "{name} differs");
    }
}

/// Where the package faketime put its library.
fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).filter(|path| path.is_file());
    found.next().expect("libfaketimeMT.so.1 under /usr/lib: is the package faketime installed?")
}

#[test]
fn midnight_lets_a_waiting_run_go_on_in_the_same_process() {
    let mut place = Place::new();
    let (file, bytes) = place.world.file("fw.bin", 150_000, 1);
    let budget = 180_000;
    let mut run = place.run("2026-12-31 23:59:46", &place.push("day", ""), &file, budget);
    place.spent(&mut run);
    let first = place.spends(budget);
    assert!(first > budget * 8 / 10, "{first} of {budget}: the budget is used");
    let ended = run.end().exits(0).json();
    place.arrived("fw.bin", &bytes);
    let second = place.spends(budget);
    assert!(second > 0, "the rest came after midnight");
    assert_eq!(number(&ended, "/traffic/payload_bytes"), 150_000);
    // Nothing was on its way when it stopped; a busy machine may take a window for lost.
    let again = number(&ended, "/traffic/retransmitted_bytes");
    assert!(again <= 16 * 640, "{again} bytes were sent again");
    assert!(number(&ended, "/traffic/wire_bytes") >= first + second, "we count at least what a listener sees");
    assert_eq!(number(&ended, "/steps/0/attempts"), 1, "no attempt was burnt: {ended:#}");
}

#[test]
fn a_day_that_is_spent_stays_spent_after_kill_9_and_the_next_day_goes_on() {
    let mut place = Place::new();
    let (file, bytes) = place.world.file("fw.bin", 150_000, 2);
    let budget = 120_000;
    let mut run = place.run("2026-03-09 12:00:00", &place.push("day", ""), &file, budget);
    let name = place.spent(&mut run);
    place.spends(budget);
    assert!(run.kill());
    let mut again = place.at("2026-03-09 18:00:00", &["resume", &name]);
    place.spent(&mut again);
    assert_eq!(place.spends(0), 0, "nothing is left of that day, not even for a hello");
    assert!(again.kill());
    let mut next = place.at("2026-03-10 00:00:01", &["resume", &name]);
    place.spent(&mut next);
    place.spends(budget);
    assert!(next.kill());
    place.at("2026-03-11 07:00:00", &["resume", &name]).end().exits(0);
    place.spends(budget);
    place.arrived("fw.bin", &bytes);
}

#[test]
fn kills_in_the_middle_lose_little_of_what_was_spent() {
    let mut place = Place::new();
    let (file, _) = place.world.file("fw.bin", 900_000, 3);
    let (budget, kills) = (600_000, 3);
    // At this rate a checkpoint falls due after 100 ms, before 256 packets.
    let mut run = place.run("2026-03-09 12:00:00", &place.push("day", ", rate: 256KiB/s"), &file, budget);
    let mut name = String::new();
    for kill in 1..=kills {
        let at = kill * 90_000;
        name = place.world.until(&mut run, |run| world::done(run).filter(|done| *done >= at).map(|_| id(run))).unwrap();
        assert!(run.kill());
        run = place.at("2026-03-09 12:01:00", &["resume", &name]);
    }
    assert_eq!(place.spent(&mut run), name);
    assert!(run.kill());
    // Two intervals of 100 ms and a window a kill: one until it is handed to the journal, one until the journal has it.
    place.spends(budget + kills * (256 * 1024 / 5 + 16 * PACKET));
}

#[test]
fn runs_share_a_devices_day_and_a_new_run_may_have_more() {
    let mut place = Place::new();
    let (small, small_bytes) = place.world.file("small.bin", 60_000, 4);
    let (large, large_bytes) = place.world.file("large.bin", 150_000, 5);
    let (noon, push, budget) = ("2026-03-09 12:00:00", place.push("day", ""), 160_000);
    place.run(noon, &push, &small, budget).end().exits(0);
    place.arrived("small.bin", &small_bytes);
    // Later ones: ids grow with the clock, and the newest run is looked at.
    let mut second = place.run("2026-03-09 13:00:00", &push, &large, budget);
    let name = place.spent(&mut second);
    place.spends(budget);
    assert!(second.kill());
    place.at("2026-03-09 14:00:00", &["cancel", &name]).end();
    place.run("2026-03-09 15:00:00", &push, &large, 4 * budget).end().exits(0);
    place.arrived("large.bin", &large_bytes);
}

#[test]
fn a_spent_run_pauses_and_each_resume_grants_the_same_again() {
    let mut place = Place::new();
    let (file, bytes) = place.world.file("fw.bin", 150_000, 6);
    let budget = 90_000;
    let run = place.run("2026-03-09 12:00:00", &place.push("run", ""), &file, budget).end().exits(6).json();
    assert_eq!(run["error"]["code"], "PH5041", "{run:#}");
    place.spends(budget);
    let (name, mut resumes) = (id(&run), 0);
    loop {
        resumes += 1;
        let ended = place.at("2026-03-09 12:00:00", &["resume", &name]).end();
        place.spends(budget);
        if ended.code == Some(0) {
            break;
        }
        ended.exits(6);
        assert!(resumes < 10, "it does not get on");
    }
    println!("{resumes} resumes");
    assert!(resumes >= 2);
    place.arrived("fw.bin", &bytes);
}

#[test]
fn a_pull_has_a_budget_too() {
    let mut place = Place::new();
    let bytes = files::bytes(120_000, 7);
    std::fs::write(place.world.path("device/syslog"), &bytes).unwrap();
    let workflow = place.workflow(
        "pull",
        "uses: transfer.pull\n    with: { device: dev-1, file_type: syslog, window: 16, budget: { bytes: \"${{ inputs.bytes }}\", per: month } }\n  - uses: fastdfs.download\n    with: { file: \"${{ steps.move.outputs.file }}\", to: pulled }",
    );
    let budget = 120_000;
    let input = format!("bytes={budget}");
    let mut run = place.at("2026-02-28 12:00:00", &["run", &workflow.display().to_string(), "-i", &input]);
    let name = place.spent(&mut run);
    place.spends(budget);
    assert!(run.kill());
    place.at("2026-03-01 00:00:01", &["resume", &name]).end().exits(0);
    place.spends(budget);
    assert!(std::fs::read(place.world.path("pulled")).unwrap() == bytes);
}

#[test]
fn a_budget_without_room_for_packets_fails_at_once() {
    let mut place = Place::new();
    let (file, _) = place.world.file("fw.bin", 150_000, 8);
    let run = place.run("2026-03-09 12:00:00", &place.push("day", ""), &file, 2_000).end().exits(1).json();
    assert_eq!(run["error"]["code"], "PH5042", "{run:#}");
    assert_eq!(place.spends(0), 0);
}
