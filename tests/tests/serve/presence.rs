//! Presence: real wills at a real mosquitto hold transfers back, and end waits.

use crate::client::get;
use crate::daemon::{Daemon, status};
use packhorse_tests::client::{Mortal, Stranger};
use packhorse_tests::{Mosquitto, files};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(120);

const PUSH: &str = "kind: workflow/v1
name: push
inputs:
  device: { type: string }
  image: { type: file }
steps:
  - id: push
    uses: transfer.push
    with: { device: \"${{ inputs.device }}\", file: \"${{ inputs.image }}\" }
    timeout: 30s
";

/// A device whose status is a word, and others that tell it in JSON.
const ENTRIES: &str = "kind: devices/v1
devices:
  - match: \"dev-*\"
    codec: json-base64
    presence:
      topic: \"status/{device}\"
      online: \"payload == 'online' ? true : payload == 'offline' ? false : null\"
  - match: \"plug-*\"
    codec: json-base64
    presence: { topic: \"plugs/{device}/availability\", online: \"json.state == 'online'\" }
";

struct Ground {
    broker: Mosquitto,
    daemon: Daemon,
    bytes: Vec<u8>,
    image: String,
}

fn ground() -> Ground {
    let broker = Mosquitto::plain();
    let daemon = Daemon::beside(&broker);
    daemon.save("push", PUSH);
    daemon.world.text("devices/fleet.yaml", ENTRIES);
    daemon.ask(&["reload"]).expect("both are good");
    let bytes = files::bytes(40 * 1024, 17);
    let image = daemon.world.path("image");
    std::fs::write(&image, &bytes).unwrap();
    let image = format!("image={}", image.display());
    Ground { broker, daemon, bytes, image }
}

/// Waits until what is known of a device is as wanted.
fn presence(daemon: &Daemon, device: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let known = get(&daemon.http(), &format!("/v1/devices/{device}")).is(200).json()["presence"].clone();
        if wanted(&known) {
            return known;
        }
        assert!(begun.elapsed() < PATIENCE, "{device}: {known:#}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn waits(view: &Value) -> bool {
    status(view) == "waiting" && view["unfinished"]["reason"] == "device_offline"
}

/// A run that was held back, and the word of its device's will.
fn held_back(ground: &Ground) -> String {
    let life = Mortal::connect(&ground.broker.address(), ("status/dev-1", "offline"));
    life.keep("status/dev-1", "online");
    presence(&ground.daemon, "dev-1", |known| known["online"] == true);
    life.die();
    let gone = presence(&ground.daemon, "dev-1", |known| known["online"] == false);
    assert!(gone["by"] == "will" && gone["heard_at"].is_string(), "{gone:#}");
    let run = ground.daemon.run("push", &["-i", "device=dev-1", "-i", &ground.image]);
    let view = ground.daemon.until(&run, waits);
    let step = &view["steps"][0];
    assert_eq!((&step["attempts"], &step["error"]["code"]), (&json!(0), &json!("PH5112")), "{view:#}");
    run
}

/// The run has gone on long before its timer was due, and in its first attempt.
fn went_on(ground: &Ground, run: &str) {
    let ended = |view: &Value| ["succeeded", "failed", "cancelled", "timed_out"].contains(&status(view));
    let view = ground.daemon.until(run, ended);
    assert_eq!((status(&view), &view["steps"][0]["attempts"]), ("succeeded", &json!(1)), "{view:#}");
    assert!(ground.daemon.has("dev-1", &ground.bytes));
    let journal = ground.daemon.journal(run);
    let waits: Vec<&Value> = journal.iter().filter(|record| record["fact"] == "wait_set").collect();
    assert!(waits.len() == 1 && waits[0]["wait"] == "device_offline", "{waits:#?}");
    let begun = journal.iter().filter(|record| record["fact"] == "attempt_started").nth(1).expect("it went on");
    let (due, at) = (waits[0]["timer"]["at"].as_u64().unwrap(), begun["at"].as_u64().unwrap());
    assert!(at < due, "it went on {} ms before its timer: {begun:#}", due.saturating_sub(at));
}

#[test]
fn a_will_holds_a_push_back_across_a_kill_and_the_birth_lets_it_go_on() {
    let mut ground = ground();
    let wire = Stranger::connect(&ground.broker.address(), &["packhorse/dev-1/#"]);
    let run = held_back(&ground);
    let data = ground.daemon.world.data().display().to_string();
    let told = ground.daemon.world.ask(&["explain", &run, "--data", &data]).exits(0).out;
    for words in ["device offline", "offline since", "as its will message said", "PH5112"] {
        assert!(told.contains(words), "{words}?\n{told}");
    }
    let shown = ground.daemon.world.ask(&["devices", "show", "dev-1", "--data", &data]).exits(0).out;
    assert!(shown.contains("presence") && shown.contains("offline since"), "{shown}");
    ground.daemon.kill();
    ground.daemon.begin();
    ground.daemon.until(&run, waits);
    presence(&ground.daemon, "dev-1", |known| known["online"] == false);
    // Another run is held back by what the process before knew.
    let second = ground.daemon.run("push", &["-i", "device=dev-1", "-i", &ground.image]);
    ground.daemon.until(&second, waits);
    assert_eq!(wire.hear(Duration::from_millis(300)), None, "not one packet was sent");
    let _device = ground.daemon.device("json-base64", "dev-1", &[]);
    let life = Mortal::connect(&ground.broker.address(), ("status/dev-1", "offline"));
    life.keep("status/dev-1", "online");
    went_on(&ground, &run);
    went_on(&ground, &second);
    ground.daemon.stop();
}

#[test]
fn any_message_of_the_device_ends_its_absence() {
    let mut ground = ground();
    let trigger = "kind: workflow/v1
name: noted
inputs:
  device: { type: string }
triggers:
  - id: said
    mqtt: { topic: \"events/+\", inputs: { device: \"${{ trigger.topic_levels[1] }}\" } }
steps:
  - { uses: log, with: { message: \"it is there\" } }
";
    ground.daemon.save("noted", trigger);
    ground.daemon.ask(&["reload"]).expect("it is good");
    let run = held_back(&ground);
    let _device = ground.daemon.device("json-base64", "dev-1", &[]);
    let voice = Stranger::connect(&ground.broker.address(), &[]);
    let begun = Instant::now();
    // The trigger may not listen yet.
    while waits(&ground.daemon.show(&run)) {
        voice.say("events/dev-1", b"up".to_vec());
        assert!(begun.elapsed() < PATIENCE, "nobody heard it");
        std::thread::sleep(Duration::from_millis(200));
    }
    went_on(&ground, &run);
    let known = presence(&ground.daemon, "dev-1", |known| known["online"] == true);
    assert_eq!(known["by"], "traffic", "{known:#}");
    ground.daemon.stop();
}

#[test]
fn a_status_that_cannot_be_read_disturbs_nothing() {
    let mut ground = ground();
    let voice = Stranger::connect(&ground.broker.address(), &[]);
    voice.keep("plugs/plug-1/availability", br#"{"state": "online"}"#.to_vec());
    let before = presence(&ground.daemon, "plug-1", |known| known["online"] == true);
    let kinds: [&[u8]; 5] = [b"no JSON", b"\xff\xfe", b"{}", b"[", &[b' '; 70 * 1024]];
    for payload in kinds {
        voice.keep("plugs/plug-1/availability", payload.to_vec());
    }
    // Devices of no entry with this topic, and names of none.
    voice.say("plugs/dev-1/availability", br#"{"state": "offline"}"#.to_vec());
    voice.say("plugs/no device/availability", br#"{"state": "offline"}"#.to_vec());
    voice.say("plugs/plug-2/availability", br#"{"state": "offline"}"#.to_vec());
    presence(&ground.daemon, "plug-2", |known| known["online"] == false);
    ground.daemon.says("a status cannot be judged");
    assert!(presence(&ground.daemon, "dev-1", |_| true).is_null(), "its entry names another topic");
    let _device = ground.daemon.device("json-base64", "plug-1", &[]);
    let run = ground.daemon.run("push", &["-i", "device=plug-1", "-i", &ground.image]);
    let view = ground.daemon.until(&run, |view| ["succeeded", "failed"].contains(&status(view)));
    assert_eq!(status(&view), "succeeded", "{view:#}");
    let after = presence(&ground.daemon, "plug-1", |known| !known.is_null());
    assert_eq!((&after["online"], &after["since"]), (&before["online"], &before["since"]));
    ground.daemon.stop();
}
