//! Files that are saved, broken and swapped while runs are under way.

use crate::daemon::{Daemon, status};
use rustix::process::Signal;

/// A workflow that sleeps and tells which version of it ran.
fn sleeper(name: &str, version: u32, duration: &str) -> String {
    format!(
        "kind: workflow/v1\nname: {name}\nsteps:\n  - uses: sleep\n    with: {{ duration: {duration} }}\noutputs:\n  version: \"{version}\"\n"
    )
}

#[test]
fn what_is_saved_is_what_new_runs_take() {
    let mut daemon = Daemon::start();
    daemon.save("a", &sleeper("a", 1, "2s"));
    let first = daemon.run("a", &[]);
    daemon.save("a", &sleeper("a", 2, "10ms"));
    daemon.ask(&["reload"]).expect("everything is good");
    let second = daemon.run("a", &[]);
    let second = daemon.until(&second, |view| status(view) == "succeeded");
    assert_eq!(second["outputs"]["version"], "2");
    // The one that was under way keeps what it began with, even when its file is gone and the daemon was killed.
    std::fs::remove_file(daemon.world.path("workflows/a.yaml")).unwrap();
    daemon.ask(&["reload"]).unwrap();
    daemon.kill();
    daemon.begin();
    let first = daemon.until(&first, |view| status(view) == "succeeded");
    assert_eq!(first["outputs"]["version"], "1");
    let data = daemon.world.data().display().to_string();
    daemon.world.ask(&["run", "-d", "a", "--data", &data]).exits(2).says(&["PH2002", "there is no workflow a"]);
    daemon.stop();
}

#[test]
fn a_broken_file_is_told_and_the_last_good_one_serves() {
    let mut daemon = Daemon::start();
    daemon.save("a", &sleeper("a", 1, "10ms"));
    daemon.run("a", &[]);
    daemon.save("a", "kind: workflow/v1\nname: a\nsteps: [{ uses: slep }]\n");
    let data = daemon.world.data().display().to_string();
    let told = daemon.world.ask(&["reload", "--data", &data]).exits(1);
    assert!(told.out.contains("1 files not good"), "{}", told.out);
    let run = daemon.run("a", &[]);
    let run = daemon.until(&run, |view| status(view) == "succeeded");
    assert_eq!(run["outputs"]["version"], "1");
    daemon.save("a", &sleeper("a", 3, "10ms"));
    daemon.process().signal(Signal::HUP);
    daemon.says("reloaded: 1 workflows");
    let run = daemon.run("a", &[]);
    let run = daemon.until(&run, |view| status(view) == "succeeded");
    assert_eq!(run["outputs"]["version"], "3");
    let err = daemon.process().err();
    assert_eq!(err.matches("not loaded, the last good one stays").count(), 1, "told once per content:\n{err}");
    assert!(err.contains("a.yaml:3") && err.contains("did you mean `sleep`"), "{err}");
    daemon.stop();
}

#[test]
fn one_key_is_one_run_of_all_commands_that_bear_it() {
    let mut daemon = Daemon::start();
    daemon.save("a", &sleeper("a", 1, "10ms"));
    daemon.ask(&["reload"]).expect("it is good");
    let first = daemon.run("a", &["--idempotency-key", "nightly-7"]);
    assert_eq!(daemon.run("a", &["--idempotency-key", "nightly-7"]), first);
    // Also when the run is over, its file another one, and the process another one.
    daemon.until(&first, |view| status(view) == "succeeded");
    daemon.save("a", &sleeper("a", 2, "10ms"));
    daemon.kill();
    daemon.begin();
    assert_eq!(daemon.run("a", &["--idempotency-key", "nightly-7"]), first);
    assert_ne!(daemon.run("a", &["--idempotency-key", "nightly-8"]), first);
    let data = daemon.world.data().display().to_string();
    let ask = |more: &[&str]| daemon.world.ask(&[&["run", "a", "--data", &data][..], more].concat());
    ask(&["-d", "--idempotency-key", "nightly-7", "--priority", "high"]).exits(2).says(&["PH8409"]);
    ask(&["-d", "--idempotency-key", ""]).exits(2).says(&["1 to 255 visible ASCII characters"]);
    ask(&["--idempotency-key", "nightly-7"]).exits(2).says(&["PH8006", "--detach"]);
    daemon.stop();
}
