//! Ways to a Redis server: over TLS with an authority of one's own and a password, and by Sentinels while the master dies.

use crate::testing::RedisServer;
use crate::{KEEPS, SIZE, slow_push, workflow};
use packhorse_tests::certificates::{Authority, Valid};
use packhorse_tests::files;
use packhorse_tests::world::{self, World, id};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port()
}

/// Waits until the server says it.
fn until(words: &str, mut asked: impl FnMut() -> String) {
    let end = Instant::now() + Duration::from_secs(30);
    while !asked().contains(words) {
        assert!(Instant::now() < end, "waited in vain for {words:?}; last: {}", asked());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_server_behind_tls_holds_keys_and_journal() {
    let world = World::new();
    let folder = world.path("certificates");
    std::fs::create_dir_all(&folder).unwrap();
    let (ours, other) = (Authority::new(&folder, "ours"), Authority::new(&folder, "other"));
    let pair = ours.sign("server", &["127.0.0.1"], Valid::Now);
    let port = free_port().to_string();
    let texts = [&pair.certificate, &pair.key, &ours.file].map(|path| path.display().to_string());
    let tls = ["--tls-port", &port, "--tls-cert-file", &texts[0], "--tls-key-file", &texts[1], "--tls-ca-cert-file"];
    let more = [texts[2].as_str(), "--tls-auth-clients", "no", "--requirepass", "canary-of-redis"];
    let server = RedisServer::with(&[KEEPS, &tls, &more].concat());
    assert!(server.tell(&["PING"]).starts_with("-NOAUTH"), "it asks for a password");
    let path = workflow(&world, "note", "steps:\n  - { uses: redis.set, with: { key: a, value: one } }\n");
    world.text("redis.password", "canary-of-redis\n");
    let settings = |ca: &str, password: &str| {
        let redis = format!("{{ url: \"rediss://127.0.0.1:{port}/0\", ca: \"{ca}\"{password} }}");
        world.text("packhorse.yaml", &format!("redis: {redis}\nstore: {{ kind: redis, patience: 5s }}\n"));
    };
    let file = ", password_file: redis.password";
    settings(&ours.file.display().to_string(), file);
    let run = world.embedded(&path, &[]).end().exits(0).json();
    assert_eq!(run["status"], "succeeded", "{run:#}");
    let data = world.data().display().to_string();
    let shown = world.json(0, &["ps", "-a", "--data", &data]);
    assert_eq!(shown["items"].as_array().map(Vec::len), Some(1), "the journal is there: {shown:#}");

    settings(&other.file.display().to_string(), file);
    let untrusted = world.embedded(&path, &[]).end().exits(69);
    settings(&ours.file.display().to_string(), "");
    let unknown = world.embedded(&path, &[]).end().exits(69);
    for (ended, words) in [(untrusted, "ertificate"), (unknown, "NOAUTH")] {
        let said = format!("{}{}", ended.out, ended.err);
        assert!(said.contains(words) && !said.contains("canary-of-redis"), "{words}: {said}");
    }
}

/// A Sentinel over one master; gone when dropped.
struct Sentinel {
    child: Child,
    port: u16,
}

impl Sentinel {
    fn over(master: &RedisServer, folder: &std::path::Path) -> Self {
        let (port, file) = (free_port(), folder.join("sentinel.conf"));
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor mymaster 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds mymaster 3000\nsentinel failover-timeout mymaster 2000\n",
            folder.display(),
            master.port()
        );
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new("redis-server");
        command.arg(&file).arg("--sentinel").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { child: command.spawn().expect("redis-server is not installed"), port }
    }

    /// Where the Sentinel says that the master is.
    fn master(&self) -> String {
        let asked = Command::new("redis-cli")
            .args(["-p", &self.port.to_string(), "sentinel", "get-master-addr-by-name", "mymaster"])
            .output()
            .expect("redis-cli comes with redis-server");
        String::from_utf8_lossy(&asked.stdout).into_owned()
    }

    fn knows_replicas(&self) -> String {
        let asked = Command::new("redis-cli")
            .args(["-p", &self.port.to_string(), "sentinel", "replicas", "mymaster"])
            .output()
            .expect("redis-cli comes with redis-server");
        String::from_utf8_lossy(&asked.stdout).into_owned()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_run_goes_on_at_the_master_that_sentinels_chose_when_the_first_one_died() {
    let (world, mut first) = (World::new(), RedisServer::with(&[KEEPS, &["--repl-diskless-sync-delay", "0"]].concat()));
    let of = ["--replicaof", "127.0.0.1", &first.port().to_string()];
    let second = RedisServer::with(&[KEEPS, &of].concat());
    let folder = world.path("sentinel");
    std::fs::create_dir_all(&folder).unwrap();
    let sentinel = Sentinel::over(&first, &folder);
    until(&second.port().to_string(), || sentinel.knows_replicas());
    until(":1", || first.tell(&["WAIT", "1", "1000"]));
    let redis = format!("{{ url: \"redis://mymaster/0\", sentinels: [\"127.0.0.1:{}\"] }}", sentinel.port);
    world.text("packhorse.yaml", &format!("redis: {redis}\nstore: {{ kind: redis, patience: 30s }}\n"));
    let services = world.services();
    std::fs::create_dir_all(world.path("device")).unwrap();
    let _device = world.device(&services.mqtt, "json-base64", "dev-1", &[]);
    let path = slow_push(&world);
    let (image, bytes) = world.file("fw.bin", SIZE, 7);
    let mut run = world.run(&services, &path, &["-i", &format!("image={}", image.display())]);
    let quarter = |run: &serde_json::Value| world::done(run).filter(|done| *done >= SIZE as u64 / 4).map(|_| id(run));
    let name = world.until(&mut run, quarter).expect("it is at work");
    until(&first.port().to_string(), || sentinel.master());
    until(":1", || first.tell(&["WAIT", "1", "1000"]));
    first.kill();
    // Its port stays taken. Another test's server there would be an empty master to the replica, which would empty itself after it.
    let _taken = TcpListener::bind(("127.0.0.1", first.port())).expect("the dead master's port is free");
    until(&second.port().to_string(), || sentinel.master());
    let ended = run.end();
    // What the first master had not copied yet is lost, and then the process ends and says so: both are right.
    let said = format!("{}{}", ended.out, ended.err);
    let run = match ended.code {
        Some(0) => ended.json(),
        Some(69) if said.contains("PH7013") => world.resume(&services, &name).end().exits(0).json(),
        code => panic!("{code:?}: {said}"),
    };
    println!("the push ended with exit {:?} and is {}", ended.code, run["status"]);
    assert_eq!(run["status"], "succeeded", "{run:#}");
    let arrived = files::sha256(&std::fs::read(world.path("device/fw.bin")).unwrap());
    assert_eq!(arrived, files::sha256(&bytes));
    assert!(second.tell(&["DBSIZE"]) != ":0", "the journal is on the second server");
}
