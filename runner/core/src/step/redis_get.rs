//! `redis.get`: reads a key.

use super::kinds::Key;
use super::{EffectClass, OutputField, Outputs, Primitive, Start, read};
use crate::effect::{Effect, KvRequest, Reply};
use crate::failure::Failure;
use crate::workflow::codes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Parameters of `redis.get`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Get {
    /// The key.
    key: Key,
}

pub(super) static PRIMITIVE: Primitive = Primitive {
    name: "redis.get",
    about: "Reads a key.",
    parameters: read::schema::<Get>,
    outputs: &[OutputField { name: "value", kind: "string?", about: "Its value; absent where there is no such key." }],
    errors: &[(codes::OUTPUT_TOO_LONG, "the value is longer than 64 KiB (permanent)")],
    class: EffectClass::Pure,
    example: "\
- id: last
  uses: redis.get
  with: { key: \"firmware:${{ inputs.device }}\" }
",
    start,
    finish,
};

fn start(with: &Map<String, Value>) -> Result<Start, Failure> {
    let get: Get = read::parameters(&PRIMITIVE, with)?;
    let request = KvRequest::Get { key: get.key.0 };
    Ok(Start::Effect(Box::new(Effect::Kv(request))))
}

fn finish(_: &Map<String, Value>, reply: Reply) -> Result<Outputs, Failure> {
    let value = read::text_value(&PRIMITIVE, reply)?;
    Ok(read::outputs([("value", value)]))
}
