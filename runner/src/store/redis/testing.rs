//! A Redis server of one's own on a free port of this machine, with nothing on disk unless it is asked for; gone when dropped.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running `redis-server`.
pub(crate) struct RedisServer {
    child: Child,
    folder: PathBuf,
    port: u16,
    arguments: Vec<String>,
}

static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

impl RedisServer {
    /// One that keeps nothing.
    pub(crate) fn start() -> Self {
        Self::with(&["--save", "", "--appendonly", "no"])
    }

    /// One with arguments of its own.
    pub(crate) fn with(arguments: &[&str]) -> Self {
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("packhorse-redis-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for the server");
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        for _ in 0..20 {
            let port = free_port();
            if let Some(child) = launch(port, &folder, &arguments) {
                return Self { child, folder, port, arguments };
            }
        }
        panic!("redis-server did not start on any free port");
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Kills it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Starts it again on its port, with what it kept.
    pub(crate) fn start_again(&mut self) {
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until {
            if let Some(child) = launch(self.port, &self.folder, &self.arguments) {
                self.child = child;
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("redis-server did not start again on port {}", self.port);
    }

    /// Sends one command and gives the first line of the answer.
    pub(crate) fn tell(&self, words: &[&str]) -> String {
        tell(self.port, words).expect("the server answers")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

fn launch(port: u16, folder: &std::path::Path, arguments: &[String]) -> Option<Child> {
    let mut child = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"])
        .arg(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is not installed: apt-get install redis-server");
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        if child.try_wait().expect("a child").is_some() {
            return None;
        }
        if tell(port, &["PING"]).is_some_and(|answer| answer.starts_with('+') || answer.starts_with("-NOAUTH")) {
            return Some(child);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(child.kill());
    drop(child.wait());
    None
}

fn tell(port: u16, words: &[&str]) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let words_of = |word: &&str| format!("${}\r\n{word}\r\n", word.len());
    let message = format!("*{}\r\n{}", words.len(), words.iter().map(words_of).collect::<String>());
    stream.write_all(message.as_bytes()).ok()?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).ok()?;
    Some(answer.trim_end().to_owned())
}

/// Passes bytes on between clients and a server, and cuts a connection when an answer comes, if it is told to.
pub(crate) struct Proxy {
    port: u16,
    cut: std::sync::Arc<std::sync::atomic::AtomicU32>,
}

impl Proxy {
    pub(crate) fn before(server: &RedisServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let cut = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
        let (behind, told) = (server.port, cut.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", behind)) else { continue };
                let (Ok(client2), Ok(server2)) = (client.try_clone(), server.try_clone()) else { continue };
                let told = told.clone();
                std::thread::spawn(move || pass(client, server, None));
                std::thread::spawn(move || pass(server2, client2, Some(&told)));
            }
        });
        Self { port, cut }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// The connections of the next `count` answers are cut instead of passing them on.
    pub(crate) fn cut_answers(&self, count: u32) {
        self.cut.store(count, std::sync::atomic::Ordering::SeqCst);
    }

    /// How many answers are still to be cut.
    pub(crate) fn left(&self) -> u32 {
        self.cut.load(std::sync::atomic::Ordering::SeqCst)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, cut: Option<&std::sync::atomic::AtomicU32>) {
    use std::io::Read as _;
    use std::sync::atomic::Ordering::SeqCst;
    let mut buffer = vec![0; 65_536];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let struck = cut.is_some_and(|cut| cut.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok());
        if struck || to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    drop(from.shutdown(std::net::Shutdown::Both));
    drop(to.shutdown(std::net::Shutdown::Both));
}
