//! `redis.del`: removes a key.

use super::kinds::Key;
use super::{EffectClass, OutputField, Outputs, Primitive, Start, read};
use crate::effect::{Effect, KvRequest, Reply};
use crate::failure::Failure;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Parameters of `redis.del`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Del {
    /// The key.
    key: Key,
}

pub(super) static PRIMITIVE: Primitive = Primitive {
    name: "redis.del",
    about: "Removes a key.",
    parameters: read::schema::<Del>,
    outputs: &[OutputField { name: "deleted", kind: "boolean", about: "Whether there was such a key." }],
    errors: &[],
    class: EffectClass::Keyed,
    example: "\
- uses: redis.del
  with: { key: \"lock:${{ inputs.device }}\" }
",
    start,
    finish,
};

fn start(with: &Map<String, Value>) -> Result<Start, Failure> {
    let del: Del = read::parameters(&PRIMITIVE, with)?;
    let request = KvRequest::Del { key: del.key.0 };
    Ok(Start::Effect(Box::new(Effect::Kv(request))))
}

fn finish(_: &Map<String, Value>, reply: Reply) -> Result<Outputs, Failure> {
    let count = read::integer_value(&PRIMITIVE, &reply)?;
    Ok(read::outputs([("deleted", Value::Bool(count > 0))]))
}
