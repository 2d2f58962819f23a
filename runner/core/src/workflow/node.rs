//! The tree of a YAML file as written, each part with its place.

use super::source::Span;
use serde_json::{Map, Number, Value};

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// What it is.
    pub(crate) value: Tree,
    /// Where it stands: of a map or list, from its first part to its last.
    pub(crate) span: Span,
}

/// The kinds of values that YAML's core schema knows.
#[derive(Debug, Clone)]
pub(crate) enum Tree {
    /// A single value, read by the YAML 1.2 core schema.
    Scalar(Value),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file, each key once.
    Map(Vec<Entry>),
}

/// One entry of a map.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The key.
    pub(crate) key: String,
    /// Where the key stands.
    pub(crate) key_span: Span,
    /// The value.
    pub(crate) node: Node,
}

impl Node {
    /// The entries of a map; none of anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Tree::Map(entries) => entries,
            Tree::Scalar(_) | Tree::List(_) => &[],
        }
    }

    /// The items of a list; none of anything else.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.value {
            Tree::List(items) => items,
            Tree::Scalar(_) | Tree::Map(_) => &[],
        }
    }

    /// The value under a key of a map.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// The text of a scalar that is text.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Tree::Scalar(Value::String(text)) => Some(text),
            Tree::Scalar(_) | Tree::List(_) | Tree::Map(_) => None,
        }
    }

    /// As JSON, without places.
    pub(crate) fn to_json(&self) -> Value {
        match &self.value {
            Tree::Scalar(value) => value.clone(),
            Tree::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Tree::Map(entries) => Value::Object(
                entries.iter().map(|entry| (entry.key.clone(), entry.node.to_json())).collect::<Map<_, _>>(),
            ),
        }
    }

    /// A tree without places, from JSON.
    pub(crate) fn from_json(value: &Value) -> Self {
        let span = Span::default();
        let value = match value {
            Value::Array(items) => Tree::List(items.iter().map(Self::from_json).collect()),
            Value::Object(fields) => Tree::Map(
                fields
                    .iter()
                    .map(|(key, value)| Entry { key: key.clone(), key_span: span, node: Self::from_json(value) })
                    .collect(),
            ),
            scalar => Tree::Scalar(scalar.clone()),
        };
        Self { value, span }
    }

    /// What it is, for people.
    pub(crate) fn describe(&self) -> &'static str {
        match &self.value {
            Tree::Scalar(value) => describe(value),
            Tree::List(_) => "a list",
            Tree::Map(_) => "a map",
        }
    }
}

/// What a value is, for people.
pub(crate) fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a number with a fraction",
        Value::Number(_) => "an integer",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// Reads a plain scalar by the YAML 1.2 core schema. Numbers beyond 64 bits and special floats stay text.
pub(super) fn core_schema(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    let radix = |prefix: &str, radix| text.strip_prefix(prefix).map(|digits| i64::from_str_radix(digits, radix));
    if let Some(parsed) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return parsed.ok().filter(|value| *value >= 0).map(Number::from);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|letter: char| letter.is_ascii_digit() || letter == '.') {
        return None;
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<i64>().ok().map(Number::from);
    }
    let float = digits.bytes().any(|byte| byte.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    if float { text.parse::<f64>().ok().and_then(Number::from_f64) } else { None }
}

#[cfg(test)]
mod tests {
    use super::core_schema;
    use serde_json::json;

    #[test]
    fn scalars_are_read_by_the_core_schema() {
        let table = [
            ("yes", json!("yes")),
            ("on", json!("on")),
            ("true", json!(true)),
            ("~", json!(null)),
            ("0o17", json!(15)),
            ("0x1F", json!(31)),
            ("-5", json!(-5)),
            ("+5", json!(5)),
            ("007", json!(7)),
            ("1.50", json!(1.5)),
            ("1e3", json!(1000.0)),
            ("1.2.3", json!("1.2.3")),
            ("12:30", json!("12:30")),
            (".inf", json!(".inf")),
            ("99999999999999999999", json!("99999999999999999999")),
            ("0x", json!("0x")),
            ("0x-5", json!("0x-5")),
            ("1_000", json!("1_000")),
            ("5m", json!("5m")),
        ];
        for (text, expected) in table {
            assert_eq!(core_schema(text), expected, "{text}");
        }
    }
}
