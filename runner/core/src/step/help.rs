//! The page that `packhorse help PRIMITIVE` prints, from the same schema as the checker.

use super::{EffectClass, Primitive, read};
use crate::workflow;
use crate::workflow::shape::{PARAMETERS, Shape};
use std::fmt::Write as _;

/// Text for people: parameters with types, outputs, errors, what repeating it does, an example.
pub fn help(primitive: &'static Primitive) -> String {
    let mut page = format!("{}\n\n{}\n\nParameters\n", primitive.name, primitive.about);
    parameters(&mut page, primitive);
    page.push_str("\nOutputs\n");
    for output in primitive.outputs {
        let (kind, absent) = output.kind.strip_suffix('?').map_or((output.kind, ""), |kind| (kind, ", may be absent"));
        entry(&mut page, output.name, &format!("{}{absent}", kind_words(kind)), output.about);
    }
    if primitive.outputs.is_empty() {
        page.push_str("  none\n");
    }
    page.push_str("\nErrors\n");
    for (code, about) in primitive.errors.iter().chain(read::COMMON) {
        let _ = writeln!(page, "  {code}  {about}");
    }
    let _ = write!(page, "\nAfter a crash\n  {}\n\nExample\n", class_words(primitive.class));
    for line in primitive.example.lines() {
        let _ = writeln!(page, "  {line}");
    }
    page
}

fn parameters(page: &mut String, primitive: &'static Primitive) {
    let shape = Shape::new(workflow::parameters(primitive), PARAMETERS);
    let schema = shape.root();
    let required = schema["required"].as_array();
    for (name, of) in schema["properties"].as_object().into_iter().flatten() {
        let needed = required.is_some_and(|required| required.iter().any(|required| required == name));
        let kind = format!("{}, {}", shape.wanted(of), if needed { "required" } else { "optional" });
        entry(page, name, &kind, of["description"].as_str().unwrap_or_default());
    }
    if schema["properties"].as_object().is_none_or(serde_json::Map::is_empty) {
        page.push_str("  none\n");
    }
}

fn entry(page: &mut String, name: &str, kind: &str, about: &str) {
    let _ = writeln!(page, "  {name} ({kind})");
    let _ = writeln!(page, "      {}", about.replace('\n', " "));
}

fn kind_words(kind: &str) -> &str {
    match kind {
        "string" => "text",
        "integer" => "an integer",
        "boolean" => "true or false",
        "file" => "a file",
        "map" => "a map",
        "any" => "any value",
        other => other,
    }
}

const fn class_words(class: EffectClass) -> &'static str {
    match class {
        EffectClass::Pure => "pure: run again; nothing outside changes",
        EffectClass::Keyed => "keyed: run again; the second time changes nothing that the first has not",
        EffectClass::OffsetAddressed => "offset_addressed: goes on at the byte where the device is",
        EffectClass::AtLeastOnce => "at_least_once: done again where its outcome was not recorded",
        EffectClass::Once => "once: not repeated by itself; a person is asked where its outcome was not recorded",
    }
}
