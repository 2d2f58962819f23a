//! The registry of devices: one workflow for many vendors, and what an edit changes for whom.

use crate::client::{get, post};
use crate::daemon::{Daemon, status};
use packhorse_tests::child::{Child, PATIENCE};
use packhorse_tests::files;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// A push without a codec of its own, that says what it saw of the device.
const PUSH: &str = "kind: workflow/v1
name: push
inputs:
  device: { type: string }
  image: { type: file }
  hw: { type: string, default: any }
steps:
  - id: push
    uses: transfer.push
    with:
      device: \"${{ inputs.device }}\"
      file: \"${{ inputs.image }}\"
      meta: { hw: \"${{ inputs.hw }}\" }
      require: [\"file.meta.hw == 'any' || file.meta.hw == device.hw\"]
    retry: { max_attempts: 5, backoff: { initial: 100ms, max: 1s } }
outputs:
  model: \"${{ device.model }}\"
";

fn devices(daemon: &Daemon, name: &str, text: &str) {
    daemon.world.text(&format!("devices/{name}.yaml"), &format!("kind: devices/v1\ndevices:\n{text}"));
}

/// A daemon with the workflow and these entries, and an image of so many bytes.
fn daemon(entries: &str, size: usize) -> (Daemon, Vec<u8>, String) {
    let daemon = Daemon::start();
    daemon.save("push", PUSH);
    devices(&daemon, "fleet", entries);
    daemon.ask(&["reload"]).expect("both are good");
    let bytes = files::bytes(size, 11);
    let image = daemon.world.path("image");
    std::fs::write(&image, &bytes).unwrap();
    (daemon, bytes, format!("image={}", image.display()))
}

/// A device with variables of its own.
fn device(daemon: &Daemon, codec: &str, id: &str, prefix: &str) -> Child {
    daemon.device(codec, id, &["--var", &format!("prefix={prefix}")])
}

fn ended(daemon: &Daemon, run: &str) -> Value {
    daemon.until(run, |view| ["succeeded", "failed", "cancelled", "timed_out"].contains(&status(view)))
}

fn created(daemon: &Daemon, run: &str) -> Value {
    daemon.journal(run)[0].clone()
}

/// Bytes of everything that lies in a device's folder, its own state left out.
fn stored(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).filter(std::fs::Metadata::is_file).map(|about| about.len()).sum()
}

#[test]
fn one_workflow_serves_two_vendors_by_their_entries() {
    let entries = "  - match: \"gw-*\"
    codec: json-base64
    vars: { prefix: \"fleet/{device}\" }
    model: G200
    rate: 1MiB/s
  - match: meter-7
    codec: acme-tlv
    vars: { prefix: meters }
    model: M7
    labels: { site: berlin }
";
    let (mut daemon, bytes, image) = daemon(entries, 40 * 1024);
    daemon.save("push", &PUSH.replace("steps:", "vars: { prefix: nowhere }\nsteps:"));
    daemon.ask(&["reload"]).expect("it is good");
    let _gateway = device(&daemon, "json-base64", "gw-1", "fleet/{device}");
    let _meter = device(&daemon, "acme-tlv", "meter-7", "meters");
    let start = |id: &str, more: &[&str]| {
        daemon.run("push", &[&["-i", &format!("device={id}"), "-i", &image][..], more].concat())
    };
    let (gateway, meter) = (start("gw-1", &[]), start("meter-7", &[]));
    for (run, id, codec, model, prefix) in
        [(&gateway, "gw-1", "json-base64", "G200", "fleet/{device}"), (&meter, "meter-7", "acme-tlv", "M7", "meters")]
    {
        let view = ended(&daemon, run);
        assert_eq!(status(&view), "succeeded", "{view:#}");
        assert_eq!(view["outputs"]["model"], model);
        let created = created(&daemon, run);
        assert_eq!((&created["codec"]["name"], &created["device"]["model"]), (&json!(codec), &json!(model)));
        assert_eq!(created["vars"]["prefix"], prefix, "the entry goes before the workflow");
        assert!(daemon.has(id, &bytes), "{id} has the image");
    }
    let ready = daemon.journal(&gateway).into_iter().find(|record| record["fact"] == "step_ready").expect("it began");
    assert_eq!(ready["with"]["rate"], 1 << 20, "the entry's rate bounds a push that names none: {ready:#}");
    // The command line goes before the entry.
    let own = start("gw-1", &["--var", "prefix=elsewhere"]);
    assert_eq!(created(&daemon, &own)["vars"]["prefix"], "elsewhere");
    daemon.ask(&["cancel", &own]).expect("it waits for nobody");
    // Without an entry, and with no codec from anybody, nothing is begun.
    let data = daemon.world.data().display().to_string();
    let refused = daemon.world.ask(&["run", "-d", "push", "-i", "device=nobody", "-i", &image, "--data", &data]);
    refused.exits(2).says(&["PH6004", "nobody"]);
    daemon.stop();
}

#[test]
fn an_edit_changes_the_next_run_and_not_the_one_under_way() {
    let entry = |codec: &str, model: &str| format!("  - match: dev-1\n    codec: {codec}\n    model: {model}\n");
    let (mut daemon, bytes, image) = daemon(&entry("json-base64", "old"), 40 * 1024);
    // The device is not there yet: the run waits for it.
    let first = daemon.run("push", &["-i", "device=dev-1", "-i", &image]);
    daemon.until(&first, |view| ["running", "waiting"].contains(&status(view)));
    devices(&daemon, "fleet", &entry("acme-tlv", "new"));
    daemon.ask(&["reload"]).expect("it is good");
    daemon.kill();
    let device = daemon.device("json-base64", "dev-1", &[]);
    daemon.begin();
    let view = ended(&daemon, &first);
    assert_eq!((status(&view), &view["outputs"]["model"]), ("succeeded", &json!("old")), "{view:#}");
    assert!(daemon.has("dev-1", &bytes));
    assert!(device.kill(), "it was running");
    let _device = daemon.device("acme-tlv", "dev-1", &[]);
    let second = daemon.run("push", &["-i", "device=dev-1", "-i", &image]);
    let view = ended(&daemon, &second);
    assert_eq!((status(&view), &view["outputs"]["model"]), ("succeeded", &json!("new")), "{view:#}");
    assert_eq!(created(&daemon, &second)["codec"]["name"], "acme-tlv");
    daemon.stop();
}

#[test]
fn what_a_push_requires_is_asked_before_anything_is_sent() {
    let (mut daemon, bytes, image) = daemon("  - { match: dev-1, codec: json-base64, hw: rev-b }\n", 8 * 1024);
    let _device = daemon.device("json-base64", "dev-1", &[]);
    let run = daemon.run("push", &["-i", "device=dev-1", "-i", &image, "-i", "hw=rev-a"]);
    let view = ended(&daemon, &run);
    assert_eq!((status(&view), view["error"]["code"].as_str()), ("failed", Some("PH0414")), "{view:#}");
    let message = view["error"]["message"].as_str().unwrap_or_default();
    for words in ["file.meta.hw == device.hw", "file.meta.hw is \"rev-a\"", "device.hw is \"rev-b\""] {
        assert!(message.contains(words), "{words}? {message}");
    }
    assert_eq!((&view["traffic"]["packets"], &view["traffic"]["wire_bytes"]), (&json!(0), &json!(0)), "{view:#}");
    assert_eq!(stored(&daemon.world.path("device").join("dev-1")), 0, "the device saw no packet");
    let run = daemon.run("push", &["-i", "device=dev-1", "-i", &image, "-i", "hw=rev-b"]);
    assert_eq!(status(&ended(&daemon, &run)), "succeeded");
    assert!(daemon.has("dev-1", &bytes));
    daemon.stop();
}

#[test]
fn a_broken_file_keeps_the_last_good_one_and_is_shown() {
    let (mut daemon, _, image) = daemon("  - { match: dev-1, codec: json-base64, model: good }\n", 1024);
    let at = daemon.http();
    let _device = daemon.device("json-base64", "dev-1", &[]);
    devices(&daemon, "fleet", "  - { match: dev-1, codek: acme-tlv }\n");
    let data = daemon.world.data().display().to_string();
    let told = daemon.world.ask(&["reload", "--data", &data]).exits(1);
    assert!(told.out.contains("did you mean `codec`") && told.out.contains("fleet.yaml:3"), "{}", told.out);
    let run = daemon.run("push", &["-i", "device=dev-1", "-i", &image]);
    assert_eq!(ended(&daemon, &run)["outputs"]["model"], "good");
    let list = get(&at, "/v1/devices").is(200).json();
    assert_eq!((&list["items"][0]["match"], &list["items"][0]["file"]), (&json!("dev-1"), &json!("fleet")), "{list:#}");
    let file = &list["files"][0];
    assert!(file["stale"] == true && file["load_error"]["code"] == "PH2011", "{list:#}");
    let shown = get(&at, "/v1/devices/dev-1").is(200).json();
    assert!(shown["stale"] == true && shown["device"]["model"] == "good", "{shown:#}");
    let nobody = get(&at, "/v1/devices/nobody").is(200).json();
    assert!(nobody["match"].is_null() && nobody["device"]["codec"].is_null(), "{nobody:#}");
    assert!(get(&at, "/metrics").is(200).body.contains("packhorse_definitions_stale{kind=\"devices\"} 1"));
    let told = daemon.world.ask(&["devices", "--data", &data]).exits(0).out;
    assert!(told.contains("dev-1") && told.contains("stale") && told.contains("PH2011"), "{told}");
    // A file that ties with one that counts is refused, and the other goes on.
    devices(&daemon, "fleet", "  - { match: dev-1, codec: json-base64, model: better }\n");
    devices(&daemon, "later", "  - { match: dev-1, codec: acme-tlv }\n");
    let reload = post(&at, "/v1/reload", &json!({})).is(200).json();
    assert_eq!((&reload["refused"], &reload["devices"]), (&json!(1), &json!(1)), "{reload:#}");
    let list = get(&at, "/v1/devices").is(200).json();
    let later = list["files"].as_array().unwrap().iter().find(|file| file["name"] == "later").expect("it is told");
    assert_eq!(later["load_error"]["code"], "PH2012", "{list:#}");
    assert_eq!(get(&at, "/v1/devices/dev-1").is(200).json()["device"]["model"], "better");
    // What clashed is gone: the other one counts as soon as somebody looks.
    std::fs::remove_file(daemon.world.path("devices/fleet.yaml")).unwrap();
    let begun = Instant::now();
    while get(&at, "/v1/devices/dev-1").is(200).json()["file"] != "later" {
        assert!(begun.elapsed() < PATIENCE, "{:#}", get(&at, "/v1/devices").json());
        std::thread::sleep(Duration::from_millis(50));
    }
    daemon.stop();
}

#[test]
fn without_a_daemon_the_folder_is_read() {
    let world = packhorse_tests::World::new();
    let folder = world.path("devices").display().to_string();
    let text = "kind: devices/v1\ndevices:\n  - { match: \"gw-*\", codec: acme-tlv, model: G200 }\n";
    world.text("devices/fleet.yaml", text);
    let at = ["--devices", &folder];
    let shown = world.json(0, &[&["devices", "show", "gw-5"][..], &at].concat());
    assert_eq!((&shown["match"], &shown["device"]["codec"]), (&json!("gw-*"), &json!("acme-tlv")), "{shown:#}");
    world.ask(&[&["devices"][..], &at].concat()).exits(0).says(&["gw-*", "acme-tlv", "G200"]);
    // There is no last good one: a file that is not good ends the command before anything begins.
    world.text("devices/fleet.yaml", &text.replace("codec", "codek"));
    let workflow = world.text("push.yaml", PUSH).display().to_string();
    let image = world.text("image", "bytes").display().to_string();
    let run = ["run", &workflow, "-i", "device=gw-5", "-i", &format!("image={image}")];
    world.ask(&[&run[..], &at].concat()).exits(2).says(&["PH0211", "did you mean `codec`", "fleet.yaml:3"]);
}
