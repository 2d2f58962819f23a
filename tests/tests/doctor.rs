//! `packhorse doctor` beside real services: healthy ones, slow ones, dead ones, wrong rights.

use packhorse_tests::World;
use packhorse_tests::alone;
use packhorse_tests::client::Stranger;
use packhorse_tests::mosquitto::{Mosquitto, Options};
use packhorse_tests::redis::Redis;
use packhorse_tests::world::workflow;
use serde_json::Value;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

fn doctor(world: &World, code: i32, more: &[&str]) -> Value {
    let data = world.data().display().to_string();
    world.json(code, &[&["doctor", "--data", &data][..], more].concat())
}

/// The findings of a check.
fn found<'a>(report: &'a Value, check: &str) -> Vec<&'a Value> {
    report["items"].as_array().unwrap().iter().filter(|item| item["check"] == check).collect()
}

#[track_caller]
fn one<'a>(report: &'a Value, check: &str, status: &str, words: &[&str]) -> &'a Value {
    let items = found(report, check);
    let item = items.iter().find(|item| item["status"] == status);
    let item = item.unwrap_or_else(|| panic!("no {check} is {status} in {report:#}"));
    let text = item.to_string();
    assert!(words.iter().all(|word| text.contains(word)), "{words:?} in {text}");
    item
}

/// A port that nobody listens on.
fn dead() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn everything_embedded_is_well_and_nothing_stays() {
    let world = World::new();
    let folder = workflow("x").parent().unwrap().display().to_string();
    let report = doctor(&world, 0, &["--workflows", &folder]);
    for check in ["data folder", "disk", "clock", "broker", "broker limits", "broker delay", "file store", "codecs"] {
        assert!(!found(&report, check).is_empty(), "{check} in {report:#}");
    }
    assert!(report["items"].as_array().unwrap().iter().all(|item| item["status"] != "failure"), "{report:#}");
    one(&report, "data folder", "ok", &["is not there yet"]);
    one(&report, "codecs", "ok", &["json-base64", "acme-tlv"]);
    let yaml = |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|extension| extension == "yaml");
    let count = std::fs::read_dir(&folder).unwrap().flatten().filter(yaml).count();
    one(&report, "workflows", "ok", &[&format!("{count} in "), "are valid"]);
    one(&report, "file store", "ok", &["4096 bytes stored, read, compared and deleted"]);
    assert!(!world.data().exists(), "it makes no data folder");
    let text = world.ask(&["doctor", "--data", &world.data().display().to_string()]).exits(0).out;
    assert!(text.lines().any(|line| line.starts_with("ok       broker: mqtt://127.0.0.1:")), "{text}");
}

#[test]
fn a_folder_with_runs_is_looked_at_and_left_as_it_was() {
    let world = World::new();
    let hello = world
        .text("hello.yaml", "kind: workflow/v1\nname: hello\nsteps:\n  - uses: log\n    with: { message: hello }\n");
    world.embedded(&hello, &[]).end().exits(0);
    let before = files(&world.data());
    let report = doctor(&world, 0, &[]);
    one(&report, "data folder", "ok", &["mode 0700"]);
    one(&report, "journal", "ok", &["holds 1 runs"]);
    one(&report, "clock", "ok", &[]);
    assert!(!found(&report, "disk speed").is_empty());
    assert_eq!(files(&world.data()), before);
}

/// Names of all files, but for the lock.
fn files(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            names.extend(files(&path));
        }
        names.push(path.display().to_string());
    }
    names.sort();
    names
}

#[test]
fn mosquitto_without_nodelay_is_told_by_its_forty_milliseconds() {
    let _alone = alone();
    let world = World::new();
    let (slow, fast) = (Options::default().nagle().start(), Options::default().start());
    // A machine that has no time for us may be slow in another way; a tenth of a second in the middle of forty rounds is no accident.
    let report = doctor(&world, 0, &["--mqtt", &slow.url()]);
    println!("{}", one(&report, "broker", "ok", &["mosquitto version 2"])["text"]);
    println!("{}", one(&report, "broker delay", "warning", &["set_tcp_nodelay true", "PH8012"])["text"]);
    let report = doctor(&world, 0, &["--mqtt", &fast.url()]);
    println!("{}", one(&report, "broker delay", "ok", &["median of 40"])["text"]);
    one(&report, "broker limits", "ok", &["unacknowledged messages"]);
}

#[test]
fn limits_of_a_broker_are_told() {
    let world = World::new();
    let broker = Options::default().line("max_packet_size 900").start();
    let report = doctor(&world, 0, &["--mqtt", &broker.url()]);
    one(&report, "broker limits", "warning", &["900 bytes", "PH8013"]);
}

#[test]
fn a_closed_access_list_is_told() {
    let world = World::new();
    let broker = Options::default().acl("topic readwrite other/#\n").start();
    let report = doctor(&world, 1, &["--mqtt", &broker.url()]);
    one(&report, "broker delay", "failure", &["PH8011", "access list"]);
}

#[test]
fn dead_services_exit_with_69_and_their_addresses() {
    let world = World::new();
    let (broker, tracker) = (format!("mqtt://{}", dead()), dead());
    let report = doctor(&world, 69, &["--mqtt", &broker]);
    one(&report, "broker", "failure", &["PH8010", &broker]);
    one(&report, "file store", "ok", &[]);
    let report = doctor(&world, 69, &["--fastdfs", &tracker]);
    one(&report, "file store", "failure", &["PH8014", &tracker]);
    one(&report, "broker", "ok", &[]);
    world.ask(&["explain", "PH8010"]).exits(0).says(&["broker cannot be reached"]);
}

#[test]
fn a_file_store_elsewhere_is_used_and_left_empty() {
    let world = World::new();
    let services = world.services();
    let report = doctor(&world, 0, &["--mqtt", &services.mqtt, "--fastdfs", &services.tracker]);
    one(&report, "file store", "ok", &["1 of 1 trackers", &services.tracker]);
    let room = found(&report, "file store room");
    assert!(room.iter().all(|item| item["text"].as_str().unwrap().contains("free of")), "{report:#}");
    let left = files(&world.path("fastdfs"));
    assert!(!left.iter().any(|name| name.ends_with(".tmp")), "{left:?}");
    // Its topics are gone with it.
    let listener = Stranger::connect(&services.broker, &["packhorse/doctor/#"]);
    assert_eq!(listener.hear(Duration::from_millis(300)), None);
}

#[test]
fn what_a_redis_server_keeps_and_throws_away_is_told() {
    let world = World::new();
    let server = Redis::durable();
    let report = doctor(&world, 0, &["--redis", &server.url()]);
    one(&report, "redis", "ok", &["noeviction", "append-only file"]);
    // How long it takes is the disk's business here: each write is flushed.
    let delay = found(&report, "redis delay")[0].to_string();
    assert!(delay.contains("written, read and deleted") && delay.contains("median of 20"), "{delay}");
    assert_eq!(server.tell(&["DBSIZE"]), ":0", "nothing stays");
    server.tell(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let report = doctor(&world, 0, &["--redis", &server.url()]);
    one(&report, "redis", "warning", &["allkeys-lru", "PH8018"]);
    let report = doctor(&world, 1, &["--redis", &server.url(), "--store", "redis"]);
    one(&report, "redis", "failure", &["allkeys-lru", "noeviction"]);
    let dead = format!("redis://{}", dead());
    let report = doctor(&world, 69, &["--redis", &dead]);
    one(&report, "redis", "failure", &[&dead, "PH8017"]);
}

#[test]
fn rights_codecs_and_workflows_that_are_wrong_are_told() {
    let world = World::new();
    std::fs::create_dir(world.data()).unwrap();
    std::fs::set_permissions(world.data(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let report = doctor(&world, 0, &[]);
    one(&report, "data folder", "warning", &["mode 0755", "chmod 700", "PH8023"]);
    world.text("plugins/broken.wasm", "no component");
    world.text("workflows/bad.yaml", "kind: workflow/v1\nname: bad\nsteps: 7\n");
    let report = doctor(&world, 1, &[]);
    one(&report, "codecs", "failure", &["broken", "PH8024"]);
    one(&report, "workflows", "failure", &["bad.yaml", "PH8025"]);
}

#[test]
fn the_services_of_the_process_that_owns_the_folder_are_looked_at() {
    let world = World::new();
    let wait =
        world.text("wait.yaml", "kind: workflow/v1\nname: wait\nsteps:\n  - uses: sleep\n    with: { duration: 1h }\n");
    let mut run = world.embedded(&wait, &[]);
    let mqtt = world.embedded_broker(&mut run);
    world.until(&mut run, |run| (run["status"] == "waiting").then_some(()));
    let report = doctor(&world, 0, &[]);
    one(&report, "broker", "ok", &[&mqtt]);
    one(&report, "journal", "ok", &["another packhorse works with it"]);
    assert!(run.kill());
    let plain = Mosquitto::plain();
    let report = doctor(&world, 0, &["--mqtt", &plain.url()]);
    one(&report, "broker", "ok", &[&plain.url()]);
}
