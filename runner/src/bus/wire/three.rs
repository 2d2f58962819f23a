//! MQTT 3.1.1 over rumqttc: no properties, no limits, no reasons but those of CONNACK.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rumqttc::mqttbytes::Error as Malformed;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, NetworkOptions, Outgoing, Packet,
    Publish, QoS, Request, StateError, SubscribeFilter, SubscribeReasonCode,
};

use super::{Arrived, CHANNEL, Failed, INFLIGHT, Opening, Signal, Undelivered, Welcome, fault};
use crate::bus::outbox::MAX_PACKET;
use crate::bus::{Acknowledge, BusError, Limits, Message, Qos, Reason, Session};

pub(in crate::bus) struct Three {
    eventloop: EventLoop,
    address: String,
    keep_alive: Duration,
}

impl Three {
    pub(super) fn new(opening: Opening<'_>) -> (AsyncClient, Self) {
        let (address, keep_alive) = (opening.server.address(), opening.keep_alive);
        let mut network = NetworkOptions::new();
        // As in MQTT 5: without it nothing moves fast.
        network.set_tcp_nodelay(true);
        network.set_connection_timeout(opening.attempt_timeout.as_secs());
        let (client, mut eventloop) = AsyncClient::new(options(opening), CHANNEL);
        eventloop.set_network_options(network);
        (client, Self { eventloop, address, keep_alive })
    }

    pub(super) async fn connect(&mut self) -> Result<Welcome, Failed> {
        match self.eventloop.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(welcome))) => {
                Ok(Welcome { session_present: welcome.session_present, limits: Limits::default() })
            }
            Ok(_) => {
                let error = fault::broken(&self.address, "it answered with something else than CONNACK");
                Err(Failed { error, perhaps_old: false })
            }
            Err(error) => Err(Failed { error: self.translate(error), perhaps_old: false }),
        }
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
        self.keep_alive
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
            let message = outgoing(publish);
            if packet_id == 0 { queued.push(message) } else { sent.push((packet_id, message)) }
        }
        let mut sent = super::in_order(sent, last);
        sent.extend(collided.map(|publish| (publish.pkid, outgoing(publish))));
        Undelivered { sent, queued }
    }

    /// Whatever rumqttc says went wrong.
    fn translate(&self, error: ConnectionError) -> BusError {
        let address = &self.address;
        match error {
            ConnectionError::ConnectionRefused(code) => {
                BusError::Refused { address: address.clone(), reason: connack(code) }
            }
            ConnectionError::Tls(error) => fault::handshake(address, error),
            ConnectionError::Io(error)
            | ConnectionError::MqttState(StateError::Io(error) | StateError::Deserialization(Malformed::Io(error))) => {
                fault::io(address, error)
            }
            ConnectionError::NetworkTimeout => fault::broken(address, "no answer in time"),
            ConnectionError::FlushTimeout => fault::broken(address, "the connection is blocked"),
            ConnectionError::MqttState(StateError::ConnectionAborted) => {
                fault::broken(address, "it closed the connection")
            }
            ConnectionError::MqttState(StateError::AwaitPingResp) => fault::broken(address, "it does not answer pings"),
            other => fault::broken(address, other.to_string()),
        }
    }
}

fn options(opening: Opening<'_>) -> MqttOptions {
    let mut options = MqttOptions::new(opening.client_id, opening.server.bare_host(), opening.server.port);
    options
        .set_transport(opening.transport)
        .set_keep_alive(opening.keep_alive)
        .set_clean_session(opening.session == Session::Clean)
        .set_manual_acks(opening.receipts == Acknowledge::WhenDropped)
        .set_max_packet_size(MAX_PACKET, MAX_PACKET)
        .set_inflight(INFLIGHT);
    if let Some((user, password)) = &opening.credentials {
        options.set_credentials(user, password);
    }
    options
}

fn connack(code: ConnectReturnCode) -> Reason {
    match code {
        ConnectReturnCode::Success => Reason::Success,
        ConnectReturnCode::RefusedProtocolVersion => Reason::UnsupportedProtocolVersion,
        ConnectReturnCode::BadClientId => Reason::ClientIdentifierNotValid,
        ConnectReturnCode::ServiceUnavailable => Reason::ServerUnavailable,
        ConnectReturnCode::BadUserNamePassword => Reason::BadUserNameOrPassword,
        ConnectReturnCode::NotAuthorized => Reason::NotAuthorized,
    }
}

fn signal(event: Event) -> Signal {
    match event {
        Event::Incoming(Packet::Publish(publish)) => Signal::Arrived(Arrived {
            topic: Bytes::from(publish.topic),
            packet_id: publish.pkid,
            payload: publish.payload,
            qos: from_qos(publish.qos),
            retain: publish.retain,
            properties: None,
        }),
        Event::Outgoing(Outgoing::Publish(packet_id)) => Signal::Sent(packet_id),
        Event::Incoming(Packet::PubAck(ack)) => Signal::Acknowledged(ack.pkid, Reason::Success),
        Event::Incoming(Packet::PubComp(ack)) => Signal::Acknowledged(ack.pkid, Reason::Success),
        Event::Incoming(Packet::SubAck(ack)) => Signal::Subscribed(ack.return_codes.iter().map(suback).collect()),
        Event::Incoming(Packet::UnsubAck(_)) => Signal::Unsubscribed,
        Event::Outgoing(Outgoing::Disconnect) => Signal::Goodbye,
        Event::Incoming(_) | Event::Outgoing(_) => Signal::Other,
    }
}

fn suback(code: &SubscribeReasonCode) -> Result<(), Reason> {
    match code {
        SubscribeReasonCode::Success(_) => Ok(()),
        SubscribeReasonCode::Failure => Err(Reason::Unspecified),
    }
}

/// Properties have no place here and are left out.
pub(super) fn send(client: &AsyncClient, message: &Message) -> Result<(), BusError> {
    // The topic was checked before, so only a full channel is left as a reason.
    client
        .try_publish(&*message.topic, to_qos(message.qos), message.retain, message.payload.clone())
        .map_err(|_| BusError::Busy)
}

pub(super) async fn subscribe(client: &AsyncClient, filters: &[(Arc<str>, Qos)]) -> Result<(), ()> {
    let filters = filters.iter().map(|(filter, qos)| SubscribeFilter::new(filter.to_string(), to_qos(*qos)));
    client.subscribe_many(filters).await.map_err(drop)
}

pub(super) async fn acknowledge(client: &AsyncClient, packet_id: u16) -> Result<(), ()> {
    let mut publish = Publish::from_bytes("", QoS::AtLeastOnce, Bytes::new());
    publish.pkid = packet_id;
    client.ack(&publish).await.map_err(drop)
}

fn outgoing(publish: Publish) -> Message {
    let (topic, qos) = (Arc::from(publish.topic), from_qos(publish.qos));
    Message { topic, payload: publish.payload, qos, retain: publish.retain, properties: None }
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
