//! What is seen of a daemon: its log, line by line, its metrics, and that a clock which is set disturbs nobody.

use crate::client::{self, ended, get, post, send, started};
use crate::daemon::{Daemon, status};
use packhorse_tests::child::PATIENCE;
use packhorse_tests::{Redis, files};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const SLEEPER: &str = "kind: workflow/v1\nname: sleeper\ninputs:\n  time: { type: duration, default: 10ms }\nsteps:\n  - uses: sleep\n    with: { duration: \"${{ inputs.time }}\" }\n";
const FAILER: &str = "kind: workflow/v1\nname: failer\nsteps:\n  - uses: sleep\n    with: { duration: 10ms }\n  - id: last\n    uses: fail\n    with: { message: it was meant to }\n";
const KEEPER: &str =
    "kind: workflow/v1\nname: keeper\nsteps:\n  - uses: redis.set\n    with: { key: seen, value: \"1\" }\n";
const PUSH: &str = "kind: workflow/v1\nname: pusher\ninputs:\n  device: { type: string }\n  image: { type: file }\ncodec: json-base64\nsteps:\n  - id: push\n    uses: transfer.push\n    with: { file: \"${{ inputs.image }}\", device: \"${{ inputs.device }}\", rate: 16KiB/s }\n";

/// Every metric of the conventions that has something to count here; a name of a histogram stands for all of its lines.
const METRICS: [&str; 38] = [
    "packhorse_build_info",
    "packhorse_clock_jump_seconds_total",
    "packhorse_definitions_stale",
    "packhorse_fastdfs_operation_seconds",
    "packhorse_http_connections",
    "packhorse_http_full_total",
    "packhorse_http_refused_total",
    "packhorse_http_streams",
    "packhorse_journal_append_seconds",
    "packhorse_journal_bytes",
    "packhorse_journal_fsync_seconds",
    "packhorse_lease_wait_seconds",
    "packhorse_leases_held",
    "packhorse_mqtt_connected",
    "packhorse_mqtt_inflight",
    "packhorse_mqtt_reconnects_total",
    "packhorse_plugin_call_duration_seconds",
    "packhorse_plugin_memory_bytes",
    "packhorse_plugin_traps_total",
    "packhorse_queue_depth",
    "packhorse_queue_oldest_seconds",
    "packhorse_redis_request_seconds",
    "packhorse_reload_last_success_timestamp_seconds",
    "packhorse_reload_total",
    "packhorse_run_duration_seconds",
    "packhorse_run_queue_wait_seconds",
    "packhorse_runs_active",
    "packhorse_runs_finished_total",
    "packhorse_runs_started_total",
    "packhorse_step_attempts_total",
    "packhorse_step_duration_seconds",
    "packhorse_timer_lag_seconds",
    "packhorse_timers_pending",
    "packhorse_transfer_payload_bytes_total",
    "packhorse_transfer_resumes_total",
    "packhorse_transfer_retransmitted_bytes_total",
    "packhorse_transfer_wire_bytes_total",
    "packhorse_up",
];

/// Of those above, what is on no page of a daemon to which nothing happened: no clock set, no trap, no Redis. The last is Prometheus' own.
const SELDOM: [&str; 4] = [
    "packhorse_clock_jump_seconds_total",
    "packhorse_plugin_traps_total",
    "packhorse_redis_request_seconds",
    "packhorse_up",
];

#[test]
fn the_log_of_a_daemon_is_an_object_a_line() {
    let mut daemon = Daemon::start();
    daemon.stop();
    daemon.save("failer", FAILER);
    daemon.begin_with(&["--log-format", "json"]);
    let at = daemon.http();
    let run = started(&at, "failer", &json!({}));
    assert_eq!(status(&ended(&at, &run)), "failed");
    daemon.says("failed after");
    let err = daemon.process().err();
    let lines: Vec<Value> = err
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("no object ({error}): {line}\n{err}")))
        .collect();
    for line in &lines {
        let text = |key: &str| line[key].as_str().unwrap_or_default();
        assert!(text("ts").ends_with('Z') && !text("msg").is_empty(), "{line}");
        assert!(["error", "warn", "info"].contains(&text("level")), "{line}");
    }
    let of_run: Vec<&Value> = lines.iter().filter(|line| line["run_id"] == run.as_str()).collect();
    let told: Vec<String> = of_run.iter().map(|line| format!("{} {}", line["level"], line["msg"])).collect();
    assert_eq!(of_run[0]["msg"], "created: failer", "{told:#?}");
    let failed = of_run.iter().find(|line| line["level"] == "warn" && line["step"] == "last");
    assert!(failed.is_some_and(|line| line["code"].as_str().is_some_and(|code| code.starts_with("PH"))), "{told:#?}");
    let last = of_run.last().unwrap();
    assert!(last["level"] == "error" && last["msg"].as_str().unwrap().starts_with("failed after"), "{told:#?}");
    daemon.stop();
}

#[test]
fn metrics_grow_while_a_transfer_goes_on_and_rules_name_what_is_there() {
    let mut daemon = Daemon::start();
    daemon.save("failer", FAILER);
    daemon.save("pusher", PUSH);
    daemon.ask(&["reload"]).expect("both are good");
    let _device = daemon.device("json-base64", "gw-1", &[]);
    let image = daemon.upload("fw.bin", &files::bytes(96 << 10, 7));
    let at = daemon.http();
    let run = started(&at, "pusher", &json!({ "device": "gw-1", "image": image }));
    let begun = Instant::now();
    let of = |page: &str, name: &str| {
        let line = format!("{name}{{direction=\"push\",codec=\"json-base64\"}} ");
        page.lines().find_map(|found| found.strip_prefix(&line)?.parse::<u64>().ok()).unwrap_or(0)
    };
    loop {
        let page = get(&at, "/metrics").is(200).body;
        if of(&page, "packhorse_transfer_payload_bytes_total") > 16 << 10 {
            assert_eq!(status(&client::show(&at, &run)), "running", "it is counted before the end");
            assert!(page.contains("packhorse_leases_held{kind=\"device\"} 1"), "{page}");
            assert!(value(&page, "packhorse_plugin_memory_bytes{plugin=\"json-base64\"") > 65_536.0, "{page}");
            let read = "packhorse_fastdfs_operation_seconds_count{operation=\"download\",outcome=\"succeeded\"}";
            assert!(value(&page, read) >= 1.0, "{page}");
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{page}");
        std::thread::sleep(Duration::from_millis(20));
    }
    // Cut and taken up again, it is counted on.
    daemon.kill();
    daemon.begin();
    let at = daemon.http();
    let view = ended(&at, &run);
    assert_eq!(status(&view), "succeeded", "{view:#}");
    let failed = started(&at, "failer", &json!({}));
    ended(&at, &failed);
    let page = until(&at, |page| page.contains("packhorse_runs_finished_total{workflow=\"pusher\""));
    let (payload, wire) = ("packhorse_transfer_payload_bytes_total", "packhorse_transfer_wire_bytes_total");
    assert!(of(&page, payload) < 96 << 10 && of(&page, wire) > of(&page, payload), "since the kill alone:\n{page}");
    let restarted = "packhorse_transfer_resumes_total{direction=\"push\",cause=\"restart\"} 1";
    let attempt = "packhorse_step_attempts_total{workflow=\"failer\",step=\"last\",outcome=\"failed\",error_class=";
    for line in [restarted, attempt, "packhorse_queue_depth{queue=\"runs\",priority=\"3\"} 0"] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
    let shown: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let missing: Vec<&&str> = METRICS.iter().filter(|name| !shown.contains(*name) && !SELDOM.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?} are not on the page:\n{page}");
    assert!(!page.contains("gw-1") && !page.contains("run_0"), "no device and no run is a label:\n{page}");
    for file in ["alerts.yaml", "dashboard.json"] {
        let text =
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/deploy").join(file)).unwrap();
        let unknown: Vec<&str> = named(&text).filter(|name| !METRICS.contains(&whole(name))).collect();
        assert!(unknown.is_empty(), "{file} asks for what nobody counts: {unknown:?}");
    }
    daemon.stop();
}

#[test]
fn questions_to_redis_are_counted_for_keys_and_for_the_journal() {
    let redis = Redis::durable();
    let mut daemon = Daemon::start();
    daemon.stop();
    daemon.save("keeper", KEEPER);
    daemon.begin_with(&["--store", "redis", "--redis", &redis.url()]);
    let at = daemon.http();
    let run = started(&at, "keeper", &json!({}));
    assert_eq!(status(&ended(&at, &run)), "succeeded");
    let page = get(&at, "/metrics").is(200).body;
    for role in ["journal", "keys"] {
        let line = format!("packhorse_redis_request_seconds_count{{role=\"{role}\",outcome=\"succeeded\"}}");
        assert!(value(&page, &line) >= 1.0, "{page}");
    }
    daemon.stop();
}

/// What a page says on the first line that begins like this; 0 where none does.
fn value(page: &str, begins: &str) -> f64 {
    let line = page.lines().find(|line| line.starts_with(begins));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
}

/// Names of metrics in a text.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let part = |letter: char| !(letter.is_ascii_lowercase() || letter == '_');
    text.split(part).filter(|word| word.starts_with("packhorse_"))
}

/// The histogram that a line belongs to.
fn whole(name: &str) -> &str {
    ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

/// Asks for metrics until they are as wanted.
fn until(at: &str, wanted: impl Fn(&str) -> bool) -> String {
    let begun = Instant::now();
    loop {
        let page = get(at, "/metrics").is(200).body;
        if wanted(&page) {
            return page;
        }
        assert!(begun.elapsed() < PATIENCE, "{page}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_clock_that_jumps_a_year_is_told_and_nothing_is_forgotten() {
    let mut daemon = Daemon::start();
    daemon.stop();
    daemon.save("sleeper", SLEEPER);
    let clock = daemon.world.text("clock", "+0\n");
    daemon.set = [
        ("LD_PRELOAD", library().display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", clock.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
    .into();
    daemon.begin();
    let at = daemon.http();
    let sleeps = started(&at, "sleeper", &json!({ "time": "1h" }));
    let body = json!({ "workflow": "sleeper" }).to_string();
    let keyed = |status| send(&at, "POST", "/v1/runs", &["Idempotency-Key: once"], body.as_bytes()).is(status).json();
    let first = keyed(201)["run"].clone();
    ended(&at, first.as_str().unwrap());
    for (jump, jumps) in [("+400d\n", 34_560_000), ("+0\n", 2 * 34_560_000)] {
        std::fs::write(&clock, jump).unwrap();
        let page = until(&at, |page| counted(page) >= jumps - 60);
        assert!(counted(&page) < jumps + 60, "{page}");
        // What is kept for 7 days is there, and who sleeps an hour sleeps on.
        assert_eq!(keyed(200)["run"], first, "after {jump}");
        assert_eq!(status(&client::show(&at, &sleeps)), "waiting", "after {jump}");
        let fresh = started(&at, "sleeper", &json!({}));
        assert_eq!(status(&ended(&at, &fresh)), "succeeded", "after {jump}");
    }
    assert_eq!(daemon.process().err().matches("the clock was set").count(), 2);
    post(&at, &format!("/v1/runs/{sleeps}/cancel"), &json!({})).is(202);
    daemon.stop();
}

fn counted(page: &str) -> u64 {
    let line = "packhorse_clock_jump_seconds_total ";
    page.lines().find_map(|found| found.strip_prefix(line)?.parse().ok()).unwrap_or(0)
}

/// Where the package faketime put its library.
fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).filter(|path| path.is_file());
    found.next().expect("libfaketimeMT.so.1 under /usr/lib: is the package faketime installed?")
}
