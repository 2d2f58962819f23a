//! The way to a Redis server over TLS, with an authority of one's own and a password.

use crate::testing::RedisServer;
use crate::{KEEPS, workflow};
use packhorse_tests::World;
use packhorse_tests::certificates::{Authority, Valid};
use std::net::TcpListener;

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port()
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
