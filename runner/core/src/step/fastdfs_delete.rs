//! `fastdfs.delete`: removes a file from the file store.

use super::kinds::File;
use super::{EffectClass, Outputs, Primitive, Start, read};
use crate::effect::{Effect, Reply};
use crate::failure::Failure;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Parameters of `fastdfs.delete`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Delete {
    /// A file in the file store.
    file: Option<File>,
    /// Its uri (`fastdfs:group1/M00/…`), instead of `file`.
    uri: Option<String>,
}

pub(super) static PRIMITIVE: Primitive = Primitive {
    name: "fastdfs.delete",
    about: "Deletes a file from the file store.",
    parameters: read::schema::<Delete>,
    outputs: &[],
    errors: &[],
    class: EffectClass::Keyed,
    example: "\
- uses: fastdfs.delete
  with: { file: \"${{ steps.stored.outputs.file }}\" }
",
    start,
    finish,
};

fn start(with: &Map<String, Value>) -> Result<Start, Failure> {
    let delete: Delete = read::parameters(&PRIMITIVE, with)?;
    let uri = read::stored_uri(&PRIMITIVE, delete.file.as_ref().map(|file| &file.0), delete.uri.as_deref())?;
    Ok(Start::Effect(Box::new(Effect::BlobDelete { uri })))
}

fn finish(_: &Map<String, Value>, reply: Reply) -> Result<Outputs, Failure> {
    read::done(&PRIMITIVE, &reply)
}
