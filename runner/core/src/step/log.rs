//! `log`: tells people something.

use super::{EffectClass, Outputs, Primitive, Start, read};
use crate::effect::{Effect, LogLevel, Reply};
use crate::failure::Failure;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Parameters of `log`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Log {
    /// A sentence.
    #[schemars(length(min = 1, max = 4096))]
    message: String,
    /// How loud; info where it is not given.
    #[schemars(with = "Option<LogLevel>")]
    level: Option<LogLevel>,
    /// Fields beside it.
    fields: Option<BTreeMap<String, Value>>,
}

pub(super) static PRIMITIVE: Primitive = Primitive {
    name: "log",
    about: "Writes a line to the log of the run.",
    parameters: read::schema::<Log>,
    outputs: &[],
    errors: &[],
    class: EffectClass::AtLeastOnce,
    example: "\
- uses: log
  with: { message: \"pushed to ${{ inputs.device }}\", fields: { md5: \"${{ steps.push.outputs.md5 }}\" } }
",
    start,
    finish,
};

fn start(with: &Map<String, Value>) -> Result<Start, Failure> {
    let log: Log = read::parameters(&PRIMITIVE, with)?;
    let level = log.level.unwrap_or(LogLevel::Info);
    Ok(Start::Effect(Box::new(Effect::Log { level, message: log.message, fields: log.fields.unwrap_or_default() })))
}

fn finish(_: &Map<String, Value>, reply: Reply) -> Result<Outputs, Failure> {
    read::done(&PRIMITIVE, &reply)
}
