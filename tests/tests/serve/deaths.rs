//! `kill -9` with runs of every kind under way, and an orderly stop.

use crate::daemon::{Daemon, status};
use packhorse_tests::{count, files};
use serde_json::Value;

/// How many attempts each step of a run began, from its journal.
fn attempts(journal: &[Value], step: &str) -> usize {
    let begun = |record: &&Value| record["fact"] == "attempt_started" && record["step"] == step;
    journal.iter().filter(begun).count()
}

#[test]
fn every_kind_of_run_goes_on_after_a_kill() {
    let mut daemon = Daemon::start();
    daemon.take("ota-push");
    daemon.save(
        "counter",
        "kind: workflow/v1\nname: counter\ninputs:\n  key: { type: string }\n  time: { type: duration }\nsteps:\n  - id: before\n    uses: redis.incr\n    with: { key: \"${{ inputs.key }}:before\" }\n  - uses: sleep\n    with: { duration: \"${{ inputs.time }}\" }\n  - id: after\n    uses: redis.incr\n    with: { key: \"${{ inputs.key }}:after\" }\noutputs:\n  before: \"${{ steps.before.outputs.value }}\"\n  after: \"${{ steps.after.outputs.value }}\"\n",
    );
    let each = count(6, 50);
    let bytes = files::bytes(200 * 1024, 9);
    let image = daemon.world.path("image");
    std::fs::write(&image, &bytes).unwrap();
    let file = format!("image={}", image.display());
    let push = |daemon: &Daemon, id: &str| daemon.run("ota-push", &["-i", &format!("device={id}"), "-i", &file]);
    let counts = |daemon: &Daemon, key: &str, time: &str| {
        daemon.run("counter", &["-i", &format!("key={key}"), "-i", &format!("time={time}")])
    };
    let ids: Vec<String> = (0..each).map(|index| format!("dev-{index}")).collect();
    let lossy = ["--loss", "0.2", "--seed", "3"];
    let _here: Vec<_> = ids.iter().map(|id| daemon.device("json-base64", id, &lossy)).collect();
    let pushing: Vec<String> = ids.iter().map(|id| push(&daemon, id)).collect();
    let away: Vec<String> = (0..each).map(|index| push(&daemon, &format!("away-{index}"))).collect();
    let sleeping: Vec<String> = (0..each).map(|index| counts(&daemon, &format!("s{index}"), "8s")).collect();
    let paused: Vec<String> = (0..each).map(|index| counts(&daemon, &format!("p{index}"), "1h")).collect();
    for run in &paused {
        daemon.until(run, |view| status(view) == "waiting");
        daemon.ask(&["pause", run]).expect("it can be paused");
        daemon.until(run, |view| status(view) == "paused");
    }
    daemon.kill();
    daemon.begin();
    let back: Vec<_> = (0..each).map(|index| daemon.device("json-base64", &format!("away-{index}"), &[])).collect();
    for (run, id) in pushing.iter().zip(&ids) {
        let view = daemon.until(run, |view| status(view) != "running" && status(view) != "waiting");
        assert_eq!(status(&view), "succeeded", "{view:#}");
        assert!(daemon.has(id, &bytes));
    }
    for (index, run) in away.iter().enumerate() {
        daemon.until(run, |view| status(view) == "succeeded");
        assert!(daemon.has(&format!("away-{index}"), &bytes));
    }
    for run in &sleeping {
        let view = daemon.until(run, |view| status(view) == "succeeded");
        assert_eq!(
            (&view["outputs"]["before"], &view["outputs"]["after"]),
            (&Value::from(1), &Value::from(1)),
            "{view:#}"
        );
        assert_eq!(attempts(&daemon.journal(run), "before"), 1, "nothing ran twice");
    }
    for run in &paused {
        assert_eq!(status(&daemon.show(run)), "paused", "a paused run stays paused");
        daemon.ask(&["cancel", run]).expect("it can be cancelled");
    }
    drop(back);
    daemon.stop();
    println!("{} runs of four kinds went on after a kill", 4 * each);
}

#[test]
fn an_orderly_stop_parks_and_a_start_goes_on() {
    let mut daemon = Daemon::start();
    daemon.take("ota-push");
    let bytes = files::bytes(400 * 1024, 10);
    let image = daemon.world.path("image");
    std::fs::write(&image, &bytes).unwrap();
    let _device = daemon.device("json-base64", "dev-1", &["--loss", "0.2"]);
    let run = daemon.run("ota-push", &["-i", "device=dev-1", "-i", &format!("image={}", image.display())]);
    daemon.until(&run, |view| view.pointer("/progress/done").and_then(Value::as_u64).unwrap_or(0) > 0);
    daemon.stop();
    daemon.begin();
    let view = daemon.until(&run, |view| status(view) == "succeeded");
    assert!(view["traffic"]["resumes"].as_u64() >= Some(1), "{view:#}");
    assert!(daemon.has("dev-1", &bytes));
    daemon.stop();
}
