//! A real mosquitto on a free loopback port, in a folder of its own: started, stopped, killed and started again on the same port.

use crate::child::{Child, PATIENCE};
use rand::Rng as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Where Debian puts it; `PACKHORSE_MOSQUITTO` names another one.
const PROGRAM: &str = "/usr/sbin/mosquitto";

/// What a broker shall be like. Every option adds lines to its configuration.
#[derive(Debug, Clone)]
pub struct Options {
    nodelay: bool,
    persistence: bool,
    address: &'static str,
    users: Vec<(String, String)>,
    acl: Option<String>,
    tls: Option<Tls>,
    lines: Vec<String>,
}

/// Files of a TLS listener; `require` asks clients for a certificate of `ca`.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Authority of client certificates.
    pub ca: PathBuf,
    /// The server's chain.
    pub certificate: PathBuf,
    /// The server's key.
    pub key: PathBuf,
    /// `require_certificate`.
    pub require: bool,
}

/// A mosquitto; it is killed and its folder is gone when the test lets go of it.
#[derive(Debug)]
pub struct Mosquitto {
    folder: tempfile::TempDir,
    listens: SocketAddr,
    tls: bool,
    process: Option<Child>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            nodelay: true,
            persistence: false,
            address: "127.0.0.1",
            users: Vec::new(),
            acl: None,
            tls: None,
            lines: Vec::new(),
        }
    }
}

impl Options {
    /// Without `set_tcp_nodelay`, as mosquitto is by itself.
    #[must_use]
    pub fn nagle(mut self) -> Self {
        self.nodelay = false;
        self
    }

    /// Sessions and retained messages outlive a [`Mosquitto::stop`] (not a kill: it saves at its end only).
    #[must_use]
    pub fn persistent(mut self) -> Self {
        self.persistence = true;
        self
    }

    /// Another address to listen on, such as `::1`.
    #[must_use]
    pub fn address(mut self, address: &'static str) -> Self {
        self.address = address;
        self
    }

    /// Only users with a password may come in.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.users.push((name.to_owned(), password.to_owned()));
        self
    }

    /// An ACL file: who may write and read which topics.
    #[must_use]
    pub fn acl(mut self, text: &str) -> Self {
        self.acl = Some(text.to_owned());
        self
    }

    /// TLS instead of plain TCP.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// One more line of `mosquitto.conf`, such as `max_packet_size 2000`.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// Starts it and waits until it listens.
    #[track_caller]
    pub fn start(self) -> Mosquitto {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listens = SocketAddr::new(self.address.parse().expect("an IP address"), free_port(self.address));
        let config = self.config(folder.path(), listens.port());
        std::fs::write(folder.path().join("mosquitto.conf"), config).expect("the folder can be written");
        let mut broker = Mosquitto { folder, listens, tls: self.tls.is_some(), process: None };
        broker.start();
        broker
    }

    fn config(&self, folder: &Path, port: u16) -> String {
        let mut lines = vec![
            // It would become the user `mosquitto`, which cannot read the test's folder.
            "user root".to_owned(),
            "log_dest stderr".to_owned(),
            "log_type all".to_owned(),
            format!("set_tcp_nodelay {}", self.nodelay),
            format!("persistence {}", self.persistence),
            format!("persistence_location {}/", folder.display()),
            "max_queued_messages 0".to_owned(),
            format!("listener {port} {}", self.address),
            format!("allow_anonymous {}", self.users.is_empty()),
        ];
        if !self.users.is_empty() {
            lines.push(format!("password_file {}", self.passwords(folder).display()));
        }
        if let Some(text) = &self.acl {
            let path = folder.join("acl");
            std::fs::write(&path, text).expect("the folder can be written");
            lines.push(format!("acl_file {}", path.display()));
        }
        if let Some(tls) = &self.tls {
            lines.push(format!("cafile {}", tls.ca.display()));
            lines.push(format!("certfile {}", tls.certificate.display()));
            lines.push(format!("keyfile {}", tls.key.display()));
            lines.push(format!("require_certificate {}", tls.require));
        }
        lines.extend(self.lines.iter().cloned());
        lines.join("\n") + "\n"
    }

    fn passwords(&self, folder: &Path) -> PathBuf {
        let path = folder.join("passwords");
        std::fs::write(&path, "").expect("the folder can be written");
        for (name, password) in &self.users {
            let done = Command::new("mosquitto_passwd").arg("-b").arg(&path).args([name, password]).output();
            let done = done.expect("mosquitto_passwd comes with the package mosquitto");
            assert!(done.status.success(), "mosquitto_passwd: {}", String::from_utf8_lossy(&done.stderr));
        }
        path
    }
}

impl Mosquitto {
    /// A plain one: anonymous, nodelay, no persistence.
    #[track_caller]
    pub fn plain() -> Self {
        Options::default().start()
    }

    /// `mqtt://HOST:PORT` or `mqtts://HOST:PORT`.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls { "mqtts" } else { "mqtt" }, self.listens)
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> String {
        self.listens.to_string()
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.listens.port()
    }

    /// Its folder, with `mosquitto.conf`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its process id; 0 while it does not run.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().map_or(0, Child::pid)
    }

    /// What it logged since it was last started.
    pub fn log(&self) -> String {
        self.process.as_ref().map(Child::err).unwrap_or_default()
    }

    /// Waits until its log holds these words.
    #[track_caller]
    pub fn wait_for(&self, words: &str) {
        let started = Instant::now();
        while !self.log().contains(words) {
            assert!(started.elapsed() < PATIENCE, "mosquitto never logged `{words}`:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts it (again, on the same port and folder) and waits until it listens.
    #[track_caller]
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let mut command = Command::new(program());
        command.arg("-c").arg(self.folder().join("mosquitto.conf"));
        let mut process = Child::start(command, "mosquitto");
        let started = Instant::now();
        while TcpStream::connect(self.listens).is_err() {
            assert!(process.runs(), "mosquitto ended:\n{}", process.err());
            assert!(started.elapsed() < PATIENCE, "mosquitto does not listen:\n{}", process.err());
            std::thread::sleep(Duration::from_millis(5));
        }
        self.process = Some(process);
    }

    /// SIGTERM, and waits: it saves what it persists.
    #[track_caller]
    pub fn stop(&mut self) {
        let process = self.process.take().expect("it runs");
        process.signal(rustix::process::Signal::TERM);
        process.end();
    }

    /// SIGKILL.
    #[track_caller]
    pub fn kill(&mut self) {
        assert!(self.process.take().expect("it runs").kill(), "mosquitto had ended by itself");
    }

    /// SIGSTOP: connections stay open and nobody answers. [`Mosquitto::thaw`] goes on.
    pub fn freeze(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    /// SIGHUP: reads password and ACL files anew.
    pub fn reload(&self) {
        self.signal(rustix::process::Signal::HUP);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        self.process.as_ref().expect("it runs").signal(signal);
    }
}

fn program() -> PathBuf {
    let path = std::env::var_os("PACKHORSE_MOSQUITTO").map_or_else(|| PathBuf::from(PROGRAM), PathBuf::from);
    assert!(
        path.is_file(),
        "{} is missing: install the package mosquitto, or name one in PACKHORSE_MOSQUITTO",
        path.display()
    );
    path
}

/// A free port below those which the system gives to outgoing connections, so that a restart finds it free.
fn free_port(address: &str) -> u16 {
    let host: std::net::IpAddr = address.parse().expect("an IP address");
    (0..1000)
        .map(|_| rand::rng().random_range(15_000..32_000))
        .find(|port| TcpListener::bind((host, *port)).is_ok())
        .expect("a free port")
}
