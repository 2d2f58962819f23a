//! What every codec in `plugins/` must hold, over real processes: its own checks with many random inputs, a file each way over a lossy
//! link, and a runner that is killed in the middle.
//!
//! A new codec is found by its folder. What it needs that is not in its description stands in [`Codec::new`].

use packhorse_tests::child::Ended;
use packhorse_tests::http::FileServer;
use packhorse_tests::world::{self, id};
use packhorse_tests::{Child, Service, World, count, files};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// Messages lost, each way.
const LOSS: &str = "0.1";
/// Kills that miss a transfer, because it was over, before the test gives up.
const TRIES: u64 = 8;

/// One codec, built from its folder.
struct Codec {
    name: String,
    /// `--var` and values for those that have no default.
    vars: Vec<String>,
    pushes: bool,
    pulls: bool,
    /// It offers by URL alone: the file does not go over MQTT.
    by_url: bool,
}

impl Codec {
    fn new(name: &str) -> Self {
        let about = packhorse(&["plugin", "inspect", name, "-o", "json"]);
        let about: Value = serde_json::from_str(&about).expect("inspect prints JSON");
        let drivers: Vec<&str> =
            about["modes"].as_array().unwrap().iter().map(|mode| mode["driver"].as_str().unwrap()).collect();
        let required = about["vars"].as_array().unwrap().iter().filter(|var| var["required"] == true);
        let vars = required.flat_map(|var| ["--var".to_owned(), format!("{}=test1", var["name"].as_str().unwrap())]);
        Self {
            name: name.to_owned(),
            vars: vars.collect(),
            pushes: drivers.iter().any(|driver| matches!(*driver, "platform-push" | "device-pull")),
            pulls: drivers.iter().any(|driver| matches!(*driver, "device-push" | "platform-pull")),
            by_url: name == "ota-topics",
        }
    }

    fn with<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let own = ["--plugins", folder().to_str().expect("the folder's name is text")];
        own.into_iter().chain(self.vars.iter().map(String::as_str)).chain(more.iter().copied()).collect()
    }
}

/// All of them, built once for this test program.
fn codecs() -> &'static [Codec] {
    static ALL: OnceLock<Vec<Codec>> = OnceLock::new();
    ALL.get_or_init(|| {
        let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
        let entries = std::fs::read_dir(&home).expect("there are plugins").flatten();
        let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| is_codec(path)).collect();
        folders.sort();
        let paths: Vec<&str> = folders.iter().map(|path| path.to_str().expect("it is text")).collect();
        packhorse(&[&["plugin", "build"][..], &paths].concat());
        folders.iter().map(|path| Codec::new(&path.file_name().unwrap().to_string_lossy())).collect()
    })
}

/// Whether a folder holds a codec: step plugins lie there too, and are written with another crate.
fn is_codec(path: &Path) -> bool {
    let manifest = std::fs::read_to_string(path.join("Cargo.toml"));
    manifest.is_ok_and(|text| text.contains("packhorse-codec"))
}

/// Where they are built to.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().expect("a temporary folder")).path()
}

/// Runs the program to a good end, with the folder of the built codecs; gives what it printed.
fn packhorse(args: &[&str]) -> String {
    ended(args).exits(0).out
}

/// The checks of one codec. A call that took too long is tried once more: where memory is short, the system's work counts as the guest's,
/// while a codec that loops takes too long again.
fn checked(args: &[&str]) -> String {
    let first = ended(args);
    if first.code == Some(1) && first.out.contains("of processor time") {
        println!("tried once more:\n{}", first.out);
        return packhorse(args);
    }
    first.exits(0).out
}

fn ended(args: &[&str]) -> Ended {
    let world = World::new();
    let plugins = folder().display().to_string();
    let mut command: Command = world.command(&[args, &["--plugins", &plugins]].concat());
    // Cargo is for the repository's own folder, and what it builds for its own.
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    Child::start(command, &format!("packhorse {}", args.join(" "))).end()
}

fn vectors(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../plugins/{name}/vectors")).display().to_string()
}

#[test]
fn every_codec_passes_its_own_checks() {
    let random = count(20_000, 1_000_000);
    for codec in codecs() {
        let report = checked(&[
            "plugin",
            "test",
            &codec.name,
            "--vectors",
            &vectors(&codec.name),
            "--random",
            &random.to_string(),
        ]);
        println!("{report}");
        let fed = report.lines().filter(|line| line.contains("random packets"));
        let cases = fed.filter_map(|line| line.split_once(" cases")?.0.rsplit(' ').next()?.parse::<usize>().ok());
        let enough = cases.filter(|cases| *cases >= random).count();
        assert_eq!(enough, 2, "both sides stand {random} random packets:\n{report}");
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Push,
    Pull,
}

/// One transfer of one file between a runner and a device that has nothing else.
struct Ride<'a> {
    codec: &'a Codec,
    way: Way,
    world: World,
    services: Service,
    bytes: Vec<u8>,
    server: FileServer,
    _device: Child,
}

impl<'a> Ride<'a> {
    fn new(codec: &'a Codec, way: Way, size: usize, seed: u64) -> Self {
        let world = World::new();
        let services = world.services();
        let bytes = files::bytes(size, seed);
        let folder = world.path("device");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(if way == Way::Push { world.path("log") } else { folder.join("log") }, &bytes).unwrap();
        let weather = ["--loss", LOSS, "--seed", &seed.to_string()];
        let device = world.device(&services.mqtt, &codec.name, "dev-1", &codec.with(&weather));
        let server = FileServer::start(bytes.clone(), Duration::from_millis(40));
        Self { codec, way, world, services, bytes, server, _device: device }
    }

    fn run(&self) -> Child {
        let file = format!("file={}", self.world.path("log").display());
        let inputs: &[&str] = if self.way == Way::Push { &["-i", &file] } else { &[] };
        self.world.run(&self.services, &self.workflow(), &self.codec.with(inputs))
    }

    fn workflow(&self) -> PathBuf {
        let name = &self.codec.name;
        let url = if self.codec.by_url { format!(", url: \"{}\"", self.server.url()) } else { String::new() };
        let text = match self.way {
            Way::Push => format!(
                "kind: workflow/v1\nname: every-push\ninputs:\n  file: {{ type: file }}\ncodec: {name}\nsteps:\n  - id: ride\n    uses: transfer.push\n    \
                 with: {{ device: dev-1, file: \"${{{{ inputs.file }}}}\", meta: {{ title: log, version: \"1.1\"{url} }}, rate: 1MiB/s }}\n"
            ),
            Way::Pull => format!(
                "kind: workflow/v1\nname: every-pull\ncodec: {name}\nsteps:\n  - id: ride\n    uses: transfer.pull\n    \
                 with: {{ device: dev-1, file_type: log, rate: 1MiB/s }}\n  - uses: fastdfs.download\n    \
                 with: {{ file: \"${{{{ steps.ride.outputs.file }}}}\", to: pulled }}\n"
            ),
        };
        self.world.text("every.yaml", &text)
    }

    /// Fails the test unless the run succeeds and the file is whole at the other end; gives the run.
    #[track_caller]
    fn arrives(&self, run: Child) -> Value {
        let run = run.end().exits(0).json();
        assert_eq!(run["status"], "succeeded", "{run:#}");
        let whole = match self.way {
            Way::Push => self.has_received(),
            Way::Pull => std::fs::read(self.world.path("pulled")).unwrap() == self.bytes,
        };
        assert!(whole, "{} {:?}: the file differs", self.codec.name, self.way);
        run
    }

    /// What a file is called on the device is a matter of its protocol.
    fn has_received(&self) -> bool {
        let entries = std::fs::read_dir(self.world.path("device")).unwrap().flatten().map(|entry| entry.path());
        entries.filter(|path| path.is_file()).any(|path| std::fs::read(path).is_ok_and(|it| it == self.bytes))
    }
}

fn each(ride: impl Fn(&Codec, Way)) {
    for codec in codecs() {
        for (way, can) in [(Way::Push, codec.pushes), (Way::Pull, codec.pulls)] {
            if can {
                ride(codec, way);
            }
        }
    }
}

#[test]
fn every_codec_carries_a_file_over_a_lossy_link() {
    println!("{:<20} {:<5} {:>9}  confirmed", "codec", "way", "sent");
    each(|codec, way| {
        let size = count(256 << 10, 1 << 20);
        let ride = Ride::new(codec, way, size, 70);
        let run = ride.arrives(ride.run());
        let confirmed = &run["steps"][0]["outputs"]["confirmed"];
        let sent = world::number(&run, "/traffic/payload_bytes") + world::number(&run, "/traffic/retransmitted_bytes");
        let times = sent as f64 / size as f64;
        println!("{:<20} {way:<5?} {times:>8.2}x  {confirmed}", codec.name);
        if codec.by_url {
            assert_eq!((sent, confirmed), (0, &"device_digest".into()), "{run:#}");
            assert!(ride.server.answers() > 0, "the device fetched it");
        } else {
            assert!(times >= 1.0, "{run:#}");
        }
    });
}

#[test]
fn every_codec_goes_on_after_the_runner_was_killed() {
    each(|codec, way| {
        let size = count(384 << 10, 1 << 20);
        let struck = (0..TRIES).any(|round| {
            let ride = Ride::new(codec, way, size, 80 + round);
            let at = size as u64 * (2 + round % 6) / 10;
            let mut run = ride.run();
            let reached = |run: &Value| world::done(run).filter(|done| *done >= at).map(|_| id(run));
            let Some(name) = ride.world.until(&mut run, reached) else {
                ride.arrives(run);
                return false;
            };
            let struck = run.kill();
            let resumed = ride.arrives(resume(&ride, &name));
            println!("{:<20} {way:?}: killed past {at} of {size}: {}", codec.name, resumed["traffic"]);
            struck
        });
        assert!(struck, "no kill struck {} in the middle of a {way:?}", codec.name);
    });
}

/// With the codec's own bytes, which the run keeps.
fn resume(ride: &Ride<'_>, run: &str) -> Child {
    ride.world.resume(&ride.services, run)
}
