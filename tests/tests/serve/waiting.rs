//! A daemon full of runs that wait: what they cost, and how soon it has them again after a death.

use crate::client::{active, get, post};
use crate::daemon::{Daemon, resident};
use packhorse_tests::count;
use serde_json::json;
use std::time::Instant;

/// Clients that start runs at once.
const CLIENTS: usize = 16;
const SLEEPS: &str = "kind: workflow/v1\nname: sleeps\ninputs:\n  n: { type: integer }\nsteps:\n  - { uses: sleep, with: { duration: 24h } }\n";

#[test]
fn many_runs_wait_and_are_there_again_after_a_kill() {
    let mut daemon = Daemon::start();
    daemon.save("sleeps", SLEEPS);
    daemon.ask(&["reload"]).expect("it is good");
    let runs = count(1_000, 20_000) / CLIENTS * CLIENTS;
    let (empty, at, begun) = (resident(daemon.process().pid()), daemon.http(), Instant::now());
    let gone = std::thread::scope(|scope| {
        let client = |client: usize| {
            let at = &at;
            scope.spawn(move || {
                for number in 0..runs / CLIENTS {
                    let body = json!({ "workflow": "sleeps", "inputs": { "n": client * 1_000_000 + number } });
                    post(at, "/v1/runs", &body).is(201);
                }
            })
        };
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        clients.into_iter().filter_map(|client| client.join().err()).count()
    });
    let (runs_on, took) = (daemon.process().runs(), begun.elapsed());
    assert!(
        gone == 0,
        "{gone} clients got no answer, after {took:?}; the daemon runs: {runs_on}\n{}",
        daemon.process().err()
    );
    let (started, full) = (begun.elapsed(), resident(daemon.process().pid()));
    let waiting = |daemon: &Daemon| {
        let metrics = get(&daemon.http(), "/metrics").is(200).body;
        active(&metrics, "sleeps", ("waiting", "sleeping"))
    };
    assert_eq!(waiting(&daemon), runs);
    daemon.kill();
    let again = Instant::now();
    daemon.begin();
    get(&daemon.http(), "/readyz").is(200);
    let ready = again.elapsed();
    assert_eq!(waiting(&daemon), runs, "each waits as before");
    println!(
        "{runs} waiting runs: started in {started:.1?}, {} KiB more than the {empty} KiB of none; ready after a kill in {ready:.2?}, then {} KiB",
        full - empty,
        resident(daemon.process().pid())
    );
    daemon.stop();
}
