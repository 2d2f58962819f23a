//! A codec's topics on the bus: what it wants to say goes out, what arrives is matched to its routes.

use crate::bus::{Bus, BusError, Delivery, Message, Properties, Qos, Subscription};
use crate::failpoint::Point;
use packhorse_core::transfer::{Flow, Incoming, More, Outgoing, Qos as RouteQos, RouteError, Routes};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// Seconds after which a piece of file that still lies at the broker is worth nothing: it has been sent again by then.
const PIECE_EXPIRY: u32 = 60;

/// One end of a conversation: its routes, bound to the bus.
#[derive(Debug)]
pub struct Channel {
    routes: Arc<Routes>,
    /// The flow of the messages that this end receives.
    receives: Flow,
    /// Route of each filter of the subscription.
    filters: Vec<u16>,
    /// Topics of routes without captures.
    topics: HashMap<u16, Arc<str>>,
    /// What the bus had no room for, in order.
    waiting: VecDeque<Message>,
    /// The topic with captures that was sent to last.
    captured: Option<Arc<str>>,
    /// The first message that the bus did not take, and why.
    trouble: Option<BusError>,
    since: Instant,
}

/// What an outgoing message is worth keeping for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worth {
    /// A piece of file: dropped by the broker when it is old.
    Piece,
    /// Anything else: kept as the broker likes.
    Word,
}

impl Channel {
    /// Binds the routes; `receives` is the flow of what arrives at this end.
    pub fn new(routes: Arc<Routes>, receives: Flow) -> Self {
        let filters = routes.subscriptions(receives).into_iter().map(|(route, _, _)| route).collect();
        Self {
            routes,
            receives,
            filters,
            topics: HashMap::new(),
            waiting: VecDeque::new(),
            captured: None,
            trouble: None,
            since: Instant::now(),
        }
    }

    /// Subscribes to everything that this end receives. Waits for the broker without limit.
    pub async fn subscribe(&self, bus: &dyn Bus) -> Result<Subscription, BusError> {
        let routes = self.routes.subscriptions(self.receives);
        let filters: Vec<(&str, Qos)> =
            routes.iter().map(|(_, filter, qos)| (filter.as_str(), quality(*qos))).collect();
        bus.subscribe_many(&filters).await
    }

    /// Length in bytes of the longest topic to the other end, captures left out.
    pub fn longest_topic(&self) -> usize {
        let sends = if self.receives == Flow::FromDevice { Flow::ToDevice } else { Flow::FromDevice };
        self.routes.subscriptions(sends).iter().map(|(_, filter, _)| filter.len()).max().unwrap_or(0)
    }

    /// Publishes a message, or keeps it until [`Channel::flush`] finds room. Gives its bytes on the wire.
    pub fn send(&mut self, bus: &dyn Bus, outgoing: Outgoing, worth: Worth) -> Result<u64, RouteError> {
        let message = self.message(outgoing, worth)?;
        let bytes = wire_bytes(&message);
        self.waiting.push_back(message);
        self.flush(bus);
        Ok(bytes)
    }

    /// Publishes what waits, as far as there is room.
    pub fn flush(&mut self, bus: &dyn Bus) {
        while let Some(message) = self.waiting.front() {
            Point::LinkPublish.pass();
            match bus.publish(message.clone()) {
                Err(BusError::Busy) => return,
                Err(error) => {
                    tracing::debug!(%error, topic = %message.topic, "a message was not published");
                    self.trouble.get_or_insert(error);
                }
                Ok(()) => Point::LinkPublished.pass(),
            }
            self.waiting.pop_front();
        }
    }

    /// Why what was sent does not go out: the bus did not take it, or the broker refuses it since this channel began.
    pub fn trouble(&self, bus: &dyn Bus) -> Option<BusError> {
        let topics = self.topics.values().chain(&self.captured);
        self.trouble.clone().or_else(|| topics.into_iter().find_map(|topic| bus.refusal(topic, self.since)))
    }

    /// Whether messages wait for room on the bus.
    pub fn is_full(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// A message as if it had just come; nothing where no route takes its topic.
    pub fn delivery(&self, message: Message) -> Option<Delivery> {
        let (route, _) = self.routes.find(self.receives, &message.topic)?;
        let filter = self.filters.iter().position(|of| *of == route)?;
        Some(Delivery { filter, message, receipt: None })
    }

    /// A delivery in the codec's words; nothing where the topic does not belong to its filter after all.
    pub fn incoming(&self, delivery: &Delivery) -> Option<Incoming> {
        let route = *self.filters.get(delivery.filter)?;
        let captures = self.routes.captures(route, &delivery.message.topic)?;
        let payload = delivery.message.payload.to_vec();
        let properties = delivery.message.properties.as_deref();
        let more = (!captures.is_empty() || properties.is_some_and(tells)).then(|| more(captures, properties));
        Some(Incoming { route, payload, more })
    }

    fn message(&mut self, outgoing: Outgoing, worth: Worth) -> Result<Message, RouteError> {
        let route = outgoing.route;
        let more = outgoing.more.unwrap_or_default();
        let topic = self.topic(route, &more.captures)?;
        let (qos, retain) =
            self.routes.quality(route).ok_or(RouteError::NoSuchRoute { route, count: self.filters.len() })?;
        let properties = Properties {
            response_topic: more.response_topic.map(Into::into),
            correlation: more.correlation.map(Into::into),
            content_type: more.content_type,
            user: more.user,
            expiry: (worth == Worth::Piece).then_some(PIECE_EXPIRY),
        };
        let message = Message { topic, payload: outgoing.payload.into(), qos: quality(qos), retain, properties: None };
        Ok(message.with_properties(properties))
    }

    fn topic(&mut self, route: u16, captures: &[String]) -> Result<Arc<str>, RouteError> {
        if captures.is_empty()
            && let Some(topic) = self.topics.get(&route)
        {
            return Ok(Arc::clone(topic));
        }
        let topic: Arc<str> = self.routes.topic(route, captures)?.into();
        if captures.is_empty() {
            self.topics.insert(route, Arc::clone(&topic));
        } else {
            self.captured = Some(Arc::clone(&topic));
        }
        Ok(topic)
    }
}

/// Bytes of a message on the wire: payload, topic, fixed header and properties, as MQTT 5 lays them out. What TCP and TLS
/// add is not counted.
pub fn wire_bytes(message: &Message) -> u64 {
    let properties = message.properties.as_deref().map_or(0, properties_bytes);
    let packet_id = if message.qos == Qos::AtMostOnce { 0 } else { 2 };
    let body = 2 + message.topic.len() + packet_id + varint(properties) + properties + message.payload.len();
    (1 + varint(body) + body) as u64
}

fn properties_bytes(properties: &Properties) -> usize {
    let text = |text: &str| 3 + text.len();
    properties.response_topic.as_deref().map_or(0, text)
        + properties.correlation.as_ref().map_or(0, |data| 3 + data.len())
        + properties.content_type.as_deref().map_or(0, text)
        + properties.expiry.map_or(0, |_| 5)
        + properties.user.iter().map(|(name, value)| 5 + name.len() + value.len()).sum::<usize>()
}

/// Length of a variable byte integer (MQTT 5, section 1.5.5).
const fn varint(value: usize) -> usize {
    match value {
        0..128 => 1,
        128..16_384 => 2,
        16_384..2_097_152 => 3,
        _ => 4,
    }
}

const fn quality(qos: RouteQos) -> Qos {
    match qos {
        RouteQos::AtMostOnce => Qos::AtMostOnce,
        RouteQos::AtLeastOnce => Qos::AtLeastOnce,
    }
}

/// Whether there is a property that codecs are told of.
fn tells(properties: &Properties) -> bool {
    properties.response_topic.is_some()
        || properties.correlation.is_some()
        || properties.content_type.is_some()
        || !properties.user.is_empty()
}

fn more(captures: Vec<String>, properties: Option<&Properties>) -> More {
    let Some(properties) = properties else { return More { captures, ..More::default() } };
    More {
        captures,
        response_topic: properties.response_topic.as_deref().map(ToOwned::to_owned),
        correlation: properties.correlation.as_ref().map(|data| data.to_vec()),
        content_type: properties.content_type.clone(),
        user: properties.user.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_bytes_follow_the_standard() {
        // Fixed header 2, topic 2 + 3, packet id 2, property length 1, payload 100.
        assert_eq!(wire_bytes(&Message::new("a/b", vec![0; 100])), 110);
        let message = Message::new("a/b", vec![0; 200]).with_qos(Qos::AtMostOnce);
        assert_eq!(wire_bytes(&message), 3 + 5 + 1 + 200);
        let properties = Properties { expiry: Some(60), ..Properties::default() };
        assert_eq!(wire_bytes(&Message::new("a/b", vec![0; 100]).with_properties(properties)), 115);
    }
}
