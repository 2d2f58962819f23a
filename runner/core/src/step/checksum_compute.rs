//! `checksum.compute`: size and digests of a file from its bytes as they are now.

use super::kinds::File;
use super::{EffectClass, OutputField, Outputs, Primitive, Start, read};
use crate::effect::{Effect, Reply};
use crate::failure::Failure;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Parameters of `checksum.compute`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Compute {
    /// Whose.
    file: File,
}

pub(super) static PRIMITIVE: Primitive = Primitive {
    name: "checksum.compute",
    about: "Computes size, MD5 and SHA-256 of a file from its bytes as they are now.",
    parameters: read::schema::<Compute>,
    outputs: &[
        OutputField { name: "size", kind: "integer", about: "In bytes." },
        OutputField { name: "md5", kind: "string", about: "Lowercase hex." },
        OutputField { name: "sha256", kind: "string", about: "Lowercase hex." },
    ],
    errors: &[],
    class: EffectClass::Pure,
    example: "\
- id: digest
  uses: checksum.compute
  with: { file: \"${{ inputs.image }}\" }
",
    start,
    finish,
};

fn start(with: &Map<String, Value>) -> Result<Start, Failure> {
    let compute: Compute = read::parameters(&PRIMITIVE, with)?;
    Ok(Start::Effect(Box::new(Effect::Digest { file: compute.file.0 })))
}

fn finish(_: &Map<String, Value>, reply: Reply) -> Result<Outputs, Failure> {
    let Reply::Digests { size, md5, sha256 } = reply else { return Err(read::unexpected(&PRIMITIVE, &reply)) };
    Ok(read::outputs([("size", Value::from(size)), ("md5", Value::String(md5)), ("sha256", Value::String(sha256))]))
}
