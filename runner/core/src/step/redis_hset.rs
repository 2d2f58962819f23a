//! `redis.hset`: writes a field of a hash.

use super::kinds::{Key, Scalar};
use super::{EffectClass, Outputs, Primitive, Start, read};
use crate::effect::{Effect, KvRequest, Reply};
use crate::failure::Failure;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Parameters of `redis.hset`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Hset {
    /// The key.
    key: Key,
    /// The field of the hash.
    field: Key,
    /// Text; numbers and booleans are written as text.
    value: Scalar,
}

pub(super) static PRIMITIVE: Primitive = Primitive {
    name: "redis.hset",
    about: "Writes a field of a hash.",
    parameters: read::schema::<Hset>,
    outputs: &[],
    errors: &[],
    class: EffectClass::Keyed,
    example: "\
- uses: redis.hset
  with: { key: \"logs:${{ inputs.device }}\", field: syslog, value: \"${{ steps.pull.outputs.file.uri }}\" }
",
    start,
    finish,
};

fn start(with: &Map<String, Value>) -> Result<Start, Failure> {
    let hset: Hset = read::parameters(&PRIMITIVE, with)?;
    let request = KvRequest::Hset { key: hset.key.0, field: hset.field.0, value: hset.value.0 };
    Ok(Start::Effect(Box::new(Effect::Kv(request))))
}

fn finish(_: &Map<String, Value>, reply: Reply) -> Result<Outputs, Failure> {
    read::done(&PRIMITIVE, &reply)
}
