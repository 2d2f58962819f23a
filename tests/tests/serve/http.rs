//! The control API: runs are started, watched and steered over HTTP; bad requests are answered, limited and shown.

use crate::client::{ended, get, post, send};
use crate::daemon::{Daemon, status};
use packhorse_tests::count;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

const SLEEPER: &str = "kind: workflow/v1\nname: sleeper\ninputs:\n  time: { type: duration, default: 10ms }\nsteps:\n  - uses: sleep\n    with: { duration: \"${{ inputs.time }}\" }\n";
const FAILER: &str =
    "kind: workflow/v1\nname: failer\nsteps:\n  - uses: fail\n    with: { message: it was meant to }\n";

fn daemon() -> Daemon {
    let daemon = Daemon::start();
    daemon.save("sleeper", SLEEPER);
    daemon.save("failer", FAILER);
    daemon.ask(&["reload"]).expect("both are good");
    daemon
}

#[test]
fn runs_are_started_listed_shown_and_steered() {
    let mut daemon = daemon();
    let at = daemon.http();
    let started = post(&at, "/v1/runs", &json!({ "workflow": "sleeper" })).is(201);
    let run = started.json()["run"].as_str().unwrap().to_owned();
    assert!(started.head.contains(&format!("/v1/runs/{run}")), "{}", started.head);
    assert_eq!(status(&ended(&at, &run)), "succeeded");
    let journal = get(&at, &format!("/v1/runs/{run}/journal")).is(200).json();
    let items = journal["items"].as_array().unwrap();
    assert_eq!((items[0]["fact"].as_str(), items[0]["seq"].as_u64()), (Some("created"), Some(0)));
    assert_eq!(journal["next"].as_u64(), Some(items.len() as u64));
    let long = json!({ "workflow": "sleeper", "inputs": { "time": "1h" } });
    let long = post(&at, "/v1/runs", &long).is(201).json()["run"].as_str().unwrap().to_owned();
    let because = json!({ "reason": "lunch" });
    let steer = |verb: &str| post(&at, &format!("/v1/runs/{long}/{verb}"), &because);
    for verb in ["cancel", "pause", "resume", "retry"] {
        post(&at, &format!("/v1/runs/{long}/{verb}"), &json!({ "why": "lunch" })).is(422);
    }
    assert_eq!(status(&steer("pause").is(202).json()), "paused");
    steer("retry").is(409);
    steer("resume").is(202);
    assert_eq!(
        status(&post(&at, &format!("/v1/runs/{long}/cancel"), &json!({ "reason": "enough" })).is(202).json()),
        "cancelled"
    );
    let failed =
        post(&at, "/v1/runs", &json!({ "workflow": "failer" })).is(201).json()["run"].as_str().unwrap().to_owned();
    assert_eq!(status(&ended(&at, &failed)), "failed");
    let page = get(&at, "/v1/runs?limit=2").is(200).json();
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    let rest = get(&at, &format!("/v1/runs?limit=2&cursor={}", page["next_cursor"].as_str().unwrap())).is(200).json();
    let ids: HashSet<&str> = [&page, &rest]
        .into_iter()
        .flat_map(|page| page["items"].as_array().unwrap())
        .filter_map(|run| run["run"].as_str())
        .collect();
    assert_eq!(ids, HashSet::from([run.as_str(), long.as_str(), failed.as_str()]));
    let only = get(&at, "/v1/runs?status=failed,cancelled&workflow=failer").is(200).json();
    assert_eq!(only["items"].as_array().unwrap().len(), 1);
    // Who changed what stands in the audit: nothing that was only read or was refused, and no values of inputs.
    let audit = std::fs::read_to_string(daemon.world.data().join("audit.jsonl")).unwrap();
    let lines: Vec<Value> = audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let calls: Vec<&str> = lines.iter().filter_map(|line| line["call"].as_str()).collect();
    let steered = |verb: &str| format!("POST /v1/runs/{long}/{verb}");
    let (pause, resume, cancel) = (steered("pause"), steered("resume"), steered("cancel"));
    assert_eq!(calls, ["reload", "POST /v1/runs", "POST /v1/runs", &pause, &resume, &cancel, "POST /v1/runs"]);
    assert!(lines[0]["by"].as_str().is_some_and(|by| by.starts_with("local:")), "{audit}");
    assert_eq!(
        (lines[1]["by"].as_str(), &lines[2]["about"]["location"]),
        (Some("http:local"), &json!(format!("/v1/runs/{long}")))
    );
    let reasons: Vec<&Value> = lines[3..6].iter().map(|line| &line["about"]["reason"]).collect();
    assert_eq!(reasons, ["lunch", "lunch", "enough"], "{audit}");
    send(&at, "POST", &format!("/v1/runs/{long}/pause"), &[], b"").is(409);
    daemon.stop();
}

#[test]
fn definitions_are_shown_with_what_is_wrong() {
    let mut daemon = daemon();
    let at = daemon.http();
    daemon.save("failer", "kind: workflow/v1\nname: failer\nsteps: []\n");
    let reload = post(&at, "/v1/reload", &json!({})).is(200).json();
    assert_eq!(reload["refused"], 1, "{reload:#}");
    let shown = get(&at, "/v1/workflows/failer").is(200).json();
    assert!(
        shown["stale"] == true && shown["load_error"]["code"] == "PH2001" && shown["digest"].is_string(),
        "{shown:#}"
    );
    assert_eq!(get(&at, "/v1/workflows").is(200).json()["items"].as_array().unwrap().len(), 2);
    let plugins = get(&at, "/v1/plugins").is(200).json();
    let names: Vec<&str> =
        plugins["items"].as_array().unwrap().iter().filter_map(|plugin| plugin["name"].as_str()).collect();
    assert_eq!(names, ["acme-tlv", "json-base64"]);
    assert_eq!(get(&at, "/v1/plugins/json-base64").is(200).json()["kind"], "codec");
    get(&at, "/v1/plugins/nobody").is(404);
    get(&at, "/v1/workflows/nobody").is(404);
    assert_eq!(get(&at, "/healthz").is(200).json()["status"], "ok");
    let ready = get(&at, "/readyz").is(200).json();
    assert_eq!((&ready["ready"], &ready["refused"]), (&json!(true), &json!(1)));
    post(&at, "/v1/runs", &json!({ "workflow": "failer" })).is(201);
    let begun = Instant::now();
    loop {
        let metrics = get(&at, "/metrics").is(200).body;
        let wanted = [
            "packhorse_runs_finished_total{workflow=\"failer\",status=\"failed\",trigger=\"manual\"} 1",
            "packhorse_definitions_stale{kind=\"workflow\"} 1",
            "packhorse_mqtt_connected 1",
        ];
        if wanted.iter().all(|line| metrics.contains(line)) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{metrics}");
        std::thread::sleep(Duration::from_millis(50));
    }
    daemon.stop();
}

#[test]
fn the_document_is_checked_in() {
    let world = packhorse_tests::World::new();
    let printed = world.ask(&["openapi"]).exits(0).out;
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let kept = std::fs::read_to_string(kept).expect("docs/openapi.json is there");
    let differs = printed.lines().zip(kept.lines()).find(|(printed, kept)| printed != kept);
    assert!(printed == kept, "write it anew: packhorse openapi > docs/openapi.json ({differs:?})");
}

#[test]
fn everything_that_a_run_shows_is_in_the_document() {
    let mut daemon = daemon();
    let at = daemon.http();
    let document = get(&at, "/v1/openapi.json").is(200).json();
    let schemas = &document["components"]["schemas"];
    let known = |schema: &str, value: &Value| {
        let properties = &schemas[schema]["properties"];
        let unknown = value.as_object().unwrap().keys().filter(|key| properties.get(key.as_str()).is_none());
        assert_eq!(unknown.collect::<Vec<_>>(), Vec::<&String>::new(), "{schema}: {value:#}");
    };
    let failed = post(&at, "/v1/runs", &json!({ "workflow": "failer" })).is(201).json()["run"].clone();
    let asleep = json!({ "workflow": "sleeper", "inputs": { "time": "1h" } });
    let asleep = post(&at, "/v1/runs", &asleep).is(201).json()["run"].clone();
    let failed = ended(&at, failed.as_str().unwrap());
    let asleep = daemon.until(asleep.as_str().unwrap(), |view| view["unfinished"]["reason"] == "sleeping");
    for run in [&failed, &asleep] {
        known("RunView", run);
        run["steps"].as_array().unwrap().iter().for_each(|step| known("Step", step));
        known("Traffic", &run["traffic"]);
    }
    known("RunError", &failed["error"]);
    known("Unfinished", &asleep["unfinished"]);
    let problem = get(&at, "/v1/runs/x").is(404).json();
    let parts = schemas["Problem"]["allOf"].as_array().expect("of two parts");
    let of = |part: &Value| part["properties"].as_object().map_or_else(Vec::new, |all| all.keys().cloned().collect());
    let mut all: Vec<String> = parts.iter().flat_map(of).collect();
    all.extend(of(&schemas["Asked"]));
    assert!(problem.as_object().unwrap().keys().all(|key| all.contains(key)), "{all:?}: {problem:#}");
    daemon.stop();
}

#[test]
fn one_key_is_one_run_however_often_and_across_a_kill() {
    let mut daemon = daemon();
    let at = daemon.http();
    let body = json!({ "workflow": "sleeper", "inputs": { "time": "1s" } }).to_string();
    let ask = |at: &str, key: &str, body: &str| {
        send(at, "POST", "/v1/runs", &[&format!("Idempotency-Key: {key}")], body.as_bytes())
    };
    let many = count(100, 10_000);
    let runs: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..20)
            .map(|_| {
                scope.spawn(|| {
                    (0..many / 20)
                        .map(|_| {
                            let answer = ask(&at, "a", &body);
                            assert!([200, 201].contains(&answer.status), "{answer:?}");
                            answer.json()["run"].as_str().unwrap().to_owned()
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert_eq!(runs.iter().collect::<HashSet<_>>().len(), 1, "{} requests", runs.len());
    ask(&at, "a", &json!({ "workflow": "failer" }).to_string()).is(422);
    ask(&at, "", &body).is(400);
    daemon.kill();
    daemon.begin();
    let again = ask(&daemon.http(), "a", &body).is(200);
    assert!(
        again.head.to_ascii_lowercase().contains("idempotency-replayed: true")
            && again.json()["run"] == runs[0].as_str()
    );
    assert_eq!(status(&ended(&daemon.http(), &runs[0])), "succeeded");
    println!("{} requests with one key, and one after a kill: one run", runs.len());
    daemon.stop();
}

#[test]
fn events_go_on_after_the_last_one_that_was_heard() {
    let mut daemon = daemon();
    let at = daemon.http();
    let run = post(&at, "/v1/runs", &json!({ "workflow": "sleeper", "inputs": { "time": "300ms" } })).is(201).json();
    let run = run["run"].as_str().unwrap().to_owned();
    let path = format!("/v1/runs/{run}/events");
    let ids =
        |text: &str| text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect::<Vec<u64>>();
    // The stream ends by itself, after the run's last record.
    let all = send(&at, "GET", &path, &[], b"").is(200);
    let whole = ids(&all.body);
    assert_eq!(whole, (0..whole.len() as u64).collect::<Vec<_>>());
    assert!(all.body.contains("event: created") && all.body.contains("event: finished"), "{}", all.body);
    let rest = send(&at, "GET", &path, &["Last-Event-ID: 2"], b"").is(200);
    assert_eq!(ids(&rest.body), whole[3..]);
    send(&at, "GET", &path, &["Last-Event-ID: x"], b"").is(400);
    get(&at, "/v1/runs/run_01ARZ3NDEKTSV4RRFFQ69G5FAV/events").is(404);
    daemon.stop();
}

#[test]
fn bad_requests_are_answered_and_nobody_else_notices() {
    let mut daemon = daemon();
    let at = daemon.http();
    let long = post(&at, "/v1/runs", &json!({ "workflow": "sleeper", "inputs": { "time": "2s" } })).is(201).json();
    for body in ["", "{", "[]", "null", "{\"workflow\":7}", "{\"workflow\":\"sleeper\",\"x\":1}", "\u{0}"] {
        send(&at, "POST", "/v1/runs", &[], body.as_bytes()).is(422);
    }
    post(&at, "/v1/runs", &json!({ "workflow": "nobody" })).is(422);
    post(&at, "/v1/runs", &json!({ "workflow": "sleeper", "inputs": { "time": "soon" } })).is(422);
    post(&at, "/v1/runs", &json!({ "workflow": "sleeper", "codec": "./x.wasm" })).is(422);
    daemon.take("ota-push");
    daemon.ask(&["reload"]).unwrap();
    let local = json!({ "workflow": "ota-push", "inputs": { "device": "d", "image": "/etc/hostname" } });
    assert_eq!(post(&at, "/v1/runs", &local).is(422).json()["code"], "PH8410");
    for path in ["/v1/runs/x", "/v1/runs/run_01ARZ3NDEKTSV4RRFFQ69G5FAV", "/nowhere", "/v1"] {
        get(&at, path).is(404);
    }
    for query in ["limit=0", "limit=201", "limit=x", "cursor=x", "status=x", "x=y"] {
        get(&at, &format!("/v1/runs?{query}")).is(400);
    }
    send(&at, "DELETE", "/v1/runs", &[], b"").is(405);
    send(&at, "POST", "/v1/runs", &[], &vec![b' '; 300 * 1024]).is(413);
    send(&at, "GET", "/v1/runs", &["Origin: https://evil.example"], b"").is(403);
    // Neither a head that never ends nor connections that say nothing keep others out.
    let mut idle: Vec<TcpStream> = (0..count(1_500, 10_000)).map_while(|_| TcpStream::connect(&at).ok()).collect();
    // Room for this test's own files, where descriptors are few.
    idle.truncate(idle.len().saturating_sub(32));
    assert!(idle.len() >= 1_000, "{} connections: too few descriptors are allowed here", idle.len());
    let mut slow = TcpStream::connect(&at).unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: ").unwrap();
    get(&at, "/healthz").is(200);
    slow.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut rest = Vec::new();
    drop(slow.read_to_end(&mut rest));
    assert!(!String::from_utf8_lossy(&rest).contains("200 OK"), "a head that is late gets no answer of worth");
    println!("{} idle connections, and requests were answered", idle.len());
    assert_eq!(status(&ended(&at, long["run"].as_str().unwrap())), "succeeded");
    daemon.stop();
}

/// What each operation of the document needs.
const NEEDS: [(&str, &str); 30] = [
    ("get /v1/holds", "runs:read"),
    ("post /v1/holds", "runs:control"),
    ("delete /v1/holds/{id}", "runs:control"),
    ("post /v1/runs", "runs:start"),
    ("get /v1/runs", "runs:read"),
    ("get /v1/runs/{run}", "runs:read"),
    ("get /v1/runs/{run}/journal", "runs:read"),
    ("get /v1/runs/{run}/events", "runs:read"),
    ("post /v1/runs/{run}/cancel", "runs:control"),
    ("post /v1/runs/{run}/pause", "runs:control"),
    ("post /v1/runs/{run}/resume", "runs:control"),
    ("post /v1/runs/{run}/retry", "runs:control"),
    ("post /v1/runs/{run}/repin", "runs:control"),
    ("post /v1/repin", "runs:control"),
    ("get /v1/explain/{subject}", "runs:read"),
    ("get /v1/workflows", "definitions:read"),
    ("get /v1/workflows/{name}", "definitions:read"),
    ("get /v1/plugins", "definitions:read"),
    ("get /v1/plugins/{name}", "definitions:read"),
    ("get /v1/devices", "definitions:read"),
    ("get /v1/devices/{id}", "definitions:read"),
    ("post /v1/reload", "definitions:reload"),
    ("get /v1/triggers", "definitions:read"),
    ("post /v1/triggers/{workflow}", "runs:start"),
    ("get /v1/dead-letters", "runs:read"),
    ("get /v1/dead-letters/{letter}", "runs:read"),
    ("post /v1/dead-letters/{letter}/retry", "runs:start"),
    ("get /metrics", "metrics:read"),
    ("get /healthz", ""),
    ("get /readyz", ""),
];

#[test]
fn every_route_wants_its_scope_and_no_other() {
    let mut daemon = Daemon::start();
    daemon.stop();
    let scopes = ["runs:read", "runs:start", "runs:control", "definitions:read", "definitions:reload", "metrics:read"];
    let token = |name: &str, more: &[&str]| daemon.world.json(0, &[&["token", name][..], more].concat());
    // One that ended is tried with every operation too.
    let mut old = token("old", &["--expires", "1h"]);
    old["entry"]["expires"] = json!("2001-01-01T00:00:00Z");
    let mut entries = vec![old["entry"].clone()];
    let old = format!("Authorization: Bearer {}", old["token"].as_str().unwrap());
    let tokens: Vec<(&str, String)> = scopes
        .iter()
        .map(|scope| {
            let made = token(scope, &["--scope", scope, "--expires", "1h"]);
            entries.push(made["entry"].clone());
            (*scope, made["token"].as_str().unwrap().to_owned())
        })
        .collect();
    daemon.world.text("packhorse.yaml", &json!({ "serve": { "tokens": entries } }).to_string());
    daemon.begin();
    let at = daemon.http();
    let document = get(&at, "/v1/openapi.json").is(200).json();
    let paths = document["paths"].as_object().unwrap();
    let operations: Vec<String> = paths
        .iter()
        .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |method| format!("{method} {path}")))
        .collect();
    let mut checked = 0;
    for operation in operations.iter().filter(|operation| *operation != "get /v1/openapi.json") {
        let (_, need) =
            NEEDS.iter().find(|(name, _)| name == operation).unwrap_or_else(|| panic!("{operation} has no scope here"));
        let (method, path) = operation.split_once(' ').unwrap();
        let security = &document["paths"][path][method]["security"];
        let told = if need.is_empty() { &Value::Null } else { &json!([{ "bearer": [need] }]) };
        assert_eq!(security, told, "{operation}: the document");
        let path = path
            .replace("{run}", "run_01ARZ3NDEKTSV4RRFFQ69G5FAV")
            .replace("{name}", "nobody")
            .replace("{id}", "nobody")
            .replace("{subject}", "nobody");
        let path = path.replace("{workflow}", "nobody").replace("{letter}", "7");
        let with = |headers: &[&str]| send(&at, &method.to_uppercase(), &path, headers, b"").status;
        for bad in ["Authorization: Bearer nobody", "Authorization: Basic x", "X: y", &old] {
            assert_eq!(with(&[bad]) == 401, !need.is_empty(), "{operation} with {bad}");
        }
        for (scope, token) in &tokens {
            let status = with(&[&format!("Authorization: Bearer {token}")]);
            let refused = !need.is_empty() && need != scope;
            assert_eq!(status == 403, refused, "{operation} with {scope}: {status}");
            assert_ne!(status, 401, "{operation} with {scope}");
            checked += 1;
        }
    }
    assert_eq!(operations.len(), NEEDS.len() + 1);
    println!("{checked} pairs of route and scope");
    daemon.stop();
    let world = packhorse_tests::World::new();
    world
        .ask(&[
            "serve",
            "--listen",
            "0.0.0.0:0",
            "--mqtt",
            "embedded://127.0.0.1:0",
            "--fastdfs",
            "embedded://127.0.0.1:0",
        ])
        .exits(2)
        .says(&["PH8411", "packhorse token"]);
}
