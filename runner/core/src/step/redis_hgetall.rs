//! `redis.hgetall`: reads all fields of a hash.

use super::kinds::Key;
use super::{EffectClass, OutputField, Outputs, Primitive, Start, read};
use crate::effect::{Effect, KvRequest, Reply};
use crate::failure::Failure;
use crate::workflow::codes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Parameters of `redis.hgetall`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Hgetall {
    /// The key.
    key: Key,
}

pub(super) static PRIMITIVE: Primitive = Primitive {
    name: "redis.hgetall",
    about: "Reads all fields of a hash.",
    parameters: read::schema::<Hgetall>,
    outputs: &[OutputField { name: "values", kind: "map", about: "Value by field; empty where there is no such key." }],
    errors: &[(codes::OUTPUT_TOO_LONG, "the hash is longer than 64 KiB (permanent)")],
    class: EffectClass::Pure,
    example: "\
- id: logs
  uses: redis.hgetall
  with: { key: \"logs:${{ inputs.device }}\" }
",
    start,
    finish,
};

fn start(with: &Map<String, Value>) -> Result<Start, Failure> {
    let hgetall: Hgetall = read::parameters(&PRIMITIVE, with)?;
    let request = KvRequest::Hgetall { key: hgetall.key.0 };
    Ok(Start::Effect(Box::new(Effect::Kv(request))))
}

fn finish(_: &Map<String, Value>, reply: Reply) -> Result<Outputs, Failure> {
    let values = match reply {
        Reply::Value { value: value @ Value::Object(_) } => value,
        Reply::Value { value: Value::Null } => Value::Object(Map::new()),
        other => return Err(read::unexpected(&PRIMITIVE, &other)),
    };
    read::short_enough(&PRIMITIVE, "the hash", values.to_string().len())?;
    Ok(read::outputs([("values", values)]))
}
