//! One connection from CONNECT to its end, over one rumqttc event loop which is then thrown away.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rumqttc::v5::mqttbytes::v5::{ConnAck, Filter, Packet, PubAckReason, Publish};
use rumqttc::v5::{AsyncClient, ClientError, Event, EventLoop, MqttOptions, Request};
use rumqttc::{NetworkOptions, Outgoing, Transport};
use tokio::time::sleep;

use super::client::Shared;
use super::connection::{GOODBYE, is_closing};
use super::outbox::{MAX_PACKET, QUEUE, Waiting};
use super::watchdog::{Pulse, bump, guard, idle};
use super::{BusError, BusStatus, Message, Settings, convert, failure, registry};

/// Unacknowledged publishes at a time; far above any window, so that it never holds one up. The broker's receive
/// maximum lowers it.
const INFLIGHT: u16 = 1024;

/// Room in the client's channel besides the queue: what a lost connection gave back, and control packets.
const CHANNEL: usize = QUEUE + INFLIGHT as usize + 64;

pub(super) struct Link {
    eventloop: EventLoop,
    client: AsyncClient,
    pulse: Pulse,
}

/// How a connection ended.
pub(super) enum Ended {
    Failed(BusError),
    Goodbye,
}

/// What becomes of publishes that were sent and not acknowledged when a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unacknowledged {
    /// They are sent again.
    Keep,
    /// They are counted as left out.
    Drop,
}

impl Link {
    pub(super) fn new(settings: &Settings, transport: Transport) -> Self {
        let (client, eventloop) = AsyncClient::new(options(settings, transport), CHANNEL);
        Self { eventloop, client, pulse: Pulse::default() }
    }

    /// Connects; at most `attempt_timeout`.
    pub(super) async fn connect(&mut self, settings: &Settings) -> Result<ConnAck, BusError> {
        match self.eventloop.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(welcome))) => {
                // A broker may switch pings off, but ours are also the watchdog's proof of life; and rumqttc would take
                // zero for "ping without pause".
                if self.eventloop.options.keep_alive().is_zero() {
                    self.eventloop.options.set_keep_alive(settings.keep_alive);
                }
                Ok(welcome)
            }
            Ok(_) => Err(failure::broken(settings, "it answered with something else than CONNACK")),
            Err(error) => Err(failure::translate(settings, error)),
        }
    }

    /// Serves the connection until it ends.
    pub(super) async fn run(&mut self, shared: &Shared, welcome: &ConnAck, generation: u64) -> Ended {
        let limits = welcome.properties.as_ref();
        let max_packet_size = limits.and_then(|limits| limits.max_packet_size);
        let left_out = shared.outbox.open(self.client.clone(), max_packet_size);
        shared.counters.left_out.fetch_add(left_out as u64, Ordering::Relaxed);
        shared.registry.renew();
        shared.status.send_replace(BusStatus::Connected {
            max_packet_size,
            receive_max: limits.and_then(|limits| limits.receive_max),
            session_present: welcome.session_present,
            generation,
        });
        tracing::info!(address = shared.settings.address(), generation, "MQTT connected");
        let keep_alive = self.eventloop.options.keep_alive();
        tokio::select! {
            ended = drive(&mut self.eventloop, shared, &self.pulse) => ended,
            ended = ask(&self.client, shared) => ended,
            reason = guard(shared, &self.pulse, keep_alive) => Ended::Failed(failure::broken(&shared.settings, reason)),
            ended = goodbye(&self.client, shared, &self.pulse) => ended,
        }
    }

    /// Publishes were sent, and not one was acknowledged.
    pub(super) fn fruitless(&self) -> bool {
        self.pulse.last_packet_id.load(Ordering::Relaxed) != 0 && self.pulse.acknowledged.load(Ordering::Relaxed) == 0
    }

    /// Takes what was not delivered out of the dead event loop and back into the queue.
    pub(super) fn salvage(mut self, shared: &Shared, unacknowledged: Unacknowledged) {
        while let Some(event) = self.eventloop.state.events.pop_front() {
            let _ = handle(event, shared, &self.pulse);
        }
        shared.outbox.park();
        self.eventloop.clean();
        let collided = self.eventloop.state.collision.take();
        let last = self.pulse.last_packet_id.load(Ordering::Relaxed);
        let (mut sent, queued) = undelivered(self.eventloop.pending, collided, last);
        if unacknowledged == Unacknowledged::Drop && !sent.is_empty() {
            tracing::warn!(count = sent.len(), "dropped publishes at which the broker keeps hanging up");
            shared.counters.left_out.fetch_add(sent.len() as u64, Ordering::Relaxed);
            sent.clear();
        }
        let since = Instant::now();
        let all = sent.into_iter().chain(queued);
        shared.outbox.restore(all.map(|message| Waiting { message, since }).collect());
    }
}

fn options(settings: &Settings, transport: Transport) -> MqttOptions {
    let mut options = MqttOptions::new(&settings.client_id, &settings.host, settings.port);
    let mut network = NetworkOptions::new();
    // Without it QoS 1 request and answer fall from 11 000 to 11 a second: Nagle waits for delayed acknowledgements.
    network.set_tcp_nodelay(true);
    options
        .set_transport(transport)
        .set_network_options(network)
        .set_keep_alive(settings.keep_alive)
        .set_connection_timeout(settings.attempt_timeout.as_secs())
        .set_clean_start(true)
        .set_max_packet_size(Some(MAX_PACKET as u32))
        .set_outgoing_inflight_upper_limit(INFLIGHT);
    if let Some((user, password)) = &settings.credentials {
        options.set_credentials(user, password);
    }
    options
}

/// Polls the event loop and nothing else: a poll that is dropped half-way may lose an acknowledgement, and one that
/// publishes deadlocks (rumqttc issue 1025).
async fn drive(eventloop: &mut EventLoop, shared: &Shared, pulse: &Pulse) -> Ended {
    loop {
        match eventloop.poll().await {
            Ok(event) => {
                pulse.inflight.store(eventloop.state.inflight(), Ordering::Relaxed);
                if let Some(ended) = handle(event, shared, pulse) {
                    return ended;
                }
            }
            Err(error) => return Ended::Failed(failure::translate(&shared.settings, error)),
        }
    }
}

fn handle(event: Event, shared: &Shared, pulse: &Pulse) -> Option<Ended> {
    bump(&pulse.events);
    match event {
        Event::Incoming(Packet::Publish(publish)) => route(publish, shared),
        Event::Outgoing(Outgoing::Publish(packet_id)) => {
            if packet_id != 0 {
                pulse.last_packet_id.store(packet_id, Ordering::Relaxed);
            }
            shared.outbox.taken();
            bump(&pulse.progress);
        }
        Event::Incoming(Packet::PubAck(ack)) => {
            bump(&pulse.progress);
            bump(&pulse.acknowledged);
            if !matches!(ack.reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers) {
                refused(shared, ack.reason);
            }
        }
        Event::Incoming(Packet::PubComp(_)) => {
            bump(&pulse.progress);
            bump(&pulse.acknowledged);
        }
        Event::Incoming(Packet::SubAck(ack)) => {
            bump(&pulse.progress);
            shared.registry.subscribed(ack.return_codes.iter().map(convert::subscribed));
        }
        Event::Incoming(Packet::UnsubAck(_)) => {
            bump(&pulse.progress);
            shared.registry.unsubscribed();
        }
        Event::Outgoing(Outgoing::Disconnect) => return Some(Ended::Goodbye),
        Event::Incoming(_) | Event::Outgoing(_) => {}
    }
    None
}

fn route(publish: Publish, shared: &Shared) {
    let topic = publish.topic.clone();
    let Ok(topic) = std::str::from_utf8(&topic) else { return bump(&shared.counters.malformed) };
    if shared.registry.deliver(topic, |name| convert::message(publish, name)) == 0 {
        bump(&shared.counters.unrouted);
    }
}

fn refused(shared: &Shared, reason: PubAckReason) {
    if shared.counters.refused.fetch_add(1, Ordering::Relaxed) == 0 {
        tracing::warn!(?reason, "the broker refuses a publish; further refusals are only counted");
    }
}

/// Tells the broker of subscriptions as they come and go.
async fn ask(client: &AsyncClient, shared: &Shared) -> Ended {
    loop {
        let sent = match shared.registry.request() {
            Some(registry::Request::Subscribe(filters)) => {
                let filters = filters.iter().map(|(filter, qos)| Filter::new(&**filter, convert::to_qos(*qos)));
                client.subscribe_many(filters).await
            }
            Some(registry::Request::Unsubscribe(filters)) => unsubscribe(client, &filters).await,
            None => {
                shared.registry.changed.notified().await;
                Ok(())
            }
        };
        if sent.is_err() {
            return Ended::Failed(failure::broken(&shared.settings, "the client ended"));
        }
    }
}

async fn unsubscribe(client: &AsyncClient, filters: &[Arc<str>]) -> Result<(), ClientError> {
    for filter in filters {
        client.unsubscribe(&**filter).await?;
    }
    Ok(())
}

/// After `close`: lets what is queued go out, then disconnects.
async fn goodbye(client: &AsyncClient, shared: &Shared, pulse: &Pulse) -> Ended {
    is_closing(&mut shared.closing.subscribe()).await;
    let deadline = Instant::now() + GOODBYE;
    while !idle(shared, pulse) && Instant::now() < deadline {
        sleep(Duration::from_millis(5)).await;
    }
    // The event loop ends the connection when it has written the packet; a broken one is given up.
    if client.try_disconnect().is_ok() {
        sleep(Duration::from_millis(500)).await;
    }
    Ended::Goodbye
}

/// Publishes of a dead event loop in the order in which they were queued: those sent and not acknowledged, then those
/// still waiting. The former come sorted by packet id, so those above the last id used are of the round before.
fn undelivered(pending: VecDeque<Request>, collided: Option<Publish>, last: u16) -> (Vec<Message>, Vec<Message>) {
    let publishes = pending.into_iter().filter_map(|request| match request {
        Request::Publish(publish) => Some(publish),
        _ => None,
    });
    let (sent, queued): (Vec<_>, Vec<_>) = publishes.partition(|publish| publish.pkid != 0);
    let (newer, older): (Vec<_>, Vec<_>) = sent.into_iter().partition(|publish| publish.pkid <= last);
    let message = |publish: Publish| {
        let topic = Arc::from(std::str::from_utf8(&publish.topic).ok()?);
        Some(convert::message(publish, topic))
    };
    let sent = older.into_iter().chain(newer).chain(collided).filter_map(message).collect();
    (sent, queued.into_iter().filter_map(message).collect())
}

#[cfg(test)]
mod tests {
    use rumqttc::v5::mqttbytes::QoS;

    use super::*;

    fn publish(packet_id: u16, text: &str) -> Publish {
        let mut publish = Publish::new("t", QoS::AtLeastOnce, text.to_owned(), None);
        publish.pkid = packet_id;
        publish
    }

    #[test]
    fn undelivered_publishes_keep_their_order_across_the_wrap_of_packet_ids() {
        let pending = [(1, "e"), (2, "f"), (3, "g"), (1022, "b"), (1023, "c"), (1024, "d"), (0, "i"), (0, "j")];
        let mut pending: VecDeque<_> =
            pending.into_iter().map(|(id, text)| Request::Publish(publish(id, text))).collect();
        pending.push_front(Request::PingReq);
        let (sent, queued) = undelivered(pending, Some(publish(1022, "h")), 3);
        let text = |messages: Vec<Message>| -> Vec<u8> { messages.iter().map(|message| message.payload[0]).collect() };
        assert_eq!((text(sent), text(queued)), (b"bcdefgh".to_vec(), b"ij".to_vec()));
    }
}
