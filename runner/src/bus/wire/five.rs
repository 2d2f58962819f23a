//! MQTT 5 over rumqttc.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rumqttc::v5::mqttbytes::v5::{Disconnect, Filter, Packet, Publish, PublishProperties};
use rumqttc::v5::mqttbytes::{Error as Malformed, QoS};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, Request, StateError};
use rumqttc::{NetworkOptions, Outgoing};

use super::{Arrived, CHANNEL, Failed, INFLIGHT, Opening, SESSION_EXPIRY, Signal, Undelivered, Welcome, codes, fault};
use crate::bus::outbox::MAX_PACKET;
use crate::bus::{Acknowledge, BusError, Limits, Message, Properties, Qos, Reason, Session};

/// User properties which the embedded broker adds to whatever it forwards: its doing, not the sender's.
const BROKER_ADDS: [&str; 2] = ["x-mqtt-client-id", "x-mqtt-sender"];

pub(in crate::bus) struct Five {
    eventloop: EventLoop,
    address: String,
    client_id: String,
    keep_alive: Duration,
}

impl Five {
    pub(super) fn new(opening: Opening<'_>) -> (AsyncClient, Self) {
        let address = opening.server.address();
        let (client_id, keep_alive) = (opening.client_id.to_owned(), opening.keep_alive);
        let (client, eventloop) = AsyncClient::new(options(opening), CHANNEL);
        (client, Self { eventloop, address, client_id, keep_alive })
    }

    pub(super) async fn connect(&mut self) -> Result<Welcome, Failed> {
        let welcome = match self.eventloop.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(welcome))) => welcome,
            Ok(_) => {
                return Err(self.failed(fault::broken(&self.address, "it answered with something else than CONNACK")));
            }
            Err(error) => {
                let perhaps_old = is_old(&error);
                return Err(Failed { error: self.translate(error), perhaps_old });
            }
        };
        // A broker may switch pings off, but ours are also the watchdog's proof of life; and rumqttc would take zero for
        // "ping without pause".
        if self.eventloop.options.keep_alive().is_zero() {
            self.eventloop.options.set_keep_alive(self.keep_alive);
        }
        let limits = welcome.properties.as_ref().map_or_else(Limits::default, |told| Limits {
            max_packet_size: told.max_packet_size,
            receive_max: told.receive_max,
            max_qos: match told.max_qos {
                Some(0) => Qos::AtMostOnce,
                Some(1) => Qos::AtLeastOnce,
                _ => Qos::ExactlyOnce,
            },
            retain: told.retain_available != Some(0),
            wildcards: told.wildcard_subscription_available != Some(0),
        });
        Ok(Welcome { session_present: welcome.session_present, limits })
    }

    pub(super) async fn next(&mut self) -> Result<Signal, BusError> {
        match self.eventloop.poll().await {
            Ok(event) => Ok(signal(event)),
            Err(error) => Err(self.translate(error)),
        }
    }

    pub(super) fn inflight(&self) -> u16 {
        self.eventloop.state.inflight()
    }

    pub(super) fn keep_alive(&self) -> Duration {
        self.eventloop.options.keep_alive()
    }

    pub(super) fn rest(&mut self) -> Vec<Signal> {
        self.eventloop.state.events.drain(..).map(signal).collect()
    }

    pub(super) fn salvage(mut self, last: u16) -> Undelivered {
        self.eventloop.clean();
        let collided = self.eventloop.state.collision.take();
        let (mut sent, mut queued) = (Vec::new(), Vec::new());
        for request in std::mem::take(&mut self.eventloop.pending) {
            let Request::Publish(publish) = request else { continue };
            let packet_id = publish.pkid;
            let Some(message) = outgoing(publish) else { continue };
            if packet_id == 0 { queued.push(message) } else { sent.push((packet_id, message)) }
        }
        let mut sent = super::in_order(sent, last);
        sent.extend(collided.and_then(|publish| Some((publish.pkid, outgoing(publish)?))));
        Undelivered { sent, queued }
    }

    fn failed(&self, error: BusError) -> Failed {
        Failed { error, perhaps_old: false }
    }

    /// Whatever rumqttc says went wrong.
    fn translate(&mut self, error: ConnectionError) -> BusError {
        let address = self.address.clone();
        match error {
            ConnectionError::ConnectionRefused(code) => BusError::Refused { address, reason: codes::connack(code) },
            ConnectionError::Tls(error) => fault::handshake(&address, error),
            ConnectionError::Io(error) => fault::io(&address, error),
            ConnectionError::Timeout(_) => fault::broken(&address, "no answer in time"),
            ConnectionError::MqttState(error) => self.state(error),
            other => fault::broken(&address, other.to_string()),
        }
    }

    fn state(&mut self, error: StateError) -> BusError {
        let address = self.address.clone();
        match error {
            StateError::ServerDisconnect { reason_code, .. } => self.ended(reason_code as u8),
            StateError::Io(error) | StateError::Deserialization(Malformed::Io(error)) => fault::io(&address, error),
            StateError::Deserialization(
                Malformed::InvalidConnectReturnCode(code)
                | Malformed::InvalidSubscribeReasonCode(code)
                | Malformed::InvalidReason(code),
            ) => BusError::Misplaced { address, code },
            StateError::ConnectionAborted => fault::broken(&address, "it closed the connection"),
            StateError::AwaitPingResp => fault::broken(&address, "it does not answer pings"),
            other => fault::broken(&address, other.to_string()),
        }
    }

    /// The DISCONNECT itself is still among the events: rumqttc's error leaves its server reference out.
    fn ended(&mut self, code: u8) -> BusError {
        let address = self.address.clone();
        let Some(reason) = Reason::from_code(code) else { return BusError::Misplaced { address, code } };
        if reason == Reason::SessionTakenOver {
            return BusError::TakenOver { address, client_id: self.client_id.clone(), times: 1 };
        }
        let told = self.eventloop.state.events.iter().rev().find_map(|event| match event {
            Event::Incoming(Packet::Disconnect(Disconnect { properties, .. })) => properties.clone(),
            _ => None,
        });
        let (words, reference) = told.map_or((None, None), |told| (told.reason_string, told.server_reference));
        BusError::Ended { address, reason, words, reference }
    }
}

fn options(opening: Opening<'_>) -> MqttOptions {
    let mut options = MqttOptions::new(opening.client_id, opening.server.bare_host(), opening.server.port);
    let mut network = NetworkOptions::new();
    // Without it QoS 1 request and answer fall from 11 000 to 11 a second: Nagle waits for delayed acknowledgements.
    network.set_tcp_nodelay(true);
    options
        .set_transport(opening.transport)
        .set_network_options(network)
        .set_keep_alive(opening.keep_alive)
        .set_connection_timeout(opening.attempt_timeout.as_secs())
        .set_clean_start(opening.session == Session::Clean)
        .set_manual_acks(opening.receipts == Acknowledge::WhenDropped)
        .set_max_packet_size(Some(MAX_PACKET as u32))
        .set_receive_maximum(Some(INFLIGHT))
        .set_outgoing_inflight_upper_limit(INFLIGHT);
    if opening.session == Session::Keep {
        options.set_session_expiry_interval(Some(SESSION_EXPIRY));
    }
    if let Some((user, password)) = &opening.credentials {
        options.set_credentials(user, password);
    }
    options
}

/// What a broker of an older version answers: its CONNACK is two bytes long, which rumqttc waits in vain to see more of.
fn is_old(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::ConnectionRefused(code) => codes::connack(*code) == Reason::UnsupportedProtocolVersion,
        ConnectionError::MqttState(StateError::ConnectionAborted) => true,
        ConnectionError::MqttState(StateError::Deserialization(Malformed::InvalidConnectReturnCode(code))) => {
            *code == 1
        }
        ConnectionError::MqttState(StateError::Deserialization(Malformed::Io(error)) | StateError::Io(error)) => {
            matches!(error.kind(), std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::UnexpectedEof)
        }
        _ => false,
    }
}

fn signal(event: Event) -> Signal {
    match event {
        Event::Incoming(Packet::Publish(publish)) => Signal::Arrived(Arrived {
            topic: publish.topic,
            packet_id: publish.pkid,
            payload: publish.payload,
            qos: from_qos(publish.qos),
            retain: publish.retain,
            properties: publish.properties,
        }),
        Event::Outgoing(Outgoing::Publish(packet_id)) => Signal::Sent(packet_id),
        Event::Incoming(Packet::PubAck(ack)) => Signal::Acknowledged(ack.pkid, codes::puback(ack.reason)),
        Event::Incoming(Packet::PubRec(ack)) if codes::pubrec(ack.reason).is_error() => {
            Signal::Acknowledged(ack.pkid, codes::pubrec(ack.reason))
        }
        Event::Incoming(Packet::PubComp(ack)) => Signal::Acknowledged(ack.pkid, codes::pubcomp(ack.reason)),
        Event::Incoming(Packet::SubAck(ack)) => {
            Signal::Subscribed(ack.return_codes.iter().map(codes::suback).collect())
        }
        Event::Incoming(Packet::UnsubAck(_)) => Signal::Unsubscribed,
        Event::Outgoing(Outgoing::Disconnect) => Signal::Goodbye,
        Event::Incoming(_) | Event::Outgoing(_) => Signal::Other,
    }
}

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

pub(super) async fn subscribe(client: &AsyncClient, filters: &[(Arc<str>, Qos)]) -> Result<(), ()> {
    let filters = filters.iter().map(|(filter, qos)| Filter::new(&**filter, to_qos(*qos)));
    client.subscribe_many(filters).await.map_err(drop)
}

pub(super) async fn acknowledge(client: &AsyncClient, packet_id: u16) -> Result<(), ()> {
    let mut publish = Publish::new("", QoS::AtLeastOnce, Bytes::new(), None);
    publish.pkid = packet_id;
    client.ack(&publish).await.map_err(drop)
}

fn outgoing(publish: Publish) -> Option<Message> {
    let topic = Arc::from(std::str::from_utf8(&publish.topic).ok()?);
    let (payload, qos, retain) = (publish.payload, from_qos(publish.qos), publish.retain);
    Some(Message { topic, payload, qos, retain, properties: publish.properties.and_then(properties) })
}

fn to_qos(qos: Qos) -> QoS {
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

/// Those that Packhorse uses.
pub(super) fn properties(properties: PublishProperties) -> Option<Box<Properties>> {
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
