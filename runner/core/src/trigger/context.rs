//! The root `trigger` of expressions: what it holds for each kind, made of what came.

use super::Kind;
use crate::run::WallTime;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Longest payload in bytes: it becomes part of the run.
pub const MAX_PAYLOAD: usize = 64 * 1024;

/// Fields of the root, with their types as outputs of primitives have them.
pub const fn fields(kind: Kind) -> &'static [(&'static str, &'static str)] {
    match kind {
        Kind::Mqtt => &[
            ("kind", "string"),
            ("topic", "string"),
            ("topic_levels", "list"),
            ("payload", "any"),
            ("encoding", "string"),
            ("received_at", "string"),
        ],
        Kind::Schedule => &[("kind", "string"), ("nominal_time", "string")],
        Kind::File => &[
            ("kind", "string"),
            ("path", "string"),
            ("name", "string"),
            ("size", "integer"),
            ("modified", "string"),
            ("sha256", "string"),
        ],
        Kind::Http => &[("kind", "string"), ("payload", "any"), ("encoding", "string"), ("received_at", "string")],
    }
}

/// A message that came.
#[derive(Debug, Clone, Copy)]
pub struct Arrived<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its bytes.
    pub payload: &'a [u8],
    /// When.
    pub at: WallTime,
}

/// A file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFound {
    /// Absolute.
    pub path: String,
    /// Its last part.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// Last change.
    pub modified: WallTime,
    /// Lowercase hex.
    pub sha256: String,
}

/// A payload in the three forms that expressions see, and the word for its form: a JSON value, text, or Base64.
pub fn payload(bytes: &[u8]) -> (Value, &'static str) {
    if let Ok(value) = serde_json::from_slice::<Value>(bytes) {
        return (value, "json");
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => (Value::from(text), "text"),
        Err(_) => (Value::from(STANDARD.encode(bytes)), "base64"),
    }
}

/// The root for a message.
pub fn mqtt(arrived: &Arrived<'_>) -> Value {
    let levels: Vec<&str> = arrived.topic.split('/').collect();
    let (payload, encoding) = payload(arrived.payload);
    json!({
        "kind": "mqtt", "topic": arrived.topic, "topic_levels": levels, "payload": payload, "encoding": encoding,
        "received_at": arrived.at.to_rfc3339(),
    })
}

/// The root for a time.
pub fn scheduled(nominal: WallTime) -> Value {
    json!({ "kind": "schedule", "nominal_time": nominal.to_rfc3339() })
}

/// The root for a file.
pub fn file(found: &FileFound) -> Value {
    json!({
        "kind": "file", "path": found.path, "name": found.name, "size": found.size,
        "modified": found.modified.to_rfc3339(), "sha256": found.sha256,
    })
}

/// The root for a request.
pub fn http(body: &[u8], at: WallTime) -> Value {
    let (payload, encoding) = payload(body);
    json!({ "kind": "http", "payload": payload, "encoding": encoding, "received_at": at.to_rfc3339() })
}

/// The root where a person or a program asked for the run by its name.
pub fn manual() -> Value {
    json!({ "kind": "manual" })
}

/// The kind that a root tells; `manual` where there is none.
pub fn workflow_kind(trigger: &Value) -> &str {
    trigger.get("kind").and_then(Value::as_str).unwrap_or("manual")
}
