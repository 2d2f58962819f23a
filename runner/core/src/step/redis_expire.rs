//! `redis.expire`: lets a key be forgotten after a while.

use super::kinds::{Key, Time};
use super::{EffectClass, OutputField, Outputs, Primitive, Start, read};
use crate::effect::{Effect, KvRequest, Reply};
use crate::failure::Failure;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Parameters of `redis.expire`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Expire {
    /// The key.
    key: Key,
    /// After so long; `0s` removes it now.
    after: Time,
}

pub(super) static PRIMITIVE: Primitive = Primitive {
    name: "redis.expire",
    about: "Lets a key be forgotten after a while.",
    parameters: read::schema::<Expire>,
    outputs: &[OutputField { name: "found", kind: "boolean", about: "Whether there was such a key." }],
    errors: &[],
    class: EffectClass::Keyed,
    example: "\
- uses: redis.expire
  with: { key: \"logs:${{ inputs.device }}\", after: 7d }
",
    start,
    finish,
};

fn start(with: &Map<String, Value>) -> Result<Start, Failure> {
    let expire: Expire = read::parameters(&PRIMITIVE, with)?;
    let request = KvRequest::Expire { key: expire.key.0, after: expire.after.0 };
    Ok(Start::Effect(Box::new(Effect::Kv(request))))
}

fn finish(_: &Map<String, Value>, reply: Reply) -> Result<Outputs, Failure> {
    let count = read::integer_value(&PRIMITIVE, &reply)?;
    Ok(read::outputs([("found", Value::Bool(count > 0))]))
}
