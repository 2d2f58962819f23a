//! `redis.hdel`: removes a field of a hash.

use super::kinds::Key;
use super::{EffectClass, OutputField, Outputs, Primitive, Start, read};
use crate::effect::{Effect, KvRequest, Reply};
use crate::failure::Failure;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Parameters of `redis.hdel`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Hdel {
    /// The key.
    key: Key,
    /// The field of the hash; the key goes with its last field.
    field: Key,
}

pub(super) static PRIMITIVE: Primitive = Primitive {
    name: "redis.hdel",
    about: "Removes a field of a hash.",
    parameters: read::schema::<Hdel>,
    outputs: &[OutputField { name: "deleted", kind: "boolean", about: "Whether there was such a field." }],
    errors: &[],
    class: EffectClass::Keyed,
    example: "\
- uses: redis.hdel
  with: { key: \"logs:${{ inputs.device }}\", field: syslog }
",
    start,
    finish,
};

fn start(with: &Map<String, Value>) -> Result<Start, Failure> {
    let hdel: Hdel = read::parameters(&PRIMITIVE, with)?;
    let request = KvRequest::Hdel { key: hdel.key.0, field: hdel.field.0 };
    Ok(Start::Effect(Box::new(Effect::Kv(request))))
}

fn finish(_: &Map<String, Value>, reply: Reply) -> Result<Outputs, Failure> {
    let count = read::integer_value(&PRIMITIVE, &reply)?;
    Ok(read::outputs([("deleted", Value::Bool(count > 0))]))
}
