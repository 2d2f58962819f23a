//! The JSON Schema for editors is the one that is checked in.

use packhorse_core::workflow;
use std::path::Path;

/// `UPDATE=1` writes the file anew.
#[test]
fn the_schema_beside_the_workflows_is_the_one_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../workflows/schema.json");
    let text = format!("{}\n", serde_json::to_string_pretty(&workflow::schema()).expect("a schema is JSON"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).expect("writable");
    }
    let stored = std::fs::read_to_string(&path).expect("readable");
    assert!(stored == text, "workflows/schema.json is not what `packhorse schema` prints");
}

#[test]
fn the_schema_speaks_of_every_primitive_and_of_nothing_internal() {
    let text = workflow::schema().to_string();
    for primitive in packhorse_core::step::PRIMITIVES {
        assert!(text.contains(&format!("\"const\":\"{}\"", primitive.name)), "{}", primitive.name);
    }
    assert!(!text.contains("x-expression") && !text.contains("x-later"), "{text}");
}
