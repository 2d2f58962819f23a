//! One runner with everything around it, and a run that touches everything: it may be struck anywhere and taken up again.

use crate::child::Child;
use crate::wire::{Way, Wire};
use crate::{Service, World, files};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Packets in flight, as the workflow says.
pub const WINDOW: u64 = 16;
/// Packets after which progress is written down at the latest.
pub const BATCH: u64 = 256;
/// Bytes of each file: more packets than may be sent again after one kill.
pub const SIZE: usize = 384 * 1024;

/// Journals on Redis so far in this test program: each trip has one of its own.
static JOURNALS: AtomicU64 = AtomicU64::new(0);

/// Uploads, notes, pushes, tells, pulls, fetches, deletes.
const WORKFLOW: &str = "kind: workflow/v1
name: weather
inputs:
  image: { type: file }
  log: { type: string }
codec: json-base64
defaults: { retry: { max_attempts: 8, backoff: { initial: 200ms, factor: 2, max: 2s } } }
steps:
  - id: stored
    uses: fastdfs.upload
    with: { file: \"${{ inputs.image }}\" }
  - uses: redis.set
    with: { key: weather, value: \"${{ inputs.log }}\" }
  - id: push
    uses: transfer.push
    with: { device: dev-1, file: \"${{ steps.stored.outputs.file }}\", window: 16, rate: 1MiB/s }
  - uses: mqtt.publish
    with: { topic: weather/told, payload: \"${{ inputs.log }}\" }
  - id: pull
    uses: transfer.pull
    with: { device: dev-1, file_type: \"${{ inputs.log }}\", window: 16, rate: 1MiB/s }
  - uses: fastdfs.download
    with: { file: \"${{ steps.pull.outputs.file }}\", to: \"pulled-${{ inputs.log }}\" }
  - uses: fastdfs.delete
    with: { file: \"${{ steps.pull.outputs.file }}\" }
outputs:
  sha256: \"${{ steps.pull.outputs.sha256 }}\"
";

/// A runner's neighbourhood; runs one trip after another.
#[derive(Debug)]
pub struct Station {
    /// Folder and processes.
    pub world: World,
    /// What the runner is told to use.
    pub services: Service,
    codec: &'static str,
    env: Vec<(String, String)>,
    workflow: PathBuf,
    _device: Child,
    wires: [Wire; 2],
    round: u64,
    trip: Trip,
}

/// One run's files.
#[derive(Debug, Default)]
struct Trip {
    image: Vec<u8>,
    log: Vec<u8>,
}

/// What was sent more than once in a trip.
#[derive(Debug, Clone, Copy)]
pub struct Again {
    /// Bytes of files.
    pub bytes: u64,
    /// Bytes of file in the largest packet.
    pub piece: u64,
}

impl Station {
    /// Services of its own, all state embedded.
    pub fn new(codec: &'static str) -> Self {
        let world = World::new();
        let services = world.services();
        let (mqtt, broker) = (services.mqtt.clone(), services.broker.clone());
        Self::among(world, services, &mqtt, &broker, codec, &[])
    }

    /// With these services for the runner, which may be proxies; the device and the listeners go to `mqtt` and `broker` themselves.
    /// `env` are variables of every process of the runner.
    pub fn among(
        world: World,
        services: Service,
        mqtt: &str,
        broker: &str,
        codec: &'static str,
        env: &[(&str, &str)],
    ) -> Self {
        let wires = [Way::Push, Way::Pull].map(|way| Wire::listen(broker, codec, "dev-1", way));
        std::fs::create_dir_all(world.path("device")).expect("the folder can be made");
        let device = world.device(mqtt, codec, "dev-1", &[]);
        let workflow = world.text("weather.yaml", WORKFLOW);
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { world, services, codec, env, workflow, _device: device, wires, round: 0, trip: Trip::default() }
    }

    /// Sets a variable of every process of the runner from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.retain(|(other, _)| other != name);
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// Another workflow with the inputs `image` and `log`, at most.
    pub fn workflow(&mut self, text: &str) {
        self.workflow = self.world.text("weather.yaml", text);
    }

    /// Begins a trip: new files, an empty data folder.
    pub fn begin(&mut self, seed: u64) {
        self.round += 1;
        if self.on_redis() {
            let number = JOURNALS.fetch_add(1, Ordering::Relaxed);
            self.set("PACKHORSE_STORE__JOURNAL", &format!("trip{number}"));
        }
        drop(std::fs::remove_dir_all(self.world.data()));
        let (image, log) = (files::bytes(SIZE, seed * 2 + 1), files::bytes(SIZE, seed * 2 + 2));
        std::fs::write(self.image(), &image).expect("the folder can be written");
        std::fs::write(self.world.path(&format!("device/log-{}", self.round)), &log)
            .expect("the folder can be written");
        self.trip = Trip { image, log };
        self.heard(Duration::ZERO);
    }

    /// Whether the journal is on Redis.
    pub fn on_redis(&self) -> bool {
        self.env.iter().any(|(name, value)| name == "PACKHORSE_STORE" && value == "redis")
    }

    /// The file that is pushed.
    pub fn image(&self) -> PathBuf {
        self.world.path(&format!("fw-{}.bin", self.round))
    }

    /// The trip's run, as the journal has it: id and status.
    pub fn run(&self) -> Option<(String, String)> {
        if !self.world.data().join("lock").exists() {
            return None;
        }
        let data = self.world.data().display().to_string();
        let mut command = self.world.command(&["ps", "-a", "-o", "json", "--data", &data]);
        command.envs(self.env.iter().cloned());
        let listed = Child::start(command, "packhorse ps").end();
        if listed.code == Some(2) {
            // Killed before there was a store.
            listed.says(&["PH8003"]);
            return None;
        }
        let listed = listed.exits(0).json();
        let run = listed["items"].get(0)?;
        Some((run["run"].as_str()?.to_owned(), run["status"].as_str()?.to_owned()))
    }

    /// Starts the run, or takes it up where it is; `env` are variables of this process.
    pub fn go(&self, env: &[(&str, &str)]) -> Child {
        let run = self.run().map(|(run, _)| run);
        let mut command = match &run {
            Some(run) => self.command(&["resume", run]),
            None => self.begun(),
        };
        command.envs(env.iter().copied());
        Child::start(command, &format!("packhorse with {env:?}"))
    }

    /// Takes a run up by its id, whatever the journal says.
    pub fn resumed(&self, run: &str) -> Child {
        Child::start(self.command(&["resume", run]), "packhorse resume")
    }

    /// `packhorse run` of the trip, not started.
    pub fn begun(&self) -> Command {
        let workflow = self.workflow.display().to_string();
        let (image, log) = (format!("image={}", self.image().display()), format!("log=log-{}", self.round));
        let mut command = self.command(&["run", &workflow, "-i", &image]);
        if std::fs::read_to_string(&self.workflow).is_ok_and(|text| text.contains("inputs.log")) {
            command.args(["-i", &log]);
        }
        command.args(["--codec", self.codec]);
        command
    }

    fn command(&self, what: &[&str]) -> Command {
        let data = self.world.data().display().to_string();
        let (mqtt, tracker) = (&self.services.mqtt, &self.services.tracker);
        let at = ["-o", "json", "--mqtt", mqtt, "--fastdfs", tracker, "--data", &data];
        let mut command = self.world.command(&[what, &at[..]].concat());
        command.envs(self.env.iter().cloned());
        command
    }

    /// Fails the test unless the run has succeeded and every byte is where it should be.
    #[track_caller]
    pub fn is_whole(&self, run: &Value) {
        assert_eq!(run["status"], "succeeded", "{run:#}");
        assert_eq!(run["outputs"]["sha256"], files::sha256(&self.trip.log).as_str(), "{run:#}");
        self.arrived();
        let pulled = self.world.path(&format!("pulled-log-{}", self.round));
        assert!(std::fs::read(&pulled).expect("it was fetched") == self.trip.log, "{} differs", pulled.display());
    }

    /// Fails the test unless the device has the file that was pushed.
    #[track_caller]
    pub fn arrived(&self) {
        let pushed = self.world.path(&format!("device/fw-{}.bin", self.round));
        assert!(std::fs::read(&pushed).expect("it was pushed") == self.trip.image, "{} differs", pushed.display());
    }

    /// What went over the wire more than once since the trip began, when the run is over.
    #[track_caller]
    pub fn again(&self) -> Again {
        let [push, pull] = self.heard(Duration::from_millis(200));
        let twice = |bytes: u64| bytes.checked_sub(SIZE as u64).expect("every byte went over the wire");
        Again { bytes: twice(push.0) + twice(pull.0), piece: push.1.max(pull.1) }
    }

    fn heard(&self, silence: Duration) -> [(u64, u64); 2] {
        std::thread::sleep(silence);
        self.wires.each_ref().map(|wire| {
            let heard = wire.heard_within(Duration::from_millis(1));
            (heard.bytes, heard.piece)
        })
    }
}
