//! What all primitives share: reading parameters, and refusing answers that do not fit.

use super::{Outputs, Primitive};
use crate::effect::Reply;
use crate::failure::{Class, Failure};
use crate::file::FileRef;
use crate::transfer::{Algorithm, Digest};
use crate::workflow::node::Node;
use crate::workflow::shape::{Marks, PARAMETERS, Shape};
use crate::workflow::{self, codes};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Longest text that a step puts out, in bytes: outputs live in the journal, files are for more.
pub(super) const MAX_OUTPUT: usize = 64 * 1024;

/// What every primitive may fail with.
pub(super) const COMMON: &[(&str, &str)] = &[
    (codes::PARAMETER, "a parameter is missing, unknown, or not what it should be (permanent)"),
    (codes::UNEXPECTED_REPLY, "the runner answered with something else than was asked for (bug)"),
];

/// The schema of a parameter type.
pub(super) fn schema<T: JsonSchema>() -> schemars::Schema {
    schemars::schema_for!(T)
}

/// Reads resolved parameters. An optional parameter that is `null` counts as not given.
pub(super) fn parameters<T: DeserializeOwned>(
    primitive: &'static Primitive,
    with: &Map<String, Value>,
) -> Result<T, Failure> {
    let given: Map<String, Value> =
        with.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.clone(), value.clone())).collect();
    let given = Value::Object(given);
    let mut problems = Vec::new();
    let shape = Shape::new(workflow::parameters(primitive), PARAMETERS);
    let what = format!("`{}`", primitive.name);
    shape.value(shape.root(), &Node::from_json(&given), &what, Marks::Literal, &mut problems);
    if let Some(problem) = problems.into_iter().next() {
        let failure = refused(primitive, problem.message.trim_start_matches(&format!("{what} ")));
        return Err(match problem.help {
            Some(help) => failure.hint(help),
            None => failure,
        });
    }
    serde_json::from_value(given).map_err(|error| refused(primitive, &error.to_string()))
}

/// A parameter that cannot be used.
pub(super) fn refused(primitive: &Primitive, why: &str) -> Failure {
    Failure::new(codes::PARAMETER, Class::Permanent, format!("{}: {why}", primitive.name))
}

/// An answer that does not fit the question.
pub(super) fn unexpected(primitive: &Primitive, reply: &Reply) -> Failure {
    let kind = serde_json::to_value(reply).ok().and_then(|value| value["kind"].as_str().map(str::to_owned));
    let message = format!("{} got an answer of another kind: {}", primitive.name, kind.unwrap_or_default());
    Failure::new(codes::UNEXPECTED_REPLY, Class::Bug, message)
}

/// Refuses a value that is too long to be an output.
pub(super) fn short_enough(primitive: &Primitive, what: &str, length: usize) -> Result<(), Failure> {
    if length <= MAX_OUTPUT {
        return Ok(());
    }
    let message =
        format!("{}: {what} is {length} bytes long, more than an output can be ({MAX_OUTPUT})", primitive.name);
    Err(Failure::new(codes::OUTPUT_TOO_LONG, Class::Permanent, message))
}

/// Outputs from pairs; `null` means absent.
pub(super) fn outputs(pairs: impl IntoIterator<Item = (&'static str, Value)>) -> Outputs {
    pairs.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Any serializable value as JSON.
pub(super) fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).expect("our own types have text keys and finite numbers")
}

/// The uri of a file in the file store.
pub(super) fn stored_uri(primitive: &Primitive, file: Option<&FileRef>, uri: Option<&str>) -> Result<String, Failure> {
    let uri = match (file, uri) {
        (Some(file), None) => file.uri.as_str(),
        (None, Some(uri)) => uri,
        _ => return Err(refused(primitive, "give either `file` or `uri`")),
    };
    let id = uri
        .strip_prefix("packets:")
        .unwrap_or(uri)
        .strip_prefix("fastdfs:")
        .filter(|id| !id.is_empty() && !id.contains(char::is_control));
    match id {
        Some(_) => Ok(uri.to_owned()),
        None => Err(refused(primitive, &format!("`{uri}` is not in the file store"))
            .hint("its uri begins with fastdfs:, as fastdfs.upload gives it")),
    }
}

/// The bound of a payload: enough for a header, not more than MQTT can carry.
pub(super) fn message_limit(primitive: &Primitive, limit: Option<super::kinds::Size>) -> Result<Option<u32>, Failure> {
    match limit.map(|limit| limit.0) {
        None => Ok(None),
        Some(limit @ 64..=268_435_455) => Ok(u32::try_from(limit).ok()),
        Some(limit) => Err(refused(primitive, &format!("`message_limit` is {limit} bytes, not within 64B and 256MiB"))),
    }
}

/// A digest in lowercase hex, where it was told.
pub(super) fn digest(digests: &[Digest], algorithm: Algorithm) -> Option<String> {
    let digest = digests.iter().find(|digest| digest.algorithm == algorithm && !digest.value.is_empty())?;
    Some(crate::hex::encode(&digest.value))
}

/// No outputs; an answer with a value is as good as one without.
pub(super) fn done(primitive: &Primitive, reply: &Reply) -> Result<Outputs, Failure> {
    match reply {
        Reply::Done | Reply::Value { .. } => Ok(Outputs::new()),
        other => Err(unexpected(primitive, other)),
    }
}

/// Text or nothing.
pub(super) fn text_value(primitive: &Primitive, reply: Reply) -> Result<Value, Failure> {
    match reply {
        Reply::Value { value: Value::Null } => Ok(Value::Null),
        Reply::Value { value: Value::String(text) } => {
            short_enough(primitive, "the value", text.len())?;
            Ok(Value::String(text))
        }
        Reply::Value { value: value @ Value::Number(_) } => Ok(Value::String(value.to_string())),
        other => Err(unexpected(primitive, &other)),
    }
}

/// An integer; truth counts as 1.
pub(super) fn integer_value(primitive: &Primitive, reply: &Reply) -> Result<i64, Failure> {
    match reply {
        Reply::Value { value: Value::Bool(value) } => Ok(i64::from(*value)),
        Reply::Value { value } => value.as_i64().ok_or_else(|| unexpected(primitive, reply)),
        other => Err(unexpected(primitive, other)),
    }
}
