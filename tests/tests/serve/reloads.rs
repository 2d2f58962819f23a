//! Reloads without end: the daemon stays as large as it is.

use crate::client::{get, send};
use crate::daemon::{Daemon, resident};
use packhorse_tests::count;
use packhorse_tests::files::sha256;

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
