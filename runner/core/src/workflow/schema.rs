//! JSON Schema of workflow files, for editors and for the checker, from the types that files are read into.

use super::raw::RawWorkflow;
use crate::step::{PRIMITIVES, Primitive};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Schema of the grammar without the parameters of primitives.
static GRAMMAR: LazyLock<Value> = LazyLock::new(|| schemars::schema_for!(RawWorkflow).to_value());

static PARAMETERS: LazyLock<BTreeMap<&'static str, Value>> = LazyLock::new(|| {
    PRIMITIVES.iter().map(|primitive| (primitive.name, (primitive.parameters)().to_value())).collect()
});

/// What the checker judges a file by.
pub(super) fn grammar() -> &'static Value {
    &GRAMMAR
}

/// What the checker judges `with` by.
pub(crate) fn parameters(primitive: &Primitive) -> &'static Value {
    PARAMETERS.get(primitive.name).unwrap_or(&Value::Null)
}

/// JSON Schema (draft 2020-12) of workflow files, for editors: completion, hints, and most of what the checker finds.
pub fn schema() -> Value {
    let mut schema = GRAMMAR.clone();
    schema["$id"] = json!("https://packhorse.dev/schema/workflow-v1.json");
    schema["title"] = json!("Packhorse workflow");
    soften(&mut schema, false);
    let names: Vec<Value> =
        PRIMITIVES.iter().map(|primitive| json!({ "const": primitive.name, "description": primitive.about })).collect();
    schema["$defs"]["Step"]["properties"]["uses"] = json!({ "description": "The primitive.", "oneOf": names });
    schema["$defs"]["Step"]["oneOf"] = json!([{ "required": ["uses"] }, { "required": ["steps"] }]);
    let rules: Vec<Value> = PRIMITIVES.iter().map(|primitive| rule(primitive, &mut schema["$defs"])).collect();
    schema["$defs"]["Step"]["allOf"] = Value::Array(rules);
    schema
}

fn rule(primitive: &Primitive, definitions: &mut Value) -> Value {
    let mut with = parameters(primitive).clone();
    soften(&mut with, true);
    if let Some(fields) = with.as_object_mut() {
        fields.remove("$schema");
        fields.remove("title");
        if let Some(Value::Object(own)) = fields.remove("$defs") {
            for (name, definition) in own {
                definitions[name] = definition;
            }
        }
    }
    let needs_with = with["required"].as_array().is_some_and(|required| !required.is_empty());
    let mut then = json!({ "properties": { "with": with } });
    if needs_with {
        then["required"] = json!(["with"]);
    }
    json!({ "if": { "properties": { "uses": { "const": primitive.name } }, "required": ["uses"] }, "then": then })
}

/// Lets `${{ }}` stand where it may, and `x-` keys in maps with fixed keys; says formats as patterns; takes out what only
/// the checker reads, and the `null` that optional values bring along: a key without a value is a mistake.
fn soften(schema: &mut Value, expressions: bool) {
    let Some(fields) = schema.as_object_mut() else { return };
    if fields.get("format").is_some_and(|format| format == "conditions") {
        let description = fields.remove("description").unwrap_or_default();
        fields.clear();
        fields.insert("description".to_owned(), description);
        let texts = json!({ "type": "array", "items": { "type": "string" } });
        fields.insert("anyOf".to_owned(), json!([{ "type": "string" }, texts]));
        return;
    }
    let (here, below) = match fields.remove("x-expression") {
        Some(Value::Bool(granted)) => (granted, granted),
        Some(_) => (expressions, true),
        None => (expressions, expressions),
    };
    fields.remove("x-later");
    without_null(fields);
    if let Some(pattern) = fields.get("format").and_then(Value::as_str).and_then(editor_pattern) {
        fields.remove("format");
        if !pattern.is_empty() {
            fields.entry("pattern").or_insert_with(|| json!(pattern));
        }
    }
    for key in ["properties", "$defs"] {
        if let Some(Value::Object(map)) = fields.get_mut(key) {
            map.values_mut().for_each(|value| soften(value, below && key == "properties"));
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(value) = fields.get_mut(key) {
            soften(value, below);
        }
    }
    if fields.contains_key("properties") {
        fields.insert("patternProperties".to_owned(), json!({ "^x-": true }));
    }
    if here {
        or_expression(fields);
    }
}

/// The pattern for a format of ours; empty where only the checker can tell.
fn editor_pattern(format: &str) -> Option<&'static str> {
    match format {
        "duration" => Some("^[0-9]+(ms|s|m|h|d)$"),
        "size" => Some("^[0-9]+(B|[KMGT]iB|[kKMGT]B)?$"),
        "rate" => Some("^[0-9]+(B|[KMGT]iB|[kKMGT]B)?/s$"),
        "device" => Some("^[A-Za-z0-9_.:@=-]{1,128}$"),
        "topic" => Some("^[^+#]+$"),
        "md5" => Some("^[0-9A-Fa-f]{32}$"),
        "sha256" => Some("^[0-9A-Fa-f]{64}$"),
        "file" => Some("\\$\\{\\{"),
        other => super::format::format(other).map(|_| ""),
    }
}

fn without_null(fields: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = fields.get_mut("type") {
        types.retain(|name| name != "null");
        if let [one] = &types[..] {
            let one = one.clone();
            fields.insert("type".to_owned(), one);
        }
    }
    if let Some(Value::Array(options)) = fields.get_mut("anyOf") {
        options.retain(|option| option["type"] != "null");
        if let [Value::Object(one)] = &options[..] {
            let one = one.clone();
            fields.remove("anyOf");
            fields.extend(one.into_iter().filter(|(name, _)| name != "description"));
        }
    }
    if let Some(Value::Array(words)) = fields.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
}

/// Text that any text may be needs no alternative, and neither do maps whose keys are fixed.
fn or_expression(fields: &mut Map<String, Value>) {
    let any_text =
        fields.get("type") == Some(&json!("string")) && !fields.contains_key("pattern") && !fields.contains_key("enum");
    let typed = ["type", "anyOf", "oneOf", "enum"].iter().any(|key| fields.contains_key(*key));
    if any_text || !typed || fields.contains_key("properties") {
        return;
    }
    let description = fields.remove("description");
    let own = Value::Object(std::mem::take(fields));
    if let Some(words) = description {
        fields.insert("description".to_owned(), words);
    }
    fields.insert("anyOf".to_owned(), json!([own, { "type": "string", "pattern": "\\$\\{\\{" }]));
}
