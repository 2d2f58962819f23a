//! Who is let in and how far: strangers, slow senders, those who leave, those who do not read; and what each of them is told.

use crate::client::{Answer, ended, get, parsed, post, send, started};
use crate::daemon::{Daemon, token};
use packhorse_tests::child::PATIENCE;
use packhorse_tests::count;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const SLEEPER: &str = "kind: workflow/v1\nname: sleeper\ninputs:\n  time: { type: duration, default: 10ms }\nsteps:\n  - uses: sleep\n    with: { duration: \"${{ inputs.time }}\" }\n";
const ASKED: &str = "kind: workflow/v1
name: asked
triggers:
  - { id: asked, http: { max_rate: 1 } }
steps: [{ uses: sleep, with: { duration: 1ms } }]
";

fn daemon() -> Daemon {
    let daemon = Daemon::start();
    daemon.save("sleeper", SLEEPER);
    daemon.save("asked", ASKED);
    daemon.ask(&["reload"]).expect("both are good");
    daemon
}

/// A header of an answer.
fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.head.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// Sends exactly these bytes and reads to the end; what came.
fn raw(at: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    drop(stream.write_all(bytes));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    answer
}

#[test]
fn what_was_asked_by_somebody_who_left_is_done_and_stands_in_the_audit() {
    let mut daemon = daemon();
    let at = daemon.http();
    let runs: Vec<String> = (0..count(40, 400)).map(|_| started(&at, "sleeper", &json!({ "time": "1h" }))).collect();
    for (number, run) in runs.iter().enumerate() {
        let body = if number % 2 == 0 { r#"{"reason":"enough"}"# } else { "" };
        let length = body.len();
        let request =
            format!("POST /v1/runs/{run}/cancel HTTP/1.1\r\nHost: {at}\r\nContent-Length: {length}\r\n\r\n{body}");
        TcpStream::connect(&at).unwrap().write_all(request.as_bytes()).unwrap();
    }
    let begun = Instant::now();
    loop {
        let audit = std::fs::read_to_string(daemon.world.data().join("audit.jsonl")).unwrap();
        let lines: Vec<Value> = audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let told = |run: &String| {
            let call = format!("POST /v1/runs/{run}/cancel");
            lines.iter().find(|line| line["call"] == call.as_str())
        };
        if runs.iter().all(|run| told(run).is_some()) {
            assert!(runs.iter().step_by(2).all(|run| told(run).unwrap()["about"]["reason"] == "enough"), "{audit}");
            break;
        }
        let missing = runs.iter().filter(|run| told(run).is_none()).count();
        assert!(begun.elapsed() < PATIENCE, "{missing} of {} are not in the audit:\n{audit}", runs.len());
        std::thread::sleep(Duration::from_millis(50));
    }
    for run in &runs {
        assert_eq!(ended(&at, run)["status"], "cancelled");
    }
    daemon.stop();
}

#[test]
fn strangers_are_refused_before_their_body_and_slow_bodies_are_given_up() {
    let tokens = RefCell::new(Vec::new());
    let mut daemon = Daemon::with(|world| {
        let entry = |name: &str| {
            let (text, entry) = token(world, name, &[]);
            tokens.borrow_mut().push(text);
            entry
        };
        let (good, mut expired, mut lasting) = (entry("good"), entry("expired"), entry("lasting"));
        expired["expires"] = json!("2026-01-01T00:00:00Z");
        lasting["expires"] = json!("2099-01-01T00:00:00Z");
        json!({ "serve": { "rate_limit": "off", "tokens": [good, expired, lasting] } }).to_string()
    });
    let (at, tokens) = (daemon.http(), tokens.into_inner());
    let with = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let begin = |who: &str, length: usize| {
        format!("POST /v1/runs HTTP/1.1\r\nHost: {at}\r\n{who}Content-Length: {length}\r\n\r\n{{\"work")
    };
    // The rest of the body never comes.
    for who in [String::new(), with("ph_wrong"), with(&tokens[1])] {
        for length in [100, 1 << 40] {
            let answer = parsed(&raw(&at, begin(&who, length).as_bytes())).is(401);
            assert_eq!(answer.json()["code"], "PH8404", "{answer:?}");
        }
    }
    let expired = send(&at, "GET", "/v1/runs", &[with(&tokens[1]).trim()], b"").is(401);
    assert!(expired.json()["detail"].as_str().is_some_and(|words| words.contains("expired")), "{expired:?}");
    send(&at, "GET", "/v1/runs", &[with(&tokens[2]).trim()], b"").is(200);
    assert_eq!(parsed(&raw(&at, begin(&with(&tokens[0]), 1 << 40).as_bytes())).is(413).json()["code"], "PH8402");
    let slow = parsed(&raw(&at, begin(&with(&tokens[0]), 100).as_bytes())).is(408);
    assert_eq!(slow.json()["code"], "PH8413");
    assert_eq!(slow.json()["instance"], "/v1/runs");
    assert!(daemon.process().err().contains("a request to the API was refused"), "{}", daemon.process().err());
    daemon.stop();
}

#[test]
fn who_does_not_read_loses_the_connection() {
    let mut daemon = daemon();
    let at = daemon.http();
    let mut stream = TcpStream::connect(&at).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let request = format!("GET /v1/openapi.json HTTP/1.1\r\nHost: {at}\r\n\r\n");
    let (begun, mut sent) = (Instant::now(), 0_u64);
    // Answers fill what lies between the two sides; then nothing moves, until the server has had enough.
    let error = loop {
        match stream.write(request.as_bytes()) {
            Ok(bytes) => sent += bytes as u64,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => break error,
        }
        assert!(begun.elapsed() < PATIENCE, "it keeps its place with {sent} bytes of requests");
    };
    println!("{sent} bytes of requests whose answers nobody took: {error}");
    get(&at, "/healthz").is(200);
    daemon.stop();
}

#[test]
fn heads_have_a_size() {
    let mut daemon = daemon();
    let at = daemon.http();
    let long = |size: usize| {
        format!("GET /healthz HTTP/1.1\r\nHost: {at}\r\nX: {}\r\nConnection: close\r\n\r\n", "x".repeat(size))
    };
    assert_eq!(parsed(&raw(&at, long(15_000).as_bytes())).status, 200);
    let refused = String::from_utf8_lossy(&raw(&at, long(40_000).as_bytes())).into_owned();
    assert!(refused.is_empty() || refused.starts_with("HTTP/1.1 431"), "{refused}");
    get(&at, "/healthz").is(200);
    daemon.stop();
}

#[test]
fn problems_say_what_they_are_about_and_when_to_ask_again() {
    let mut daemon = daemon();
    let at = daemon.http();
    let missing = get(&at, "/v1/workflows/nobody").is(404);
    let problem = missing.json();
    assert_eq!(problem["instance"], "/v1/workflows/nobody");
    let id = header(&missing, "X-Request-Id").expect("every answer has a number");
    assert!(id.starts_with("req_") && id.len() == 30 && problem["request_id"] == id, "{missing:?}");
    assert_ne!(header(&get(&at, "/healthz").is(200), "X-Request-Id"), Some(id));
    // A payload is shorter than a body may be, and the words are those of the trigger.
    let payload = send(&at, "POST", "/v1/triggers/asked", &[], &vec![b' '; 70 * 1024]).is(413);
    assert_eq!(payload.json()["code"], "PH8501", "{payload:?}");
    assert_eq!(send(&at, "POST", "/v1/triggers/asked", &[], &vec![b' '; 300 * 1024]).is(413).json()["code"], "PH8402");
    assert_eq!(get(&at, "/v1/runs/%FF").is(400).json()["code"], "PH8402");
    let full = (0..100).map(|_| post(&at, "/v1/triggers/asked", &json!({}))).find(|answer| answer.status == 429);
    let full = full.expect("it starts one run a minute").is(429);
    let words = full.json()["detail"].as_str().unwrap().to_owned();
    let told: u64 = words.rsplit(' ').nth(1).and_then(|number| number.parse().ok()).expect(&words);
    let wait: u64 = header(&full, "Retry-After").and_then(|wait| wait.parse().ok()).expect("it is told");
    assert!(wait > 2 && wait.abs_diff(told) <= 1, "{full:?}");
    daemon.stop();
}

#[test]
fn nobody_waits_for_what_follows_the_end() {
    let mut daemon = daemon();
    let at = daemon.http();
    let run = started(&at, "sleeper", &json!({}));
    ended(&at, &run);
    let path = format!("/v1/runs/{run}/events");
    let all = send(&at, "GET", &path, &[], b"").is(200);
    let last = all.body.lines().filter_map(|line| line.strip_prefix("id: ")).next_back().expect("it has events");
    let after = |number: &str| send(&at, "GET", &path, &[&format!("Last-Event-ID: {number}")], b"");
    assert_eq!(after(last).is(204).body, "");
    after("18446744073709551615").is(204);
    after("100000").is(204);
    after("0").is(200);
    daemon.stop();
}

#[test]
fn runs_are_listed_by_the_time_of_their_creation() {
    let mut daemon = daemon();
    let at = daemon.http();
    let runs: Vec<String> = (0..3)
        .map(|_| {
            let run = started(&at, "sleeper", &json!({}));
            ended(&at, &run);
            run
        })
        .collect();
    let first = get(&at, &format!("/v1/runs/{}", runs[0])).is(200).json();
    let written = first["created_at"].as_str().unwrap();
    let listed = |query: &str| {
        let page = get(&at, &format!("/v1/runs?{query}")).is(200).json();
        let items = page["items"].as_array().unwrap().iter();
        items.map(|run| run["run"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let newer = listed(&format!("started_after={written}"));
    assert_eq!(newer, [&runs[2][..], &runs[1]], "{written}");
    assert_eq!(listed("started_after=1970-01-01T00:00:00Z").len(), 3);
    assert!(listed("started_after=2999-01-01T00:00:00Z").is_empty());
    get(&at, "/v1/runs?started_after=yesterday").is(400);
    daemon.stop();
}
