//! MQTT 5 over rumqttc.

use std::sync::Arc;
use std::time::Duration;

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::v5::{
    Disconnect, Filter, Packet, PubAck, PubAckReason, PubRecReason, Publish, PublishProperties, Subscribe, Unsubscribe,
};
use rumqttc::v5::mqttbytes::{Error as Malformed, QoS};
use rumqttc::v5::{ConnectionError, Event, Request, StateError};
use tokio::sync::mpsc::{Sender, channel};

use super::pump::Pump;
use super::{Arrived, CHANNEL, Failed, Opening, Signal, Undelivered, Welcome, codes, fault};
use crate::bus::{BusError, Limits, Message, Properties, Qos, Reason};

/// User properties which the embedded broker adds to whatever it forwards: its doing, not the sender's.
const BROKER_ADDS: [&str; 2] = ["x-mqtt-client-id", "x-mqtt-sender"];

pub(in crate::bus) struct Five {
    pump: Pump,
    broker: Broker,
}

/// Whom errors name.
struct Broker {
    address: String,
    client_id: String,
}

impl Five {
    pub(super) async fn connect(opening: Opening<'_>) -> Result<(Sender<Request>, Self, Welcome), Failed> {
        let broker = Broker { address: opening.server.address(), client_id: opening.client_id.to_owned() };
        let (client, requests) = channel(CHANNEL);
        let (pump, welcome) = match Pump::connect(opening, requests).await {
            Ok(connected) => connected,
            Err(error) => {
                let perhaps_old = is_old(&error);
                return Err(Failed { error: broker.translate(error, None), perhaps_old });
            }
        };
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
        Ok((client, Self { pump, broker }, Welcome { session_present: welcome.session_present, limits }))
    }

    pub(super) async fn next(&mut self) -> Result<Signal, BusError> {
        match self.pump.poll().await {
            Ok(event) => Ok(self.signal(event)),
            Err(error) => {
                // The DISCONNECT itself is still among the events: rumqttc's error leaves its server reference out.
                let goodbye = self.pump.state.events.iter().rev().find_map(|event| match event {
                    Event::Incoming(Packet::Disconnect(goodbye)) => Some(goodbye),
                    _ => None,
                });
                Err(self.broker.translate(error, goodbye))
            }
        }
    }

    pub(super) fn inflight(&self) -> u16 {
        self.pump.state.inflight()
    }

    pub(super) fn keep_alive(&self) -> Duration {
        self.pump.keep_alive()
    }

    pub(super) fn rest(&mut self) -> Vec<Signal> {
        let events: Vec<_> = self.pump.state.events.drain(..).collect();
        events.into_iter().map(|event| self.signal(event)).collect()
    }

    pub(super) fn salvage(self, last: u16) -> Undelivered {
        let (sent, collided, queued) = self.pump.salvage();
        let numbered = |publish: Publish| Some((publish.pkid, outgoing(publish)?));
        let mut sent = super::in_order(sent.into_iter().filter_map(numbered).collect(), last);
        sent.extend(collided.and_then(numbered));
        Undelivered { sent, queued: queued.into_iter().filter_map(outgoing).collect() }
    }

    fn signal(&mut self, event: Event) -> Signal {
        match event {
            Event::Incoming(Packet::PubAck(ack)) if ack.reason == PubAckReason::UnspecifiedError => {
                Signal::Acknowledged(ack.pkid, self.pump.unspecified())
            }
            Event::Incoming(Packet::PubRec(ack)) if ack.reason == PubRecReason::UnspecifiedError => {
                Signal::Acknowledged(ack.pkid, self.pump.unspecified())
            }
            event => signal(event),
        }
    }
}

impl Broker {
    /// Whatever rumqttc says went wrong.
    fn translate(&self, error: ConnectionError, goodbye: Option<&Disconnect>) -> BusError {
        let address = self.address.clone();
        match error {
            ConnectionError::ConnectionRefused(code) => BusError::Refused { address, reason: codes::connack(code) },
            ConnectionError::Tls(error) => fault::handshake(&address, error),
            ConnectionError::Io(error) => fault::io(&address, error),
            ConnectionError::Timeout(_) => fault::broken(&address, "no answer in time"),
            ConnectionError::MqttState(error) => self.state(error, goodbye),
            ConnectionError::NotConnAck(_) => fault::broken(&address, "it answered with something else than CONNACK"),
            other => fault::broken(&address, other.to_string()),
        }
    }

    fn state(&self, error: StateError, goodbye: Option<&Disconnect>) -> BusError {
        let address = self.address.clone();
        match error {
            StateError::ServerDisconnect { reason_code, .. } => self.ended(reason_code as u8, goodbye),
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

    fn ended(&self, code: u8, goodbye: Option<&Disconnect>) -> BusError {
        let address = self.address.clone();
        let Some(reason) = Reason::from_code(code) else { return BusError::Misplaced { address, code } };
        if reason == Reason::SessionTakenOver {
            return BusError::TakenOver { address, client_id: self.client_id.clone(), times: 1 };
        }
        let told = goodbye.and_then(|goodbye| goodbye.properties.clone());
        let (words, reference) = told.map_or((None, None), |told| (told.reason_string, told.server_reference));
        BusError::Ended { address, reason, words, reference }
    }
}

/// What a broker of an older version answers: a CONNACK of two bytes, or the end.
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

pub(super) fn send(client: &Sender<Request>, message: &Message) -> Result<(), BusError> {
    let properties = message.properties.as_deref().map(to_properties);
    let mut publish = Publish::new(&*message.topic, to_qos(message.qos), message.payload.clone(), properties);
    publish.retain = message.retain;
    // The topic was checked before, so only a full channel is left as a reason.
    client.try_send(Request::Publish(publish)).map_err(|_| BusError::Busy)
}

pub(super) async fn subscribe(client: &Sender<Request>, filters: &[(Arc<str>, Qos)]) -> Result<(), ()> {
    let filters = filters.iter().map(|(filter, qos)| Filter::new(&**filter, to_qos(*qos)));
    client.send(Request::Subscribe(Subscribe::new_many(filters, None))).await.map_err(drop)
}

pub(super) async fn unsubscribe(client: &Sender<Request>, filter: &str) -> Result<(), ()> {
    client.send(Request::Unsubscribe(Unsubscribe::new(filter, None))).await.map_err(drop)
}

pub(super) async fn acknowledge(client: &Sender<Request>, packet_id: u16) -> Result<(), ()> {
    client.send(Request::PubAck(PubAck::new(packet_id, None))).await.map_err(drop)
}

pub(super) fn disconnect(client: &Sender<Request>) -> bool {
    client.try_send(Request::Disconnect).is_ok()
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
