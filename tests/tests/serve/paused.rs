//! `serve --paused`: everything is taken up and nothing begins, until it is released.

use crate::admission::{SLOW, facts, has_sent, image, push, reason};
use crate::client::post;
use crate::daemon::{Daemon, status};
use serde_json::json;

/// Fails, and tells a device of it.
const CLEANS_UP: &str = "kind: workflow/v1
name: cleans-up
inputs:
  device: { type: string }
  image: { type: file }
codec: json-base64
steps:
  - { uses: fail, with: { message: told to } }
finally:
  - id: tell
    uses: transfer.push
    with: { device: \"${{ inputs.device }}\", file: \"${{ inputs.image }}\" }
";

const HOOK: &str = "kind: workflow/v1
name: hook
triggers: [{ http: {} }]
steps: [{ uses: sleep, with: { duration: 10ms } }]
";

#[test]
fn a_paused_start_begins_nothing_until_it_is_released() {
    let mut daemon = Daemon::start();
    daemon.save("slow-push", SLOW);
    daemon.save("cleans-up", CLEANS_UP);
    daemon.save("hook", HOOK);
    let (file, bytes) = image(&daemon, "fw.bin", 128 * 1024, 7);
    let _device = daemon.device("json-base64", "gw-1", &[]);
    let pushing = push(&daemon, "gw-1", &file, &[]);
    daemon.until(&pushing, has_sent);
    let cleaning = daemon.run("cleans-up", &["-i", "device=gw-2", "-i", &file]);
    daemon.until(&cleaning, |view| reason(view) == "finally");
    daemon.kill();

    daemon.begin_with(&["--paused"]);
    daemon.says("packhorse release all");
    let new = push(&daemon, "gw-1", &file, &[]);
    for run in [&pushing, &new] {
        daemon.until(run, |view| reason(view) == "held");
    }
    let view = daemon.show(&cleaning);
    assert_eq!((status(&view), reason(&view)), ("waiting", "parked"), "{view:#}");
    let holds = daemon.ask(&["holds"]).expect("holds")["items"].clone();
    assert_eq!(holds.as_array().map(Vec::len), Some(1), "{holds:#}");
    assert_eq!((&holds[0]["selector"], &holds[0]["reason"]), (&json!("all"), &json!("serve --paused")), "{holds:#}");

    // What a trigger starts waits too.
    let fired = post(&daemon.http(), "/v1/triggers/hook", &json!({})).is(201).json();
    let fired = fired["run"].as_str().expect("an id").to_owned();
    daemon.until(&fired, |view| reason(view) == "held");

    // It lasts, and a second one is not needed.
    daemon.kill();
    daemon.begin_with(&["--paused"]);
    daemon.kill();
    daemon.begin();
    daemon.until(&pushing, |view| reason(view) == "held");
    assert_eq!(daemon.ask(&["holds"]).expect("holds")["items"].as_array().map(Vec::len), Some(1));
    for run in [&pushing, &cleaning] {
        assert_eq!(facts(&daemon, run, "attempt_resumed"), 0, "nothing went on");
    }
    let _late = daemon.device("json-base64", "gw-2", &[]);
    daemon.ask(&["release", "all"]).expect("it is released");
    for run in [&pushing, &new, &fired] {
        daemon.until(run, |view| status(view) == "succeeded");
    }
    daemon.until(&cleaning, |view| status(view) == "failed");
    assert!(facts(&daemon, &cleaning, "attempt_resumed") > 0, "it was told in the end");
    assert!(daemon.has("gw-1", &bytes) && daemon.has("gw-2", &bytes));
    daemon.stop();
}
