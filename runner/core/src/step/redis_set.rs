//! `redis.set`: writes a key.

use super::kinds::{Key, Scalar, Time};
use super::{EffectClass, Outputs, Primitive, Start, read};
use crate::effect::{Effect, KvRequest, Reply};
use crate::failure::Failure;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Parameters of `redis.set`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Set {
    /// The key.
    key: Key,
    /// Text; numbers and booleans are written as text.
    value: Scalar,
    /// Forget the key after so long; absent = never.
    expire: Option<Time>,
}

pub(super) static PRIMITIVE: Primitive = Primitive {
    name: "redis.set",
    about: "Writes a key.",
    parameters: read::schema::<Set>,
    outputs: &[],
    errors: &[],
    class: EffectClass::Keyed,
    example: "\
- uses: redis.set
  with: { key: \"firmware:${{ inputs.device }}\", value: \"${{ steps.push.outputs.md5 }}\", expire: 7d }
",
    start,
    finish,
};

fn start(with: &Map<String, Value>) -> Result<Start, Failure> {
    let set: Set = read::parameters(&PRIMITIVE, with)?;
    let request = KvRequest::Set { key: set.key.0, value: set.value.0, expire: set.expire.map(|time| time.0) };
    Ok(Start::Effect(Box::new(Effect::Kv(request))))
}

fn finish(_: &Map<String, Value>, reply: Reply) -> Result<Outputs, Failure> {
    read::done(&PRIMITIVE, &reply)
}
