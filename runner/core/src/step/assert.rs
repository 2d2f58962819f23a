//! `assert`: fails where something does not hold.

use super::{EffectClass, Outputs, Primitive, Start, read};
use crate::effect::Reply;
use crate::failure::{Class, Failure};
use crate::workflow::codes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Parameters of `assert`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Assert {
    /// Bare CEL that must be true.
    #[schemars(schema_with = "cel")]
    that: bool,
    /// What to tell where it is not.
    #[schemars(length(max = 1024))]
    message: Option<String>,
}

pub(super) static PRIMITIVE: Primitive = Primitive {
    name: "assert",
    about: "Fails the run where a condition does not hold.",
    parameters: read::schema::<Assert>,
    outputs: &[],
    errors: &[(codes::ASSERT_FAILED, "the condition does not hold (permanent)")],
    class: EffectClass::Pure,
    example: "\
- uses: assert
  with: { that: steps.push.outputs.confirmed != 'acks', message: the device did not confirm the digest }
",
    start,
    finish,
};

fn cel(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": ["string", "boolean"], "format": "cel" })
}

fn start(with: &Map<String, Value>) -> Result<Start, Failure> {
    if let Some(value) = with.get("that").filter(|value| !value.is_boolean()) {
        let why = format!("`that` must be true or false, and is {}", crate::workflow::node::describe(value));
        return Err(read::refused(&PRIMITIVE, &why));
    }
    let assert: Assert = read::parameters(&PRIMITIVE, with)?;
    if assert.that {
        return Ok(Start::Done(Outputs::new()));
    }
    let words = assert.message.unwrap_or_else(|| "the condition does not hold".to_owned());
    Err(Failure::new(codes::ASSERT_FAILED, Class::Permanent, format!("assert: {words}")))
}

fn finish(_: &Map<String, Value>, reply: Reply) -> Result<Outputs, Failure> {
    read::done(&PRIMITIVE, &reply)
}
