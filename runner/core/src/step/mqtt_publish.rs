//! `mqtt.publish`: one message to a topic.

use super::kinds::Topic;
use super::payload::{self, Payload};
use super::{EffectClass, Outputs, Primitive, Start, read};
use crate::effect::{Effect, PublishRequest, Reply};
use crate::failure::Failure;
use crate::transfer::Qos;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Parameters of `mqtt.publish`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Publish {
    /// Where to; no wildcards.
    topic: Topic,
    /// Text as it is; anything else as JSON.
    payload: Option<Payload>,
    /// Bytes in Base64, instead of `payload`.
    payload_base64: Option<String>,
    /// Quality of service, 0 or 1 (the default).
    #[schemars(range(min = 0, max = 1))]
    qos: Option<u8>,
    /// Whether the broker keeps it for later subscribers; false where it is not given.
    retain: Option<bool>,
}

pub(super) static PRIMITIVE: Primitive = Primitive {
    name: "mqtt.publish",
    about: "Publishes one MQTT message.",
    parameters: read::schema::<Publish>,
    outputs: &[],
    errors: &[],
    class: EffectClass::AtLeastOnce,
    example: "\
- uses: mqtt.publish
  with: { topic: \"fleet/${{ inputs.device }}/notice\", payload: { state: updated, md5: \"${{ steps.push.outputs.md5 }}\" } }
",
    start,
    finish,
};

fn start(with: &Map<String, Value>) -> Result<Start, Failure> {
    let publish: Publish = read::parameters(&PRIMITIVE, with)?;
    let request = PublishRequest {
        topic: publish.topic.0,
        payload: payload::bytes(&PRIMITIVE, publish.payload, publish.payload_base64.as_deref())?,
        qos: if publish.qos == Some(0) { Qos::AtMostOnce } else { Qos::AtLeastOnce },
        retain: publish.retain.unwrap_or_default(),
    };
    Ok(Start::Effect(Box::new(Effect::Publish(request))))
}

fn finish(_: &Map<String, Value>, reply: Reply) -> Result<Outputs, Failure> {
    match reply {
        Reply::Done => Ok(Outputs::new()),
        other => Err(read::unexpected(&PRIMITIVE, &other)),
    }
}
