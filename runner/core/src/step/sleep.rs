//! `sleep`: a durable wait.

use super::kinds::Time;
use super::{EffectClass, Outputs, Primitive, Start, read};
use crate::effect::Reply;
use crate::failure::Failure;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Parameters of `sleep`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Sleep {
    /// How long.
    duration: Time,
}

pub(super) static PRIMITIVE: Primitive = Primitive {
    name: "sleep",
    about: "Waits, durably: a wait that was begun is never shorter and is not begun again after a restart.",
    parameters: read::schema::<Sleep>,
    outputs: &[],
    errors: &[],
    class: EffectClass::Pure,
    example: "\
- uses: sleep
  with: { duration: 30s }
",
    start,
    finish,
};

fn start(with: &Map<String, Value>) -> Result<Start, Failure> {
    let sleep: Sleep = read::parameters(&PRIMITIVE, with)?;
    Ok(Start::Sleep(sleep.duration.0))
}

fn finish(_: &Map<String, Value>, reply: Reply) -> Result<Outputs, Failure> {
    read::done(&PRIMITIVE, &reply)
}
