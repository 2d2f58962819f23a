//! One test's world: a folder of its own, services on free ports, devices and runs as real processes.

use crate::child::{Child, Ended, PATIENCE};
use crate::{control, files};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A test's world. Its processes go through [`Child`] and end with it.
#[derive(Debug)]
pub struct World {
    folder: tempfile::TempDir,
    program: PathBuf,
}

/// A broker and a file store as processes of their own, so that a run can be killed alone.
#[derive(Debug)]
pub struct Service {
    /// URL of the broker.
    pub mqtt: String,
    /// `HOST:PORT` of the broker.
    pub broker: String,
    /// Address of the tracker.
    pub tracker: String,
    _processes: Vec<Child>,
}

impl Service {
    /// Services that somebody else keeps: `HOST:PORT` of a broker and of a tracker.
    pub fn at(broker: &str, tracker: &str) -> Self {
        let (broker, tracker) = (broker.to_owned(), tracker.to_owned());
        Self { mqtt: format!("mqtt://{broker}"), broker, tracker, _processes: Vec::new() }
    }
}

impl World {
    /// An empty folder.
    #[expect(clippy::new_without_default, reason = "a world is made, not defaulted: it touches the disk")]
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder"), program: program() }
    }

    /// The folder; the data folder of runs is `data` in it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Writes a file of random bytes; gives path and bytes.
    pub fn file(&self, name: &str, size: usize, seed: u64) -> (PathBuf, Vec<u8>) {
        (files::file(self.folder(), name, size, seed), files::bytes(size, seed))
    }

    /// Writes a text file.
    pub fn text(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("the folder can be made");
        std::fs::write(&path, text).expect("the test's folder can be written");
        path
    }

    /// The program with these arguments, in the folder, with nobody's settings.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).current_dir(self.folder()).env("NO_COLOR", "1").env("XDG_CACHE_HOME", cache(&self.program));
        for name in std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()) {
            if name.starts_with("PACKHORSE_MQTT__") {
                command.env_remove(name);
            }
        }
        for name in [
            "MQTT",
            "FASTDFS",
            "REDIS",
            "STORE",
            "DATA",
            "PLUGINS",
            "WORKFLOWS",
            "LOG",
            "SERVER",
            "TOKEN",
            "TOKEN_FILE",
            "SERVE__RATE_LIMIT",
        ] {
            command.env_remove(format!("PACKHORSE_{name}"));
        }
        command
    }

    /// Starts the program.
    pub fn start(&self, args: &[&str]) -> Child {
        Child::start(self.command(args), &format!("packhorse {}", args.join(" ")))
    }

    /// Runs the program to its end.
    #[track_caller]
    pub fn ask(&self, args: &[&str]) -> Ended {
        self.start(args).end()
    }

    /// Runs the program with `-o json`; it must exit with `code` and print one JSON object.
    #[track_caller]
    pub fn json(&self, code: i32, args: &[&str]) -> Value {
        let mut all = args.to_vec();
        all.extend(["-o", "json"]);
        self.ask(&all).exits(code).json()
    }

    /// Starts broker and file store.
    pub fn services(&self) -> Service {
        let mut broker = self.start(&["broker", "--listen", "127.0.0.1:0"]);
        let path = self.path("fastdfs").display().to_string();
        let ports = ["--tracker", "127.0.0.1:0", "--storage", "127.0.0.1:0", "--path", &path];
        let mut fastdfs = self.start(&[&["fastdfs", "serve"][..], &ports[..]].concat());
        let mqtt = broker.line(|line| line.starts_with("mqtt://").then(|| line.trim().to_owned()));
        let tracker = fastdfs.line(|line| line.strip_prefix("tracker ").map(|address| address.trim().to_owned()));
        let address = mqtt.trim_start_matches("mqtt://").to_owned();
        Service { mqtt, broker: address, tracker, _processes: vec![broker, fastdfs] }
    }

    /// Starts a simulated device whose folder is `device` in ours.
    pub fn device(&self, mqtt: &str, codec: &str, id: &str, more: &[&str]) -> Child {
        let dir = self.path("device").display().to_string();
        let own = ["device", "-o", "json", "--codec", codec, "--id", id, "--dir", &dir, "--mqtt", mqtt];
        self.start(&[&own[..], more].concat())
    }

    /// Starts `packhorse run … -o json` on the data folder with these services.
    pub fn run(&self, services: &Service, workflow: &Path, more: &[&str]) -> Child {
        self.go(services, &["run", &workflow.display().to_string()], more)
    }

    /// Starts `packhorse resume`.
    pub fn resume(&self, services: &Service, run: &str) -> Child {
        self.go(services, &["resume", run], &[])
    }

    /// Starts `packhorse run … -o json` with everything embedded on free ports.
    pub fn embedded(&self, workflow: &Path, more: &[&str]) -> Child {
        let data = self.data().display().to_string();
        let free = ["--mqtt", "embedded://127.0.0.1:0", "--fastdfs", "embedded://127.0.0.1:0", "--data", &data];
        self.start(&[&["run", &workflow.display().to_string(), "-o", "json"][..], &free[..], more].concat())
    }

    /// The broker of a run that embeds it, from `services.json`.
    #[track_caller]
    pub fn embedded_broker(&self, run: &mut Child) -> String {
        let started = Instant::now();
        loop {
            let services = std::fs::read(self.data().join("services.json")).ok();
            let services: Option<Value> = services.and_then(|bytes| serde_json::from_slice(&bytes).ok());
            if let Some(url) = services.as_ref().and_then(|services| services.get("mqtt")?.as_str()) {
                return url.to_owned();
            }
            assert!(run.runs() && started.elapsed() < PATIENCE, "no services.json:\n{}\n{}", run.out(), run.err());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until a run exists and `until` finds something in it; nothing when the run's process ends before.
    pub fn until<T>(&self, run: &mut Child, until: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let started = Instant::now();
        while run.runs() {
            if let Some(found) = control::newest(&self.data()).as_ref().and_then(&until) {
                return Some(found);
            }
            assert!(started.elapsed() < PATIENCE, "waited in vain:\n{}\n{}", run.out(), run.err());
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }

    fn go(&self, services: &Service, what: &[&str], more: &[&str]) -> Child {
        let data = self.data().display().to_string();
        let at = ["-o", "json", "--mqtt", &services.mqtt, "--fastdfs", &services.tracker, "--data", &data];
        self.start(&[what, &at[..], more].concat())
    }
}

/// A workflow of the project.
pub fn workflow(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows").join(format!("{name}.yaml"))
}

/// Bytes done of a view of a run, where a transfer is under way.
pub fn done(run: &Value) -> Option<u64> {
    run.pointer("/progress/done").and_then(Value::as_u64)
}

/// The id of a view of a run.
pub fn id(run: &Value) -> String {
    run.pointer("/run").and_then(Value::as_str).expect("a run has an id").to_owned()
}

/// A number of a view of a run.
#[track_caller]
pub fn number(run: &Value, pointer: &str) -> u64 {
    run.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer} is no number in {run:#}"))
}

fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("PACKHORSE_BIN") {
        return path.into();
    }
    let own = std::env::current_exe().expect("a test knows its own path");
    let beside = own.parent().and_then(Path::parent).expect("tests lie in TARGET/PROFILE/deps").join("packhorse");
    assert!(
        beside.is_file(),
        "{} is missing: build it with `cargo build --release -p packhorse`, or name another one in PACKHORSE_BIN",
        beside.display()
    );
    beside
}

/// Compiled codecs of all tests, so that each is compiled once; beside the program, not among its user's own.
fn cache(program: &Path) -> PathBuf {
    program.parent().unwrap_or(Path::new("/tmp")).join("tests-cache")
}
