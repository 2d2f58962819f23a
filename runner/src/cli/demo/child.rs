//! Processes of this program, started, watched, killed.

use super::DEVICE;
use crate::app::exit::Stop;
use crate::serve::control::{self, Question};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child as Process, Command};

/// Longest time for one act.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where the processes live.
pub(super) struct World {
    program: PathBuf,
    folder: PathBuf,
    mqtt: String,
    fastdfs: String,
}

/// A process.
pub(super) struct Child {
    process: Process,
    what: String,
}

impl World {
    pub(super) fn new(folder: &Path, broker: &str, tracker: &str) -> Result<Self, Stop> {
        let program =
            std::env::current_exe().map_err(|error| Stop::bug(format!("cannot find this program: {error}")))?;
        Ok(Self { program, folder: folder.to_owned(), mqtt: format!("mqtt://{broker}"), fastdfs: tracker.to_owned() })
    }

    /// The simulated device.
    pub(super) fn device(&self, dir: &Path, loss: f64, seed: u64) -> Result<Child, Stop> {
        let (loss, seed) = (loss.to_string(), seed.to_string());
        let mut command = self.command(&["device", "--quiet", "--codec", "json-base64", "--id", DEVICE]);
        command.arg("--dir").arg(dir).args(["--loss", &loss, "--seed", &seed]).env("PACKHORSE_MQTT", &self.mqtt);
        start(command, "the device")
    }

    /// A run of a workflow.
    pub(super) fn run(&self, workflow: &str, inputs: &[(&str, &str)]) -> Result<Child, Stop> {
        let mut command = self.command(&["run", "-o", "json", "--quiet"]);
        command.arg(self.folder.join("workflows").join(workflow));
        for (key, value) in inputs {
            command.arg("-i").arg(format!("{key}={value}"));
        }
        self.settle(&mut command);
        start(command, workflow)
    }

    /// The continuation of a run.
    pub(super) fn resume(&self, run: &str) -> Result<Child, Stop> {
        let mut command = self.command(&["resume", "-o", "json", "--quiet", run]);
        self.settle(&mut command);
        start(command, "the resumed run")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).current_dir(&self.folder).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        for name in ["PACKHORSE_MQTT", "PACKHORSE_FASTDFS", "PACKHORSE_REDIS", "PACKHORSE_DATA"] {
            command.env_remove(name);
        }
        command
    }

    fn settle(&self, command: &mut Command) {
        command.args(["--mqtt", &self.mqtt, "--fastdfs", &self.fastdfs]).arg("--data").arg(self.data());
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }
}

impl Child {
    /// Waits until the transfer of the only run is at least so far; the run and its share, or nothing when it ended before.
    pub(super) async fn until(&self, world: &World, share: f64) -> Result<Option<(String, f64)>, Stop> {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            let asked = control::ask(&world.data(), &Question::List { all: true, limit: 1 }).await.ok().flatten();
            if let Some(run) = asked.as_ref().and_then(|value| value.pointer("/items/0")) {
                let name = run.pointer("/run").and_then(Value::as_str).unwrap_or_default();
                let number = |pointer: &str| run.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
                let (done, total) = (number("/progress/done"), number("/progress/total"));
                if matches!(run.pointer("/status").and_then(Value::as_str), Some("succeeded" | "failed")) {
                    return Ok(None);
                }
                if total > 0 && done as f64 >= total as f64 * share && done < total {
                    return Ok(Some((name.to_owned(), done as f64 / total as f64)));
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Err(Stop::bug(format!("{} made no progress in {PATIENCE:?}", self.what)))
    }

    /// SIGKILL.
    pub(super) async fn kill(mut self) {
        drop(self.process.kill().await);
    }

    /// Asks the process to end, and waits a little.
    pub(super) async fn stop(mut self) {
        let pid = self.process.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
        let asked = pid.is_some_and(|pid| rustix::process::kill_process(pid, rustix::process::Signal::TERM).is_ok());
        if asked && tokio::time::timeout(Duration::from_secs(3), self.process.wait()).await.is_ok() {
            return;
        }
        drop(self.process.kill().await);
    }

    /// The JSON that a run prints at its end.
    pub(super) async fn result(mut self) -> Result<Value, Stop> {
        let what = self.what.clone();
        let mut text = String::new();
        let mut out = self.process.stdout.take().ok_or_else(|| Stop::bug("a child has no output"))?;
        let read = tokio::time::timeout(PATIENCE, out.read_to_string(&mut text)).await;
        read.map_err(|_| Stop::bug(format!("{what} did not end in {PATIENCE:?}")))?
            .map_err(|error| Stop::bug(format!("cannot read from {what}: {error}")))?;
        let status =
            self.process.wait().await.map_err(|error| Stop::bug(format!("cannot wait for {what}: {error}")))?;
        serde_json::from_str(&text)
            .map_err(|_| Stop::bug(format!("{what} ended with {status} and said: {}", text.trim())))
    }
}

fn start(mut command: Command, what: &str) -> Result<Child, Stop> {
    let process = command.spawn().map_err(|error| Stop::bug(format!("cannot start {what}: {error}")))?;
    Ok(Child { process, what: what.to_owned() })
}
