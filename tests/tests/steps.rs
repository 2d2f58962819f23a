//! Step plugins through the whole program: nothing without a grant, exactly what was granted with one, and an end whenever it is asked for.

mod guests;

use guests::{Vendor, plugin};
use packhorse_tests::client::Stranger;
use packhorse_tests::{Ended, Service, World, files, world};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

const SECRET: &str = "00112233445566778899aabbccddeeff";
/// What the handshake needs, as its README says.
const HANDSHAKE: &str = r#"
  handshake:
    grants:
      mqtt:
        publish: ["handshake/{device}/hello", "handshake/{device}/proof"]
        receive: ["handshake/{device}/challenge", "handshake/{device}/verdict"]
      redis: { prefixes: ["handshake:{device}:"] }
"#;
/// Every interface, and little in each.
const PROBE: &str = r#"
  step-probe:
    grants:
      mqtt: { publish: ["own/{device}/+"], receive: ["own/{device}/#"] }
      redis: { prefixes: ["own:"] }
      fastdfs: { groups: [group1] }
      log: true
"#;

struct Bench {
    world: World,
    services: Service,
}

impl Bench {
    /// With these plugins in the plugins folder, and these grants.
    fn new(plugins: &[&str], grants: &str) -> Self {
        let world = World::new();
        std::fs::create_dir_all(world.path("plugins")).unwrap();
        for name in plugins {
            std::fs::copy(plugin(name), world.path("plugins").join(format!("{name}.wasm"))).unwrap();
        }
        let services = world.services();
        let bench = Self { world, services };
        bench.grant(grants);
        bench
    }

    fn grant(&self, grants: &str) {
        let text = if grants.is_empty() { String::new() } else { format!("plugins:{grants}") };
        self.world.text("packhorse.yaml", &text);
    }

    fn workflow(&self, body: &str) -> PathBuf {
        self.world.text("tiny.yaml", &format!("kind: workflow/v1\nname: tiny\n{body}"))
    }

    fn ended(&self, body: &str, more: &[&str]) -> Ended {
        self.world.run(&self.services, &self.workflow(body), more).end()
    }

    /// Lets the probe do what `input` says, for device dev-1.
    fn probe(&self, code: i32, input: &Value) -> Value {
        self.ended(&probing(input), &["-i", "device=dev-1"]).exits(code).json()
    }

    fn secret(&self) {
        let body = format!(
            "steps:\n  - {{ uses: redis.set, with: {{ key: \"handshake:dev-1:secret\", value: \"{SECRET}\" }} }}\n"
        );
        self.ended(&body, &[]).exits(0);
    }
}

fn probing(input: &Value) -> String {
    format!(
        "inputs: {{ device: {{ type: string }} }}\nsteps:\n  - id: probe\n    uses: plugin.run\n    with: {{ plugin: step-probe, input: {input} }}\noutputs: {{ all: \"${{{{ steps.probe.outputs }}}}\" }}\n"
    )
}

fn results(run: &Value) -> &Value {
    &run["outputs"]["all"]["results"]
}

fn auth(run: &Value) -> &Value {
    run["steps"].as_array().unwrap().iter().find(|step| step["id"] == "auth").unwrap()
}

#[test]
fn a_plugin_without_its_grants_does_not_link() {
    let bench = Bench::new(&["handshake"], "");
    let (image, _) = bench.world.file("fw.bin", 1000, 1);
    let image = format!("image={}", image.display());
    let run = || {
        let run =
            bench.world.run(&bench.services, &world::workflow("handshake-push"), &["-i", "device=dev-1", "-i", &image]);
        run.end().exits(2)
    };
    run().says(&["PH6103", "packhorse:step/mqtt", "handshake: { grants: { mqtt:"]);
    bench.grant("\n  handshake: { grants: { mqtt: { publish: [a], receive: [b] } } }\n");
    run().says(&["PH6103", "packhorse:step/redis", "handshake: { grants: { redis:"]);
    bench.grant("\n  handshake: { grants: { mqtt: { publish: ['a/#/b'] } } }\n");
    run().says(&["PH1007", "plugins.handshake.grants.mqtt.publish"]);
    assert!(!bench.world.data().join("store.redb").exists(), "no run was begun");
}

#[test]
fn a_handshake_goes_before_a_push() {
    let bench = Bench::new(&["handshake"], HANDSHAKE);
    bench.secret();
    let (image, bytes) = bench.world.file("fw.bin", 100_000, 2);
    let vendor = Vendor::start(&bench.services.broker, "dev-1", SECRET);
    let _device = bench.world.device(&bench.services.mqtt, "json-base64", "dev-1", &[]);
    let image = format!("image={}", image.display());
    let inputs = ["-i", "device=dev-1", "-i", &image];
    let run = bench.world.run(&bench.services, &world::workflow("handshake-push"), &inputs).end().exits(0).json();
    assert_eq!(run["outputs"], json!({ "session": "handshake:dev-1:session", "md5": files::md5(&bytes) }));
    assert_eq!(auth(&run)["outputs"], json!({ "session": "handshake:dev-1:session", "lifetime": 3600 }));
    assert!(auth(&run).get("refused").is_none(), "{run:#}");
    let read = "steps:\n  - { id: key, uses: redis.get, with: { key: \"handshake:dev-1:session\" } }\noutputs: { key: \"${{ steps.key.outputs.value }}\" }\n";
    let kept = bench.ended(read, &[]).exits(0).json();
    assert_eq!(kept["outputs"]["key"], vendor.session().as_str(), "both sides have the same key");
    assert!(std::fs::read(bench.world.path("device/fw.bin")).unwrap() == bytes);
}

#[test]
fn a_wrong_secret_and_a_weak_challenge_fail_by_name() {
    let bench = Bench::new(&["handshake"], HANDSHAKE);
    let body = "inputs: { device: { type: string } }\nsteps:\n  - { id: auth, uses: plugin.run, with: { plugin: handshake } }\n";
    let run = |code| bench.ended(body, &["-i", "device=dev-1"]).exits(code).json();
    assert_eq!(run(1)["error"]["code"], "NO_SECRET");
    bench.secret();
    let vendor = Vendor::start(&bench.services.broker, "dev-1", "ffffffff");
    let refused = run(1);
    assert_eq!(refused["error"]["code"], "NOT_TRUSTED", "{refused:#}");
    drop(vendor);
    let vendor = Vendor::start(&bench.services.broker, "dev-1", SECRET);
    vendor.ask_weakly();
    let refused = run(1);
    assert_eq!(
        (&refused["error"]["code"], &refused["error"]["class"]),
        (&json!("WEAK_CHALLENGE"), &json!("permanent"))
    );
}

#[test]
fn what_was_granted_is_done() {
    let bench = Bench::new(&["step-probe"], PROBE);
    let listener = Stranger::connect(&bench.services.broker, &["own/#"]);
    let calls = json!([
        { "do": "publish", "topic": "own/dev-1/a", "payload": "said" },
        { "do": "set", "key": "own:a", "value": "1" },
        { "do": "get", "key": "own:a" },
        { "do": "get", "key": "own:none" },
        { "do": "hash-set", "key": "own:h", "field": "f", "value": "v" },
        { "do": "hash-get", "key": "own:h", "field": "f" },
        { "do": "hash-get-all", "key": "own:h" },
        { "do": "hash-delete", "key": "own:h", "field": "f" },
        { "do": "hash-get", "key": "own:h", "field": "f" },
        { "do": "delete", "key": "own:a" },
        { "do": "get", "key": "own:a" },
        { "do": "wait", "topic": "own/dev-1/silence", "ms": 50 },
        { "do": "log", "message": "told by the plugin", "field": "x" },
        { "do": "grow" },
    ]);
    let ended = bench.ended(&probing(&json!({ "calls": calls })), &["-i", "device=dev-1"]).exits(0);
    assert!(ended.err.contains("told by the plugin"), "{}", ended.err);
    let run = ended.json();
    let got = results(&run).as_array().unwrap();
    let wanted =
        json!(["done", "done", "1", null, "done", "v", [["f", "v"]], "done", null, "done", null, null, "done"]);
    assert_eq!(&got[..13], wanted.as_array().unwrap(), "{run:#}");
    assert_eq!(got[13][0], "ne two");
    assert!(got[13][1].as_str().is_some_and(|uri| uri.starts_with("fastdfs:group1/")));
    assert_eq!(listener.hear(Duration::from_secs(30)), Some(("own/dev-1/a".to_owned(), b"said".to_vec())));
    assert!(run["steps"][0].get("refused").is_none());
}

#[test]
fn each_kind_of_call_outside_its_grant_is_refused_and_recorded() {
    let bench = Bench::new(&["step-probe"], PROBE);
    let listener = Stranger::connect(&bench.services.broker, &["#"]);
    let file = "fastdfs:group2/M00/00/00/rBAAAWVd.bin";
    let calls = json!([
        { "do": "publish", "topic": "own/dev-2/a", "payload": "no" },
        { "do": "publish", "topic": "own/+/a" },
        { "do": "request", "topic": "own/dev-1/ask", "reply": "other/tell" },
        { "do": "wait", "topic": "other/dev-1", "ms": 10 },
        { "do": "get", "key": "other:a" },
        { "do": "set", "key": "other:a", "value": "x" },
        { "do": "delete", "key": "handshake:dev-1:secret" },
        { "do": "hash-get", "key": "h", "field": "f" },
        { "do": "hash-get-all", "key": "h" },
        { "do": "hash-set", "key": "h", "field": "f", "value": "v" },
        { "do": "hash-delete", "key": "h", "field": "f" },
        { "do": "stream-add", "key": "h" },
        { "do": "append", "uri": file, "bytes": "x" },
        { "do": "download", "uri": "packets:fastdfs:group1/x" },
        { "do": "delete-file", "uri": file },
        { "do": "get", "key": "\u{1}file:md5:00" },
    ]);
    let run = bench.probe(0, &json!({ "calls": calls }));
    for (at, result) in results(&run).as_array().unwrap().iter().enumerate() {
        assert!(result["denied"].is_string(), "call {at}: {result}");
    }
    let step = &run["steps"][0];
    let refused = step["refused"].as_array().unwrap();
    assert_eq!((refused.len(), &step["refusals"]), (16, &json!(16)), "{step:#}");
    assert_eq!(refused[0]["call"], "mqtt.publish own/dev-2/a");
    assert_eq!(refused[0]["plugin"], "step-probe");
    assert!(refused[0]["why"].as_str().is_some_and(|why| why.contains("mqtt.publish")), "{step:#}");
    // The journal keeps it, whoever asks and whenever.
    let (id, data) = (world::id(&run), bench.world.data().display().to_string());
    let shown = bench.world.ask(&["show", &id, "--data", &data]).exits(0);
    assert!(shown.out.contains("refused: mqtt.publish own/dev-2/a (step-probe)"), "{}", shown.out);
    assert_eq!(listener.hear(Duration::from_millis(300)), None, "nothing went out");
}

#[test]
fn an_interface_with_an_empty_grant_gives_nothing() {
    let empty =
        "\n  step-probe: { grants: { mqtt: {}, redis: { prefixes: [] }, fastdfs: { groups: [] }, log: true } }\n";
    let bench = Bench::new(&["step-probe"], empty);
    let calls = json!([
        { "do": "publish", "topic": "a" }, { "do": "wait", "topic": "a", "ms": 10 }, { "do": "get", "key": "a" },
        { "do": "upload", "bytes": "x" }, { "do": "download", "uri": "fastdfs:group1/M00/00/00/x" },
    ]);
    let run = bench.probe(0, &json!({ "calls": calls }));
    assert!(results(&run).as_array().unwrap().iter().all(|result| result["denied"].is_string()), "{run:#}");
    assert_eq!(run["steps"][0]["refusals"], 5);
}

#[test]
fn a_file_that_lands_in_another_group_does_not_stay() {
    let bench = Bench::new(&["step-probe"], &PROBE.replace("[group1]", "[group9]"));
    let run = bench.probe(0, &json!({ "calls": [{ "do": "upload", "bytes": "secret" }] }));
    assert!(results(&run)[0]["denied"].as_str().is_some_and(|why| why.contains("group1")), "{run:#}");
    let call = run["steps"][0]["refused"][0]["call"].as_str().unwrap().to_owned();
    let uri = call.strip_prefix("fastdfs.upload ").unwrap();
    let body = format!("steps:\n  - {{ uses: fastdfs.info, with: {{ uri: \"{uri}\" }} }}\n");
    assert_eq!(bench.ended(&body, &[]).exits(1).json()["error"]["code"], "PH4101");
}

#[test]
fn calls_and_bytes_are_counted() {
    let bench =
        Bench::new(&["step-probe"], &PROBE.replace("log: true", "log: true\n      calls: 4\n      bytes: 1KiB"));
    let get = json!({ "calls": [{ "do": "get", "key": "own:a" }], "times": 6 });
    let run = bench.probe(0, &get);
    let got = results(&run).as_array().unwrap();
    assert!(got[..4].iter().all(Value::is_null) && got[4..].iter().all(|spent| spent["spent"].is_string()), "{run:#}");
    let long = "x".repeat(600);
    let set = json!({ "do": "set", "key": "own:a", "value": long });
    let run = bench.probe(0, &json!({ "calls": [set, set, { "do": "get", "key": "own:a" }] }));
    let got = results(&run);
    assert_eq!(got[0], "done");
    assert!(got[1]["spent"].is_string(), "what goes out counts: {got}");
    assert!(got[2]["spent"].is_string(), "and what comes in: {got}");
}

#[test]
fn calls_of_all_attempts_of_a_run_are_counted_together() {
    let bench = Bench::new(&["step-probe"], &PROBE.replace("log: true", "log: true\n      calls: 5"));
    let get = json!({ "do": "get", "key": "own:a" });
    let body = probing(&json!({ "calls": [get], "times": 2, "fail": "BUSY", "class": "transient" }));
    let retry = "    uses: plugin.run\n    retry: { max_attempts: 4, backoff: { initial: 10ms } }";
    let body = body.replacen("    uses: plugin.run", retry, 1);
    for _ in 0..2 {
        let run = bench.ended(&body, &["-i", "device=dev-1"]).exits(1).json();
        assert_eq!(run["steps"][0]["refusals"], 3, "of eight calls five were granted: {run:#}");
        let last = run["error"]["message"].as_str().unwrap();
        assert_eq!(last.matches("spent").count(), 2, "of the last attempt none: {last}");
    }
}

#[test]
fn a_plugin_that_loops_grows_panics_or_nags_is_stopped_by_name() {
    let bench = Bench::new(&["step-probe"], PROBE);
    let stopped = |input: Value| bench.probe(1, &input)["error"].clone();
    let one = |call: Value| stopped(json!({ "calls": [call] }));
    for (call, words) in [
        (json!({ "do": "spin" }), "processor time"),
        (json!({ "do": "memory" }), "bytes of memory"),
        (json!({ "do": "panic", "message": "vendor's words" }), "told to: vendor's words"),
    ] {
        let error = one(call);
        assert_eq!((&error["code"], &error["class"]), (&json!("PH6102"), &json!("permanent")), "{error:#}");
        assert!(error["message"].as_str().is_some_and(|message| message.contains(words)), "{error:#}");
    }
    let nags = stopped(json!({ "calls": [{ "do": "get", "key": "other" }], "times": 1000 }));
    assert!(nags["message"].as_str().is_some_and(|message| message.contains("refused 16 calls")), "{nags:#}");
    for (text, words) in [("[1]", "no JSON object"), ("{", "no JSON"), ("{\"a\": 1} x", "no JSON")] {
        let error = stopped(json!({ "give": text }));
        assert!(error["message"].as_str().is_some_and(|message| message.contains(words)), "{error:#}");
    }
    let long = stopped(json!({ "give": format!("{{\"a\": \"{}\"}}", "x".repeat(65_536)) }));
    assert!(long["message"].as_str().is_some_and(|message| message.contains("more than 65536")), "{long:#}");
}

#[test]
fn its_own_failures_are_tried_again_as_it_says() {
    let bench = Bench::new(&["step-probe"], PROBE);
    let failing = |fail: Value, retry: &str| {
        let body = probing(&fail).replacen("    uses: plugin.run", &format!("    uses: plugin.run\n    {retry}"), 1);
        bench.ended(&body, &["-i", "device=dev-1"]).exits(1).json()
    };
    let retry = "retry: { max_attempts: 3, backoff: { initial: 10ms } }";
    let busy = failing(json!({ "fail": "BUSY", "class": "transient" }), retry);
    assert_eq!((&busy["error"]["code"], &busy["steps"][0]["attempts"]), (&json!("BUSY"), &json!(3)));
    let never = failing(json!({ "fail": "no code" }), retry);
    assert_eq!((&never["error"]["code"], &never["steps"][0]["attempts"]), (&json!("PH6101"), &json!(1)));
    let ours = failing(json!({ "fail": "PH0301" }), retry);
    assert_eq!(ours["error"]["code"], "PH6101", "a plugin cannot speak with our codes");
}

#[test]
fn a_time_out_and_a_cancel_end_it_in_the_middle_of_a_wait() {
    let bench = Bench::new(&["step-probe"], PROBE);
    let wait = json!({ "calls": [{ "do": "wait", "topic": "own/dev-1/never", "ms": 3_600_000 }] });
    let late = probing(&wait).replacen("    uses: plugin.run", "    uses: plugin.run\n    timeout: 300ms", 1);
    let run = bench.ended(&late, &["-i", "device=dev-1"]).exits(1).json();
    assert_eq!(run["error"]["code"], "PH4004", "{run:#}");

    let workflow = bench.workflow(&probing(&wait));
    let mut child = bench.world.run(&bench.services, &workflow, &["-i", "device=dev-1"]);
    let running = |run: &Value| (run["steps"][0]["status"] == "running").then(|| world::id(run));
    let id = bench.world.until(&mut child, running).expect("it waits");
    let data = bench.world.data().display().to_string();
    bench.world.ask(&["cancel", &id, "--data", &data]).exits(0);
    let run = child.end().exits(3).json();
    assert_eq!((&run["status"], &run["steps"][0]["error"]["code"]), (&json!("cancelled"), &json!("PH4001")), "{run:#}");
}

#[test]
fn a_killed_or_parked_runner_begins_the_step_anew() {
    let bench = Bench::new(&["handshake"], HANDSHAKE);
    bench.secret();
    let (image, bytes) = bench.world.file("fw.bin", 20_000, 3);
    let mute = Stranger::connect(&bench.services.broker, &["handshake/dev-1/hello"]);
    let image = format!("image={}", image.display());
    let inputs = ["-i", "device=dev-1", "-i", &image];
    let mut run = bench.world.run(&bench.services, &world::workflow("handshake-push"), &inputs);
    let begun = |step: &Value| step["id"] == "auth" && step["status"] == "running";
    let waits = |run: &Value| run["steps"].as_array()?.iter().any(begun).then(|| world::id(run));
    let id = bench.world.until(&mut run, waits).unwrap();
    mute.hear(Duration::from_secs(60)).expect("it says hello, and waits for the challenge");
    assert!(run.kill(), "it was killed in the middle");

    // Neither the plugins folder nor a grant is what it was: the bytes are those of the beginning, the grants those of now.
    std::fs::remove_file(bench.world.path("plugins/handshake.wasm")).unwrap();
    bench.grant("");
    let paused = bench.world.resume(&bench.services, &id).end().exits(6).json();
    assert_eq!(
        (&paused["error"]["code"], &paused["error"]["class"]),
        (&json!("PH6103"), &json!("operator")),
        "{paused:#}"
    );

    bench.grant(HANDSHAKE);
    let parked = bench.world.resume(&bench.services, &id);
    mute.hear(Duration::from_secs(60)).expect("it says hello again");
    parked.signal(rustix::process::Signal::INT);
    parked.end().exits(130);

    let _vendor = Vendor::start(&bench.services.broker, "dev-1", SECRET);
    let _device = bench.world.device(&bench.services.mqtt, "json-base64", "dev-1", &[]);
    let run = bench.world.resume(&bench.services, &id).end().exits(0).json();
    assert_eq!(run["outputs"]["session"], "handshake:dev-1:session", "{run:#}");
    assert!(std::fs::read(bench.world.path("device/fw.bin")).unwrap() == bytes);
}

#[test]
fn what_is_no_step_plugin_is_refused_by_name() {
    let bench = Bench::new(&["handshake"], HANDSHAKE);
    let uses = |plugin: &str| format!("steps:\n  - {{ uses: plugin.run, with: {{ plugin: {plugin} }} }}\n");
    bench.ended(&uses("json-base64"), &[]).exits(2).says(&["PH6103", "json-base64", "codec"]);
    bench.ended(&uses("absent"), &[]).exits(2).says(&["PH6103", "absent", "plugin build"]);
    bench.ended(&uses("handshake@9"), &[]).exits(2).says(&["PH6103", "no version 9"]);
    bench.ended(&uses("Bad/Name"), &[]).exits(2).says(&["PH0223", "names no plugin"]);
    bench.ended(&uses("\"${{ run.id }}\""), &[]).exits(2).says(&["PH0237", "takes no expression"]);
    let codec = "codec: handshake\nsteps:\n  - { uses: log, with: { message: x } }\n";
    bench.ended(codec, &[]).exits(2).says(&["step plugin", "plugin.run"]);
}
