//! `mqtt.wait`: one message that somebody else sends.

use super::kinds::{Time, Topic};
use super::{EffectClass, OutputField, Outputs, Primitive, Start, mqtt_request, read};
use crate::effect::{Effect, Reply, WaitRequest};
use crate::failure::Failure;
use crate::workflow::codes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::time::Duration;

/// How long a message is waited for where `wait` is not given.
const WAIT: Duration = Duration::from_secs(10);

/// Parameters of `mqtt.wait`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wait {
    /// Where the message comes; no wildcards. A message that the broker kept from earlier does not count.
    topic: Topic,
    /// How long to wait for it; 10s where it is not given.
    wait: Option<Time>,
}

pub(super) static PRIMITIVE: Primitive = Primitive {
    name: "mqtt.wait",
    about: "Waits for the next MQTT message on a topic.",
    parameters: read::schema::<Wait>,
    outputs: &[
        OutputField { name: "topic", kind: "string", about: "Its topic." },
        OutputField { name: "payload", kind: "string?", about: "Its payload, where it is UTF-8 text." },
        OutputField { name: "payload_base64", kind: "string", about: "Its bytes in Base64." },
        OutputField { name: "json", kind: "any?", about: "Its payload, where it is JSON." },
    ],
    errors: &[(codes::OUTPUT_TOO_LONG, "the message is longer than 64 KiB (permanent)")],
    class: EffectClass::Pure,
    example: "\
- id: rebooted
  uses: mqtt.wait
  with: { topic: \"dev/${{ inputs.device }}/hello\", wait: 2m }
",
    start,
    finish,
};

fn start(with: &Map<String, Value>) -> Result<Start, Failure> {
    let wait: Wait = read::parameters(&PRIMITIVE, with)?;
    let request = WaitRequest { topic: wait.topic.0, wait: wait.wait.map_or(WAIT, |wait| wait.0) };
    Ok(Start::Effect(Box::new(Effect::Wait(request))))
}

fn finish(_: &Map<String, Value>, reply: Reply) -> Result<Outputs, Failure> {
    mqtt_request::message(&PRIMITIVE, reply)
}
