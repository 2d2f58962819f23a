//! One MQTT connection in either version, as one thing: what differs is in `five` (MQTT 5) and `three` (3.1.1).
//!
//! * `pump`: the event loop of MQTT 5, and `frames`: its packets out of bytes
//! * `codes`: rumqttc's reason codes as ours
//! * `size`: how large a PUBLISH becomes
//! * `fault`: errors of sockets and TLS as ours
//!
//! Every connection gets a new client and event loop, which is thrown away with it.

mod codes;
mod fault;
mod five;
mod frames;
mod pump;
mod size;
mod three;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rumqttc::Transport;
use rumqttc::v5::mqttbytes::v5::PublishProperties;

use super::outbox::QUEUE;
use super::{Acknowledge, BusError, Limits, Message, Qos, Reason, Server, Session};

pub(super) use fault::broken;
pub(super) use size::packet_size;

/// Unacknowledged publishes at a time, either way; far above any window, so that it never holds one up. The broker's
/// receive maximum lowers it.
pub(super) const INFLIGHT: u16 = 1024;

/// Room in the client's channel besides the queue: what a lost connection gave back, and control packets.
const CHANNEL: usize = QUEUE + INFLIGHT as usize + 64;

/// How long a broker keeps the session of an absent runner where `session: keep` is set, in seconds.
const SESSION_EXPIRY: u32 = 24 * 3600;

/// The version of MQTT that a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// MQTT 3.1.1: no properties, no expiry, no limits, no reasons.
    V311,
    /// MQTT 5.
    V5,
}

/// What a connection is made with.
pub(super) struct Opening<'a> {
    pub(super) server: &'a Server,
    pub(super) transport: Transport,
    pub(super) credentials: Option<(String, String)>,
    pub(super) client_id: &'a str,
    pub(super) session: Session,
    pub(super) receipts: Acknowledge,
    pub(super) keep_alive: Duration,
    pub(super) attempt_timeout: Duration,
}

/// The broker's welcome.
#[derive(Debug, Clone)]
pub(super) struct Welcome {
    pub(super) session_present: bool,
    pub(super) limits: Limits,
}

/// A connection attempt that came to nothing.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: BusError,
    /// A broker that knows only older versions may answer so.
    pub(super) perhaps_old: bool,
}

/// What a connection tells.
#[derive(Debug)]
pub(super) enum Signal {
    Arrived(Arrived),
    /// A PUBLISH was written; packet id 0 for QoS 0.
    Sent(u16),
    /// The broker's last word on a publish.
    Acknowledged(u16, Reason),
    Subscribed(Vec<Result<(), Reason>>),
    Unsubscribed,
    /// Our DISCONNECT was written.
    Goodbye,
    /// Pings and the like.
    Other,
}

/// A PUBLISH from the broker.
#[derive(Debug)]
pub(super) struct Arrived {
    /// As it came: text, unless the sender broke the rules.
    pub(super) topic: Bytes,
    /// 0 where nothing is to be acknowledged.
    pub(super) packet_id: u16,
    payload: Bytes,
    qos: Qos,
    retain: bool,
    properties: Option<PublishProperties>,
}

impl Arrived {
    /// The message, under a topic that is known to be text.
    pub(super) fn message(self, topic: Arc<str>) -> Message {
        let properties = self.properties.and_then(five::properties);
        Message { topic, payload: self.payload, qos: self.qos, retain: self.retain, properties }
    }
}

/// Publishes that a dead connection still held, in the order in which they were queued.
#[derive(Debug, Default)]
pub(super) struct Undelivered {
    /// Sent and not acknowledged: packet id and message.
    pub(super) sent: Vec<(u16, Message)>,
    /// Not sent yet.
    pub(super) queued: Vec<Message>,
}

/// The sending end of a connection; cheap to clone.
#[derive(Debug, Clone)]
pub(super) enum Client {
    Five(tokio::sync::mpsc::Sender<rumqttc::v5::Request>),
    Three(rumqttc::AsyncClient),
}

/// The receiving end, which also moves everything.
pub(super) enum Wire {
    Five(Box<five::Five>),
    Three(Box<three::Three>),
}

impl Wire {
    /// Connects; at most `attempt_timeout`.
    pub(super) async fn connect(opening: Opening<'_>, protocol: Protocol) -> Result<(Client, Self, Welcome), Failed> {
        match protocol {
            Protocol::V5 => {
                let (client, five, welcome) = five::Five::connect(opening).await?;
                Ok((Client::Five(client), Self::Five(Box::new(five)), welcome))
            }
            Protocol::V311 => {
                let (client, mut three) = three::Three::new(opening);
                let welcome = three.connect().await?;
                Ok((Client::Three(client), Self::Three(Box::new(three)), welcome))
            }
        }
    }

    /// What happens next. Poll it to its end: a call that is dropped half-way may lose an acknowledgement.
    pub(super) async fn next(&mut self) -> Result<Signal, BusError> {
        match self {
            Self::Five(five) => five.next().await,
            Self::Three(three) => three.next().await,
        }
    }

    /// Publishes sent and not yet acknowledged.
    pub(super) fn inflight(&self) -> u16 {
        match self {
            Self::Five(five) => five.inflight(),
            Self::Three(three) => three.inflight(),
        }
    }

    /// The broker's, where it imposed one.
    pub(super) fn keep_alive(&self) -> Duration {
        match self {
            Self::Five(five) => five.keep_alive(),
            Self::Three(three) => three.keep_alive(),
        }
    }

    pub(super) fn protocol(&self) -> Protocol {
        match self {
            Self::Five(_) => Protocol::V5,
            Self::Three(_) => Protocol::V311,
        }
    }

    /// What had happened when the connection died and was not told yet.
    pub(super) fn rest(&mut self) -> Vec<Signal> {
        match self {
            Self::Five(five) => five.rest(),
            Self::Three(three) => three.rest(),
        }
    }

    /// Ends it. `last` is the packet id of the publish that was sent last.
    pub(super) fn salvage(self, last: u16) -> Undelivered {
        match self {
            Self::Five(five) => five.salvage(last),
            Self::Three(three) => three.salvage(last),
        }
    }
}

impl Client {
    /// Queues a message in the client's channel; `Busy` when that is full.
    pub(super) fn send(&self, message: &Message) -> Result<(), BusError> {
        match self {
            Self::Five(client) => five::send(client, message),
            Self::Three(client) => three::send(client, message),
        }
    }

    /// One SUBSCRIBE. An error means that the connection is gone.
    pub(super) async fn subscribe(&self, filters: &[(Arc<str>, Qos)]) -> Result<(), ()> {
        match self {
            Self::Five(client) => five::subscribe(client, filters).await,
            Self::Three(client) => three::subscribe(client, filters).await,
        }
    }

    /// An UNSUBSCRIBE for each filter. An error means that the connection is gone.
    pub(super) async fn unsubscribe(&self, filters: &[Arc<str>]) -> Result<(), ()> {
        for filter in filters {
            match self {
                Self::Five(client) => five::unsubscribe(client, filter).await?,
                Self::Three(client) => client.unsubscribe(&**filter).await.map_err(drop)?,
            }
        }
        Ok(())
    }

    /// A PUBACK. An error means that the connection is gone.
    pub(super) async fn acknowledge(&self, packet_id: u16) -> Result<(), ()> {
        match self {
            Self::Five(client) => five::acknowledge(client, packet_id).await,
            Self::Three(client) => three::acknowledge(client, packet_id).await,
        }
    }

    /// Queues a DISCONNECT; false when there is no room or no connection.
    pub(super) fn disconnect(&self) -> bool {
        match self {
            Self::Five(client) => five::disconnect(client),
            Self::Three(client) => client.try_disconnect().is_ok(),
        }
    }
}

/// Publishes in the order in which they were sent: packet ids above the last one used are of the round before.
fn in_order(mut sent: Vec<(u16, Message)>, last: u16) -> Vec<(u16, Message)> {
    sent.sort_by_key(|(packet_id, _)| (*packet_id <= last, *packet_id));
    sent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undelivered_publishes_keep_their_order_across_the_wrap_of_packet_ids() {
        let sent = [(1, "e"), (2, "f"), (3, "g"), (1022, "b"), (1023, "c"), (1024, "d")];
        let sent = sent.map(|(packet_id, text)| (packet_id, Message::new("t", text))).to_vec();
        let text: Vec<u8> = in_order(sent, 3).iter().map(|(_, message)| message.payload[0]).collect();
        assert_eq!(text, b"bcdefg");
    }
}
