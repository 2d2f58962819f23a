//! Codecs that lie to the transfer machine, in whole programs: each lie is refused by a code, with the codec's name, or dropped and
//! counted; none makes a good end of a bad file, and no bad file is published.
//!
//! What no host can find out is not here: a codec that forges every word of a device, its digest included, is that device.

#[path = "../../runner/tests/plugin/guest.rs"]
mod guest;

use guest::{Guest, RESULT};
use packhorse_tests::client::Stranger;
use packhorse_tests::{Child, Ended, Service, World, files};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const SIZE: usize = 60_000;
const PUSH: &str = "kind: workflow/v1\nname: push\ninputs:\n  image: { type: file }\ncodec: liar\ntimeout: 60s\nsteps:\n  - id: go\n    \
     uses: transfer.push\n    with: { device: dev-1, file: \"${{ inputs.image }}\", rate: 100KiB/s }\n    retry: { max_attempts: 1 }\n";
const PULL: &str = "kind: workflow/v1\nname: pull\ncodec: liar\ntimeout: 60s\nsteps:\n  - id: go\n    uses: transfer.pull\n    \
     with: { device: dev-1, file_type: log, rate: 100KiB/s }\n    retry: { max_attempts: 1 }\n";

/// Where the liar is built to, once in this test program.
fn plugins() -> &'static str {
    static BUILT: OnceLock<tempfile::TempDir> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("liar").display().to_string();
        let into = folder.path().display().to_string();
        let world = World::new();
        let command = world.command(&["plugin", "build", &source, "--plugins", &into]);
        Child::start(command, "packhorse plugin build").end().exits(0).says(&["liar"]);
        folder
    });
    built.path().to_str().expect("the folder's name is text")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Push,
    Pull,
}

/// Broker, file store, an honest device, and a file on one side.
struct Stage {
    way: Way,
    world: World,
    services: Service,
    bytes: Vec<u8>,
    _device: Child,
}

impl Stage {
    fn new(way: Way) -> Self {
        let world = World::new();
        let services = world.services();
        let (_, bytes) = world.file("image", SIZE, 3);
        std::fs::create_dir_all(world.path("device")).unwrap();
        if way == Way::Pull {
            std::fs::write(world.path("device/log"), &bytes).unwrap();
        }
        let device = world.device(&services.mqtt, "liar", "dev-1", &["--plugins", plugins()]);
        Self { way, world, services, bytes, _device: device }
    }

    fn start(&self, lie: &str) -> Child {
        let (lie, image) = (format!("lie={lie}"), format!("image={}", self.world.path("image").display()));
        let (text, inputs): (&str, &[&str]) = if self.way == Way::Push { (PUSH, &["-i", &image]) } else { (PULL, &[]) };
        let workflow = self.world.text("go.yaml", text);
        self.world.run(&self.services, &workflow, &[&["--plugins", plugins(), "--var", &lie], inputs].concat())
    }

    /// Whether the file store holds anything of the size of the file.
    fn published(&self) -> bool {
        all_files(&self.world.path("fastdfs"))
            .iter()
            .any(|path| path.metadata().is_ok_and(|about| about.len() >= SIZE as u64 / 2))
    }

    /// Whether the file is whole at its other end; what is still on its way there is waited for.
    fn arrived(&self, run: &Value) -> bool {
        if self.way == Way::Pull {
            return self.published() && run["steps"][0]["outputs"]["md5"] == files::md5(&self.bytes).as_str();
        }
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) {
            if std::fs::read(self.world.path("device/image")).is_ok_and(|there| there == self.bytes) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

/// Files of a folder and all below it.
fn all_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).map(|entries| entries.flatten().map(|entry| entry.path()).collect());
    let entries: Vec<PathBuf> = entries.unwrap_or_default();
    entries.into_iter().flat_map(|path| if path.is_dir() { all_files(&path) } else { vec![path] }).collect()
}

/// The run failed with this code, and its words name the codec.
#[track_caller]
fn fails(ended: Ended, lie: &str, codec: &str, code: &str) -> Value {
    let run = ended.exits(1).json();
    assert_eq!((&run["status"], &run["error"]["code"]), (&"failed".into(), &code.into()), "{lie}: {run:#}");
    let words = run["error"]["message"].as_str().unwrap_or_default();
    println!("{lie:<16} {code}  {words}");
    assert!(words.contains(codec), "{lie}: the codec is named: {words}");
    run
}

/// Lies that end a transfer at once, each with its code.
fn refused(way: Way, lies: &[(&str, &str)]) {
    for (lie, code) in lies {
        let stage = Stage::new(way);
        let run = fails(stage.start(lie).end(), lie, "liar 0.1.0", code);
        assert!(run["steps"][0]["outputs"]["file"].is_null(), "{lie}: {run:#}");
        assert!(!stage.published(), "{lie}: nothing bad is ever published");
    }
}

/// Lies that change nothing: the file arrives whole, and the lies were counted.
fn counted(way: Way, lies: &[&str]) {
    for lie in lies {
        let stage = Stage::new(way);
        let mut run = stage.start(lie);
        let count = |run: &Value| run.pointer("/transfer/implausible")?.as_u64().filter(|count| *count > 0);
        let count = stage.world.until(&mut run, count);
        let run = run.end().exits(0).json();
        assert!(stage.arrived(&run), "{lie}: the file is not whole at its other end: {run:#}");
        println!("{lie:<16} {count:?} counted, {}", run["steps"][0]["outputs"]["confirmed"]);
        assert!(count.is_some(), "{lie}: what was not believed is told while the transfer runs");
        let sent = run.pointer("/traffic/wire_bytes").and_then(Value::as_u64).unwrap();
        assert!(sent > SIZE as u64, "{lie}: all of it went over the wire: {run:#}");
    }
}

#[test]
fn without_a_lie_both_ways_end_well() {
    for way in [Way::Push, Way::Pull] {
        let stage = Stage::new(way);
        let run = stage.start("none").end().exits(0).json();
        assert!(stage.arrived(&run), "{way:?}: {run:#}");
    }
}

#[test]
fn lies_about_what_a_device_got_end_no_push_early() {
    counted(Way::Push, &["acks-unsent", "acks-outside", "early-good", "wants"]);
}

#[test]
fn a_right_digest_before_anything_was_sent_ends_no_push() {
    let stage = Stage::new(Way::Push);
    let run = stage.start("early-finish").end().exits(0).json();
    assert!(stage.arrived(&run), "{run:#}");
    let sent = run.pointer("/traffic/wire_bytes").and_then(Value::as_u64).unwrap();
    assert!(sent > SIZE as u64, "all of it went over the wire: {run:#}");
}

#[test]
fn pushes_that_cannot_be_gone_on_with_fail_by_name() {
    refused(Way::Push, &[("floods", "PH6001"), ("pours", "PH6001")]);
}

#[test]
fn a_device_that_begins_again_without_end_fails_its_push() {
    let stage = Stage::new(Way::Push);
    let run = fails(stage.start("retries").end(), "retries", "liar 0.1.0", "PH5005");
    let words = run["error"]["message"].as_str().unwrap();
    assert!(words.contains("it tried 4 times") && words.contains("flash"), "{words}");
}

#[test]
fn no_level_of_a_topic_leads_to_another_device() {
    for lie in ["parent", "wildcard"] {
        let stage = Stage::new(Way::Push);
        let stranger = Stranger::connect(&stage.services.broker, &["liar/#"]);
        fails(stage.start(lie).end(), lie, "liar 0.1.0", "PH6001");
        while let Some((topic, _)) = stranger.hear(Duration::from_millis(300)) {
            assert!(topic.starts_with("liar/dev-1/") && !topic.contains("/open/"), "{lie}: {topic}");
        }
    }
}

#[test]
fn a_codec_that_cannot_go_on_may_tell_the_device() {
    let stage = Stage::new(Way::Push);
    let stranger = Stranger::connect(&stage.services.broker, &["liar/dev-1/down"]);
    let run = fails(stage.start("last-words").end(), "last-words", "liar 0.1.0", "PH5010");
    assert!(run["error"]["message"].as_str().unwrap().contains("has had enough"), "{run:#}");
    let heard = std::iter::from_fn(|| stranger.hear(Duration::from_secs(1)));
    assert_eq!(heard.filter(|(_, payload)| payload == b"the last word").count(), 1);
}

#[test]
fn lies_about_the_file_end_a_pull_and_nothing_is_published() {
    refused(
        Way::Pull,
        &[
            ("data-outside", "PH5006"),
            ("mebibyte", "PH5006"),
            ("data-overflows", "PH6001"),
            ("early-last", "PH5006"),
            ("shrinks", "PH5006"),
            ("changes", "PH5012"),
            ("floods", "PH6001"),
            ("pours", "PH6001"),
        ],
    );
}

#[test]
fn bytes_that_are_not_the_devices_are_quarantined() {
    let stage = Stage::new(Way::Pull);
    let run = fails(stage.start("forged").end(), "forged", "liar 0.1.0", "PH5009");
    let kept = all_files(&stage.world.data().join("quarantine"));
    assert_eq!(kept.len(), 1, "{run:#}");
    assert!(std::fs::read(&kept[0]).unwrap() != stage.bytes, "the forgery, for a person to look at");
    assert!(!stage.published(), "nothing bad is ever published");
}

#[test]
fn words_of_a_push_change_nothing_in_a_pull() {
    counted(Way::Pull, &["acks-of-a-pull", "wants"]);
    for lie in ["early-good", "early-finish"] {
        let stage = Stage::new(Way::Pull);
        let run = stage.start(lie).end().exits(0).json();
        assert!(stage.arrived(&run), "{lie}: {run:#}");
    }
}

/// A device-pull whose codec makes one and the same request of everything that it hears.
fn asks(name: &str, start: u32, end: u32, words: &str) {
    let item = RESULT + 1024;
    let want = [3, 0, 0, 0, start, 0, end, 0, 0, 0];
    let guest = Guest { driver: 1, decode: format!("(i32.const {RESULT})"), ..Guest::named(name) };
    let guest = guest.words(RESULT, &[item as u32, 1, 0, 0, 0, 0]).words(item, &want);
    let world = World::new();
    let services = world.services();
    let component = packhorse::plugin::kit::encode(name, &guest.module()).unwrap();
    std::fs::create_dir_all(world.path("plugins")).unwrap();
    std::fs::write(world.path("plugins").join(format!("{name}.wasm")), component).unwrap();
    let (image, _) = world.file("image", SIZE, 3);
    let push = world.text("go.yaml", &PUSH.replace("codec: liar", &format!("codec: {name}")));
    let mut run = world.run(&services, &push, &["-i", &format!("image={}", image.display())]);
    let stranger = Stranger::connect(&services.broker, &[]);
    while run.runs() {
        stranger.say("h/dev-1/up", "more");
        std::thread::sleep(Duration::from_millis(20));
    }
    let run = fails(run.end(), name, &format!("{name} 0.1.0"), "PH5007");
    assert!(run["error"]["message"].as_str().unwrap().contains(words), "{run:#}");
}

#[test]
fn requests_without_end_are_ended() {
    asks("past-the-end", 1 << 20, (1 << 20) + 512, "past the end of the file");
    asks("over-and-over", 0, 512, "for bytes from 0 on");
}
