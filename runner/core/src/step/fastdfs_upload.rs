//! `fastdfs.upload`: stores a file in the file store.

use super::kinds::{Extension, File};
use super::{EffectClass, OutputField, Outputs, Primitive, Start, read};
use crate::effect::{Effect, Reply};
use crate::failure::Failure;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Parameters of `fastdfs.upload`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Upload {
    /// What to store.
    file: File,
    /// Extension of the stored file, at most 6 letters or digits; absent = that of the name.
    ext: Option<Extension>,
}

pub(super) static PRIMITIVE: Primitive = Primitive {
    name: "fastdfs.upload",
    about: "Stores a file in the file store.",
    parameters: read::schema::<Upload>,
    outputs: &[
        OutputField { name: "file", kind: "file", about: "The stored file." },
        OutputField { name: "uri", kind: "string", about: "Where it is: fastdfs:group1/M00/…" },
    ],
    errors: &[],
    class: EffectClass::AtLeastOnce,
    example: "\
- id: stored
  uses: fastdfs.upload
  with: { file: \"${{ inputs.image }}\" }
",
    start,
    finish,
};

fn start(with: &Map<String, Value>) -> Result<Start, Failure> {
    let upload: Upload = read::parameters(&PRIMITIVE, with)?;
    let ext = upload.ext.map(|ext| ext.0).unwrap_or_default();
    Ok(Start::Effect(Box::new(Effect::Upload { file: upload.file.0, ext })))
}

fn finish(_: &Map<String, Value>, reply: Reply) -> Result<Outputs, Failure> {
    let Reply::Stored { file } = reply else { return Err(read::unexpected(&PRIMITIVE, &reply)) };
    Ok(read::outputs([("uri", read::json(&file.uri)), ("file", read::json(&file))]))
}
