//! `plugin.run`: a vendor's step plugin, with what the operator granted it.

use super::payload::Payload;
use super::{ANY_OUTPUT, EffectClass, OutputField, Outputs, Primitive, Start, read};
use crate::effect::{Effect, PluginRequest, Reply};
use crate::failure::{Class, Failure};
use crate::workflow::{Step, StepKind, codes, format};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Map, Value};

/// What is kept of a plugin's message, in bytes.
const MAX_MESSAGE: usize = 1024;

/// Parameters of `plugin.run`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PluginRun {
    /// Name of the plugin, as NAME or NAME@VERSION. It is pinned when the run begins, so that it takes no expression.
    #[schemars(schema_with = "name")]
    plugin: String,
    /// What the plugin is given, any value; it gets it as JSON.
    input: Option<Payload>,
}

pub(super) static PRIMITIVE: Primitive = Primitive {
    name: "plugin.run",
    about: "Runs a step plugin, which may use MQTT, Redis, the file store and the log as far as the operator granted it.",
    parameters: read::schema::<PluginRun>,
    outputs: &[OutputField { name: ANY_OUTPUT, kind: "any?", about: "Whatever the plugin gives, by name." }],
    errors: &[
        ("PH6101", "the plugin says that it failed, without a code of its own (transient or permanent, as it says)"),
        ("PH6102", "the plugin was stopped, or what it gave cannot be used (permanent)"),
        ("PH6103", "the plugin cannot be loaded, or needs what it was not granted (operator)"),
        ("PH6104", "the plugin that the run is pinned to is gone (permanent)"),
        (codes::OUTPUT_TOO_LONG, "its outputs are longer than 64 KiB (permanent)"),
    ],
    class: EffectClass::AtLeastOnce,
    example: "\
- id: auth
  uses: plugin.run
  with: { plugin: handshake, input: { lifetime: 1h } }
  timeout: 1m
",
    start,
    finish,
};

fn name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "plugin", "x-expression": false })
}

/// The plugin that a step names, where it runs one.
pub fn plugin_of(step: &Step) -> Option<&str> {
    match &step.kind {
        StepKind::Uses { primitive, with } if primitive.name == PRIMITIVE.name => {
            with.get("plugin")?.as_literal()?.as_str()
        }
        StepKind::Uses { .. } | StepKind::Block(_) => None,
    }
}

/// What a plugin says that it failed with. A code that is none counts as none.
pub fn plugin_failed(plugin: &str, class: Class, code: &str, message: &str) -> Failure {
    let own = format::word(code).is_ok();
    let text = &message[..message.floor_char_boundary(MAX_MESSAGE)];
    Failure::new(if own { code } else { "PH6101" }, class, format!("plugin {plugin}: {}", text.escape_debug()))
}

fn start(with: &Map<String, Value>) -> Result<Start, Failure> {
    let run: PluginRun = read::parameters(&PRIMITIVE, with)?;
    let request = PluginRequest { plugin: run.plugin, input: run.input.map_or(Value::Null, |input| input.0) };
    Ok(Start::Effect(Box::new(Effect::PluginRun(request))))
}

fn finish(_: &Map<String, Value>, reply: Reply) -> Result<Outputs, Failure> {
    let Reply::Plugin { outputs } = reply else { return Err(read::unexpected(&PRIMITIVE, &reply)) };
    let length = serde_json::to_string(&outputs).map_or(0, |text| text.len());
    read::short_enough(&PRIMITIVE, "what the plugin gives", length)?;
    Ok(outputs)
}
