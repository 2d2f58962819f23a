//! Payloads of MQTT messages as a workflow writes them: text, anything else as JSON, or bytes in Base64.

use super::Primitive;
use super::read::refused;
use crate::failure::Failure;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;

/// Longest payload in bytes.
const MAX: usize = 256 * 1024;

/// Text, or a value that becomes JSON.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Payload(pub(super) Value);

impl JsonSchema for Payload {
    fn schema_name() -> Cow<'static, str> {
        "Payload".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "object", "array", "number", "boolean"] })
    }
}

/// The bytes of a message; none at all where nothing is given.
pub(super) fn bytes(primitive: &Primitive, payload: Option<Payload>, base64: Option<&str>) -> Result<Vec<u8>, Failure> {
    let bytes = match (payload, base64) {
        (None, None) => Vec::new(),
        (Some(_), Some(_)) => return Err(refused(primitive, "give either `payload` or `payload_base64`, not both")),
        (Some(Payload(Value::String(text))), None) => text.into_bytes(),
        (Some(Payload(value)), None) => value.to_string().into_bytes(),
        (None, Some(text)) => STANDARD
            .decode(text.trim())
            .map_err(|error| refused(primitive, &format!("`payload_base64` is not Base64: {error}").to_lowercase()))?,
    };
    if bytes.len() > MAX {
        return Err(refused(primitive, &format!("the payload is {} bytes long, more than {MAX}", bytes.len())));
    }
    Ok(bytes)
}
