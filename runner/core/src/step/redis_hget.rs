//! `redis.hget`: reads a field of a hash.

use super::kinds::Key;
use super::{EffectClass, OutputField, Outputs, Primitive, Start, read};
use crate::effect::{Effect, KvRequest, Reply};
use crate::failure::Failure;
use crate::workflow::codes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Parameters of `redis.hget`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Hget {
    /// The key.
    key: Key,
    /// The field of the hash.
    field: Key,
}

pub(super) static PRIMITIVE: Primitive = Primitive {
    name: "redis.hget",
    about: "Reads a field of a hash.",
    parameters: read::schema::<Hget>,
    outputs: &[OutputField { name: "value", kind: "string?", about: "Its value; absent where there is none." }],
    errors: &[(codes::OUTPUT_TOO_LONG, "the value is longer than 64 KiB (permanent)")],
    class: EffectClass::Pure,
    example: "\
- id: log
  uses: redis.hget
  with: { key: \"logs:${{ inputs.device }}\", field: syslog }
",
    start,
    finish,
};

fn start(with: &Map<String, Value>) -> Result<Start, Failure> {
    let hget: Hget = read::parameters(&PRIMITIVE, with)?;
    let request = KvRequest::Hget { key: hget.key.0, field: hget.field.0 };
    Ok(Start::Effect(Box::new(Effect::Kv(request))))
}

fn finish(_: &Map<String, Value>, reply: Reply) -> Result<Outputs, Failure> {
    let value = read::text_value(&PRIMITIVE, reply)?;
    Ok(read::outputs([("value", value)]))
}
