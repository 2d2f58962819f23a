//! The same workflow files on services of every kind: whatever they run on, what comes of them is the same to the byte.

use packhorse_tests::child::Child;
use packhorse_tests::mosquitto::Mosquitto;
use packhorse_tests::redis::Redis;
use packhorse_tests::world::workflow;
use packhorse_tests::{World, count, files};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

const CODECS: [&str; 2] = ["json-base64", "acme-tlv"];

/// What a workflow is run on.
trait Stack {
    fn name(&self) -> &'static str;
    /// Starts a run; gives it with the URL of its broker.
    fn run(&self, world: &World, workflow: &str, more: &[&str]) -> (Child, String);
    /// The tracker of the file store that holds what the last run stored, and whatever must live meanwhile.
    fn tracker(&self, world: &World) -> (String, Option<Child>);
}

/// Everything in the process of the run.
struct Embedded;

impl Stack for Embedded {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn run(&self, world: &World, name: &str, more: &[&str]) -> (Child, String) {
        let mut run = world.embedded(&workflow(name), more);
        let broker = world.embedded_broker(&mut run);
        (run, broker)
    }

    fn tracker(&self, world: &World) -> (String, Option<Child>) {
        let path = world.data().join("fastdfs").display().to_string();
        let (server, tracker) = fastdfs(world, &path);
        (tracker, Some(server))
    }
}

/// mosquitto, the FastDFS server and Redis as processes of their own.
struct Servers {
    name: &'static str,
    /// What Redis is for.
    more: Vec<String>,
    _redis: Redis,
    broker: Mosquitto,
    tracker: String,
    _home: World,
    _fastdfs: Child,
}

impl Servers {
    fn start(name: &'static str, store: &[&str]) -> Self {
        let redis = Redis::durable();
        let more = ["--redis".to_owned(), redis.url()].into_iter().chain(store.iter().map(|&word| word.to_owned()));
        let home = World::new();
        let (server, tracker) = fastdfs(&home, &home.path("fastdfs").display().to_string());
        Self {
            name,
            more: more.collect(),
            _redis: redis,
            broker: Mosquitto::plain(),
            tracker,
            _home: home,
            _fastdfs: server,
        }
    }
}

impl Stack for Servers {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&self, world: &World, name: &str, more: &[&str]) -> (Child, String) {
        let (data, file, url) =
            (world.data().display().to_string(), workflow(name).display().to_string(), self.broker.url());
        let at = ["run", &file, "-o", "json", "--mqtt", &url, "--fastdfs", &self.tracker, "--data", &data];
        let own: Vec<&str> = self.more.iter().map(String::as_str).collect();
        (world.start(&[&at[..], &own, more].concat()), url)
    }

    fn tracker(&self, _world: &World) -> (String, Option<Child>) {
        (self.tracker.clone(), None)
    }
}

fn fastdfs(world: &World, path: &str) -> (Child, String) {
    let ports = ["fastdfs", "serve", "--tracker", "127.0.0.1:0", "--storage", "127.0.0.1:0", "--path", path];
    let mut server = world.start(&ports);
    let tracker = server.line(|line| line.strip_prefix("tracker ").map(|address| address.trim().to_owned()));
    (server, tracker)
}

/// One workflow on one stack with one codec, in a world of its own: everything that came of it, but ids and times.
fn outcome(stack: &dyn Stack, codec: &str, workflow: &str) -> Value {
    let world = World::new();
    let size = count(150_000, 3_000_000);
    let bytes = files::bytes(size, 7);
    let (image, log) = (world.path("fw.bin"), files::bytes(size / 2, 8));
    std::fs::write(&image, &bytes).unwrap();
    let on_device = world.path("device");
    std::fs::create_dir_all(&on_device).unwrap();
    std::fs::write(on_device.join("syslog"), &log).unwrap();
    let image = format!("image={}", image.display());
    let mut spoilt = bytes.clone();
    spoilt[size / 3] ^= 1;
    let inputs: &[&str] = match workflow {
        "log-pull" => &["-i", "log=syslog"],
        "checksum-verify" => {
            std::fs::write(on_device.join("fw.bin"), spoilt).unwrap();
            &["-i", &image]
        }
        _ => &["-i", &image],
    };
    let (run, broker) = stack.run(&world, workflow, &[&["--codec", codec, "-i", "device=dev-1"][..], inputs].concat());
    let _device = world.device(&broker, codec, "dev-1", &[]);
    let run = run.end().exits(0).json();
    let came = json!({
        "status": run["status"],
        "steps": run["steps"].as_array().unwrap().iter().map(step).collect::<Vec<_>>(),
        "outputs": stripped(&run["outputs"]),
        "payload_bytes": run["traffic"]["payload_bytes"],
        "on_device": on_disk(&on_device),
        "stored": stored(stack, &world, &run),
    });
    match workflow {
        "log-pull" => assert_eq!(came["stored"], files::sha256(&log).as_str(), "{came:#}"),
        _ => assert_eq!(came["on_device"]["fw.bin"], files::sha256(&bytes).as_str(), "{came:#}"),
    }
    if workflow == "checksum-verify" {
        assert_eq!(run["outputs"]["repaired"], true, "{run:#}");
    }
    came
}

fn step(step: &Value) -> Value {
    json!({ "id": step["id"], "status": step["status"], "outputs": stripped(&step["outputs"]) })
}

/// Without what names a place: where a file store keeps a file, and when.
fn stripped(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let named = ["uri", "wire_bytes", "packets", "retransmitted_bytes", "traffic", "created"];
            map.iter()
                .filter(|(key, _)| !named.contains(&key.as_str()))
                .map(|(key, value)| (key.clone(), stripped(value)))
                .collect()
        }
        Value::Array(list) => list.iter().map(stripped).collect(),
        other => other.clone(),
    }
}

/// SHA-256 of each file of the device.
fn on_disk(folder: &Path) -> Value {
    let files = std::fs::read_dir(folder).unwrap().flatten().filter(|entry| entry.path().is_file());
    let digests: BTreeMap<String, String> = files
        .map(|entry| (entry.file_name().into_string().unwrap(), files::sha256(&std::fs::read(entry.path()).unwrap())))
        .collect();
    json!(digests)
}

/// SHA-256 of the file that the run names in its outputs, or in its first step's, read from the file store by its id.
fn stored(stack: &dyn Stack, world: &World, run: &Value) -> Value {
    let file = run.pointer("/outputs/file/uri").or_else(|| run.pointer("/steps/0/outputs/file/uri"));
    let Some(id) = file.and_then(Value::as_str).and_then(|uri| uri.strip_prefix("fastdfs:")) else {
        return Value::Null;
    };
    let (tracker, _server) = stack.tracker(world);
    let to = world.path("fetched").display().to_string();
    world.ask(&["fastdfs", "download", id, &to, "--tracker", &tracker]).exits(0);
    Value::from(files::sha256(&std::fs::read(to).unwrap()))
}

#[test]
fn the_same_workflows_come_to_the_same_bytes_on_every_stack() {
    let keys = Servers::start("mosquitto + fastdfs + redis for keys", &[]);
    let all = Servers::start("mosquitto + fastdfs + redis for keys and journal", &["--store", "redis"]);
    let stacks: [&dyn Stack; 3] = [&Embedded, &keys, &all];
    let names: Vec<&str> = stacks.iter().map(|stack| stack.name()).collect();
    println!("{:<16} {:<12} {}", "workflow", "codec", names.join(" | "));
    for workflow in ["ota-push", "log-pull", "checksum-verify"] {
        for codec in CODECS {
            let outcomes: Vec<Value> = stacks.iter().map(|stack| outcome(*stack, codec, workflow)).collect();
            let digests: Vec<String> =
                outcomes.iter().map(|outcome| files::sha256(outcome.to_string().as_bytes())[..16].to_owned()).collect();
            println!("{workflow:<16} {codec:<12} {}", digests.join(" = "));
            for (name, other) in names.iter().zip(&outcomes).skip(1) {
                assert_eq!(other, &outcomes[0], "{workflow} with {codec} on {name} is not what it is on {}", names[0]);
            }
        }
    }
}
