//! Files that are saved, broken and swapped while runs are under way.

use crate::daemon::{Daemon, status};
use packhorse_tests::{count, files};
use rustix::process::Signal;
use std::time::Duration;

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
fn swaps_under_running_transfers_change_nothing_for_them() {
    let devices = count(8, 50);
    let swaps = count(60, 1_000);
    let mut daemon = Daemon::start();
    daemon.take("ota-push");
    let bytes = files::bytes(count(96, 1_024) * 1024, 71);
    let image = daemon.world.path("image");
    std::fs::write(&image, &bytes).unwrap();
    let file = format!("image={}", image.display());
    let all: Vec<String> = (0..devices).map(|index| format!("dev-{index}")).collect();
    let _devices: Vec<_> =
        all.iter().map(|id| daemon.device("json-base64", id, &["--loss", "0.1", "--seed", "5"])).collect();
    let start = |id: &String| daemon.run("ota-push", &["-i", &format!("device={id}"), "-i", &file]);
    let runs: Vec<String> = all.iter().map(start).collect();
    let text = std::fs::read_to_string(daemon.world.path("workflows/ota-push.yaml")).unwrap();
    let before = resident(daemon.process().pid());
    let mut most = before;
    for swap in 0..swaps {
        daemon.save("ota-push", &format!("{text}# {swap}\n"));
        std::thread::sleep(Duration::from_millis(30));
        most = most.max(resident(daemon.process().pid()));
    }
    daemon.ask(&["reload"]).unwrap();
    let digest = |run: &str| daemon.journal(run)[0]["digest"].as_str().unwrap().to_owned();
    let pinned = files::sha256(text.as_bytes());
    for (run, id) in runs.iter().zip(&all) {
        let view = daemon.until(run, |view| !["running", "waiting", "queued"].contains(&status(view)));
        assert_eq!(status(&view), "succeeded", "{view:#}");
        assert_eq!(digest(run), pinned, "{run} keeps what it began with");
        assert!(daemon.has(id, &bytes), "{id} has the image");
    }
    let after = daemon.run("ota-push", &["-i", "device=dev-0", "-i", &file]);
    let newest = files::sha256(format!("{text}# {}\n", swaps - 1).as_bytes());
    assert_eq!(digest(&after), newest);
    println!("{swaps} swaps under {devices} pushes: none disturbed; {before} KiB before, at most {most} KiB meanwhile");
    daemon.stop();
}

/// Memory of a process in KiB.
pub(crate) fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel tells it");
    line.trim().trim_end_matches("kB").trim().parse().expect("a number")
}
