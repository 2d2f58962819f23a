//! CEL's run-time errors in words that name no Rust type and show no value in full.

use cel::{ExecutionError, Value};

/// Longest excerpt of a value.
const EXCERPT: usize = 40;

/// Why it failed, and what to do where that is known.
pub(super) fn explain(error: &ExecutionError) -> (String, Option<String>) {
    match error {
        ExecutionError::NoSuchKey(key) => (
            format!("there is no `{key}`"),
            Some(format!("test with has(….{key}) first, or use coalesce(….{key}, default)")),
        ),
        ExecutionError::UndeclaredReference(name) => (format!("`{name}` does not exist here"), None),
        ExecutionError::NoSuchOverload(overload) => overload_words(overload.function(), overload.argument_types()),
        ExecutionError::UnsupportedBinaryOperator(operator, left, right) => operands(operator, left, right),
        ExecutionError::ValuesNotComparable(left, right) => {
            (format!("{} and {} cannot be compared", show(left), show(right)), numbers(left, right))
        }
        ExecutionError::FunctionError { function, message } => {
            let function = function.strip_prefix("packhorse_").unwrap_or(function);
            (format!("{function}(…): {message}"), None)
        }
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => ("division by zero".to_owned(), None),
        ExecutionError::Overflow(..) => ("the result does not fit into 64 bits".to_owned(), None),
        ExecutionError::IndexOutOfBounds(index) => (format!("there is no item {}", show(index)), None),
        ExecutionError::UnexpectedType { got, want } => (format!("got a value of type {got}, want {want}"), None),
        ExecutionError::DuplicateKey(key) => (format!("the key {} stands twice in a map", show(key)), None),
        other => (cut(&other.to_string(), 200), None),
    }
}

fn overload_words(function: &str, types: &[String]) -> (String, Option<String>) {
    let types_text = types.join(" and ");
    let function = function.strip_prefix("packhorse_").unwrap_or(function);
    let name = function.trim_matches('_').replace("_", "");
    let mixed = types.iter().any(|name| name == "int") && types.iter().any(|name| name == "double");
    let hint = mixed.then(|| "convert one side: double(…) or int(…)".to_owned());
    (format!("`{name}` does not work on {types_text}"), hint)
}

fn operands(operator: &str, left: &Value, right: &Value) -> (String, Option<String>) {
    let word = match operator {
        "add" => "+",
        "sub" => "-",
        "mul" => "*",
        "div" => "/",
        "rem" => "%",
        other => other,
    };
    (format!("`{word}` does not work on {} and {}", show(left), show(right)), numbers(left, right))
}

fn numbers(left: &Value, right: &Value) -> Option<String> {
    match (left, right) {
        (Value::Int(_), Value::Float(_)) | (Value::Float(_), Value::Int(_)) => {
            Some("convert one side: double(…) or int(…)".to_owned())
        }
        (Value::String(_), _) | (_, Value::String(_)) => {
            Some("convert one side: string(…), int(…) or double(…)".to_owned())
        }
        _ => None,
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::Int(value) => format!("the integer {value}"),
        Value::UInt(value) => format!("the unsigned integer {value}"),
        Value::Float(value) => format!("the number {value}"),
        Value::Bool(value) => value.to_string(),
        Value::Null => "nothing (null)".to_owned(),
        Value::String(text) => format!("the text \"{}\"", cut(text, EXCERPT).escape_debug()),
        other => format!("a {}", other.type_of()),
    }
}

fn cut(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    text.chars().take(length).chain(['…']).collect()
}
