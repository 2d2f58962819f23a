//! Reloads without end: the daemon stays as large as it is. And files that are written without end: it starts, answers and stops all the same.

use crate::client::{get, send};
use crate::daemon::{Daemon, resident};
use packhorse_tests::count;
use packhorse_tests::files::sha256;
use rustix::process::Signal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A workflow with something in it that is not the same twice.
fn text(round: usize) -> String {
    format!(
        "kind: workflow/v1\nname: a\nsteps:\n  - uses: log\n    with: {{ message: \"round {round}: ${{{{ 1 + {round} }}}}\" }}\n"
    )
}

/// The one in the middle.
fn median(mut of: Vec<u64>) -> u64 {
    of.sort_unstable();
    of[of.len() / 2]
}

#[test]
fn reloads_without_end_cost_no_memory() {
    let rounds = count(400, 10_000);
    let mut daemon = Daemon::start();
    let at = daemon.http();
    let pid = daemon.process().pid();
    let mut sizes = Vec::new();
    for round in 0..rounds {
        daemon.save("a", &text(round));
        let told = send(&at, "POST", "/v1/reload", &[], b"").is(200).json();
        assert_eq!(told["problems"], serde_json::json!([]), "{told:#}");
        sizes.push(resident(pid));
        if round % 100 == 99 {
            let live = get(&at, "/v1/workflows/a").is(200).json();
            assert_eq!(live["digest"], sha256(text(round).as_bytes()), "what was saved last counts");
        }
    }
    // What allocators and caches take at first is no leak.
    let early = median(sizes[rounds / 10..rounds / 5].to_vec());
    let late = median(sizes[rounds - rounds / 10..].to_vec());
    println!("{rounds} reloads: {early} KiB after the first tenth, {late} KiB at the end");
    assert!(late * 100 <= early * 105, "{early} KiB, then {late} KiB");
    daemon.stop();
}

/// Writes a file again and again until it is dropped.
struct Scribbler {
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Scribbler {
    fn start(path: PathBuf) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ending = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            for round in 0.. {
                if ending.load(Ordering::Relaxed) {
                    return;
                }
                std::fs::write(&path, text(round)).unwrap();
                std::thread::sleep(Duration::from_micros(500));
            }
        });
        Self { over, thread: Some(thread) }
    }
}

/// Several, so that a look finds one of them changed also where the machine lets none of them write for a while.
fn scribblers(daemon: &Daemon) -> Vec<Scribbler> {
    (0..3).map(|number| Scribbler::start(daemon.world.path(&format!("workflows/s{number}.yaml")))).collect()
}

impl Drop for Scribbler {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().into_iter().for_each(|thread| drop(thread.join()));
    }
}

#[test]
fn a_file_that_is_written_without_end_stops_neither_a_reload_nor_an_end() {
    let mut daemon = Daemon::start();
    let scribblers = scribblers(&daemon);
    daemon.save("a", &text(1));
    daemon.process().signal(Signal::HUP);
    daemon.says("reloaded: ");
    assert_eq!(get(&daemon.http(), "/v1/workflows/a").is(200).json()["digest"], sha256(text(1).as_bytes()));
    // In the middle of the next one.
    daemon.process().signal(Signal::HUP);
    daemon.ask(&["triggers"]).expect("it answers");
    daemon.stop();
    drop(scribblers);
}

#[test]
fn a_start_that_still_looks_at_its_folders_is_ended_by_a_signal() {
    let mut daemon = Daemon::start();
    daemon.stop();
    let scribblers = scribblers(&daemon);
    daemon.save("broken", "kind: workflow/v1\nname: broken\n");
    daemon.spawn();
    // Told by the first look, after which it waits for the file to be written.
    daemon.says("not loaded");
    daemon.stop();
    drop(scribblers);
}
