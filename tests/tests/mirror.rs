//! The mirror in Redis as an outside system sees it: a real server, read by a client of our own, while real transfers run.

use packhorse_tests::child::Child;
use packhorse_tests::keys::Keys;
use packhorse_tests::world::{self, id};
use packhorse_tests::{Service, World, files};
use serde_json::Value;
use std::path::{Path, PathBuf};

const WEEK: i64 = 7 * 86_400;

struct Place {
    world: World,
    services: Service,
    keys: Keys,
    _device: Child,
}

impl Place {
    fn new() -> Self {
        let world = World::new();
        let services = world.services();
        let keys = Keys::start(&world.path("redis"));
        std::fs::create_dir_all(world.path("device")).unwrap();
        let device = world.device(&services.mqtt, "json-base64", "dev-1", &[]);
        Self { world, services, keys, _device: device }
    }

    fn start(&self, data: &str, args: &[&str]) -> Child {
        let data = self.world.path(data).display().to_string();
        let url = self.keys.url();
        let at = ["-o", "json", "--mqtt", &self.services.mqtt, "--fastdfs", &self.services.tracker, "--data", &data];
        self.world.start(&[args, &at, &["--redis", &url]].concat())
    }

    fn run(&self, workflow: &Path, inputs: &[String]) -> Child {
        let name = workflow.display().to_string();
        let inputs = inputs.iter().flat_map(|input| ["-i", input]);
        self.start("data", &["run", &name].into_iter().chain(inputs).collect::<Vec<_>>())
    }

    /// Uploads and pushes at 400 KiB a second.
    fn push(&self) -> PathBuf {
        self.world.text(
            "push.yaml",
            "kind: workflow/v1\nname: push\ninputs:\n  file: { type: file }\n  device: { type: string, default: dev-1 }\ncodec: json-base64\nsteps:\n  - id: up\n    uses: fastdfs.upload\n    with: { file: \"${{ inputs.file }}\" }\n  - id: push\n    uses: transfer.push\n    with: { device: \"${{ inputs.device }}\", file: \"${{ steps.up.outputs.file }}\", window: 16, packet_size: 500, rate: 400KiB/s }\noutputs:\n  uri: \"${{ steps.up.outputs.file.uri }}\"\n",
        )
    }

    fn pull(&self, log: &str, layout: &str) -> PathBuf {
        self.world.text(
            "pull.yaml",
            &format!(
                "kind: workflow/v1\nname: pull\ncodec: json-base64\nsteps:\n  - id: pull\n    uses: transfer.pull\n    with: {{ device: dev-1, file_type: {log}, window: 16, packet_size: 500, layout: {layout} }}\noutputs:\n  uri: \"${{{{ steps.pull.outputs.file.uri }}}}\"\n"
            ),
        )
    }

    /// The packets of a file, `(done, total)`.
    fn split(&self, md5: &str) -> Option<(u64, u64)> {
        let text = self.keys.ask(&["GET", &format!("file:md5:split:{md5}")]);
        let (done, total) = text.as_str()?.split_once('/')?;
        Some((done.parse().unwrap(), total.parse().unwrap()))
    }

    /// Fetches a file of the file store by the path that the mirror tells.
    fn fetch(&self, path: &str) -> Vec<u8> {
        let to = self.world.path("fetched");
        drop(std::fs::remove_file(&to));
        let tracker = &self.services.tracker;
        self.world.ask(&["fastdfs", "download", path, &to.display().to_string(), "--tracker", tracker]).exits(0);
        std::fs::read(to).unwrap()
    }

    fn expires(&self, kind: &str, md5: &str) {
        let ttl = self.keys.ttl(&format!("file:md5:{kind}:{md5}"));
        assert!((WEEK - 600..=WEEK).contains(&ttl), "{kind} expires in {ttl} s");
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

#[test]
fn a_push_shows_its_file_and_its_packets_while_it_runs_and_for_a_week() {
    let place = Place::new();
    let (file, bytes) = place.world.file("fw.bin", 300_100, 1);
    let md5 = files::md5(&bytes);
    let mut run = place.run(&place.push(), &[format!("file={}", file.display())]);
    let mut seen = Vec::new();
    while run.runs() {
        if let Some((done, total)) = place.split(&md5) {
            assert_eq!(total, 601);
            if done < total && run.runs() {
                seen.push(done);
                let split = format!("file:md5:split:{md5}");
                let ttl = place.keys.ttl(&split);
                // The run may have ended between the two questions.
                assert!(ttl == -1 || place.split(&md5) == Some((601, 601)), "it expires while its run lives: {ttl}");
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let ended = run.end().exits(0).json();
    seen.dedup();
    println!("{} states of the packets were seen: {seen:?}", seen.len());
    assert!(seen.len() >= 3 && seen.is_sorted(), "{seen:?}");
    assert_eq!(place.split(&md5), Some((601, 601)));
    let path = place.keys.ask(&["GET", &format!("file:md5:upload:{md5}")]);
    assert_eq!(format!("fastdfs:{}", text(&path)), text(&ended["outputs"]["uri"]));
    assert!(place.fetch(text(&path)) == bytes);
    place.expires("upload", &md5);
    place.expires("split", &md5);
}

#[test]
fn a_pull_shows_one_file_or_its_packets_which_make_the_file_when_sorted() {
    let place = Place::new();
    for (log, size, layout, packets) in
        [("whole", 40_100, "whole", 81), ("packets", 10_100, "per_packet", 21), ("empty", 0, "per_packet", 1)]
    {
        let bytes = files::bytes(size, 2);
        std::fs::write(place.world.path(&format!("device/{log}")), &bytes).unwrap();
        place.run(&place.pull(log, layout), &[]).end().exits(0);
        let md5 = files::md5(&bytes);
        let fields = place.keys.hash(&format!("file:md5:download:{md5}"));
        let mut sorted: Vec<(u64, &str)> =
            fields.iter().map(|(offset, path)| (offset.parse().unwrap(), text(path))).collect();
        sorted.sort_unstable();
        assert_eq!(sorted.len(), if layout == "whole" { 1 } else { packets }, "{log}: {fields:?}");
        let all: Vec<u8> = sorted.iter().flat_map(|(_, path)| place.fetch(path)).collect();
        assert!(all == bytes, "{log} differs");
        assert_eq!(place.split(&md5), Some((packets as u64, packets as u64)), "{log}");
        place.expires("download", &md5);
        place.expires("split", &md5);
    }
}

#[test]
fn a_redis_that_is_away_stops_nothing_and_is_brought_up_to_date() {
    let mut place = Place::new();
    let (file, bytes) = place.world.file("fw.bin", 900_000, 3);
    let md5 = files::md5(&bytes);
    let mut run = place.run(&place.push(), &[format!("file={}", file.display())]);
    let until = |place: &Place, run: &mut Child, bytes: u64| {
        let reached = place.world.until(run, |run| world::done(run).filter(|done| *done >= bytes));
        reached.unwrap_or_else(|| panic!("it ended before byte {bytes}"))
    };
    until(&place, &mut run, 150_000);
    let before = place.split(&md5).expect("it was told");
    place.keys.stop();
    let (from, to) = (until(&place, &mut run, 250_000), until(&place, &mut run, 500_000));
    assert!(to > from, "it goes on while Redis is away");
    place.keys.again();
    let ended = run.end().exits(0);
    assert_eq!(place.split(&md5), Some((1_800, 1_800)), "it said {before:?} before");
    place.expires("split", &md5);
    place.expires("upload", &md5);
    let warnings = ended.err.matches("the mirror cannot be written").count();
    assert_eq!(warnings, 1, "{}", ended.err);
    assert!(std::fs::read(place.world.path("device/fw.bin")).unwrap() == bytes);
}

#[test]
fn a_killed_run_keeps_its_keys_until_it_has_ended() {
    let place = Place::new();
    let (file, bytes) = place.world.file("fw.bin", 400_000, 4);
    let md5 = files::md5(&bytes);
    let mut run = place.run(&place.push(), &[format!("file={}", file.display())]);
    let name = place.world.until(&mut run, |run| world::done(run).filter(|done| *done > 100_000).map(|_| id(run)));
    assert!(run.kill());
    assert_eq!(place.keys.ttl(&format!("file:md5:upload:{md5}")), -1, "its run is not over");
    let name = name.expect("it was under way");
    place.start("data", &["resume", &name]).end().exits(0);
    assert_eq!(place.split(&md5), Some((800, 800)));
    place.expires("upload", &md5);
    place.expires("split", &md5);
}

#[test]
fn a_failed_run_lets_its_keys_expire_too() {
    let place = Place::new();
    let (file, bytes) = place.world.file("fw.bin", 50_000, 5);
    let md5 = files::md5(&bytes);
    let workflow = place.world.text(
        "fails.yaml",
        "kind: workflow/v1\nname: fails\ninputs:\n  file: { type: file }\nsteps:\n  - uses: fastdfs.upload\n    with: { file: \"${{ inputs.file }}\" }\n  - uses: fail\n    with: { message: on purpose }\n",
    );
    place.run(&workflow, &[format!("file={}", file.display())]).end().exits(1);
    place.expires("upload", &md5);
}

#[test]
fn files_of_others_are_found_by_md5_and_looked_at() {
    let place = Place::new();
    let (file, bytes) = place.world.file("fw.bin", 60_000, 6);
    let md5 = files::md5(&bytes);
    place.run(&place.push(), &[format!("file={}", file.display())]).end().exits(0);
    std::fs::remove_file(&file).unwrap();
    std::fs::remove_file(place.world.path("device/fw.bin")).unwrap();
    let push = place.push().display().to_string();
    let input = format!("file=md5:{md5}");
    let run = place.start("elsewhere", &["run", &push, "-i", &input]).end().exits(0).json();
    let path = place.keys.ask(&["GET", &format!("file:md5:upload:{md5}")]);
    assert_eq!(text(&run["outputs"]["uri"]), format!("fastdfs:{}", text(&path)), "another data folder found it");
    // A key that leads to another file.
    let wrong = files::md5(b"another file");
    place.keys.ask(&["SET", &format!("file:md5:upload:{wrong}"), text(&path)]);
    let input = format!("file=md5:{wrong}");
    let refused = place.start("third", &["run", &push, "-i", &input]).end();
    assert!(
        refused.code == Some(2) && refused.err.contains("PH4107"),
        "{:?}\n{}{}",
        refused.code,
        refused.out,
        refused.err
    );
    let unknown = format!("file=md5:{}", files::md5(b"nobody has it"));
    place.start("third", &["run", &push, "-i", &unknown]).end().exits(2).says(&["PH4011"]);
}
