//! A real redis-server on a free loopback port, in a folder of its own: killed, frozen, put back to an old state, and told things.

use crate::child::{Child, PATIENCE};
use rustix::process::Signal;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// A Redis; it is killed and its folder is gone when the test lets go of it.
#[derive(Debug)]
pub struct Redis {
    folder: tempfile::TempDir,
    listens: SocketAddr,
    arguments: Vec<String>,
    process: Option<Child>,
}

impl Redis {
    /// One that keeps each write on disk before it answers.
    #[track_caller]
    pub fn durable() -> Self {
        Self::with(&["--appendonly", "yes", "--appendfsync", "always", "--save", ""])
    }

    /// One with these arguments.
    #[track_caller]
    pub fn with(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut redis = Self { folder, listens: free, arguments, process: None };
        redis.start();
        redis
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listens
    }

    /// `redis://HOST:PORT/0`.
    pub fn url(&self) -> String {
        format!("redis://{}/0", self.listens)
    }

    /// Starts it (again, on the same port and folder) and waits until it answers.
    #[track_caller]
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &self.listens.port().to_string(), "--dir"]);
        command.arg(self.folder.path()).args(&self.arguments);
        let mut process = Child::start(command, "redis-server, from the package redis-server,");
        let started = Instant::now();
        while !self.asked(&["PING"]).is_some_and(|answer| answer.starts_with("+PONG")) {
            assert!(process.runs(), "redis-server ended:\n{}", process.out());
            assert!(started.elapsed() < PATIENCE, "redis-server does not answer:\n{}", process.out());
            std::thread::sleep(Duration::from_millis(5));
        }
        self.process = Some(process);
    }

    /// SIGKILL.
    #[track_caller]
    pub fn kill(&mut self) {
        assert!(self.process.take().expect("it runs").kill(), "redis-server had ended by itself");
    }

    /// SIGSTOP: connections stay open and nobody answers.
    pub fn freeze(&self) {
        self.process.as_ref().expect("it runs").signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.process.as_ref().expect("it runs").signal(Signal::CONT);
    }

    /// Sends one command; gives the first line of the answer.
    #[track_caller]
    pub fn tell(&self, words: &[&str]) -> String {
        self.asked(words).unwrap_or_else(|| panic!("redis does not answer {words:?}"))
    }

    /// A number of `INFO`.
    #[track_caller]
    pub fn info(&self, name: &str) -> u64 {
        let found = self.informed(&format!("{name}:"));
        found.unwrap_or_else(|| panic!("INFO has no number {name}"))
    }

    /// How many commands it answered with this error.
    #[track_caller]
    pub fn refused(&self, code: &str) -> u64 {
        self.informed(&format!("errorstat_{code}:count=")).unwrap_or(0)
    }

    /// What stands behind the beginning of a line of `INFO`, where it is a number.
    fn informed(&self, beginning: &str) -> Option<u64> {
        let mut stream = BufReader::new(TcpStream::connect(self.listens).expect("it listens"));
        stream.get_mut().write_all(b"*1\r\n$4\r\nINFO\r\n*1\r\n$4\r\nQUIT\r\n").expect("it reads");
        let lines = stream.lines().map_while(Result::ok);
        lines.filter_map(|line| line.strip_prefix(beginning)?.parse().ok()).next()
    }

    /// Keeps what it holds now, to go [`Redis::back`] to.
    #[track_caller]
    pub fn save(&self) {
        assert_eq!(self.tell(&["SAVE"]), "+OK");
        std::fs::copy(self.file("dump.rdb"), self.file("kept.rdb")).expect("it was saved");
    }

    /// Kills it and starts it with what it held at [`Redis::save`]: later writes, which it had acknowledged, are lost.
    #[track_caller]
    pub fn back(&mut self) {
        self.kill();
        std::fs::copy(self.file("kept.rdb"), self.file("dump.rdb")).expect("it was saved");
        self.start();
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        Path::join(self.folder.path(), name)
    }

    fn asked(&self, words: &[&str]) -> Option<String> {
        let mut stream = TcpStream::connect(self.listens).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        let words_of = |word: &&str| format!("${}\r\n{word}\r\n", word.len());
        let message = format!("*{}\r\n{}", words.len(), words.iter().map(words_of).collect::<String>());
        stream.write_all(message.as_bytes()).ok()?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).ok()?;
        Some(answer.trim_end().to_owned())
    }
}
