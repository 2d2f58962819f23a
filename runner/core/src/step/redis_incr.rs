//! `redis.incr`: adds to a counter.

use super::kinds::Key;
use super::{EffectClass, OutputField, Outputs, Primitive, Start, read};
use crate::effect::{Effect, KvRequest, Reply};
use crate::failure::Failure;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Parameters of `redis.incr`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Incr {
    /// The key.
    key: Key,
    /// How much; 1 where it is not given, negative to count down.
    by: Option<i64>,
}

pub(super) static PRIMITIVE: Primitive = Primitive {
    name: "redis.incr",
    about: "Adds to a counter.",
    parameters: read::schema::<Incr>,
    outputs: &[OutputField { name: "value", kind: "integer", about: "The counter afterwards." }],
    errors: &[],
    class: EffectClass::AtLeastOnce,
    example: "\
- id: count
  uses: redis.incr
  with: { key: \"pushes:${{ inputs.device }}\" }
",
    start,
    finish,
};

fn start(with: &Map<String, Value>) -> Result<Start, Failure> {
    let incr: Incr = read::parameters(&PRIMITIVE, with)?;
    let request = KvRequest::Incr { key: incr.key.0, by: incr.by.unwrap_or(1) };
    Ok(Start::Effect(Box::new(Effect::Kv(request))))
}

fn finish(_: &Map<String, Value>, reply: Reply) -> Result<Outputs, Failure> {
    let value = read::integer_value(&PRIMITIVE, &reply)?;
    Ok(read::outputs([("value", Value::from(value))]))
}
