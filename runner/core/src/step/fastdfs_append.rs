//! `fastdfs.append`: adds bytes at the end of a stored file that may grow.

use super::kinds::File;
use super::payload::{self, Payload};
use super::{EffectClass, Outputs, Primitive, Start, read};
use crate::effect::{Effect, Reply};
use crate::failure::Failure;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Parameters of `fastdfs.append`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Append {
    /// The file, or `uri`.
    file: Option<File>,
    /// Its uri, or `file`.
    uri: Option<String>,
    /// Text as it is; anything else as JSON.
    payload: Option<Payload>,
    /// Bytes in Base64, instead of `payload`.
    payload_base64: Option<String>,
}

pub(super) static PRIMITIVE: Primitive = Primitive {
    name: "fastdfs.append",
    about: "Adds bytes at the end of an appender file; a file that fastdfs.upload stored is none and is refused.",
    parameters: read::schema::<Append>,
    outputs: &[],
    errors: &[],
    class: EffectClass::AtLeastOnce,
    example: "\
- uses: fastdfs.append
  with: { uri: \"fastdfs:group1/M00/00/00/rBAAAWVd.log\", payload: \"${{ run.id }} pushed\\n\" }
",
    start,
    finish,
};

fn start(with: &Map<String, Value>) -> Result<Start, Failure> {
    let append: Append = read::parameters(&PRIMITIVE, with)?;
    let uri = read::stored_uri(&PRIMITIVE, append.file.as_ref().map(|file| &file.0), append.uri.as_deref())?;
    let bytes = payload::bytes(&PRIMITIVE, append.payload, append.payload_base64.as_deref())?;
    Ok(Start::Effect(Box::new(Effect::BlobAppend { uri, bytes })))
}

fn finish(_: &Map<String, Value>, reply: Reply) -> Result<Outputs, Failure> {
    read::done(&PRIMITIVE, &reply)
}
