//! How pulled and uploaded files lie in the file store: once, as one file or as one a packet, whatever was killed in between. Files are
//! counted on the disk of a FastDFS server that is a process of its own.

use packhorse_tests::child::Child;
use packhorse_tests::world::id;
use packhorse_tests::{Redis, Service, World, count, files};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

struct Place {
    world: World,
    services: Service,
    _device: Child,
}

impl Place {
    fn new() -> Self {
        let world = World::new();
        let services = world.services();
        std::fs::create_dir_all(world.path("device")).unwrap();
        let device = world.device(&services.mqtt, "json-base64", "dev-1", &[]);
        Self { world, services, _device: device }
    }

    fn log(&self, name: &str, size: usize, seed: u64) -> Vec<u8> {
        let bytes = files::bytes(size, seed);
        std::fs::write(self.world.path(&format!("device/{name}")), &bytes).unwrap();
        bytes
    }

    /// Pulls a log, then downloads, checks and pushes what was stored, and looks it up by its MD5.
    fn pull(&self, log: &str, layout: &str) -> (Child, PathBuf) {
        let text = format!(
            "kind: workflow/v1\nname: pull\ncodec: json-base64\nsteps:\n  - id: pull\n    uses: transfer.pull\n    with: {{ device: dev-1, file_type: {log}, name: back-{log}, window: 16, packet_size: 640, layout: {layout} }}\n  - uses: fastdfs.download\n    with: {{ file: \"${{{{ steps.pull.outputs.file }}}}\", to: pulled-{log} }}\n  - uses: checksum.verify\n    with: {{ file: \"${{{{ steps.pull.outputs.file }}}}\", sha256: \"${{{{ steps.pull.outputs.sha256 }}}}\" }}\n  - uses: transfer.push\n    with: {{ device: dev-1, file: \"${{{{ steps.pull.outputs.file }}}}\", window: 16 }}\noutputs:\n  uri: \"${{{{ steps.pull.outputs.file.uri }}}}\"\n  sha256: \"${{{{ steps.pull.outputs.sha256 }}}}\"\n"
        );
        let workflow = self.world.text("pull.yaml", &text);
        (self.world.run(&self.services, &workflow, &[]), workflow)
    }

    fn arrived(&self, run: &Value, log: &str, bytes: &[u8]) -> String {
        assert_eq!(run["status"], "succeeded", "{run:#}");
        assert_eq!(run["outputs"]["sha256"], files::sha256(bytes).as_str());
        for path in [format!("pulled-{log}"), format!("device/back-{log}")] {
            assert!(std::fs::read(self.world.path(&path)).unwrap() == bytes, "{path} differs");
        }
        run["outputs"]["uri"].as_str().unwrap().to_owned()
    }

    /// Files in the file store; what the server keeps for itself has shorter names.
    fn stored(&self) -> usize {
        fn below(path: &Path) -> usize {
            let Ok(entries) = std::fs::read_dir(path) else { return 0 };
            let files = |entry: std::fs::DirEntry| {
                let named = entry.file_name().len() >= 27;
                if entry.path().is_dir() { below(&entry.path()) } else { usize::from(named) }
            };
            entries.flatten().map(files).sum()
        }
        below(&self.world.path("fastdfs/data"))
    }
}

#[test]
fn a_pulled_file_is_one_file_and_is_stored_once() {
    let place = Place::new();
    let bytes = place.log("syslog", 200_000, 1);
    let first = place.pull("syslog", "whole").0.end().exits(0).json();
    let uri = place.arrived(&first, "syslog", &bytes);
    assert!(uri.starts_with("fastdfs:"), "{uri}");
    assert_eq!(place.stored(), 1);
    let second = place.pull("syslog", "whole").0.end().exits(0).json();
    assert_eq!(place.arrived(&second, "syslog", &bytes), uri);
    assert_eq!(place.stored(), 1, "its SHA-256 is known, and it is still there");
    let upload = place.world.text(
        "upload.yaml",
        "kind: workflow/v1\nname: upload\ninputs:\n  file: { type: file }\nsteps:\n  - id: up\n    uses: fastdfs.upload\n    with: { file: \"${{ inputs.file }}\" }\noutputs:\n  uri: \"${{ steps.up.outputs.file.uri }}\"\n",
    );
    let same = place.world.path("pulled-syslog");
    let run = place.world.run(&place.services, &upload, &["-i", &format!("file={}", same.display())]);
    assert_eq!(run.end().exits(0).json()["outputs"]["uri"], uri.as_str(), "an upload finds what was pulled");
    assert_eq!(place.stored(), 1);
    let (other, _) = place.world.file("other.bin", 5_000, 2);
    let run = place.world.run(&place.services, &upload, &["-i", &format!("file={}", other.display())]);
    run.end().exits(0);
    assert_eq!(place.stored(), 2);
}

#[test]
fn packets_are_files_of_their_own_and_read_as_one() {
    let place = Place::new();
    let mut all = 0;
    for (log, size, packets) in [("empty", 0, 1), ("one", 640, 1), ("two", 641, 2), ("many", 100_000, 157)] {
        let bytes = place.log(log, size, 3);
        let run = place.pull(log, "per_packet").0.end().exits(0).json();
        let uri = place.arrived(&run, log, &bytes);
        assert!(uri.starts_with("packets:fastdfs:"), "{uri}");
        all += packets + 1;
        assert_eq!(place.stored(), all, "{log}: its packets and their list");
    }
    let bytes = std::fs::read(place.world.path("device/many")).unwrap();
    let again = place.pull("many", "per_packet").0.end().exits(0).json();
    place.arrived(&again, "many", &bytes);
    assert_eq!(place.stored(), all, "known by its SHA-256");
}

#[test]
fn a_kill_while_packets_are_stored_loses_none_of_them() {
    let place = Place::new();
    let (kills, mut struck, mut orphans) = (count(2, 20), 0, 0);
    for round in 0..kills {
        let log = format!("log-{round}");
        let bytes = place.log(&log, 1_280_000, 10 + round as u64);
        let before = place.stored();
        let (mut run, _) = place.pull(&log, "per_packet");
        let name = place.world.until(&mut run, |run| (place.stored() > before + 300 + round * 50).then(|| id(run)));
        std::thread::sleep(Duration::from_millis(7 * (round as u64 % 5)));
        let ended = match name {
            Some(name) => {
                struck += usize::from(run.kill());
                place.world.resume(&place.services, &name).end()
            }
            None => run.end(),
        };
        place.arrived(&ended.exits(0).json(), &log, &bytes);
        let more = place.stored() - before - 2_001;
        // What was stored in the last moments before the kill was not durable yet.
        assert!(more <= 512, "{more} packets were stored twice");
        orphans += more;
    }
    println!("{struck} of {kills} kills struck, {orphans} packets without a list in all");
    assert!(struck > 0);
}

#[test]
fn more_packets_than_a_step_may_read_at_once_go_on_after_a_kill_on_redis() {
    let redis = Redis::with(&["--save", "", "--appendonly", "no"]);
    let place = Place::new();
    let bytes = place.log("long", 4_400 * 64, 5);
    let workflow = place.world.text(
        "long.yaml",
        "kind: workflow/v1\nname: long\ncodec: json-base64\nsteps:\n  - id: pull\n    uses: transfer.pull\n    with: { device: dev-1, file_type: long, window: 64, packet_size: 64, layout: per_packet }\noutputs:\n  sha256: \"${{ steps.pull.outputs.sha256 }}\"\n",
    );
    let data = place.world.data().display().to_string();
    let start = |what: &[&str]| {
        let at = ["-o", "json", "--mqtt", &place.services.mqtt, "--fastdfs", &place.services.tracker, "--data", &data];
        let store = ["--store", "redis", "--redis", &redis.url()];
        place.world.start(&[what, &at, &store].concat())
    };
    let mut run = start(&["run", &workflow.display().to_string()]);
    let name = place.world.until(&mut run, |run| (place.stored() > 4_200).then(|| id(run)));
    let name = name.unwrap_or_else(|| panic!("it was over too soon:\n{}\n{}", run.out(), run.err()));
    assert!(run.kill(), "it was over too soon");
    let before = place.stored();
    let ended = start(&["resume", &name]).end().exits(0).json();
    assert_eq!(ended["outputs"]["sha256"], files::sha256(&bytes).as_str(), "{ended:#}");
    println!("{before} packets were stored before the kill, {} files are there after it", place.stored());
    assert!(place.stored() - 4_401 <= 512, "{} packets were stored twice", place.stored() - 4_401);
}

/// Segments of the spool, and their bytes in all.
fn spool(place: &Place) -> (usize, u64) {
    let entries = std::fs::read_dir(place.world.data().join("spool")).unwrap();
    let sizes: Vec<u64> = entries.map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
    (sizes.len(), sizes.iter().sum())
}

#[test]
fn pulls_that_are_cancelled_or_killed_at_their_end_leave_nothing_in_the_spool() {
    let place = Place::new();
    place.log("slow", 400_000, 1);
    let text = |rate: &str| {
        format!(
            "kind: workflow/v1\nname: pull\ncodec: json-base64\nsteps:\n  - id: pull\n    uses: transfer.pull\n    with: {{ device: dev-1, file_type: slow, window: 16, rate: {rate} }}\n"
        )
    };
    let slow = place.world.text("slow.yaml", &text("64KiB/s"));
    let fast = place.world.text("fast.yaml", &text("8MiB/s"));
    let data = place.world.data().display().to_string();
    for _ in 0..2 {
        let mut run = place.world.run(&place.services, &slow, &[]);
        let begun =
            |run: &Value| run.pointer("/progress/done")?.as_u64().filter(|done| *done > 50_000).map(|_| id(run));
        let name = place.world.until(&mut run, begun).expect("it is slow enough");
        place.world.ask(&["cancel", &name, "--data", &data]).exits(0);
        run.end();
    }
    let (services, name) = (&place.services, fast.display().to_string());
    let killed =
        ["run", &name, "-o", "json", "--mqtt", &services.mqtt, "--fastdfs", &services.tracker, "--data", &data];
    let mut command = place.world.command(&killed);
    command.env("PACKHORSE_FAILPOINT", "spool.release");
    let ended = Child::start(command, "packhorse run that dies").end();
    assert_eq!(ended.code, None, "{}\n{}", ended.out, ended.err);
    for round in 0..8 {
        place.world.run(&place.services, &fast, &[]).end().exits(0);
        let (segments, bytes) = spool(&place);
        println!("pull {round}: {segments} segments, {bytes} bytes");
    }
    let (segments, bytes) = spool(&place);
    assert!(segments <= 2 && bytes < 1_000_000, "{segments} segments, {bytes} bytes");
}

#[test]
fn a_spool_that_could_not_be_written_once_is_written_again_by_the_same_process() {
    let world = World::new();
    let services = world.services();
    let device = world.device(&services.mqtt, "json-base64", "dev", &["--count", "2"]);
    while !device.err().contains("listening") && !device.out().contains("listening") {
        std::thread::sleep(Duration::from_millis(5));
    }
    for number in 1..=2 {
        std::fs::create_dir_all(world.path(&format!("device/dev-{number}"))).unwrap();
        std::fs::write(world.path(&format!("device/dev-{number}/log")), files::bytes(100_000, number)).unwrap();
    }
    let list = world.text("devices.txt", "dev-1\ndev-2\n").display().to_string();
    let workflow = world.text(
        "each.yaml",
        "kind: workflow/v1\nname: each\ninputs:\n  device: { type: string }\ncodec: json-base64\nsteps:\n  - id: pull\n    uses: transfer.pull\n    with: { device: \"${{ inputs.device }}\", file_type: log, window: 16 }\n    retry: { max_attempts: 1 }\n",
    );
    let data = world.data().display().to_string();
    let name = workflow.display().to_string();
    let at = ["--mqtt", &services.mqtt, "--fastdfs", &services.tracker, "--data", &data, "-o", "json"];
    let mut command = world.command(&[&["run", &name, "--each", &list, "--parallel", "1"][..], &at].concat());
    command.env("PACKHORSE_FAILPOINT", "spool.sync:3:error");
    let ended = Child::start(command, "packhorse run --each").end();
    let told = ended.json();
    println!("{}", ended.err);
    let status = |place: usize| told["items"][place]["status"].as_str().unwrap_or_default().to_owned();
    let code = told["items"][0].to_string();
    assert!(code.contains("PH5104"), "{told:#}");
    assert_eq!(status(1), "succeeded", "{told:#}");
}
