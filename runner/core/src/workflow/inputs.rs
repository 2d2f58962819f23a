//! Inputs: what a workflow declares, and what a run makes of what it is given.

use super::check::Checker;
use super::codes;
use super::node::Node;
use super::outline::reserved;
use super::problem::{Problem, suggest};
use super::raw::RawInput;
use super::source::Span;
use super::{Input, InputKind, Workflow, format, units};
use crate::failure::{Class, Failure};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Longest value that is given on the command line, in bytes: inline values end there, files are for more.
const MAX_GIVEN: usize = 64 * 1024;

/// Inputs of the grammar that come later.
static LATER: &[&str] = &["timestamp", "window", "secret_ref"];

/// Names and types of what is declared, right or wrong, so that expressions can be judged in any case.
pub(super) fn names(node: Option<&Node>) -> BTreeMap<String, Option<InputKind>> {
    let entries = node.map(Node::entries).unwrap_or_default().iter();
    entries
        .filter(|entry| !entry.key.starts_with("x-"))
        .map(|entry| {
            let kind = entry.node.get("type").map(Node::to_json);
            (entry.key.clone(), kind.and_then(|kind| serde_json::from_value(kind).ok()))
        })
        .collect()
}

/// Reads and checks `inputs:`.
pub(super) fn declared(checker: &mut Checker<'_>, node: Option<&Node>) -> Vec<Input> {
    let entries = node.map(Node::entries).unwrap_or_default();
    let mut inputs = Vec::new();
    for entry in entries.iter().filter(|entry| !entry.key.starts_with("x-")) {
        name(checker, &entry.key, entry.key_span);
        if let Some(kind) =
            entry.node.get("type").and_then(|kind| kind.text().filter(|kind| LATER.contains(kind)).map(|_| kind))
        {
            let message = "this type is part of the grammar but not available yet";
            checker.report(
                Problem::new(codes::LATER, kind.span, message)
                    .help("types: string, integer, number, boolean, duration, size, rate, file, list, map"),
            );
            continue;
        }
        let what = format!("the input `{}`", entry.key);
        let raw: RawInput = checker.read(checker.shape.definition("Input"), &entry.node, &what, entry.key_span, &[]);
        if let Some(input) = one(checker, &entry.key, &entry.node, raw) {
            inputs.push(input);
        }
    }
    inputs
}

fn name(checker: &mut Checker<'_>, name: &str, span: Span) {
    let value = Value::String(name.to_owned());
    let snake = format::format("snake").expect("the table of formats has it");
    if let Err(why) = (snake.check)(&value) {
        let problem = Problem::new(codes::BAD_NAME, span, format!("the name of an input: {why}"));
        checker.report(problem.maybe_help((snake.mend)(&value)));
    } else if reserved(name) {
        let message = format!("`{name}` is a reserved word and cannot be the name of an input");
        checker.report(Problem::new(codes::RESERVED, span, message));
    }
}

fn one(checker: &mut Checker<'_>, name: &str, node: &Node, raw: RawInput) -> Option<Input> {
    let kind = raw.r#type?;
    let span = |key: &str| node.get(key).map_or(node.span, |node| node.span);
    let mut refuse = |key: &str, why: String| {
        checker.report(Problem::new(codes::BAD_DEFAULT, span(key), format!("`{key}` of the input `{name}`: {why}")));
    };
    let mut input = Input {
        name: name.to_owned(),
        kind,
        default: None,
        optional: raw.optional.unwrap_or_default(),
        allowed: Vec::new(),
        pattern: None,
        min: None,
        max: None,
        description: raw.description.unwrap_or_default(),
    };
    for value in raw.r#enum.unwrap_or_default() {
        match typed(kind, &value) {
            Ok(value) => input.allowed.push(value),
            Err(why) => refuse("enum", why),
        }
    }
    if let Some(pattern) = raw.pattern {
        match (kind, whole(&pattern)) {
            (InputKind::String, Ok(_)) => input.pattern = Some(pattern),
            (InputKind::String, Err(why)) => refuse("pattern", why),
            _ => refuse("pattern", "only text can have a pattern".to_owned()),
        }
    }
    for (key, given) in [("min", raw.min), ("max", raw.max)] {
        match given.map(|value| bound(kind, &value)) {
            Some(Ok(number)) if key == "min" => input.min = Some(number),
            Some(Ok(number)) => input.max = Some(number),
            Some(Err(why)) => refuse(key, why),
            None => {}
        }
    }
    if input.min.zip(input.max).is_some_and(|(min, max)| min > max) {
        refuse("min", "is larger than `max`".to_owned());
    }
    if let Some(default) = raw.default {
        match typed(kind, &default).and_then(|value| rules(&input, &value).map(|()| value)) {
            Ok(value) => input.default = Some(value),
            Err(why) => refuse("default", why),
        }
    }
    Some(input)
}

fn bound(kind: InputKind, value: &Value) -> Result<f64, String> {
    let number = |value: &Value| value.as_f64().ok_or_else(|| "must be a number".to_owned());
    match kind {
        InputKind::Integer | InputKind::Number => number(value),
        InputKind::Size | InputKind::Rate => typed(kind, value).and_then(|value| number(&value)),
        InputKind::Duration => {
            let text = value.as_str().ok_or("must be a duration such as 5m")?;
            units::duration(text).map(|duration| duration.as_secs_f64())
        }
        _ => Err("only numbers, sizes, rates and durations have bounds".to_owned()),
    }
}

/// A pattern that must match as a whole.
fn whole(pattern: &str) -> Result<regex::Regex, String> {
    if pattern.len() > 1024 {
        return Err("the pattern is longer than 1 KiB".to_owned());
    }
    let anchored = format!("^(?:{pattern})$");
    let built = regex::RegexBuilder::new(&anchored).size_limit(1 << 20).nest_limit(64).build();
    built.map_err(|_| format!("`{pattern}` is not a regular expression"))
}

/// A value of the type, from YAML or JSON: sizes and rates become integers, durations stay text.
fn typed(kind: InputKind, value: &Value) -> Result<Value, String> {
    let wrong = || format!("must be {}, and is {}", words(kind), super::node::describe(value));
    match (kind, value) {
        (InputKind::String | InputKind::File, Value::String(_))
        | (InputKind::Boolean, Value::Bool(_))
        | (InputKind::List, Value::Array(_))
        | (InputKind::Map, Value::Object(_))
        | (InputKind::Number, Value::Number(_)) => Ok(value.clone()),
        (InputKind::Integer, Value::Number(number)) if number.is_i64() => Ok(value.clone()),
        (InputKind::Size | InputKind::Rate, Value::Number(number))
            if number.as_i64().is_some_and(|number| number >= 0) =>
        {
            Ok(value.clone())
        }
        (InputKind::Size, Value::String(text)) => units::size(text).map(Value::from),
        (InputKind::Rate, Value::String(text)) => units::rate(text).map(Value::from),
        (InputKind::Duration, Value::String(text)) => units::duration(text).map(|_| value.clone()),
        _ => Err(wrong()),
    }
}

const fn words(kind: InputKind) -> &'static str {
    match kind {
        InputKind::String => "text",
        InputKind::Integer => "an integer",
        InputKind::Number => "a number",
        InputKind::Boolean => "true or false",
        InputKind::Duration => "a duration such as 5m",
        InputKind::Size => "a size such as 64KiB",
        InputKind::Rate => "a rate such as 16KiB/s",
        InputKind::File => "a path, fastdfs:…, md5:… or sha256:…",
        InputKind::List => "a list",
        InputKind::Map => "a map",
    }
}

/// A value of the type, from the text of a command line.
fn parsed(kind: InputKind, text: &str) -> Result<Value, String> {
    let wrong = || format!("must be {}, and is `{}`", words(kind), text.chars().take(60).collect::<String>());
    match kind {
        InputKind::String | InputKind::Duration | InputKind::Size | InputKind::Rate => typed(kind, &Value::from(text)),
        InputKind::File if text.is_empty() => Err(wrong()),
        InputKind::File => Ok(Value::from(text)),
        InputKind::Integer => text.parse::<i64>().map(Value::from).map_err(|_| wrong()),
        InputKind::Number => {
            let number = text.parse::<f64>().ok().and_then(serde_json::Number::from_f64);
            text.parse::<i64>().map(Value::from).or_else(|_| number.map(Value::Number).ok_or_else(wrong))
        }
        InputKind::Boolean => text.parse::<bool>().map(Value::from).map_err(|_| wrong()),
        InputKind::List | InputKind::Map => {
            let value: Value = serde_json::from_str(text).map_err(|_| format!("{} as JSON", wrong()))?;
            let fits = value.is_array() == (kind == InputKind::List) && (value.is_array() || value.is_object());
            if fits { Ok(value) } else { Err(format!("{} as JSON", wrong())) }
        }
    }
}

/// The rules beyond the type: enum, pattern, bounds.
fn rules(input: &Input, value: &Value) -> Result<(), String> {
    if !input.allowed.is_empty() && !input.allowed.contains(value) {
        let allowed: Vec<String> = input.allowed.iter().map(plain).collect();
        return Err(format!("must be one of {}, and is `{}`", allowed.join(", "), plain(value)));
    }
    if let (Some(pattern), Some(text)) = (&input.pattern, value.as_str())
        && !whole(pattern)?.is_match(text)
    {
        return Err(format!("`{}` does not match the pattern {pattern}", text.chars().take(60).collect::<String>()));
    }
    let number = match input.kind {
        InputKind::Duration => {
            value.as_str().and_then(|text| units::duration(text).ok()).map(|duration| duration.as_secs_f64())
        }
        _ => value.as_f64(),
    };
    let outside = number
        .filter(|number| input.min.is_some_and(|min| *number < min) || input.max.is_some_and(|max| *number > max));
    match outside {
        None => Ok(()),
        Some(_) => Err(format!("{} is not within {}", plain(value), range(input.min, input.max))),
    }
}

fn range(min: Option<f64>, max: Option<f64>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("{min} to {max}"),
        (Some(min), None) => format!("{min} and more"),
        (None, Some(max)) => format!("{max} and less"),
        (None, None) => "any bounds".to_owned(),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The inputs of a run before its files are pinned.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedInputs {
    /// Every declared input by name, typed; absent optional ones are `null`; files are the text that names them.
    pub values: Map<String, Value>,
    /// Inputs that are files, with the text that names the file (a path, `fastdfs:…`, `md5:…`, `sha256:…`): the caller
    /// pins each and puts a [`crate::file::FileRef`] in its place in `values`.
    pub files: Vec<(String, String)>,
}

impl Workflow {
    /// Types what the command line gives and fills in defaults. Sizes and rates become integers (bytes), durations stay
    /// text such as `5m` (`duration(…)` makes a CEL duration of them), lists and maps are read as JSON.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, each with a code `PH0110` to `PH0113`.
    pub fn resolve_inputs(&self, given: &BTreeMap<String, String>) -> Result<ResolvedInputs, Vec<Failure>> {
        let mut failures: Vec<Failure> = given
            .keys()
            .filter(|name| !self.inputs.iter().any(|input| input.name == **name))
            .map(|name| self.unknown(name))
            .collect();
        let mut resolved = ResolvedInputs { values: Map::new(), files: Vec::new() };
        for input in &self.inputs {
            match input.value(given.get(&input.name).map(String::as_str)) {
                Ok(value) => {
                    if let (InputKind::File, Some(text)) = (input.kind, value.as_str()) {
                        resolved.files.push((input.name.clone(), text.to_owned()));
                    }
                    resolved.values.insert(input.name.clone(), value);
                }
                Err(failure) => failures.push(failure),
            }
        }
        if failures.is_empty() { Ok(resolved) } else { Err(failures) }
    }

    fn unknown(&self, name: &str) -> Failure {
        let failure = Failure::new(
            codes::UNKNOWN_GIVEN_INPUT,
            Class::Permanent,
            format!("the workflow `{}` has no input `{name}`", self.name),
        );
        let none = || "it declares no inputs".to_owned();
        failure.hint(suggest("inputs", name, self.inputs.iter().map(|input| input.name.as_str())).unwrap_or_else(none))
    }
}

impl Input {
    /// What is wrong with a value that is given as text; nothing where it is good.
    pub(super) fn refuses(&self, text: &str) -> Option<String> {
        self.value(Some(text)).err().map(|failure| failure.message)
    }

    fn value(&self, given: Option<&str>) -> Result<Value, Failure> {
        let name = &self.name;
        let Some(text) = given else {
            return match &self.default {
                Some(default) => Ok(default.clone()),
                None if self.optional => Ok(Value::Null),
                None => {
                    Err(Failure::new(codes::MISSING_INPUT, Class::Permanent, format!("the input `{name}` is missing"))
                        .hint(format!("give it: -i {name}=VALUE, {}", words(self.kind))))
                }
            };
        };
        if text.len() > MAX_GIVEN {
            let message = format!("the input `{name}` is longer than {MAX_GIVEN} bytes");
            return Err(Failure::new(codes::INPUT_TYPE, Class::Permanent, message)
                .hint("put it into a file and declare a file input"));
        }
        let value = parsed(self.kind, text)
            .map_err(|why| Failure::new(codes::INPUT_TYPE, Class::Permanent, format!("the input `{name}` {why}")))?;
        rules(self, &value)
            .map_err(|why| Failure::new(codes::INPUT_VALUE, Class::Permanent, format!("the input `{name}`: {why}")))?;
        Ok(value)
    }
}
