//! Every command that needs no transfer, and the shape of the JSON.

use packhorse_tests::child::Child;
use packhorse_tests::client::Stranger;
use packhorse_tests::world::workflow;
use packhorse_tests::{World, count};
use rustix::process::Signal;
use serde_json::Value;
use std::time::Duration;

/// Keys that stand in every result of a run (design section 7).
const RUN_KEYS: [&str; 7] = ["run", "workflow", "status", "outputs", "steps", "traffic", "duration_ms"];
const STEP_KEYS: [&str; 6] = ["id", "uses", "status", "attempts", "outputs", "duration_ms"];
const TRAFFIC_KEYS: [&str; 5] = ["payload_bytes", "wire_bytes", "retransmitted_bytes", "packets", "resumes"];

fn stops_well(child: Child) {
    child.signal(Signal::TERM);
    child.end().exits(0);
}

#[test]
fn the_broker_alone_serves_any_client() {
    let world = World::new();
    let mut broker = world.start(&["broker", "--listen", "127.0.0.1:0"]);
    let address = broker.line(|line| line.strip_prefix("mqtt://").map(|address| address.trim().to_owned()));
    let listener = Stranger::connect(&address, &["any/+"]);
    let speaker = Stranger::connect(&address, &[]);
    speaker.say("any/topic", "hello");
    assert_eq!(listener.hear(Duration::from_secs(10)), Some(("any/topic".to_owned(), b"hello".to_vec())));
    drop((listener, speaker));
    stops_well(broker);
}

#[test]
fn broker_and_file_store_tell_their_addresses_as_json_too() {
    let world = World::new();
    let mut broker = world.start(&["broker", "--listen", "127.0.0.1:0", "-o", "json"]);
    let path = world.path("store").display().to_string();
    let free = ["--tracker", "127.0.0.1:0", "--storage", "127.0.0.1:0", "--path", &path, "-o", "json"];
    let mut fastdfs = world.start(&[&["fastdfs", "serve"][..], &free[..]].concat());
    broker.line(|line| (line == "}").then_some(()));
    fastdfs.line(|line| (line == "}").then_some(()));
    let broker_says: Value = serde_json::from_str(&broker.out()).unwrap();
    let fastdfs_says: Value = serde_json::from_str(&fastdfs.out()).unwrap();
    assert!(broker_says["mqtt"].as_str().is_some_and(|url| url.starts_with("mqtt://127.0.0.1:")), "{broker_says}");
    for name in ["tracker", "storage"] {
        assert!(fastdfs_says[name].as_str().is_some_and(|address| address.starts_with("127.0.0.1:")), "{fastdfs_says}");
    }
    stops_well(broker);
    stops_well(fastdfs);
}

#[test]
fn validate_takes_good_files_and_folders() {
    let world = World::new();
    let folder = workflow("x").parent().unwrap().display().to_string();
    world.ask(&["validate", &folder]).exits(0).says(&["ota-push", "log-pull", "checksum-verify"]);
    let checked = world.json(0, &["validate", &folder]);
    let items = checked["items"].as_array().unwrap();
    assert!(items.len() >= 3 && items.iter().all(|item| item["ok"] == true), "{checked:#}");
    let named = world.json(0, &["validate", "--workflows", &folder]);
    assert_eq!(named["items"].as_array().unwrap().len(), items.len());
}

#[test]
fn the_schema_is_the_one_that_lies_beside_the_workflows() {
    let printed: Value = World::new().ask(&["schema"]).exits(0).json();
    let kept = std::fs::read(workflow("x").with_file_name("schema.json")).unwrap();
    let kept: Value = serde_json::from_slice(&kept).unwrap();
    assert_eq!(printed, kept, "`packhorse schema > workflows/schema.json` makes it new");
}

#[test]
fn help_explains_primitives_commands_and_exit_codes() {
    let world = World::new();
    world.ask(&["help", "transfer.push"]).exits(0).says(&[
        "transfer.push",
        "window",
        "rate",
        "confirmed",
        "device_md5",
    ]);
    for primitive in
        ["transfer.pull", "mqtt.request", "redis.hgetall", "fastdfs.info", "checksum.verify", "sleep", "fail"]
    {
        world.ask(&["help", primitive]).exits(0).says(&[primitive]);
    }
    world.ask(&["help"]).exits(0).says(&["transfer.verify", "resume", "Primitives"]);
    world.ask(&["help", "run"]).exits(0).says(&["--input"]);
    world.ask(&["help", "exit-codes"]).exits(0).says(&["69", "130"]);
    world.ask(&["help", "transfer.pusj"]).exits(2).says(&["transfer.pusj", "did you mean transfer.push?"]);
    world.ask(&["--help"]).exits(0).says(&["demo"]);
    world.ask(&["--version"]).exits(0).says(&["packhorse"]);
    world.ask(&["rum"]).exits(2).says(&["rum"]);
}

#[test]
fn completions_are_printed_for_each_shell() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = world.ask(&["completions", shell]).exits(0).says(&["packhorse", "validate", "resume"]);
        assert!(script.err.is_empty(), "{}", script.err);
    }
}

#[test]
fn both_reference_codecs_are_there_without_any_folder() {
    let world = World::new();
    let listed = world.json(0, &["plugin", "list"]);
    let names: Vec<_> = listed["items"].as_array().unwrap().iter().map(|item| item["reference"].clone()).collect();
    for codec in ["json-base64", "acme-tlv"] {
        assert!(names.iter().any(|name| name.as_str().is_some_and(|name| name.starts_with(codec))), "{listed:#}");
        let about = world.json(0, &["plugin", "inspect", codec]).to_string();
        assert!(about.contains(codec) && about.contains("{device}"), "{about}");
        world.ask(&["plugin", "inspect", codec]).exits(0).says(&[codec, "1.0.0"]);
    }
    world.ask(&["plugin", "inspect", "nosuch"]).exits(2).says(&["nosuch"]);
}

#[test]
fn explain_knows_codes() {
    let world = World::new();
    world.ask(&["explain", "PH4107"]).exits(0).says(&["PH4107", "another one than when the run was created"]);
    assert_eq!(world.json(0, &["explain", "ph1004"])["code"], "PH1004");
    world.ask(&["explain", "PH0001X", "--data", "nowhere"]).exits(2);
}

#[test]
fn a_run_prints_one_json_object_with_every_promised_key() {
    let world = World::new();
    let (image, bytes) = world.file("fw.bin", 20_000, 3);
    let image = format!("image={}", image.display());
    let mut run = world.embedded(&workflow("ota-push"), &["-i", "device=dev-1", "-i", &image]);
    let broker = world.embedded_broker(&mut run);
    let _device = world.device(&broker, "json-base64", "dev-1", &[]);
    let run = run.end().exits(0).json();
    has(&run, &RUN_KEYS);
    assert!(run.get("error").is_none(), "{run:#}");
    for step in run["steps"].as_array().unwrap() {
        has(step, &STEP_KEYS);
    }
    let ids: Vec<_> = run["steps"].as_array().unwrap().iter().map(|step| step["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["stored", "push", "check"]);
    has(&run["traffic"], &TRAFFIC_KEYS);
    assert_eq!(run["traffic"]["payload_bytes"], bytes.len());
    assert!(run["traffic"]["wire_bytes"].as_u64() > run["traffic"]["payload_bytes"].as_u64());

    let failing = world.text("fails.yaml", "kind: workflow/v1\nname: fails\nsteps:\n  - id: stop\n    uses: fail\n    with: { message: because, code: WHY }\n");
    let failed = world.embedded(&failing, &[]).end().exits(1).json();
    has(&failed, &RUN_KEYS);
    has(&failed["error"], &["code", "class", "message", "step"]);
    assert_eq!((&failed["error"]["code"], &failed["error"]["step"]), (&Value::from("WHY"), &Value::from("stop")));
    has(&failed["steps"][0]["error"], &["code", "class", "message"]);

    let data = world.data().display().to_string();
    let listed = world.json(0, &["ps", "-a", "--data", &data]);
    assert_eq!(listed["items"].as_array().unwrap().len(), 2, "{listed:#}");
    has(&listed["items"][0], &RUN_KEYS);
    let before = world.json(2, &["run", "nosuch.yaml"]);
    has(&before["error"], &["code", "class", "message"]);
}

#[track_caller]
fn has(value: &Value, keys: &[&str]) {
    for key in keys {
        assert!(value.get(key).is_some(), "{key} is missing in {value:#}");
    }
}

#[test]
fn the_demo_shows_everything() {
    let size = count(1, 3).to_string();
    let shown = World::new().json(0, &["demo", "--size", &size]);
    assert_eq!((&shown["good"], &shown["repaired"]), (&Value::Bool(true), &Value::Bool(true)), "{shown:#}");
    let killed = shown["killed_at"].as_f64().unwrap();
    assert!(killed > 0.0 && killed < 1.0, "{killed}");
    let items = shown["items"].as_array().unwrap();
    assert!(items.len() == 3 && items.iter().all(|item| item["identical"] == true && item["status"] == "succeeded"));
}
