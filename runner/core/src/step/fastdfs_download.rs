//! `fastdfs.download`: writes a file to a local path.

use super::kinds::{File, LocalPath};
use super::{EffectClass, OutputField, Outputs, Primitive, Start, read};
use crate::effect::{Effect, Reply};
use crate::failure::Failure;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Parameters of `fastdfs.download`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Download {
    /// What to fetch.
    file: File,
    /// Where to.
    to: LocalPath,
}

pub(super) static PRIMITIVE: Primitive = Primitive {
    name: "fastdfs.download",
    about: "Writes a file to a local path, under a temporary name first.",
    parameters: read::schema::<Download>,
    outputs: &[OutputField { name: "path", kind: "string", about: "Where it was written." }],
    errors: &[],
    class: EffectClass::Keyed,
    example: "\
- uses: fastdfs.download
  with: { file: \"${{ steps.pull.outputs.file }}\", to: \"logs/${{ inputs.device }}.log\" }
",
    start,
    finish,
};

fn start(with: &Map<String, Value>) -> Result<Start, Failure> {
    let download: Download = read::parameters(&PRIMITIVE, with)?;
    Ok(Start::Effect(Box::new(Effect::Download { file: download.file.0, to: download.to.0 })))
}

fn finish(with: &Map<String, Value>, reply: Reply) -> Result<Outputs, Failure> {
    match reply {
        Reply::Done => {
            let download: Download = read::parameters(&PRIMITIVE, with)?;
            Ok(read::outputs([("path", Value::String(download.to.0))]))
        }
        other => Err(read::unexpected(&PRIMITIVE, &other)),
    }
}
