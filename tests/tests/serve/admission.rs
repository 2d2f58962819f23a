//! Who may go on: groups that are full, critical runs that overtake, newer images, holds across a death, and lists that stop early.

use crate::client::{get, post, send};
use crate::daemon::{Daemon, status};
use packhorse_tests::World;
use serde_json::{Value, json};
use std::path::Path;

/// A push that takes its time: 32 KiB a second.
pub(crate) const SLOW: &str = "kind: workflow/v1
name: slow-push
inputs:
  device: { type: string }
  image: { type: file }
codec: json-base64
steps:
  - id: push
    uses: transfer.push
    with: { device: \"${{ inputs.device }}\", file: \"${{ inputs.image }}\", window: 16, rate: 32KiB/s }
";

fn sleeper(name: &str, on_conflict: &str) -> String {
    format!(
        "kind: workflow/v1\nname: {name}\ninputs: {{ time: {{ type: duration }} }}\n\
        concurrency: {{ group: {name}, on_conflict: {on_conflict} }}\n\
        steps: [{{ uses: sleep, with: {{ duration: \"${{{{ inputs.time }}}}\" }} }}]\n"
    )
}

pub(crate) fn reason(view: &Value) -> &str {
    view["unfinished"]["reason"].as_str().unwrap_or_default()
}

pub(crate) fn has_sent(view: &Value) -> bool {
    view.pointer("/progress/done").and_then(Value::as_u64).unwrap_or(0) > 16 * 1024
}

/// Times that the journal of a run has this fact.
pub(crate) fn facts(daemon: &Daemon, run: &str, fact: &str) -> usize {
    daemon.journal(run).iter().filter(|record| record["fact"] == fact).count()
}

pub(crate) fn image(daemon: &Daemon, name: &str, size: usize, seed: u64) -> (String, Vec<u8>) {
    let (path, bytes) = daemon.world.file(name, size, seed);
    (format!("image={}", path.display()), bytes)
}

pub(crate) fn push(daemon: &Daemon, device: &str, image: &str, more: &[&str]) -> String {
    let device = format!("device={device}");
    daemon.run("slow-push", &[&["-i", &device, "-i", image], more].concat())
}

#[test]
fn a_full_group_queues_replaces_or_refuses() {
    let mut daemon = Daemon::start();
    for on_conflict in ["queue", "replace", "reject"] {
        daemon.save(&format!("s-{on_conflict}"), &sleeper(&format!("s-{on_conflict}"), on_conflict));
    }
    let first = daemon.run("s-queue", &["-i", "time=3s"]);
    let second = daemon.run("s-queue", &["-i", "time=10ms"]);
    let view = daemon.show(&second);
    assert_eq!((status(&view), reason(&view)), ("queued", "concurrency_limit"), "{view:#}");
    assert_eq!(view["unfinished"]["behind"], first.as_str(), "{view:#}");
    daemon.until(&second, |view| status(view) == "succeeded");
    assert_eq!(status(&daemon.show(&first)), "succeeded", "the second began when the first was over");

    let older = daemon.run("s-replace", &["-i", "time=1h"]);
    let newer = daemon.run("s-replace", &["-i", "time=10ms"]);
    daemon.until(&newer, |view| status(view) == "succeeded");
    let view = daemon.until(&older, |view| status(view) == "cancelled");
    assert!(view["error"]["message"].as_str().is_some_and(|words| words.contains(&newer)), "{view:#}");

    let only = daemon.run("s-reject", &["-i", "time=1h"]);
    let at = daemon.http();
    let refused = post(&at, "/v1/runs", &json!({ "workflow": "s-reject", "inputs": { "time": "1s" } })).is(409).json();
    assert_eq!(refused["code"], "PH8040", "{refused:#}");
    let listed = daemon.ask(&["ps", "-a"]).expect("runs")["items"].as_array().map_or(0, Vec::len);
    assert_eq!(listed, 5, "a refused run leaves nothing behind");
    daemon.ask(&["cancel", &only]).expect("it can be cancelled");
    daemon.stop();
}

#[test]
fn a_critical_push_overtakes_a_routine_one() {
    let mut daemon = Daemon::start();
    daemon.save("slow-push", SLOW);
    let (routine, routine_bytes) = image(&daemon, "routine.bin", 256 * 1024, 1);
    let (urgent, urgent_bytes) = image(&daemon, "urgent.bin", 32 * 1024, 2);
    let _device = daemon.device("json-base64", "gw-1", &[]);
    // Another slot: a newer image for the same one would end the parked run.
    let slotted = SLOW.replace("name: slow-push", "name: urgent-push\nslot: safety\npriority: critical");
    daemon.save("urgent-push", &slotted);
    let low = push(&daemon, "gw-1", &routine, &["--priority", "low"]);
    daemon.until(&low, has_sent);
    let high = daemon.run("urgent-push", &["-i", "device=gw-1", "-i", &urgent]);
    let view = daemon.until(&low, |view| status(view) == "waiting");
    assert_eq!((reason(&view), view["unfinished"]["behind"].as_str()), ("overtaken", Some(high.as_str())), "{view:#}");
    daemon.kill();
    daemon.begin();
    daemon.until(&high, |view| status(view) == "succeeded");
    let view = daemon.until(&low, |view| status(view) == "succeeded");
    assert!(daemon.has("gw-1", &routine_bytes) && daemon.has("gw-1", &urgent_bytes));
    assert_eq!(view["steps"][0]["attempts"], 1, "it burnt no attempt: {view:#}");
    let again = view["traffic"]["retransmitted_bytes"].as_u64().expect("a figure");
    assert!(again <= 64 * 1024, "{again} bytes were sent again");
    assert!(facts(&daemon, &low, "withheld") >= 1 && facts(&daemon, &low, "admitted") >= 1);
    daemon.stop();
}

#[test]
fn a_hold_parks_what_runs_and_lasts_through_a_death() {
    let mut daemon = Daemon::start();
    daemon.save("slow-push", SLOW);
    daemon.save("free", "kind: workflow/v1\nname: free\nsteps: [{ uses: sleep, with: { duration: 10ms } }]\n");
    let (file, bytes) = image(&daemon, "fw.bin", 192 * 1024, 3);
    let _device = daemon.device("json-base64", "gw-1", &[]);
    let running = push(&daemon, "gw-1", &file, &[]);
    daemon.until(&running, has_sent);
    let data = daemon.world.data().display().to_string();
    let wrong = daemon.world.ask(&["hold", "device.id ==", "--data", &data]);
    assert!(wrong.code == Some(2) && wrong.err.contains("PH0307"), "{wrong:?}");
    let held = daemon.ask(&["hold", "device.id == 'gw-1'", "--reason", "recall"]).expect("it is held");
    let hold = held["items"][0]["id"].as_str().expect("an id").to_owned();
    let view = daemon.until(&running, |view| status(view) == "waiting");
    assert_eq!((reason(&view), view["unfinished"]["behind"].as_str()), ("held", Some(hold.as_str())), "{view:#}");
    let queued = push(&daemon, "gw-1", &file, &[]);
    assert_eq!((status(&daemon.show(&queued)), reason(&daemon.show(&queued))), ("queued", "held"));
    // A selector that fails on a run does not mean it.
    let other = daemon.run("free", &[]);
    daemon.until(&other, |view| status(view) == "succeeded");
    daemon.kill();
    daemon.begin();
    let holds = daemon.ask(&["holds"]).expect("holds");
    assert_eq!((&holds["items"][0]["id"], &holds["items"][0]["reason"]), (&json!(hold), &json!("recall")));
    for run in [&running, &queued] {
        daemon.until(run, |view| reason(view) == "held");
    }
    daemon.ask(&["release", &hold]).expect("it is released");
    for run in [&running, &queued] {
        daemon.until(run, |view| status(view) == "succeeded");
    }
    assert!(daemon.has("gw-1", &bytes));
    let top = daemon.ask(&["top"]).expect("a snapshot");
    assert_eq!(top["totals"]["runs"], 0, "{top:#}");
    let at = daemon.http();
    let made = post(&at, "/v1/holds", &json!({ "selector": "all", "reason": "night" })).is(201).json();
    assert_eq!(get(&at, "/v1/holds").is(200).json()["items"][0]["selector"], "all");
    post(&at, "/v1/holds", &json!({ "selector": "inputs.x" })).is(422);
    let path = format!("/v1/holds/{}", made["id"].as_str().expect("an id"));
    send(&at, "DELETE", &path, &[], b"").is(204);
    send(&at, "DELETE", &path, &[], b"").is(404);
    daemon.stop();
}

#[test]
fn a_newer_image_ends_a_held_older_one() {
    let mut daemon = Daemon::start();
    daemon.save("slow-push", SLOW);
    let (old, _) = image(&daemon, "old.bin", 4 * 1024, 4);
    let (new, bytes) = image(&daemon, "new.bin", 4 * 1024, 5);
    let _device = daemon.device("json-base64", "gw-1", &[]);
    daemon.ask(&["hold", "all"]).expect("it is held");
    let older = push(&daemon, "gw-1", &old, &[]);
    daemon.until(&older, |view| reason(view) == "held");
    let newer = push(&daemon, "gw-1", &new, &[]);
    let view = daemon.until(&older, |view| status(view) == "superseded");
    assert!(
        view["error"]["code"] == "PH4007"
            && view["error"]["message"].as_str().is_some_and(|words| words.contains(&newer))
    );
    assert_eq!(reason(&daemon.show(&newer)), "held");
    daemon.ask(&["release", "--all"]).expect("it is released");
    daemon.until(&newer, |view| status(view) == "succeeded");
    assert!(daemon.has("gw-1", &bytes));
    daemon.stop();
}

#[test]
fn a_list_stops_after_failures() {
    let world = World::new();
    let failing = "kind: workflow/v1\nname: failing\ninputs: { device: { type: string } }\n\
        steps: [{ uses: assert, with: { that: inputs.device == 'good', message: bad } }]\n";
    let workflow = world.text("failing.yaml", failing);
    let list = world.text("devices.txt", "good\nbad-1\nbad-2\nlate-1\nlate-2\n");
    let told = each(&world, (&workflow, &list), (1, 2));
    assert_eq!(told["not_started"], json!(["late-1", "late-2"]), "{told:#}");
    assert_eq!((&told["asked"], &told["succeeded"]), (&json!(5), &json!(1)), "{told:#}");
}

#[test]
fn a_start_that_is_refused_is_one_lines_failure_and_the_others_go_on() {
    let world = World::new();
    // Each device has a place of its own, but for those that share one.
    let shy = "kind: workflow/v1\nname: shy\ninputs: { device: { type: string } }\n\
        concurrency: { group: \"${{ inputs.device.split('-')[0] }}\", on_conflict: reject }\n\
        steps: [{ uses: sleep, with: { duration: \"${{ inputs.device.split('-')[1] }}\" } }]\n";
    let workflow = world.text("shy.yaml", shy);
    let list = world.text("devices.txt", "a-3s\na-1ms\na-2ms\nb-1ms\n");
    let told = each(&world, (&workflow, &list), (2, 3));
    let refused: Vec<(&str, &str)> = told["refused"].as_array().expect("a list").iter().map(refusal).collect();
    assert_eq!(refused, [("a-1ms", "PH8040"), ("a-2ms", "PH8040")], "{told:#}");
    assert_eq!((&told["succeeded"], &told["not_started"]), (&json!(2), &json!([])), "{told:#}");
    let told = each(&world, (&workflow, &list), (2, 1));
    assert_eq!((&told["succeeded"], &told["not_started"]), (&json!(1), &json!(["a-2ms", "b-1ms"])), "{told:#}");
}

fn refusal(refused: &Value) -> (&str, &str) {
    (refused["device"].as_str().unwrap_or_default(), refused["code"].as_str().unwrap_or_default())
}

fn each(world: &World, (workflow, list): (&Path, &Path), (parallel, most): (u32, u32)) -> Value {
    let (parallel, most) = (parallel.to_string(), most.to_string());
    let (workflow, list) = (workflow.display().to_string(), list.display().to_string());
    let data = world.data().display().to_string();
    let own =
        ["run", &workflow, "--each", &list, "--parallel", &parallel, "--stop-after-failures", &most, "--data", &data];
    let embedded = ["--mqtt", "embedded://127.0.0.1:0", "--fastdfs", "embedded://127.0.0.1:0"];
    world.json(1, &[&own[..], &embedded[..]].concat())
}
