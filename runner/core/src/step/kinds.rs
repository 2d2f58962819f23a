//! Types of parameters: each can only hold what is right, and tells the schema what that is.

use crate::file::FileRef;
use crate::transfer::{Budget, Period};
use crate::workflow::{format, units};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use std::borrow::Cow;
use std::time::Duration;

/// Defines a type around a value that is read by `$parse` from JSON, with its schema.
macro_rules! kind {
    ($(#[$about:meta])* $name:ident($inner:ty), $schema:tt, $parse:expr) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq)]
        pub(crate) struct $name(pub(crate) $inner);

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = Value::deserialize(deserializer)?;
                let parse: fn(&Value) -> Result<$inner, String> = $parse;
                parse(&value).map(Self).map_err(de::Error::custom)
            }
        }
    };
}

/// Wire bytes in a run, a day or a month.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct TrafficBudget {
    /// Wire bytes, both directions.
    bytes: Size,
    /// `run`: this run with this device. `day`, `month` (UTC): this device over all runs.
    per: Period,
}

impl From<TrafficBudget> for Budget {
    fn from(budget: TrafficBudget) -> Self {
        Self { bytes: budget.bytes.0, per: budget.per }
    }
}

fn text(value: &Value, check: fn(&str) -> Result<(), String>) -> Result<String, String> {
    let text = value.as_str().ok_or("is not text")?;
    check(text).map(|()| text.to_owned())
}

fn scalar(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err("is not text, a number or a boolean".to_owned()),
    }
}

fn amount(value: &Value, parse: fn(&str) -> Result<i64, String>) -> Result<u64, String> {
    let number = match value {
        Value::String(text) => parse(text)?,
        _ => value.as_i64().ok_or("is not a whole number of bytes")?,
    };
    u64::try_from(number).map_err(|_| format!("{number} is below zero"))
}

kind! {
    /// A device id.
    Device(String),
    { "type": "string", "format": "device", "minLength": 1, "maxLength": 128 },
    |value| text(value, format::device)
}

kind! {
    /// An MQTT topic without wildcards.
    Topic(String),
    { "type": "string", "format": "topic", "minLength": 1 },
    |value| text(value, format::topic)
}

kind! {
    /// A duration.
    Time(Duration),
    { "type": "string", "format": "duration" },
    |value| units::duration(value.as_str().ok_or("is not a duration such as 5m")?)
}

kind! {
    /// A size in bytes.
    Size(u64),
    { "type": ["string", "integer"], "format": "size" },
    |value| amount(value, units::size)
}

kind! {
    /// Bytes a second, at least 1.
    Rate(u64),
    { "type": ["string", "integer"], "format": "rate", "minimum": 1 },
    |value| amount(value, units::rate).and_then(|rate| if rate == 0 { Err("a rate of nothing never ends".to_owned()) } else { Ok(rate) })
}

kind! {
    /// A file that was pinned.
    File(FileRef),
    { "format": "file" },
    |value| FileRef::deserialize(value).map_err(|_| "is not a file".to_owned())
}

kind! {
    /// A key or a field of the key-value store.
    Key(String),
    { "type": "string", "format": "key", "minLength": 1, "maxLength": 1024 },
    |value| text(value, |text| if text.is_empty() { Err("is empty".to_owned()) } else { Ok(()) })
}

kind! {
    /// Text, or a number or boolean that is written as text.
    Scalar(String),
    { "type": ["string", "number", "boolean"] },
    scalar
}

kind! {
    /// Names and values of a stream entry, as they are written; at least one.
    Fields(Vec<(String, String)>),
    { "type": "object", "minProperties": 1, "additionalProperties": { "type": ["string", "number", "boolean"] } },
    |value| {
        let map = value.as_object().filter(|map| !map.is_empty()).ok_or("holds no field")?;
        map.iter().map(|(name, value)| scalar(value).map(|text| (name.clone(), text))).collect()
    }
}

kind! {
    /// Bytes of file in a packet; `auto` is none.
    PacketSize(Option<u32>),
    { "type": ["string", "integer"], "format": "packet", "minimum": 1, "maximum": 1_048_576 },
    |value| match value.as_str() {
        Some("auto") => Ok(None),
        _ => amount(value, units::size).and_then(|size| match u32::try_from(size) {
            Ok(size @ 1..=1_048_576) => Ok(Some(size)),
            _ => Err(format!("{size} is not within 1 to 1048576")),
        }),
    }
}

kind! {
    /// 32 hexadecimal digits, in lower case.
    Md5(String),
    { "type": "string", "format": "md5" },
    |value| text(value, |text| format::hex(text, 32)).map(|text| text.to_lowercase())
}

kind! {
    /// 64 hexadecimal digits, in lower case.
    Sha256(String),
    { "type": "string", "format": "sha256" },
    |value| text(value, |text| format::hex(text, 64)).map(|text| text.to_lowercase())
}

kind! {
    /// An extension without a dot.
    Extension(String),
    { "type": "string", "format": "extension" },
    |value| text(value, format::extension)
}

kind! {
    /// A local path.
    LocalPath(String),
    { "type": "string", "format": "path", "minLength": 1, "maxLength": 4096 },
    |value| text(value, format::path)
}

kind! {
    /// A code of the workflow's own.
    Word(String),
    { "type": "string", "format": "word" },
    |value| text(value, format::word)
}

/// What must hold before anything is sent: CEL as it is written; in a run, words for what of it does not hold.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Require {
    /// One condition.
    One(String),
    /// All of these.
    All(Vec<String>),
}

impl Require {
    pub(super) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::All(texts) => texts,
        }
    }
}

impl JsonSchema for Require {
    fn schema_name() -> Cow<'static, str> {
        "Require".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "format": "conditions",
            "anyOf": [
                { "type": "string", "format": "cel" },
                { "type": "array", "items": { "type": "string", "format": "cel" } },
            ],
        })
    }
}
