//! Between our messages and rumqttc's: properties, QoS, sizes, reasons in words.

use std::sync::Arc;

use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Publish, PublishProperties, SubscribeReasonCode};

use super::{BusError, Message, Properties, Qos};

/// User properties which the embedded broker adds to whatever it forwards: its doing, not the sender's.
const BROKER_ADDS: [&str; 2] = ["x-mqtt-client-id", "x-mqtt-sender"];

/// Queues a message in the client's channel; `Busy` when that is full.
pub(super) fn send(client: &AsyncClient, message: &Message) -> Result<(), BusError> {
    let (topic, qos, payload) = (&*message.topic, to_qos(message.qos), message.payload.clone());
    let sent = match &message.properties {
        None => client.try_publish(topic, qos, message.retain, payload),
        Some(properties) => {
            client.try_publish_with_properties(topic, qos, message.retain, payload, to_properties(properties))
        }
    };
    // The topic was checked before, so only a full channel is left as a reason.
    sent.map_err(|_| BusError::Busy)
}

/// A message as it came, under a topic that is already known to be text.
pub(super) fn message(publish: Publish, topic: Arc<str>) -> Message {
    Message {
        topic,
        payload: publish.payload,
        qos: from_qos(publish.qos),
        retain: publish.retain,
        properties: publish.properties.and_then(from_properties),
    }
}

/// Size of the PUBLISH packet in bytes, its fixed header counted at its longest.
pub(super) fn packet_size(message: &Message) -> usize {
    const FIXED: usize = 5 + 2 + 2 + 4;
    let properties = message.properties.as_ref().map_or(0, |properties| {
        let text = |text: &str| 3 + text.len();
        properties.response_topic.as_deref().map_or(0, text)
            + properties.content_type.as_deref().map_or(0, text)
            + properties.correlation.as_ref().map_or(0, |bytes| 3 + bytes.len())
            + properties.expiry.map_or(0, |_| 5)
            + properties.user.iter().map(|(name, value)| 5 + name.len() + value.len()).sum::<usize>()
    });
    FIXED + message.topic.len() + properties + message.payload.len()
}

pub(super) fn to_qos(qos: Qos) -> QoS {
    match qos {
        Qos::AtMostOnce => QoS::AtMostOnce,
        Qos::AtLeastOnce => QoS::AtLeastOnce,
        Qos::ExactlyOnce => QoS::ExactlyOnce,
    }
}

fn from_qos(qos: QoS) -> Qos {
    match qos {
        QoS::AtMostOnce => Qos::AtMostOnce,
        QoS::AtLeastOnce => Qos::AtLeastOnce,
        QoS::ExactlyOnce => Qos::ExactlyOnce,
    }
}

fn to_properties(properties: &Properties) -> PublishProperties {
    PublishProperties {
        message_expiry_interval: properties.expiry,
        response_topic: properties.response_topic.as_deref().map(str::to_owned),
        correlation_data: properties.correlation.clone(),
        user_properties: properties.user.clone(),
        content_type: properties.content_type.clone(),
        ..PublishProperties::default()
    }
}

fn from_properties(properties: PublishProperties) -> Option<Box<Properties>> {
    let mut user = properties.user_properties;
    user.retain(|(name, _)| !BROKER_ADDS.contains(&name.as_str()));
    let properties = Properties {
        response_topic: properties.response_topic.map(Arc::from),
        correlation: properties.correlation_data,
        content_type: properties.content_type,
        user,
        expiry: properties.message_expiry_interval,
    };
    (!properties.is_empty()).then(|| Box::new(properties))
}

/// The answer to one filter of a SUBSCRIBE.
pub(super) fn subscribed(code: &SubscribeReasonCode) -> Result<(), String> {
    let reason = match code {
        SubscribeReasonCode::Success(_) => return Ok(()),
        SubscribeReasonCode::NotAuthorized => "not authorized",
        SubscribeReasonCode::TopicFilterInvalid => "the filter is not allowed",
        SubscribeReasonCode::QuotaExceeded => "quota exceeded",
        SubscribeReasonCode::WildcardSubscriptionsNotSupported => "wildcards are not supported",
        SubscribeReasonCode::PkidInUse => "packet id in use",
        SubscribeReasonCode::SharedSubscriptionsNotSupported
        | SubscribeReasonCode::SubscriptionIdNotSupported
        | SubscribeReasonCode::ImplementationSpecific
        | SubscribeReasonCode::Unspecified
        | SubscribeReasonCode::Failure => "no reason given",
    };
    Err(reason.to_owned())
}
