//! A small HTTP client: one request a connection, so that nothing of a library stands between the test and the server.

use crate::daemon::status;
use packhorse_tests::child;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Its status must be this one; errors must be problems with a code.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        if status >= 400 {
            assert!(self.head.to_ascii_lowercase().contains("application/problem+json"), "{self:?}");
            let problem = self.json();
            assert!(problem["code"].as_str().is_some_and(|code| code.starts_with("PH")), "{problem:#}");
            assert_eq!(problem["status"], status);
        }
        self
    }
}

/// Sends a request with these header lines and a body; waits for the whole answer.
pub(crate) fn send(at: &str, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(at).expect("the API listens");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let extra: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\nContent-Length: {}\r\n{extra}\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // A server that refuses need not read on.
    drop(stream.write_all(body));
    let mut bytes = Vec::new();
    drop(stream.read_to_end(&mut bytes));
    parsed(&bytes)
}

/// An answer out of everything that came.
#[track_caller]
pub(crate) fn parsed(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text}"));
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status line");
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { joined(body) } else { body.to_owned() };
    Answer { status, head: head.to_owned(), body }
}

/// The chunks of a body, one after the other.
fn joined(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let Some(chunk) = after.get(..size).filter(|_| size > 0) else { break };
        body.push_str(chunk);
        rest = after.get(size + 2..).unwrap_or_default();
    }
    body
}

pub(crate) fn get(at: &str, path: &str) -> Answer {
    send(at, "GET", path, &[], b"")
}

pub(crate) fn post(at: &str, path: &str, body: &Value) -> Answer {
    send(at, "POST", path, &[], body.to_string().as_bytes())
}

/// Starts a run of a workflow that counts; its id.
#[track_caller]
pub(crate) fn started(at: &str, workflow: &str, inputs: &Value) -> String {
    let view = post(at, "/v1/runs", &serde_json::json!({ "workflow": workflow, "inputs": inputs })).is(201).json();
    view["run"].as_str().expect("a run has an id").to_owned()
}

pub(crate) fn show(at: &str, run: &str) -> Value {
    get(at, &format!("/v1/runs/{run}")).is(200).json()
}

/// Waits until a run is over; its view.
#[track_caller]
pub(crate) fn ended(at: &str, run: &str) -> Value {
    let begun = Instant::now();
    loop {
        let view = show(at, run);
        if ["succeeded", "failed", "cancelled", "timed_out", "superseded"].contains(&status(&view)) {
            return view;
        }
        assert!(begun.elapsed() < child::PATIENCE, "{run} waited in vain: {view:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A run's journal, record by record.
pub(crate) fn journal(at: &str, run: &str) -> Vec<Value> {
    let page = get(at, &format!("/v1/runs/{run}/journal")).is(200).json();
    page["items"].as_array().expect("records").clone()
}

/// Unfinished runs of a workflow that stand like this, from a page of metrics.
pub(crate) fn active(metrics: &str, workflow: &str, (state, reason): (&str, &str)) -> usize {
    let line = format!("packhorse_runs_active{{workflow=\"{workflow}\",state=\"{state}\",reason=\"{reason}\"}} ");
    metrics.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
}
