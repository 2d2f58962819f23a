//! `fail`: ends a run as failed.

use super::kinds::Word;
use super::{EffectClass, Outputs, Primitive, Start, read};
use crate::effect::Reply;
use crate::failure::{Class, Failure};
use crate::workflow::codes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Parameters of `fail`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Fail {
    /// Why.
    #[schemars(length(min = 1, max = 1024))]
    message: String,
    /// A code of your own for `retry.errors` and for machines: capitals, digits, `_` and `-`; PH0441 where it is not given.
    code: Option<Word>,
}

pub(super) static PRIMITIVE: Primitive = Primitive {
    name: "fail",
    about: "Fails the run with words of your own.",
    parameters: read::schema::<Fail>,
    outputs: &[],
    errors: &[(codes::FAILED_BY_WORKFLOW, "always, where `code` gives no other (permanent)")],
    class: EffectClass::Pure,
    example: "\
- uses: fail
  if: steps.check.outputs.device_size > 4000000
  with: { message: the device holds a file that is too large, code: TOO_LARGE }
",
    start,
    finish,
};

fn start(with: &Map<String, Value>) -> Result<Start, Failure> {
    let fail: Fail = read::parameters(&PRIMITIVE, with)?;
    let code = fail.code.map_or_else(|| codes::FAILED_BY_WORKFLOW.to_owned(), |code| code.0);
    Err(Failure::new(&code, Class::Permanent, fail.message))
}

fn finish(_: &Map<String, Value>, reply: Reply) -> Result<Outputs, Failure> {
    read::done(&PRIMITIVE, &reply)
}
