//! `redis.xadd`: appends an entry to a stream.

use super::kinds::{Fields, Key};
use super::{EffectClass, OutputField, Outputs, Primitive, Start, read};
use crate::effect::{Effect, KvRequest, Reply};
use crate::failure::Failure;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Parameters of `redis.xadd`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Xadd {
    /// The key of the stream.
    key: Key,
    /// Names and values of the entry; numbers and booleans are written as text.
    fields: Fields,
    /// Keep at most so many entries, the newest; absent = all.
    #[schemars(range(min = 1))]
    maxlen: Option<u64>,
}

pub(super) static PRIMITIVE: Primitive = Primitive {
    name: "redis.xadd",
    about: "Appends an entry to a stream.",
    parameters: read::schema::<Xadd>,
    outputs: &[OutputField { name: "id", kind: "string", about: "Id of the entry, such as 1700000000000-0." }],
    errors: &[],
    class: EffectClass::AtLeastOnce,
    example: "\
- uses: redis.xadd
  with: { key: events, fields: { device: \"${{ inputs.device }}\", what: updated }, maxlen: 10000 }
",
    start,
    finish,
};

fn start(with: &Map<String, Value>) -> Result<Start, Failure> {
    let xadd: Xadd = read::parameters(&PRIMITIVE, with)?;
    let request = KvRequest::Xadd { key: xadd.key.0, fields: xadd.fields.0, maxlen: xadd.maxlen };
    Ok(Start::Effect(Box::new(Effect::Kv(request))))
}

fn finish(_: &Map<String, Value>, reply: Reply) -> Result<Outputs, Failure> {
    let id = read::text_value(&PRIMITIVE, reply)?;
    Ok(read::outputs([("id", id)]))
}
