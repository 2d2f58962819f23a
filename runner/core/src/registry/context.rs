//! What expressions see of a device, and what its entry gives to steps that say nothing themselves.

use super::Entry;
use crate::run::WallTime;
use crate::transfer::Hello;
use serde_json::{Map, Value, json};

/// Longest text of a greeting that is kept, in bytes; what is longer is cut.
const MAX_TEXT: usize = 256;
/// Most names in a greeting that are kept.
const MAX_META: usize = 32;
/// What an entry gives to transfers.
const GIVEN: [&str; 2] = ["rate", "budget"];

/// The root `device` of expressions. Every field is there for every device: `null`, or an empty map, where nothing is known, so that
/// `device.model == "x"` is false for a device without an entry and no error.
pub fn context(id: &str, entry: Option<&Entry>, hello: Option<Value>) -> Value {
    let labels = entry.map_or_else(|| json!({}), |entry| json!(entry.labels));
    let vars = entry.map_or_else(|| json!({}), |entry| json!(entry.vars));
    json!({
        "id": id,
        "codec": entry.and_then(|entry| entry.codec.as_deref()),
        "model": entry.and_then(|entry| entry.model.as_deref()),
        "hw": entry.and_then(|entry| entry.hw.as_deref()),
        "rate": entry.and_then(|entry| entry.rate),
        "budget": entry.and_then(|entry| entry.budget),
        "timezone": entry.and_then(|entry| entry.timezone.as_deref()),
        "labels": labels,
        "vars": vars,
        "hello": hello,
    })
}

/// The id of a [`context`]; none where a run has no device.
pub fn id_of(device: &Value) -> Option<&str> {
    device.get("id")?.as_str()
}

/// What is kept of a device's greeting: `{title, version, meta, at}`; nothing where it says nothing. Bounded, because devices say it.
pub fn greeting(hello: &Hello, at: WallTime) -> Option<Value> {
    if hello.title.is_empty() && hello.version.is_empty() && hello.meta.is_empty() {
        return None;
    }
    let meta = hello.meta.iter().take(MAX_META).map(|(name, value)| (cut(name).to_owned(), json!(cut(value))));
    let meta: Map<String, Value> = meta.collect();
    Some(json!({ "title": cut(&hello.title), "version": cut(&hello.version), "meta": meta, "at": at.to_rfc3339() }))
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

/// Gives the arguments of a transfer the bounds of its device, where they have none of their own.
pub(crate) fn give(device: &Value, primitive: &str, with: &mut Map<String, Value>) {
    let takes = matches!(primitive, "transfer.push" | "transfer.pull");
    if !takes || id_of(device).is_none() || with.get("device").and_then(Value::as_str) != id_of(device) {
        return;
    }
    for name in GIVEN {
        let given = device.get(name).filter(|value| !value.is_null());
        if let Some(given) = given.filter(|_| with.get(name).is_none_or(Value::is_null)) {
            with.insert(name.to_owned(), given.clone());
        }
    }
}
