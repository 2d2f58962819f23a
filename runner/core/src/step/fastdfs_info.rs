//! `fastdfs.info`: what the file store knows of a file.

use super::kinds::File;
use super::{EffectClass, OutputField, Outputs, Primitive, Start, read};
use crate::effect::{Effect, Reply};
use crate::failure::Failure;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Parameters of `fastdfs.info`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Info {
    /// A file in the file store.
    file: Option<File>,
    /// Its uri (`fastdfs:group1/M00/…`), instead of `file`.
    uri: Option<String>,
}

pub(super) static PRIMITIVE: Primitive = Primitive {
    name: "fastdfs.info",
    about: "Asks the file store what it knows of a file.",
    parameters: read::schema::<Info>,
    outputs: &[
        OutputField { name: "size", kind: "integer", about: "In bytes." },
        OutputField { name: "crc32", kind: "integer?", about: "CRC-32 of the content, as the store knows it." },
        OutputField { name: "created", kind: "integer?", about: "Unix seconds." },
    ],
    errors: &[],
    class: EffectClass::Pure,
    example: "\
- id: info
  uses: fastdfs.info
  with: { file: \"${{ steps.stored.outputs.file }}\" }
",
    start,
    finish,
};

fn start(with: &Map<String, Value>) -> Result<Start, Failure> {
    let info: Info = read::parameters(&PRIMITIVE, with)?;
    let uri = read::stored_uri(&PRIMITIVE, info.file.as_ref().map(|file| &file.0), info.uri.as_deref())?;
    Ok(Start::Effect(Box::new(Effect::BlobInfo { uri })))
}

fn finish(_: &Map<String, Value>, reply: Reply) -> Result<Outputs, Failure> {
    let Reply::Info { size, crc32, created } = reply else { return Err(read::unexpected(&PRIMITIVE, &reply)) };
    Ok(read::outputs([("size", Value::from(size)), ("crc32", read::json(&crc32)), ("created", read::json(&created))]))
}
