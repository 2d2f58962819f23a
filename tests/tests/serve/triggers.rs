//! Triggers beside a real mosquitto: what comes starts one run however often it comes, what cannot be read is kept, and nobody else notices.

use crate::client::{get, post, send};
use crate::daemon::{Daemon, status};
use packhorse_tests::Mosquitto;
use packhorse_tests::child::{Child, PATIENCE};
use packhorse_tests::client::Stranger;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// A workflow that tells what started it.
fn noted(name: &str, triggers: &str) -> String {
    format!(
        "kind: workflow/v1
name: {name}
inputs:
  device: {{ type: string, pattern: \"[a-z0-9-]+\" }}
triggers:
{triggers}
steps:
  - uses: log
    with: {{ message: \"started by ${{{{ trigger.kind }}}}\" }}
outputs:
  device: \"${{{{ inputs.device }}}}\"
  trigger: \"${{{{ trigger }}}}\"
"
    )
}

const CRASH: &str = "  - id: crash
    mqtt:
      topic: \"packhorse/+/events/crash\"
      inputs: { device: \"${{ trigger.topic_levels[1] }}\" }
      dedupe_key: \"${{ trigger.payload.boot_id }}\"";

/// Runs of a workflow, newest first.
fn runs(daemon: &Daemon, workflow: &str) -> Vec<Value> {
    let page = get(&daemon.http(), &format!("/v1/runs?limit=200&workflow={workflow}")).is(200).json();
    page["items"].as_array().expect("a list").clone()
}

/// Waits until there are as many that have succeeded.
fn succeeded(daemon: &Daemon, workflow: &str, count: usize) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let runs = runs(daemon, workflow);
        if runs.iter().filter(|run| status(run) == "succeeded").count() == count {
            return runs;
        }
        assert!(runs.len() <= count && begun.elapsed() < PATIENCE, "{count} wanted: {runs:#?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) fn trigger(daemon: &Daemon, workflow: &str, id: &str) -> Option<Value> {
    let listed = daemon.ask(&["triggers"])?;
    let found = |trigger: &&Value| trigger["workflow"] == workflow && trigger["id"] == id;
    listed["items"].as_array()?.iter().find(found).cloned()
}

/// Waits until a trigger is as wanted.
pub(crate) fn until(daemon: &Daemon, (workflow, id): (&str, &str), wanted: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let found = trigger(daemon, workflow, id);
        if let Some(found) = found.clone().filter(|found| wanted(found)) {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{workflow}/{id}: {found:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) fn listens(daemon: &Daemon, workflow: &str, id: &str) {
    until(daemon, (workflow, id), |trigger| trigger["listens"] == true);
}

fn letters(daemon: &Daemon) -> Vec<Value> {
    daemon.ask(&["dead-letters"]).expect("the daemon answers")["items"].as_array().expect("a list").clone()
}

#[test]
fn a_message_starts_one_run_however_often_it_comes_and_across_a_kill() {
    let broker = Mosquitto::plain();
    let mut daemon = Daemon::beside(&broker);
    daemon.save("noted", &noted("noted", CRASH));
    listens(&daemon, "noted", "crash");
    let device = Stranger::connect(&broker.address(), &[]);
    let topic = "packhorse/gw-1/events/crash";
    device.say(topic, br#"{"boot_id": "b1"}"#.to_vec());
    device.say(topic, br#"{"boot_id": "b1", "again": true}"#.to_vec());
    until(&daemon, ("noted", "crash"), |trigger| trigger["counts"]["replayed"] == 1);
    let first = succeeded(&daemon, "noted", 1);
    let run = daemon.show(first[0]["run"].as_str().unwrap());
    assert_eq!(run["trigger"], "mqtt", "{run:#}");
    assert_eq!(run["outputs"]["device"], "gw-1");
    assert_eq!(run["outputs"]["trigger"]["topic"], topic);
    assert_eq!(run["outputs"]["trigger"]["payload"]["boot_id"], "b1");
    daemon.kill();
    daemon.begin();
    listens(&daemon, "noted", "crash");
    device.say(topic, br#"{"boot_id": "b1"}"#.to_vec());
    device.say(topic, br#"{"boot_id": "b2"}"#.to_vec());
    succeeded(&daemon, "noted", 2);
    let metrics = get(&daemon.http(), "/metrics").is(200).body;
    assert!(metrics.contains("packhorse_runs_started_total{workflow=\"noted\",trigger=\"mqtt\"} 1"), "{metrics}");
    daemon.stop();
}

#[test]
fn what_cannot_be_read_is_kept_and_others_go_on() {
    let broker = Mosquitto::plain();
    let mut daemon = Daemon::beside(&broker);
    daemon.save("noted", &noted("noted", CRASH));
    listens(&daemon, "noted", "crash");
    let device = Stranger::connect(&broker.address(), &[]);
    device.say("packhorse/gw-1/events/crash", b"no JSON".to_vec());
    device.say("packhorse/gw-1/events/crash", vec![b' '; 70 * 1024]);
    device.say("packhorse/GW_1/events/crash", br#"{"boot_id": "upper"}"#.to_vec());
    device.say("packhorse/gw-1/events/crash", br#"{"boot_id": "good"}"#.to_vec());
    let runs = succeeded(&daemon, "noted", 1);
    assert_eq!(daemon.show(runs[0]["run"].as_str().unwrap())["outputs"]["trigger"]["payload"]["boot_id"], "good");
    until(&daemon, ("noted", "crash"), |trigger| trigger["counts"]["failed"] == 3);
    let kept = letters(&daemon);
    let codes: Vec<&str> = kept.iter().filter_map(|letter| letter["reason"]["code"].as_str()).collect();
    assert_eq!(codes, ["PH0113", "PH8501", "PH0301"], "{kept:#?}");
    let at = daemon.http();
    assert_eq!(get(&at, "/v1/dead-letters").is(200).json()["items"].as_array().unwrap().len(), 3);
    let [upper, large, text] = [0, 1, 2].map(|index: usize| kept[index]["id"].as_u64().unwrap().to_string());
    let shown = get(&at, &format!("/v1/dead-letters/{text}")).is(200).json();
    assert_eq!((&shown["payload"], &shown["size"]), (&json!("bm8gSlNPTg=="), &json!(7)), "{shown:#}");
    assert_eq!(get(&at, &format!("/v1/dead-letters/{large}")).is(200).json()["size"], 70 * 1024);
    post(&at, &format!("/v1/dead-letters/{upper}/retry"), &json!({})).is(422);
    post(&at, &format!("/v1/dead-letters/{large}/retry"), &json!({})).is(422);
    // The workflow is mended; the letter becomes a run after all.
    daemon.save("noted", &noted("noted", CRASH).replace("[a-z0-9-]+", "[A-Za-z0-9_-]+"));
    daemon.ask(&["reload"]).expect("it is good");
    let begun = Instant::now();
    while daemon.ask(&["dead-letters", "retry", &upper]).is_none() {
        assert!(begun.elapsed() < PATIENCE, "the letter never becomes a run");
        std::thread::sleep(Duration::from_millis(50));
    }
    succeeded(&daemon, "noted", 2);
    daemon.ask(&["dead-letters", "drop", &text]).expect("it is there");
    assert!(daemon.ask(&["dead-letters", "drop", &text]).is_none());
    // What is kept outlives the process.
    daemon.kill();
    daemon.begin();
    let kept = letters(&daemon);
    assert_eq!(kept.len(), 1, "{kept:#?}");
    get(&daemon.http(), &format!("/v1/dead-letters/{upper}")).is(404);
    daemon.stop();
}

#[test]
fn a_retained_message_starts_one_run_however_often_the_broker_sends_it() {
    let mut broker = packhorse_tests::mosquitto::Options::default().persistent().start();
    let device = Stranger::connect(&broker.address(), &[]);
    let plain = "  - id: wish\n    mqtt: { topic: \"wish/+\", inputs: { device: \"${{ trigger.topic_levels[1] }}\" } }";
    device.keep("wish/gw-1", b"please".to_vec());
    device.keep("wish/GW 2", b"a message of death".to_vec());
    let mut daemon = Daemon::beside(&broker);
    daemon.save("noted", &noted("noted", plain));
    succeeded(&daemon, "noted", 1);
    until(&daemon, ("noted", "wish"), |trigger| trigger["counts"]["failed"] == 1);
    drop(device);
    broker.stop();
    broker.start();
    until(&daemon, ("noted", "wish"), |trigger| trigger["counts"]["replayed"] == 2);
    daemon.kill();
    daemon.begin();
    until(&daemon, ("noted", "wish"), |trigger| trigger["counts"]["replayed"] == 2);
    assert_eq!((runs(&daemon, "noted").len(), letters(&daemon).len()), (1, 1));
    // Another wish is another run.
    let device = Stranger::connect(&broker.address(), &[]);
    device.keep("wish/gw-1", b"once more".to_vec());
    succeeded(&daemon, "noted", 2);
    daemon.stop();
}

#[test]
fn a_workflow_that_triggers_itself_ends_in_a_trickle() {
    let broker = Mosquitto::plain();
    let mut daemon = Daemon::beside(&broker);
    daemon.save(
        "echo",
        "kind: workflow/v1\nname: echo\ntriggers:\n  - id: again\n    mqtt: { topic: echo, max_rate: 6 }\nsteps:\n  - uses: mqtt.publish\n    with: { topic: echo, payload: again }\n  - uses: mqtt.publish\n    with: { topic: echo, payload: and again }\n",
    );
    daemon.save("noted", &noted("noted", CRASH));
    listens(&daemon, "echo", "again");
    listens(&daemon, "noted", "crash");
    let device = Stranger::connect(&broker.address(), &[]);
    let begun = Instant::now();
    device.say("echo", b"first".to_vec());
    until(&daemon, ("echo", "again"), |trigger| trigger["counts"]["started"].as_u64() >= Some(12));
    device.say("packhorse/gw-1/events/crash", br#"{"boot_id": "b1"}"#.to_vec());
    succeeded(&daemon, "noted", 1);
    std::thread::sleep(Duration::from_secs(2));
    let echo = trigger(&daemon, "echo", "again").expect("it is there");
    let allowed = 12 + begun.elapsed().as_secs() / 10 + 1;
    assert!(echo["counts"]["started"].as_u64() <= Some(allowed) && echo["waiting"].as_u64() > Some(0), "{echo:#}");
    daemon.stop();
}

#[test]
fn edits_of_triggers_are_live_and_disturb_no_other() {
    let broker = Mosquitto::plain();
    let mut daemon = Daemon::beside(&broker);
    daemon.save("noted", &noted("noted", CRASH));
    let other = noted("other", &CRASH.replace("crash", "fault"));
    daemon.save("other", &other);
    listens(&daemon, "noted", "crash");
    listens(&daemon, "other", "fault");
    let device = Stranger::connect(&broker.address(), &[]);
    device.say("packhorse/gw-1/events/fault", br#"{"boot_id": "b1"}"#.to_vec());
    succeeded(&daemon, "other", 1);
    daemon.save("noted", &noted("noted", &CRASH.replace("events/crash", "events/panic")));
    until(&daemon, ("noted", "crash"), |trigger| {
        trigger["what"] == "packhorse/+/events/panic" && trigger["listens"] == true
    });
    device.say("packhorse/gw-1/events/crash", br#"{"boot_id": "old"}"#.to_vec());
    device.say("packhorse/gw-1/events/panic", br#"{"boot_id": "new"}"#.to_vec());
    let runs = succeeded(&daemon, "noted", 1);
    assert_eq!(daemon.show(runs[0]["run"].as_str().unwrap())["outputs"]["trigger"]["payload"]["boot_id"], "new");
    // A broken file changes nothing, and one without triggers ends them.
    daemon.save("noted", &noted("noted", &CRASH.replace("packhorse/+", "packhorse/#")));
    assert_eq!(post(&daemon.http(), "/v1/reload", &json!({})).is(200).json()["refused"], 1);
    device.say("packhorse/gw-1/events/panic", br#"{"boot_id": "newer"}"#.to_vec());
    succeeded(&daemon, "noted", 2);
    daemon.save("noted", "kind: workflow/v1\nname: noted\nsteps:\n  - uses: log\n    with: { message: quiet }\n");
    let begun = Instant::now();
    while trigger(&daemon, "noted", "crash").is_some() {
        assert!(begun.elapsed() < PATIENCE, "it still listens");
        std::thread::sleep(Duration::from_millis(50));
    }
    let other = trigger(&daemon, "other", "fault").expect("it was not touched");
    assert_eq!(other["counts"]["received"], 1, "{other:#}");
    daemon.stop();
}

#[test]
fn a_file_that_has_stopped_growing_starts_a_run() {
    let mut daemon = Daemon::start();
    let folder = daemon.world.path("drop");
    std::fs::create_dir_all(&folder).unwrap();
    let triggers = format!(
        "  - id: dropped\n    file: {{ folder: \"{}\", glob: \"*.bin\", inputs: {{ device: \"${{{{ trigger.name.split('.')[0] }}}}\" }} }}",
        folder.display()
    );
    daemon.save("noted", &noted("noted", &triggers));
    listens(&daemon, "noted", "dropped");
    let outside = daemon.world.text("outside.bin", "secret");
    std::os::unix::fs::symlink(outside, folder.join("link.bin")).unwrap();
    std::fs::write(folder.join("other.txt"), "no").unwrap();
    let file = folder.join("gw-1.bin");
    let grown = Instant::now();
    while grown.elapsed() < Duration::from_secs(3) {
        append(&file, b"piece");
        std::thread::sleep(Duration::from_millis(100));
    }
    let seen = succeeded(&daemon, "noted", 1);
    let run = daemon.show(seen[0]["run"].as_str().unwrap());
    let told = &run["outputs"]["trigger"];
    assert_eq!(told["size"].as_u64(), Some(std::fs::metadata(&file).unwrap().len()), "{run:#}");
    assert_eq!(told["sha256"], packhorse_tests::files::sha256(&std::fs::read(&file).unwrap()));
    daemon.kill();
    append(&file, b"while nobody looked");
    daemon.begin();
    succeeded(&daemon, "noted", 2);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(runs(&daemon, "noted").len(), 2);
    daemon.stop();
}

fn append(path: &Path, bytes: &[u8]) {
    use std::io::Write as _;
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn a_request_starts_a_run() {
    let mut daemon = Daemon::start();
    let hook = "  - http: { if: \"trigger.payload.wanted\", inputs: { device: \"${{ trigger.payload.device }}\" }, max_rate: 3 }";
    daemon.save("hook", &noted("hook", hook));
    listens(&daemon, "hook", "http_1");
    let at = daemon.http();
    let body = json!({ "wanted": true, "device": "gw-1" });
    let ask = |key: &str, body: &Value| {
        send(&at, "POST", "/v1/triggers/hook", &[&format!("Idempotency-Key: {key}")], body.to_string().as_bytes())
    };
    let run = ask("a", &body).is(201).json()["run"].clone();
    let again = ask("a", &body).is(200).json();
    assert_eq!((&again["run"], &again["replayed"]), (&run, &json!(true)));
    ask("a", &json!({ "wanted": true, "device": "gw-2" })).is(422);
    let ignored = post(&at, "/v1/triggers/hook", &json!({ "wanted": false })).is(200).json();
    assert_eq!(ignored["ignored"], true);
    send(&at, "POST", "/v1/triggers/hook", &[], b"no JSON").is(422);
    send(&at, "POST", "/v1/triggers/hook", &[], &vec![b' '; 70 * 1024]).is(413);
    post(&at, "/v1/triggers/hook?trigger=other", &body).is(404);
    post(&at, "/v1/triggers/hook?x=y", &body).is(400);
    post(&at, "/v1/triggers/nobody", &body).is(404);
    let statuses: Vec<u16> = (0..7).map(|_| post(&at, "/v1/triggers/hook", &body).status).collect();
    assert!(statuses.contains(&201) && statuses.contains(&429), "{statuses:?}");
    assert_eq!(daemon.show(run.as_str().unwrap())["trigger"], "http");
    daemon.stop();
}

#[test]
fn a_schedule_starts_one_run_a_minute_and_none_twice() {
    let mut daemon = Daemon::start();
    let every =
        "  - id: minute\n    schedule: { cron: \"* * * * *\", timezone: Europe/Berlin, inputs: { device: gw-1 } }";
    daemon.save("noted", &noted("noted", every));
    let armed = until(&daemon, ("noted", "minute"), |trigger| trigger["next_fire"].is_string());
    let begun = Instant::now();
    while runs(&daemon, "noted").is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(90), "{armed:#}");
        std::thread::sleep(Duration::from_millis(100));
    }
    let nominal = |run: &Value| {
        let run = daemon.show(run["run"].as_str().unwrap());
        run["outputs"]["trigger"]["nominal_time"].clone()
    };
    let first = succeeded(&daemon, "noted", 1);
    assert_eq!(nominal(&first[0]), armed["next_fire"]);
    daemon.kill();
    daemon.begin();
    let again = until(&daemon, ("noted", "minute"), |trigger| trigger["last_fired"].is_string());
    let seen = runs(&daemon, "noted").len();
    assert!(seen == 1 || again["last_fired"] != armed["next_fire"], "{seen} runs of one time: {again:#}");
    daemon.stop();
}

#[test]
fn a_device_that_asks_by_its_own_request_gets_its_file() {
    let broker = Mosquitto::plain();
    let mut daemon = Daemon::beside(&broker);
    let (image, bytes) = daemon.world.file("fw.bin", 100_000, 11);
    let text = format!(
        "kind: workflow/v1
name: asked
inputs:
  device: {{ type: string }}
  image: {{ type: file, default: \"{}\" }}
codec: json-base64
triggers:
  - id: wish
    mqtt:
      topic: \"packhorse/+/up\"
      if: has(trigger.payload.fileType) && !has(trigger.payload.packData)
      inputs: {{ device: \"${{{{ trigger.topic_levels[1] }}}}\" }}
      dedupe_key: \"${{{{ trigger.topic_levels[1] }}}} ${{{{ trigger.payload.fileType }}}}\"
steps:
  - uses: transfer.push
    with: {{ device: \"${{{{ inputs.device }}}}\", file: \"${{{{ inputs.image }}}}\" }}
",
        image.display()
    );
    daemon.save("asked", &text);
    listens(&daemon, "asked", "wish");
    let _device = daemon.device("json-base64", "gw-1", &[]);
    let voice = Stranger::connect(&broker.address(), &[]);
    for _ in 0..2 {
        voice.say("packhorse/gw-1/up", br#"{"fileType": "bin", "packOffset": 0, "packSize": 640}"#.to_vec());
    }
    let runs = succeeded(&daemon, "asked", 1);
    assert!(daemon.has("gw-1", &bytes));
    let journal = daemon.journal(runs[0]["run"].as_str().unwrap());
    assert_eq!(journal[0]["message"]["topic"], "packhorse/gw-1/up", "{:#}", journal[0]);
    let wish = trigger(&daemon, "asked", "wish").expect("it is there");
    assert_eq!((&wish["counts"]["failed"], &wish["counts"]["started"]), (&json!(0), &json!(1)), "{wish:#}");
    daemon.stop();
}

#[test]
fn a_group_that_is_full_refuses_its_own_and_keeps_nobody_else_waiting() {
    let broker = Mosquitto::plain();
    let mut daemon = Daemon::beside(&broker);
    let text = "kind: workflow/v1
name: shy
inputs: { site: { type: string }, time: { type: string } }
concurrency: { group: \"shy-${{ inputs.site }}\", on_conflict: reject }
triggers:
  - id: wish
    mqtt:
      topic: \"sites/+\"
      max_rate: 6000
      inputs: { site: \"${{ trigger.topic_levels[1] }}\", time: \"${{ trigger.payload }}\" }
steps:
  - uses: sleep
    with: { duration: \"${{ inputs.time }}\" }
";
    daemon.save("shy", text);
    listens(&daemon, "shy", "wish");
    let site = Stranger::connect(&broker.address(), &[]);
    site.say("sites/north", b"1h".to_vec());
    until(&daemon, ("shy", "wish"), |trigger| trigger["counts"]["started"] == 1);
    site.say("sites/north", b"2h".to_vec());
    for number in 0..5 {
        site.say(&format!("sites/south-{number}"), b"1ms".to_vec());
    }
    until(&daemon, ("shy", "wish"), |trigger| trigger["counts"]["started"] == 6);
    let wish = until(&daemon, ("shy", "wish"), |trigger| trigger["counts"]["failed"] == 1);
    assert_eq!(wish["waiting"], 0, "{wish:#}");
    let letters = letters(&daemon);
    assert_eq!((letters.len(), &letters[0]["reason"]["code"]), (1, &json!("PH8040")), "{letters:#?}");
    daemon.stop();
}

/// Builds a codec into the daemon's folder.
fn built(daemon: &Daemon, codec: &str) {
    let plugins = daemon.world.path("plugins").display().to_string();
    let mut command = daemon.world.command(&["plugin", "build", &format!("plugins/{codec}"), "--plugins", &plugins]);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    Child::start(command, "packhorse plugin build").end().exits(0);
}

/// The codec's part of a topic.
const JOBS: &str = "$aws/things/gw-1/jobs/$next";

/// Asks for the job that is next, and waits for the answer to that request; gives the tokens of all answers that came.
fn asked_for(device: &Stranger, token: &str) -> Vec<String> {
    device.say(&format!("{JOBS}/get"), format!("{{\"clientToken\": \"{token}\"}}"));
    answers(device, token)
}

/// Tokens of answers until this one.
fn answers(device: &Stranger, token: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    while tokens.last().is_none_or(|last| last != token) {
        let (_, answer) = device.hear(PATIENCE).unwrap_or_else(|| panic!("no answer to {token}, only to {tokens:?}"));
        let answer: Value = serde_json::from_slice(&answer).expect("the answer is JSON");
        tokens.push(answer["clientToken"].as_str().expect("it names the request").to_owned());
    }
    tokens
}

#[test]
fn the_request_that_starts_a_run_is_answered_and_not_once_more_after_a_kill() {
    let broker = Mosquitto::plain();
    let mut daemon = Daemon::beside(&broker);
    let (image, _) = daemon.world.file("fw.bin", 100_000, 11);
    let text = format!(
        "kind: workflow/v1
name: next
inputs:
  device: {{ type: string }}
  image: {{ type: file, default: \"{}\" }}
codec: aws-iot-streams
triggers:
  - id: wish
    mqtt:
      topic: \"$aws/things/+/jobs/$next/get\"
      inputs: {{ device: \"${{{{ trigger.topic_levels[2] }}}}\" }}
      dedupe_key: \"${{{{ trigger.topic_levels[2] }}}}\"
steps:
  - uses: transfer.push
    with: {{ device: \"${{{{ inputs.device }}}}\", file: \"${{{{ inputs.image }}}}\" }}
",
        image.display()
    );
    built(&daemon, "aws-iot-streams");
    daemon.save("next", &text);
    listens(&daemon, "next", "wish");
    // It says nothing but its request, and hears nothing but answers to it: no run was there to subscribe to it.
    let device = Stranger::connect(&broker.address(), &[&format!("{JOBS}/get/accepted")]);
    assert_eq!(asked_for(&device, "one"), ["one"]);
    let run = runs(&daemon, "next")[0]["run"].as_str().unwrap().to_owned();
    // Parked, so that what the codec knows is kept.
    assert!(daemon.ask(&["pause", &run]).is_some());
    daemon.until(&run, |view| status(view) == "paused");
    daemon.kill();
    daemon.begin();
    let subscribed = || broker.log().matches("$aws/things/gw-1/jobs/+/get (QoS").count();
    let (before, begun) = (subscribed(), Instant::now());
    assert!(daemon.ask(&["resume", &run]).is_some());
    while subscribed() == before {
        assert!(before > 0 && begun.elapsed() < PATIENCE, "{}", broker.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(asked_for(&device, "two"), ["two"], "the first request is not answered again");
    daemon.stop();
}
