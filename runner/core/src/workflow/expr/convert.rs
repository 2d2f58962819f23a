//! Values between JSON and CEL. Integers are CEL `int`, whatever their sign: `uint` and `int` do not mix in CEL.

use crate::workflow::units;
use cel::objects::Key;
use serde_json::{Map, Number, Value as Json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Deepest value that leaves an expression.
const MAX_DEPTH: usize = 64;

/// JSON to CEL. Integers beyond 63 bits become floating point numbers.
pub(crate) fn to_cel(value: &Json) -> cel::Value {
    match value {
        Json::Null => cel::Value::Null,
        Json::Bool(value) => cel::Value::Bool(*value),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => cel::Value::Int(integer),
            None => cel::Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => cel::Value::String(Arc::new(text.clone())),
        Json::Array(items) => cel::Value::List(Arc::new(items.iter().map(to_cel).collect())),
        Json::Object(fields) => {
            let map: HashMap<Key, cel::Value> =
                fields.iter().map(|(name, value)| (Key::from(name.clone()), to_cel(value))).collect();
            cel::Value::Map(cel::objects::Map { map: Arc::new(map) })
        }
    }
}

/// CEL to JSON: durations become text such as `5m`, timestamps RFC 3339; the rest of CEL's own types is refused.
pub(crate) fn to_json(value: &cel::Value) -> Result<Json, String> {
    json(value, 0)
}

fn json(value: &cel::Value, depth: usize) -> Result<Json, String> {
    if depth > MAX_DEPTH {
        return Err(format!("the value is nested more than {MAX_DEPTH} deep"));
    }
    match value {
        cel::Value::Null => Ok(Json::Null),
        cel::Value::Bool(value) => Ok(Json::Bool(*value)),
        cel::Value::Int(value) => Ok(Json::from(*value)),
        cel::Value::UInt(value) => Ok(Json::from(*value)),
        cel::Value::Float(value) => Number::from_f64(*value)
            .map(Json::Number)
            .ok_or_else(|| format!("{value} is not a number that can be kept")),
        cel::Value::String(text) => Ok(Json::String(text.as_ref().clone())),
        cel::Value::List(items) => {
            items.iter().map(|item| json(item, depth + 1)).collect::<Result<_, _>>().map(Json::Array)
        }
        cel::Value::Map(map) => object(map, depth),
        cel::Value::Duration(value) => match u64::try_from(value.num_milliseconds()) {
            Ok(millis) => Ok(Json::String(units::duration_text(Duration::from_millis(millis)))),
            Err(_) => Err("a duration below zero cannot be kept".to_owned()),
        },
        cel::Value::Timestamp(value) => Ok(Json::String(value.to_rfc3339())),
        cel::Value::Bytes(_) => Err("bytes cannot be kept; use string(…)".to_owned()),
        other => Err(format!("a value of type {} cannot be kept", other.type_of())),
    }
}

fn object(map: &cel::objects::Map, depth: usize) -> Result<Json, String> {
    let mut fields: Vec<(String, Json)> = Vec::with_capacity(map.map.len());
    for (key, value) in map.map.iter() {
        let Key::String(name) = key else { return Err("a map with keys that are not text cannot be kept".to_owned()) };
        fields.push((name.as_ref().clone(), json(value, depth + 1)?));
    }
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Json::Object(fields.into_iter().collect::<Map<_, _>>()))
}
