//! A daemon with folders of its own, and how it is asked.

use packhorse_tests::child::{Child, PATIENCE};
use packhorse_tests::{Mosquitto, Service, World, files};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What it says when it answers.
pub(crate) const UP: &str = "unfinished runs taken up";

/// A daemon beside a broker and a file store of their own, so that it can be killed alone.
pub(crate) struct Daemon {
    pub(crate) world: World,
    pub(crate) services: Service,
    process: Option<Child>,
    /// Where it keeps compiled code, where it is not where all tests do.
    cache: Option<PathBuf>,
    /// Where its API listens.
    pub(crate) listen: String,
    /// Variables of its process.
    pub(crate) set: Vec<(&'static str, String)>,
}

impl Daemon {
    pub(crate) fn start() -> Self {
        let world = World::new();
        let services = world.services();
        Self::among(world, services, None)
    }

    /// With compiled code in a folder of its own: what it compiles is of no use to other tests.
    pub(crate) fn apart() -> Self {
        let world = World::new();
        let (services, cache) = (world.services(), world.path("cache"));
        Self::among(world, services, Some(cache))
    }

    /// With `packhorse.yaml` as `written` writes it.
    pub(crate) fn with(written: impl FnOnce(&World) -> String) -> Self {
        let world = World::new();
        let settings = written(&world);
        world.text("packhorse.yaml", &settings);
        let services = world.services();
        Self::among(world, services, None)
    }

    /// Beside a broker that is not ours.
    pub(crate) fn beside(broker: &Mosquitto) -> Self {
        let world = World::new();
        let mut services = world.services();
        (services.mqtt, services.broker) = (broker.url(), broker.address());
        Self::among(world, services, None)
    }

    fn among(world: World, services: Service, cache: Option<PathBuf>) -> Self {
        if !world.path("packhorse.yaml").exists() {
            // Tests ask more often than anybody may.
            world.text("packhorse.yaml", "serve: { rate_limit: off }\n");
        }
        for folder in ["workflows", "plugins", "devices", "device"] {
            std::fs::create_dir_all(world.path(folder)).unwrap();
        }
        let mut daemon =
            Self { world, services, process: None, cache, listen: "127.0.0.1:0".to_owned(), set: Vec::new() };
        daemon.begin();
        daemon
    }

    /// Starts the process and waits until it answers.
    pub(crate) fn begin(&mut self) {
        self.begin_with(&[]);
    }

    /// The same with more arguments.
    pub(crate) fn begin_with(&mut self, more: &[&str]) {
        self.spawn_with(more);
        self.says(UP);
    }

    /// Starts the process.
    pub(crate) fn spawn(&mut self) {
        self.spawn_with(&[]);
    }

    fn spawn_with(&mut self, more: &[&str]) {
        let folder = |name: &str| self.world.path(name).display().to_string();
        let (data, workflows, plugins) = (folder("data"), folder("workflows"), folder("plugins"));
        let devices = folder("devices");
        let (mqtt, tracker) = (&self.services.mqtt, &self.services.tracker);
        let at = ["serve", "--mqtt", mqtt, "--fastdfs", tracker, "--data", &data];
        let folders = ["--workflows", &workflows, "--plugins", &plugins, "--devices", &devices];
        let mut command = self.world.command(&[&at[..], &folders, &["--listen", &self.listen], more].concat());
        if let Some(cache) = &self.cache {
            command.env("XDG_CACHE_HOME", cache);
        }
        command.envs(self.set.iter().map(|(name, value)| (name, value)));
        self.process = Some(Child::start(command, "packhorse serve"));
    }

    /// Waits until it has said so on stderr.
    pub(crate) fn says(&mut self, words: &str) {
        let begun = Instant::now();
        while !self.process().err().contains(words) {
            assert!(self.process().runs() && begun.elapsed() < PATIENCE, "{words}?\n{}", self.process().err());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// `HOST:PORT` of its API.
    pub(crate) fn http(&self) -> String {
        let services = std::fs::read(self.world.data().join("services.json")).expect("it is written");
        let services: Value = serde_json::from_slice(&services).expect("it is JSON");
        services["http"].as_str().expect("the API listens").trim_start_matches("http://").to_owned()
    }

    pub(crate) fn process(&mut self) -> &mut Child {
        self.process.as_mut().expect("the daemon was started")
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        assert!(self.process.take().expect("the daemon was started").kill(), "it was running");
    }

    /// Asks it to stop and waits for its end.
    pub(crate) fn stop(&mut self) {
        let process = self.process.take().expect("the daemon was started");
        process.signal(rustix::process::Signal::TERM);
        process.end().exits(143);
    }

    pub(crate) fn save(&self, name: &str, text: &str) -> PathBuf {
        self.world.text(&format!("workflows/{name}.yaml"), text)
    }

    /// Copies a workflow of the project into the daemon's folder.
    pub(crate) fn take(&self, name: &str) {
        let text = std::fs::read_to_string(packhorse_tests::world::workflow(name)).unwrap();
        self.save(name, &text);
    }

    /// Asks for JSON; nothing where the answer is an error.
    pub(crate) fn ask(&self, args: &[&str]) -> Option<Value> {
        let data = self.world.data().display().to_string();
        let ended = self.world.ask(&[args, &["--data", &data, "-o", "json"]].concat());
        (ended.code == Some(0)).then(|| ended.json())
    }

    /// Starts a run as soon as the workflow is loaded; its id.
    pub(crate) fn run(&self, workflow: &str, more: &[&str]) -> String {
        let begun = Instant::now();
        loop {
            let view = self.ask(&[&["run", "--detach", workflow][..], more].concat());
            if let Some(run) = view.as_ref().and_then(|view| view["run"].as_str()) {
                return run.to_owned();
            }
            assert!(begun.elapsed() < PATIENCE, "{workflow} never started");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn show(&self, run: &str) -> Value {
        let data = self.world.data().display().to_string();
        self.world.json(0, &["show", run, "--data", &data])
    }

    /// Waits until a view of a run is as wanted.
    pub(crate) fn until(&self, run: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let view = self.show(run);
            if wanted(&view) {
                return view;
            }
            assert!(begun.elapsed() < PATIENCE, "{run} waited in vain: {view:#}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Its journal, a record a line.
    pub(crate) fn journal(&self, run: &str) -> Vec<Value> {
        let data = self.world.data().display().to_string();
        let ended = self.world.ask(&["logs", run, "--data", &data, "-o", "json"]).exits(0);
        ended.out.lines().map(|line| serde_json::from_str(line).expect("a record a line")).collect()
    }

    /// Starts a device with a folder of its own.
    pub(crate) fn device(&self, codec: &str, id: &str, more: &[&str]) -> Child {
        let dir = self.world.path("device").join(id);
        std::fs::create_dir_all(&dir).unwrap();
        let dir = dir.display().to_string();
        let own = ["device", "-o", "json", "--codec", codec, "--id", id, "--dir", &dir, "--mqtt", &self.services.mqtt];
        self.world.start(&[&own[..], more].concat())
    }

    /// Starts so many devices in one process, `ID-1` and on, each with a folder of its own.
    pub(crate) fn devices(&self, codec: &str, id: &str, count: usize, more: &[&str]) -> Child {
        let count = count.to_string();
        self.world.device(&self.services.mqtt, codec, id, &[&["--count", &count], more].concat())
    }

    /// Stores a file; its name, as inputs over HTTP have it.
    pub(crate) fn upload(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.world.path(name);
        std::fs::write(&path, bytes).unwrap();
        let path = path.display().to_string();
        let told = self.world.ask(&["fastdfs", "upload", &path, "--tracker", &self.services.tracker]).exits(0);
        format!("fastdfs:{}", told.out.trim())
    }

    /// Whether a device has exactly these bytes under some name.
    pub(crate) fn has(&self, id: &str, bytes: &[u8]) -> bool {
        let wanted = files::sha256(bytes);
        let entries = std::fs::read_dir(self.world.path("device").join(id)).into_iter().flatten().flatten();
        entries.into_iter().any(|entry| is(&entry.path(), &wanted))
    }
}

fn is(path: &Path, sha256: &str) -> bool {
    path.is_file() && std::fs::read(path).is_ok_and(|bytes| files::sha256(&bytes) == sha256)
}

/// A token with these scopes, or all, and what the daemon keeps of it.
pub(crate) fn token(world: &World, name: &str, scopes: &[&str]) -> (String, Value) {
    let scopes: Vec<&str> = scopes.iter().flat_map(|scope| ["--scope", scope]).collect();
    let made = world.json(0, &[&["token", name][..], &scopes].concat());
    (made["token"].as_str().expect("a token is text").to_owned(), made["entry"].clone())
}

pub(crate) fn status(view: &Value) -> &str {
    view["status"].as_str().unwrap_or_default()
}

/// Memory of a process in KiB.
pub(crate) fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel tells it");
    line.trim().trim_end_matches("kB").trim().parse().expect("a number")
}
