//! `kill -9` with runs of every kind under way, and an orderly stop.

use crate::daemon::{Daemon, UP, status};
use crate::kinds::{Kinds, UnderWay};
use packhorse_tests::{count, files};
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;
use std::time::Duration;

#[test]
fn runs_of_every_kind_go_on_after_kills() {
    let mut daemon = Daemon::start();
    let kinds = Kinds::begin(&daemon);
    let (each, kills) = (kinds.each, count(3, 5));
    println!("{each} runs each: pushing, to devices away, in one line, held, paused, sleeping");
    let mut early = 0;
    let mut random = rand::rngs::SmallRng::seed_from_u64(26);
    for kill in 1..=kills {
        let UnderWay { pushing, sleeping } = kinds.settled(&daemon.http());
        println!("kill {kill}: {pushing} push, {sleeping} sleep");
        assert!(pushing > 0 && (kill > 1 || sleeping > 0), "no run of a kind is under way");
        std::thread::sleep(Duration::from_millis(random.random_range(0..count(400, 1_200) as u64)));
        daemon.kill();
        // And once more while it takes them up.
        daemon.spawn();
        std::thread::sleep(Duration::from_millis(random.random_range(0..600)));
        early += usize::from(!daemon.process().err().contains(UP));
        daemon.kill();
        daemon.begin();
    }
    kinds.settled(&daemon.http());
    kinds.end(&daemon);
    daemon.stop();
    println!(
        "{} runs of six kinds through {} deaths, {early} of them while it was starting: each went on or waited as before",
        6 * each,
        2 * kills
    );
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
