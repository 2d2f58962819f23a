//! A Redis server of a test's own, and a client of a few lines that shares nothing with the program's.

use serde_json::{Map, Value};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server whose keys outlive it.
#[derive(Debug)]
pub struct Keys {
    folder: PathBuf,
    port: u16,
    process: Option<Child>,
}

impl Keys {
    /// Starts a server in a folder.
    pub fn start(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).expect("the folder can be made");
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("it has an address").port();
        drop(free);
        let mut keys = Self { folder: folder.to_owned(), port, process: None };
        keys.again();
        keys
    }

    /// For `--redis`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills the server with SIGKILL.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it can be killed");
            process.wait().expect("it ends");
        }
    }

    /// Starts it again with the keys that it had.
    pub fn again(&mut self) {
        let port = self.port.to_string();
        let args =
            ["--port", &port, "--bind", "127.0.0.1", "--appendonly", "yes", "--appendfsync", "always", "--save", ""];
        let started =
            Command::new("redis-server").args(args).arg("--dir").arg(&self.folder).stdout(Stdio::null()).spawn();
        self.process = Some(started.expect("redis-server must be installed: apt-get install redis-server"));
        let since = Instant::now();
        while self.answer(&["PING"]).as_ref().and_then(Value::as_str) != Some("PONG") {
            assert!(since.elapsed() < Duration::from_secs(30), "redis-server does not answer on port {port}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// One command; the answer, errors as text that begins with `-`.
    #[track_caller]
    pub fn ask(&self, words: &[&str]) -> Value {
        self.answer(words).unwrap_or_else(|| panic!("no answer to {words:?}"))
    }

    /// A hash, by its fields.
    pub fn hash(&self, key: &str) -> Map<String, Value> {
        let Value::Array(all) = self.ask(&["HGETALL", key]) else { return Map::new() };
        let pairs = all.chunks_exact(2);
        pairs.map(|pair| (pair[0].as_str().unwrap_or_default().to_owned(), pair[1].clone())).collect()
    }

    /// Seconds until a key expires; -1 = never, -2 = there is none.
    pub fn ttl(&self, key: &str) -> i64 {
        self.ask(&["TTL", key]).as_i64().expect("a number")
    }

    fn answer(&self, words: &[&str]) -> Option<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
        let mut text = format!("*{}\r\n", words.len());
        words.iter().for_each(|word| text.push_str(&["$", &word.len().to_string(), "\r\n", word, "\r\n"].concat()));
        stream.write_all(text.as_bytes()).ok()?;
        reply(&mut BufReader::new(stream))
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.stop();
    }
}

fn reply(stream: &mut BufReader<TcpStream>) -> Option<Value> {
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let rest = line.get(1..)?.trim_end();
    match line.as_bytes().first()? {
        b'+' => Some(rest.into()),
        b'-' => Some(format!("-{rest}").into()),
        b':' => rest.parse::<i64>().ok().map(Value::from),
        b'$' => {
            let Ok(length) = rest.parse::<usize>() else { return Some(Value::Null) };
            let mut bytes = vec![0; length + 2];
            stream.read_exact(&mut bytes).ok()?;
            Some(String::from_utf8_lossy(&bytes[..length]).into_owned().into())
        }
        b'*' => {
            let count = rest.parse::<usize>().unwrap_or(0);
            (0..count).map(|_| reply(stream)).collect::<Option<Vec<_>>>().map(Value::Array)
        }
        _ => None,
    }
}
