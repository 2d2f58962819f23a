//! What travels on the bus: one MQTT message, apart from any client library's types.

use std::sync::Arc;

use bytes::Bytes;

/// The delivery promise of one hop. Ordered: `AtMostOnce < AtLeastOnce < ExactlyOnce`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Qos {
    /// QoS 0: sent once, never repeated.
    AtMostOnce,
    /// QoS 1: repeated until the broker acknowledges; may arrive twice.
    #[default]
    AtLeastOnce,
    /// QoS 2. Not advised: four packets a message, and rumqttc leaks places in flight on refusals (its issue 1060).
    ExactlyOnce,
}

/// One message. Cloning is cheap: topic and payload are shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The full topic name, without wildcards.
    pub topic: Arc<str>,
    /// The bytes, unread.
    pub payload: Bytes,
    /// Outgoing: the wish. Incoming: the lower of the sender's and the subscription's.
    pub qos: Qos,
    /// Outgoing: the broker keeps it as the topic's last message (an empty payload forgets it). Incoming: it was such
    /// a kept message, sent because of a new subscription.
    pub retain: bool,
    /// MQTT 5 properties; `None` when there are none.
    pub properties: Option<Box<Properties>>,
}

impl Message {
    /// A plain QoS 1 message: not retained, no properties.
    pub fn new(topic: impl Into<Arc<str>>, payload: impl Into<Bytes>) -> Self {
        Self { topic: topic.into(), payload: payload.into(), qos: Qos::AtLeastOnce, retain: false, properties: None }
    }

    /// The same message with another QoS.
    #[must_use]
    pub fn with_qos(mut self, qos: Qos) -> Self {
        self.qos = qos;
        self
    }

    /// The same message as a retained one.
    #[must_use]
    pub fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    /// The same message with these properties (none, when they are empty).
    #[must_use]
    pub fn with_properties(mut self, properties: Properties) -> Self {
        self.properties = (!properties.is_empty()).then(|| Box::new(properties));
        self
    }
}

/// The MQTT 5 properties that Packhorse uses; others are dropped on arrival.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Properties {
    /// Where an answer is expected.
    pub response_topic: Option<Arc<str>>,
    /// Sent back unread with the answer.
    pub correlation: Option<Bytes>,
    /// MIME type of the payload.
    pub content_type: Option<String>,
    /// Name and value pairs in order; names may repeat.
    pub user: Vec<(String, String)>,
    /// Seconds after which nobody wants the message any more. Incoming: what is left of it.
    pub expiry: Option<u32>,
}

impl Properties {
    /// True when nothing is set, so that the message can go without properties.
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }
}
