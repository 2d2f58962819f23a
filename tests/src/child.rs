//! One process: its output is collected while it runs, it is killed when the test lets go of it, and it must never have panicked.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest time that a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// A running process.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    what: String,
    out: Collected,
    err: Collected,
    ended: Option<ExitStatus>,
}

/// A process that ended by itself.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; nothing when a signal killed it.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub out: String,
    /// What it wrote to stderr.
    pub err: String,
}

impl Ended {
    /// Fails the test where the exit code is another one.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// Fails the test where stdout and stderr lack one of the words.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        let all = format!("{}\n{}", self.out, self.err);
        for word in words {
            assert!(all.contains(word), "`{word}` is not said:\n{all}");
        }
        self
    }

    /// The one JSON object on stdout.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        let value = serde_json::from_str(&self.out);
        value.unwrap_or_else(|error| {
            panic!("stdout is not one JSON object ({error}):\n{}\nstderr:\n{}", self.out, self.err)
        })
    }
}

impl Child {
    /// Starts a process with nothing on stdin.
    pub fn start(mut command: Command, what: &str) -> Self {
        // Lines for people, as most tests look for them; who wants others says so before.
        if command.get_envs().all(|(name, _)| name != "PACKHORSE_LOG_FORMAT") {
            command.env("PACKHORSE_LOG_FORMAT", "text");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap_or_else(|error| panic!("{what} cannot be started: {error}"));
        let out = Collected::of(process.stdout.take().expect("stdout is piped"));
        let err = Collected::of(process.stderr.take().expect("stderr is piped"));
        Self { process, what: what.to_owned(), out, err, ended: None }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What it wrote to stdout so far.
    pub fn out(&self) -> String {
        self.out.text()
    }

    /// What it wrote to stderr so far.
    pub fn err(&self) -> String {
        self.err.text()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.poll().is_none()
    }

    /// Waits until it has written a line to stdout that `find` finds something in.
    #[track_caller]
    pub fn line<T>(&mut self, find: impl Fn(&str) -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            let ended = self.poll();
            if let Some(found) = self.out().lines().find_map(&find) {
                return found;
            }
            assert!(ended.is_none(), "{} ended with {ended:?} and said:\n{}\n{}", self.what, self.out(), self.err());
            assert!(started.elapsed() < PATIENCE, "{} did not say it:\n{}\n{}", self.what, self.out(), self.err());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGKILL; gives whether it was still running.
    pub fn kill(mut self) -> bool {
        let ran = self.runs();
        drop(self.process.kill());
        self.ended = self.process.wait().ok();
        ran
    }

    /// SIGINT or SIGTERM.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("a process has an id"), signal).expect("it is our own process");
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(mut self) -> Ended {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.poll() {
                break status;
            }
            let late = || format!("{} did not end:\n{}\n{}", self.what, self.out(), self.err());
            assert!(started.elapsed() < PATIENCE, "{}", late());
            std::thread::sleep(Duration::from_millis(5));
        };
        self.out.close();
        self.err.close();
        Ended { code: status.code(), out: self.out(), err: self.err() }
    }

    fn poll(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.process.try_wait().expect("a child can be waited for");
        }
        self.ended
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
        self.err.close();
        let err = self.err();
        // In the words of Rust; a plugin's panic may be told within a line.
        let panicked = err.lines().any(|line| line.starts_with("thread '") && line.contains("panicked at"));
        assert!(std::thread::panicking() || !panicked, "{} panicked:\n{err}", self.what);
    }
}

/// What came out of a pipe.
#[derive(Debug)]
struct Collected {
    text: Arc<Mutex<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Collected {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let into = Arc::clone(&text);
        let thread = std::thread::spawn(move || {
            let mut lines = BufReader::new(pipe);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                into.lock().unwrap_or_else(PoisonError::into_inner).push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Self { text, thread: Some(thread) }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for the pipe's end: the process is gone.
    fn close(&mut self) {
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
