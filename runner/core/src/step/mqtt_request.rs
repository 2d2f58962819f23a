//! `mqtt.request`: one message, and its answer.

use super::kinds::{Time, Topic};
use super::payload::{self, Payload};
use super::{EffectClass, OutputField, Outputs, Primitive, Start, read};
use crate::effect::{Effect, MqttRequest, PublishRequest, Reply};
use crate::failure::Failure;
use crate::transfer::Qos;
use crate::workflow::codes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::time::Duration;

/// How long an answer is waited for where `wait` is not given.
const WAIT: Duration = Duration::from_secs(10);

/// Parameters of `mqtt.request`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Request {
    /// Where the question goes; no wildcards.
    topic: Topic,
    /// Text as it is; anything else as JSON.
    payload: Option<Payload>,
    /// Bytes in Base64, instead of `payload`.
    payload_base64: Option<String>,
    /// Where the answer comes; subscribed before the question goes out.
    reply_topic: Topic,
    /// How long to wait for the answer; 10s where it is not given.
    wait: Option<Time>,
}

pub(super) static PRIMITIVE: Primitive = Primitive {
    name: "mqtt.request",
    about: "Publishes one MQTT message and waits for the first message on another topic.",
    parameters: read::schema::<Request>,
    outputs: &[
        OutputField { name: "topic", kind: "string", about: "Topic of the answer." },
        OutputField { name: "payload", kind: "string?", about: "The answer, where it is UTF-8 text." },
        OutputField { name: "payload_base64", kind: "string", about: "The answer's bytes in Base64." },
        OutputField { name: "json", kind: "any?", about: "The answer, where it is JSON." },
    ],
    errors: &[(codes::OUTPUT_TOO_LONG, "the answer is longer than 64 KiB (permanent)")],
    class: EffectClass::AtLeastOnce,
    example: "\
- id: version
  uses: mqtt.request
  with: { topic: \"dev/${{ inputs.device }}/ask\", payload: version, reply_topic: \"dev/${{ inputs.device }}/tell\", wait: 5s }
",
    start,
    finish,
};

fn start(with: &Map<String, Value>) -> Result<Start, Failure> {
    let request: Request = read::parameters(&PRIMITIVE, with)?;
    let publish = PublishRequest {
        topic: request.topic.0,
        payload: payload::bytes(&PRIMITIVE, request.payload, request.payload_base64.as_deref())?,
        qos: Qos::AtLeastOnce,
        retain: false,
    };
    let wait = request.wait.map_or(WAIT, |wait| wait.0);
    Ok(Start::Effect(Box::new(Effect::Request(MqttRequest { publish, reply_topic: request.reply_topic.0, wait }))))
}

fn finish(_: &Map<String, Value>, reply: Reply) -> Result<Outputs, Failure> {
    message(&PRIMITIVE, reply)
}

/// The outputs of whoever got one message.
pub(super) fn message(primitive: &Primitive, reply: Reply) -> Result<Outputs, Failure> {
    let Reply::Message(message) = reply else { return Err(read::unexpected(primitive, &reply)) };
    read::short_enough(primitive, "the message", message.payload.len())?;
    let text = std::str::from_utf8(&message.payload).ok();
    let parsed: Option<Value> = text.and_then(|text| serde_json::from_str(text).ok());
    Ok(read::outputs([
        ("topic", Value::String(message.topic)),
        ("payload_base64", Value::String(STANDARD.encode(&message.payload))),
        ("payload", read::json(&text)),
        ("json", parsed.unwrap_or(Value::Null)),
    ]))
}
