//! `checksum.verify`: fails where a file is not what it should be.

use super::kinds::{File, Md5, Sha256, Size};
use super::{EffectClass, OutputField, Outputs, Primitive, Start, read};
use crate::effect::{Effect, Reply};
use crate::failure::{Class, Failure};
use crate::workflow::codes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Parameters of `checksum.verify`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Verify {
    /// Whose.
    file: File,
    /// The MD5 that it should have.
    md5: Option<Md5>,
    /// The SHA-256 that it should have.
    sha256: Option<Sha256>,
    /// The size that it should have.
    size: Option<Size>,
}

pub(super) static PRIMITIVE: Primitive = Primitive {
    name: "checksum.verify",
    about: "Computes the digests of a file from its bytes as they are now, and fails where they differ from those that are given.",
    parameters: read::schema::<Verify>,
    outputs: &[
        OutputField { name: "size", kind: "integer", about: "In bytes." },
        OutputField { name: "md5", kind: "string", about: "Lowercase hex." },
        OutputField { name: "sha256", kind: "string", about: "Lowercase hex." },
    ],
    errors: &[(codes::CHECKSUM_DIFFERS, "the file is not what it should be (permanent)")],
    class: EffectClass::Pure,
    example: "\
- uses: checksum.verify
  with: { file: \"${{ inputs.image }}\", sha256: \"${{ inputs.expected }}\" }
",
    start,
    finish,
};

fn start(with: &Map<String, Value>) -> Result<Start, Failure> {
    let verify: Verify = read::parameters(&PRIMITIVE, with)?;
    if verify.md5.is_none() && verify.sha256.is_none() && verify.size.is_none() {
        return Err(read::refused(&PRIMITIVE, "give at least one of `md5`, `sha256` and `size`"));
    }
    Ok(Start::Effect(Box::new(Effect::Digest { file: verify.file.0 })))
}

fn finish(with: &Map<String, Value>, reply: Reply) -> Result<Outputs, Failure> {
    let Reply::Digests { size, md5, sha256 } = reply else { return Err(read::unexpected(&PRIMITIVE, &reply)) };
    let wanted: Verify = read::parameters(&PRIMITIVE, with)?;
    let checks = [
        ("size", wanted.size.map(|size| size.0.to_string()), size.to_string()),
        ("MD5", wanted.md5.map(|md5| md5.0), md5.clone()),
        ("SHA-256", wanted.sha256.map(|sha256| sha256.0), sha256.clone()),
    ];
    for (what, wanted_value, found) in checks {
        if let Some(value) = wanted_value.filter(|value| *value != found) {
            let message = format!("checksum.verify: `{}` has the {what} {found}, not {value}", wanted.file.0.name);
            return Err(Failure::new(codes::CHECKSUM_DIFFERS, Class::Permanent, message));
        }
    }
    Ok(read::outputs([("size", Value::from(size)), ("md5", Value::String(md5)), ("sha256", Value::String(sha256))]))
}
