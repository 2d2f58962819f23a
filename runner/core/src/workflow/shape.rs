//! Judges a tree against a JSON Schema that our own types gave: unknown and missing keys, types, formats, ranges.
//!
//! Only the keywords that `schemars` writes for our types are understood. Three are our own: `x-expression` (`true`: the
//! value may hold `${{ }}`; `false`: it may not; `below`: values in the map may), `x-later` (keys of the grammar that are not available yet), and the formats of `format`.

use super::codes;
use super::format::{Format, format};
use super::node::{Node, Tree};
use super::problem::{Problem, suggest};
use super::source::Span;
use serde_json::Value;

/// Which codes the problems bear: those of the grammar, or those of a primitive's parameters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    /// What a key is called.
    pub(crate) key: &'static str,
    /// Code of an unknown one.
    pub(crate) unknown: &'static str,
    /// Code of a missing one.
    pub(crate) missing: &'static str,
    /// Code of a wrong type.
    pub(crate) wrong_type: &'static str,
    /// Code of a wrong value.
    pub(crate) bad_value: &'static str,
}

/// Keys of the grammar.
pub(crate) const GRAMMAR: Words = Words {
    key: "key",
    unknown: codes::UNKNOWN_KEY,
    missing: codes::MISSING_KEY,
    wrong_type: codes::WRONG_TYPE,
    bad_value: codes::BAD_VALUE,
};

/// Parameters of a primitive.
pub(crate) const PARAMETERS: Words = Words {
    key: "parameter",
    unknown: codes::UNKNOWN_PARAMETER,
    missing: codes::MISSING_PARAMETER,
    wrong_type: codes::BAD_PARAMETER,
    bad_value: codes::BAD_PARAMETER,
};

/// A schema to judge by.
#[derive(Clone, Copy)]
pub(crate) struct Shape<'a> {
    root: &'a Value,
    words: Words,
}

/// Whether `${{ }}` may stand in a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marks {
    /// They may.
    Allowed,
    /// They may not.
    Refused,
    /// The value comes from a run: what looks like an expression is text.
    Literal,
}

impl<'a> Shape<'a> {
    /// `root` holds the definitions that `$ref` names.
    pub(crate) const fn new(root: &'a Value, words: Words) -> Self {
        Self { root, words }
    }

    /// The schema itself.
    pub(crate) const fn root(&self) -> &'a Value {
        self.root
    }

    /// The schema of a definition.
    pub(crate) fn definition(&self, name: &str) -> &'a Value {
        &self.root["$defs"][name]
    }

    /// Judges the keys of a map, and not their values: unknown, later and missing ones.
    pub(crate) fn keys(&self, schema: &'a Value, node: &Node, what: &str, at: Span, problems: &mut Vec<Problem>) {
        let schema = self.follow(schema);
        let known = schema["properties"].as_object();
        let names = || known.into_iter().flat_map(|known| known.keys().map(String::as_str));
        for entry in node.entries() {
            if entry.key.starts_with("x-") || known.is_some_and(|known| known.contains_key(&entry.key)) {
                continue;
            }
            problems.push(self.unknown(schema, &entry.key, entry.key_span, what, names().collect()));
        }
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for name in required.filter(|name| node.get(name).is_none()) {
            let message = format!("{what} lacks the {} `{name}`", self.words.key);
            let wanted = self.wanted(&schema["properties"][name]);
            problems.push(Problem::new(self.words.missing, at, message).help(format!("add `{name}:`, {wanted}")));
        }
    }

    fn unknown(&self, schema: &Value, key: &str, span: Span, what: &str, names: Vec<&str>) -> Problem {
        let later = schema["x-later"].as_array().is_some_and(|later| later.iter().any(|name| name == key));
        if later {
            let message = format!("`{key}` is part of the grammar but not available yet");
            return Problem::new(codes::LATER, span, message).help("remove it; a later version will know it");
        }
        let message = format!("{what} has no {} `{key}`", self.words.key);
        let known = format!("known {}s", self.words.key);
        Problem::new(self.words.unknown, span, message).maybe_help(suggest(&known, key, names))
    }

    /// Judges a value and everything in it. `what` names it: "`timeout`".
    pub(crate) fn value(&self, schema: &'a Value, node: &Node, what: &str, marks: Marks, problems: &mut Vec<Problem>) {
        let (here, marks) = match &schema["x-expression"] {
            Value::Bool(true) => (Marks::Allowed, Marks::Allowed),
            Value::Bool(false) if marks != Marks::Literal => (Marks::Refused, Marks::Refused),
            Value::String(_) => (marks, Marks::Allowed),
            _ => (marks, marks),
        };
        let schema = self.only(self.follow(schema));
        if schema["format"] != "cel" && self.expression(schema, node, what, here, problems) {
            return;
        }
        if matches!(&node.value, Tree::Scalar(Value::Null)) && !accepts_null(schema) {
            let message = format!("{what} has no value");
            let problem = Problem::new(codes::NO_VALUE, node.span, message);
            problems.push(problem.help(format!("give it {}, or remove it", self.wanted(schema))));
            return;
        }
        let alternatives = self.alternatives(schema);
        if !alternatives.is_empty() {
            return self.any_of(schema, &alternatives, node, what, marks, problems);
        }
        if let Some(allowed) = words_of(schema) {
            return self.one_of(&allowed, node, what, problems);
        }
        if !type_fits(schema, node) {
            problems.push(self.wrong_type(schema, node, what));
            return;
        }
        self.limits(schema, node, what, problems);
        self.inside(schema, node, what, marks, problems);
    }

    /// True where the value is an expression, judged elsewhere.
    fn expression(&self, schema: &Value, node: &Node, what: &str, marks: Marks, problems: &mut Vec<Problem>) -> bool {
        if marks == Marks::Literal || !node.text().is_some_and(|text| text.contains("${{")) {
            return false;
        }
        if marks == Marks::Refused {
            let message = format!("{what} takes no expression");
            let problem = Problem::new(codes::NO_EXPRESSION_HERE, node.span, message);
            problems.push(problem.help(format!("write {}", self.wanted(schema))));
        }
        true
    }

    fn any_of(
        &self,
        schema: &Value,
        options: &[&'a Value],
        node: &Node,
        what: &str,
        marks: Marks,
        problems: &mut Vec<Problem>,
    ) {
        let mut nearest: Option<Vec<Problem>> = None;
        for option in options {
            let mut own = Vec::new();
            self.value(option, node, what, marks, &mut own);
            if own.is_empty() {
                return;
            }
            let fits = type_fits(self.follow(option), node);
            if nearest.is_none() && (fits || options.len() == 1) {
                nearest = Some(own);
            }
        }
        match nearest {
            Some(own) => problems.extend(own),
            None => problems.push(self.wrong_type(schema, node, what)),
        }
    }

    fn one_of(&self, allowed: &[&str], node: &Node, what: &str, problems: &mut Vec<Problem>) {
        match node.text() {
            Some(text) if allowed.contains(&text) => {}
            Some(text) => {
                let message = format!("{what} cannot be `{}`", cut(text));
                let problem = Problem::new(self.words.bad_value, node.span, message);
                problems.push(problem.maybe_help(suggest("allowed", text, allowed.iter().copied())));
            }
            None => {
                let message = format!("{what} must be one of {}, and is {}", allowed.join(", "), node.describe());
                problems.push(Problem::new(self.words.wrong_type, node.span, message));
            }
        }
    }

    fn wrong_type(&self, schema: &Value, node: &Node, what: &str) -> Problem {
        let message = format!("{what} must be {}, and is {}", self.wanted(schema), node.describe());
        let problem = Problem::new(self.words.wrong_type, node.span, message);
        let text_wanted = types(schema).contains(&"string") && !types(schema).contains(&"object");
        match &node.value {
            Tree::Scalar(Value::Number(_) | Value::Bool(_)) if text_wanted && known_format(schema).is_none() => {
                problem.help("put it in quotes")
            }
            Tree::Scalar(Value::Number(number)) if schema["format"] == "duration" => {
                problem.help(format!("add a unit: {number}s, {number}m or {number}h"))
            }
            Tree::Scalar(Value::String(text)) if types(schema).contains(&"integer") && text.parse::<i64>().is_ok() => {
                problem.help("remove the quotes")
            }
            _ => problem,
        }
    }

    fn limits(&self, schema: &Value, node: &Node, what: &str, problems: &mut Vec<Problem>) {
        let json = if let Tree::Scalar(value) = &node.value { value.clone() } else { Value::Null };
        if let Some(format) = known_format(schema)
            && let Err(why) = (format.check)(&json)
        {
            let code = format.code.unwrap_or(self.words.bad_value);
            let problem = Problem::new(code, node.span, format!("{what}: {why}"));
            problems.push(problem.maybe_help((format.mend)(&json)));
            return;
        }
        let mut refuse = |message: String| problems.push(Problem::new(self.words.bad_value, node.span, message));
        let bound = |key: &str| schema[key].as_f64();
        if let Some(number) = json.as_f64() {
            if let Some(least) = bound("minimum").filter(|least| number < *least) {
                refuse(format!("{what} must be at least {least}, and is {number}"));
            }
            if let Some(most) = bound("maximum").filter(|most| number > *most) {
                refuse(format!("{what} must be at most {most}, and is {number}"));
            }
        }
        if let Some(text) = json.as_str() {
            let length = text.chars().count() as f64;
            if bound("minLength").is_some_and(|least| length < least) {
                refuse(format!("{what} is empty or too short"));
            }
            if let Some(most) = bound("maxLength").filter(|most| length > *most) {
                refuse(format!("{what} is longer than {most} characters"));
            }
        }
        if matches!(&node.value, Tree::List(items) if bound("minItems").is_some_and(|least| (items.len() as f64) < least))
        {
            refuse(format!("{what} is empty"));
        }
    }

    fn inside(&self, schema: &'a Value, node: &Node, what: &str, marks: Marks, problems: &mut Vec<Problem>) {
        match &node.value {
            Tree::Scalar(_) => {}
            Tree::List(items) => {
                if let Some(of) = schema.get("items") {
                    for item in items {
                        self.value(of, item, &format!("an item of {what}"), marks, problems);
                    }
                }
            }
            Tree::Map(entries) => {
                let rest = schema.get("additionalProperties");
                if schema.get("properties").is_some() || rest == Some(&Value::Bool(false)) {
                    self.keys(schema, node, what, node.span, problems);
                }
                for entry in
                    entries.iter().filter(|entry| !entry.key.starts_with("x-") || schema.get("properties").is_none())
                {
                    let of = schema["properties"].get(&entry.key).or_else(|| rest.filter(|rest| rest.is_object()));
                    if let Some(of) = of {
                        self.value(of, &entry.node, &format!("`{}`", entry.key), marks, problems);
                    }
                }
            }
        }
    }

    /// Follows `$ref`.
    pub(crate) fn follow(&self, schema: &'a Value) -> &'a Value {
        let mut schema = schema;
        for _ in 0..8 {
            let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) else { break };
            schema = self.definition(name);
        }
        schema
    }

    /// The one alternative beside `null`, where there is just one.
    fn only(&self, schema: &'a Value) -> &'a Value {
        match self.alternatives(schema)[..] {
            [one] if words_of(schema).is_none() => self.follow(one),
            _ => schema,
        }
    }

    fn alternatives(&self, schema: &'a Value) -> Vec<&'a Value> {
        let list = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array());
        let list = list.into_iter().flatten();
        list.filter(|option| option["type"] != "null" && option.get("const").is_none()).collect()
    }

    /// What a schema wants, for people: "a duration such as 5m".
    pub(crate) fn wanted(&self, schema: &'a Value) -> String {
        let schema = self.follow(schema);
        if let Some(format) = known_format(schema) {
            return format.words.to_owned();
        }
        if let Some(words) = words_of(schema) {
            return format!("one of {}", words.join(", "));
        }
        let options = self.alternatives(schema);
        if !options.is_empty() {
            let words: Vec<String> = options.iter().map(|option| self.wanted(option)).collect();
            return words.join(" or ");
        }
        let words: Vec<&str> = types(schema).into_iter().filter(|name| *name != "null").map(type_words).collect();
        if words.is_empty() { "any value".to_owned() } else { words.join(" or ") }
    }
}

/// Name of a JSON type for people.
pub(crate) fn type_words(name: &str) -> &str {
    match name {
        "string" => "text",
        "integer" => "an integer",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a map",
        other => other,
    }
}

fn known_format(schema: &Value) -> Option<&'static Format> {
    schema["format"].as_str().and_then(format)
}

/// The JSON types that a schema allows; empty = any.
pub(crate) fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn accepts_null(schema: &Value) -> bool {
    schema.get("type").is_none()
        && schema.get("anyOf").is_none()
        && schema.get("oneOf").is_none()
        && schema.get("enum").is_none()
}

/// The words of an enumeration.
pub(crate) fn words_of(schema: &Value) -> Option<Vec<&str>> {
    if let Some(words) = schema["enum"].as_array() {
        return Some(words.iter().filter_map(Value::as_str).collect());
    }
    if let Some(word) = schema["const"].as_str() {
        return Some(vec![word]);
    }
    let options = schema["oneOf"].as_array()?;
    let words: Vec<&str> = options
        .iter()
        .flat_map(|option| {
            option["const"].as_str().map(|word| vec![word]).or_else(|| words_of(option)).unwrap_or_default()
        })
        .collect();
    (!words.is_empty()).then_some(words)
}

fn type_fits(schema: &Value, node: &Node) -> bool {
    let types = types(schema);
    let name = match &node.value {
        Tree::List(_) => "array",
        Tree::Map(_) => "object",
        Tree::Scalar(Value::String(_)) => "string",
        Tree::Scalar(Value::Bool(_)) => "boolean",
        Tree::Scalar(Value::Number(number)) if number.is_f64() => "number",
        Tree::Scalar(Value::Number(_)) => "integer",
        Tree::Scalar(_) => "null",
    };
    types.is_empty() || types.contains(&name) || (name == "integer" && types.contains(&"number"))
}

fn cut(text: &str) -> String {
    let shown: String = text.chars().take(60).collect();
    if shown.len() < text.len() { format!("{shown}…") } else { shown }
}
