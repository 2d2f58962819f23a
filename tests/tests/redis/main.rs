//! Whole programs with a Redis server of their own: keys as the workflow writes them, the journal there, kills, lost writes, eviction.

#[path = "../../../runner/src/store/redis/testing.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod testing;

mod links;

use packhorse_tests::world::{self, id};
use packhorse_tests::{World, count, files};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;
use testing::RedisServer;

const SIZE: usize = 512 * 1024;
const KEEPS: &[&str] = &["--save", "", "--appendonly", "yes", "--appendfsync", "always"];

fn workflow(world: &World, name: &str, body: &str) -> PathBuf {
    world.text(&format!("{name}.yaml"), &format!("kind: workflow/v1\nname: {name}\n{body}"))
}

fn slow_push(world: &World) -> PathBuf {
    let body = "inputs:\n  image: { type: file }\ncodec: json-base64\nsteps:\n  - id: push\n    uses: transfer.push\n    \
                with: { device: dev-1, file: \"${{ inputs.image }}\", window: 16, rate: 1MiB/s }\n";
    workflow(world, "slow-push", body)
}

/// All commands of the world find it.
fn settings(world: &World, server: &RedisServer) {
    world.text("packhorse.yaml", &format!("redis: {}\nstore: {{ kind: redis, patience: 20s }}\n", server.url()));
}

#[test]
fn keys_of_a_workflow_are_exactly_those_on_the_server() {
    let (world, server) = (World::new(), RedisServer::start());
    let body = r#"
steps:
  - { uses: redis.set, with: { key: a, value: one, expire: 1h } }
  - { uses: redis.hset, with: { key: h, field: x, value: 1 } }
  - { uses: redis.hset, with: { key: h, field: z, value: 2 } }
  - { id: less, uses: redis.hdel, with: { key: h, field: z } }
  - { id: soon, uses: redis.expire, with: { key: h, after: 2h } }
  - { id: entry, uses: redis.xadd, with: { key: s, fields: { b: 1, a: true }, maxlen: 10 } }
  - { id: n, uses: redis.incr, with: { key: n, by: 5 } }
outputs: { id: "${{ steps.entry.outputs.id }}", n: "${{ steps.n.outputs.value }}", less: "${{ steps.less.outputs.deleted }}", soon: "${{ steps.soon.outputs.found }}" }
"#;
    let path = workflow(&world, "keys", body);
    let run = world.embedded(&path, &["--redis", &server.url()]).end().exits(0).json();
    assert_eq!(
        (run["outputs"]["n"].as_i64(), &run["outputs"]["less"], &run["outputs"]["soon"]),
        (Some(5), &Value::Bool(true), &Value::Bool(true))
    );
    assert!(run["outputs"]["id"].as_str().is_some_and(|id| id.contains('-')), "{run:#}");
    assert_eq!(server.tell(&["DBSIZE"]), ":4", "no other key is there");
    assert_eq!(server.tell(&["STRLEN", "a"]), ":3");
    assert_eq!(server.tell(&["HLEN", "h"]), ":1");
    assert_eq!(server.tell(&["XLEN", "s"]), ":1");
    let left: i64 = server.tell(&["TTL", "a"]).trim_start_matches(':').parse().unwrap();
    assert!((1..=3_600).contains(&left));
    let services = world.path("data/services.json");
    assert!(!services.exists(), "gone with its process");
}

#[test]
fn a_run_on_redis_survives_kills_of_the_runner() {
    let (world, server) = (World::new(), RedisServer::with(KEEPS));
    settings(&world, &server);
    let services = world.services();
    std::fs::create_dir_all(world.path("device")).unwrap();
    let _device = world.device(&services.mqtt, "json-base64", "dev-1", &[]);
    let path = slow_push(&world);
    let (rounds, mut struck) = (count(4, 200), 0);
    for round in 0..rounds {
        let (image, bytes) = world.file(&format!("fw-{round}.bin"), SIZE, 70 + round as u64);
        let image = format!("image={}", image.display());
        let mut run = world.run(&services, &path, &["-i", &image]);
        let half = SIZE as u64 * (2 + round as u64 % 6) / 10;
        let found = world.until(&mut run, |run| world::done(run).filter(|done| *done >= half).map(|_| id(run)));
        let ended = match found {
            Some(name) => {
                struck += usize::from(run.kill());
                world.resume(&services, &name).end()
            }
            None => run.end(),
        };
        let run = ended.exits(0).json();
        assert_eq!(run["status"], "succeeded", "{run:#}");
        assert!(std::fs::read(world.path(&format!("device/fw-{round}.bin"))).unwrap() == bytes, "round {round}");
    }
    println!("{struck} of {rounds} kills struck in the middle of a push with its journal on Redis");
    assert!(struck > 0);
}

#[test]
fn a_server_that_lost_its_writes_ends_the_process_and_the_next_one_goes_on() {
    let (world, mut server) = (World::new(), RedisServer::with(&["--save", "", "--appendonly", "no"]));
    settings(&world, &server);
    let services = world.services();
    std::fs::create_dir_all(world.path("device")).unwrap();
    let _device = world.device(&services.mqtt, "json-base64", "dev-1", &[]);
    let path = slow_push(&world);
    let (image, bytes) = world.file("fw.bin", SIZE, 7);
    let image = format!("image={}", image.display());
    let mut run = world.run(&services, &path, &["-i", &image]);
    let quarter = |run: &Value| world::done(run).filter(|done| *done >= SIZE as u64 / 4).map(|_| id(run));
    let name = world.until(&mut run, quarter).expect("it is at work");
    server.tell(&["SAVE"]);
    let half = |run: &Value| world::done(run).filter(|done| *done >= SIZE as u64 / 2);
    world.until(&mut run, half).expect("it is at work");
    server.kill();
    server.start_again();
    let ended = run.end().exits(69);
    let said = format!("{}{}", ended.out, ended.err);
    assert!(said.contains("PH7013") && said.contains("packhorse resume"), "{said}");
    let resumed = world.resume(&services, &name).end().exits(0).json();
    assert_eq!(resumed["status"], "succeeded", "{resumed:#}");
    let arrived = files::sha256(&std::fs::read(world.path("device/fw.bin")).unwrap());
    assert_eq!(arrived, files::sha256(&bytes));
    server.tell(&["FLUSHALL"]);
    let data = world.data().display().to_string();
    world.ask(&["show", &name, "--data", &data]).exits(2).says(&["lost writes"]);
}

#[test]
fn a_server_that_throws_keys_away_keeps_no_journal() {
    let (world, server) = (World::new(), RedisServer::with(&["--save", "", "--maxmemory-policy", "allkeys-lru"]));
    let path = workflow(&world, "note", "steps:\n  - { uses: log, with: { message: hello } }\n");
    let refused = world.embedded(&path, &["--redis", &server.url(), "--store", "redis"]).end().exits(69);
    refused.says(&["PH1023", "allkeys-lru", "noeviction"]);
    world.embedded(&path, &["--redis", &server.url()]).end().exits(0).says(&["allkeys-lru"]);
    let unreachable = world.embedded(&path, &["--redis", "redis://u:canary@127.0.0.1:1"]).end().exits(69);
    let said = format!("{}{}", unreachable.out, unreachable.err);
    assert!(said.contains("PH1021") && !said.contains("canary"), "{said}");
    world.embedded(&path, &["--store", "redis"]).end().exits(2).says(&["--redis"]);
}

#[test]
fn new_runs_are_refused_while_the_store_is_nearly_full() {
    let (world, server) = (World::new(), RedisServer::with(KEEPS));
    settings(&world, &server);
    let path = workflow(&world, "note", "steps:\n  - { uses: log, with: { message: hello } }\n");
    world.embedded(&path, &[]).end().exits(0);
    let full = "for i = 1, 2000 do redis.call('SET', 'x' .. i, string.rep('x', 400)) end return 1";
    server.tell(&["EVAL", full, "0"]);
    server.tell(&["CONFIG", "SET", "maxmemory", "1mb"]);
    world.embedded(&path, &[]).end().exits(69).says(&["PH7017", "maxmemory"]);
    server.tell(&["CONFIG", "SET", "maxmemory", "0"]);
    let yaml = "store: { reserve: 1000000GiB }\n";
    world.text("packhorse.yaml", yaml);
    world.embedded(&path, &[]).end().exits(69).says(&["PH7016", "reserve"]);
}

#[test]
fn old_runs_are_forgotten_and_young_ones_kept() {
    let (world, server) = (World::new(), RedisServer::with(KEEPS));
    for (kind, text) in [
        ("embedded", "retention: { succeeded: 1s }\n".to_owned()),
        ("redis", format!("redis: {}\nstore: redis\nretention: {{ succeeded: 1s }}\n", server.url())),
    ] {
        world.text("packhorse.yaml", &text);
        let good = workflow(&world, "note", "steps:\n  - { uses: log, with: { message: hello } }\n");
        let bad = workflow(&world, "bad", "steps:\n  - { uses: fail, with: { message: no } }\n");
        world.embedded(&good, &[]).end().exits(0);
        world.embedded(&bad, &[]).end().exits(1);
        std::thread::sleep(Duration::from_millis(1_100));
        let data = world.data().display().to_string();
        let would = world.json(0, &["gc", "--dry-run", "--data", &data]);
        assert_eq!(would["runs"].as_array().map(Vec::len), Some(1), "{kind}: {would:#}");
        let gone = world.json(0, &["gc", "--data", &data]);
        assert_eq!(gone["runs"], would["runs"], "{kind}");
        let left = world.json(0, &["ps", "-a", "--data", &data]);
        let left = left["items"].as_array().expect("a list");
        assert_eq!((left.len(), &left[0]["workflow"]), (1, &Value::from("bad")), "{kind}");
    }
}
