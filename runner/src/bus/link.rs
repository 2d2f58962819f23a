//! One connection from the broker's welcome to its end.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::client::Shared;
use super::connection::{GOODBYE, is_closing};
use super::flights::Flights;
use super::outbox::{Queued, Waiting};
use super::watchdog::{Pulse, bump, guard, idle};
use super::wire::{Arrived, Client, Signal, Welcome, Wire, broken};
use super::{Acknowledge, BusError, BusStatus, Message, Reason, registry};
use crate::counts;

/// How long messages are held that nobody has subscribed to yet: a broker that kept a session sends them at once.
const STRAYS: Duration = Duration::from_secs(5);

pub(super) struct Link {
    wire: Wire,
    client: Client,
    welcome: Welcome,
    address: Arc<str>,
    pulse: Pulse,
    flights: Flights,
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
    pub(super) fn new((client, wire, welcome): (Client, Wire, Welcome), address: String) -> Self {
        let (pulse, flights) = (Pulse::default(), Flights::default());
        Self { wire, client, welcome, address: address.into(), pulse, flights }
    }

    /// Serves the connection until it ends.
    pub(super) async fn run(&mut self, shared: &Shared, generation: u64) -> Ended {
        let limits = self.welcome.limits;
        shared.refusals.renew(&self.address);
        let left_out = shared.outbox.open(self.client.clone(), limits);
        if left_out > 0 {
            tracing::warn!(left_out, "queued messages were left out: they expired, or this broker does not take them");
            shared.counters.left_out.fetch_add(left_out as u64, Ordering::Relaxed);
        }
        let kept = self.welcome.session_present && shared.settings.receipts == Acknowledge::WhenDropped;
        shared.registry.renew(limits.wildcards, kept);
        shared.receipts.renew();
        let (address, protocol) = (Arc::clone(&self.address), self.wire.protocol());
        let session_present = self.welcome.session_present;
        tracing::info!(%address, ?protocol, generation, session_present, "MQTT connected");
        counts::mqtt_connected(&address, generation > 1);
        let connected = BusStatus::Connected { address, protocol, limits, session_present, generation };
        shared.status.send_replace(connected);
        let keep_alive = self.wire.keep_alive();
        let address = Arc::clone(&self.address);
        tokio::select! {
            ended = drive(&mut self.wire, &mut self.flights, shared, &self.pulse) => ended,
            () = ask(&self.client, shared) => Ended::Failed(broken(&address, "the client ended")),
            () = acknowledge(&self.client, shared) => Ended::Failed(broken(&address, "the client ended")),
            never = release(shared) => match never {},
            reason = guard(shared, &self.pulse, keep_alive) => Ended::Failed(broken(&address, reason)),
            ended = goodbye(&self.client, shared, &self.pulse) => ended,
        }
    }

    /// Publishes were sent, and not one was acknowledged.
    pub(super) fn fruitless(&self) -> bool {
        self.pulse.last_packet_id.load(Ordering::Relaxed) != 0 && self.pulse.acknowledged.load(Ordering::Relaxed) == 0
    }

    /// Takes what was not delivered out of the dead connection and back into the queue.
    pub(super) fn salvage(mut self, shared: &Shared, unacknowledged: Unacknowledged) {
        for signal in self.wire.rest() {
            let _ = handle(signal, &mut self.flights, shared, &self.pulse);
        }
        let mut since = shared.outbox.park();
        let undelivered = self.wire.salvage(self.pulse.last_packet_id.load(Ordering::Relaxed));
        let mut all = VecDeque::with_capacity(undelivered.sent.len() + undelivered.queued.len());
        if unacknowledged == Unacknowledged::Keep {
            let flights = &mut self.flights;
            all.extend(undelivered.sent.into_iter().map(|(id, message)| waiting(message, flights.end(id))));
        } else if !undelivered.sent.is_empty() {
            tracing::warn!(count = undelivered.sent.len(), "dropped publishes at which the broker keeps hanging up");
            shared.counters.left_out.fetch_add(undelivered.sent.len() as u64, Ordering::Relaxed);
        }
        all.extend(undelivered.queued.into_iter().map(|message| waiting(message, since.pop_front())));
        all.retain(|waiting| fits(waiting, shared));
        shared.outbox.restore(all);
    }
}

/// A message that goes back into the queue; its expiry has run since it was first queued.
fn waiting(message: Message, queued: Option<Queued>) -> Waiting {
    let since = queued.filter(|queued| queued.topic == message.topic).map_or_else(Instant::now, |queued| queued.since);
    Waiting { message, since }
}

/// Whether the broker may take it; a refusal like the broker's own where it is known not to.
fn fits(waiting: &Waiting, shared: &Shared) -> bool {
    let Waiting { message, since } = waiting;
    let (size, fits) = (message.payload.len(), !shared.refusals.is_too_large(message.payload.len()));
    if !fits {
        let queued = Queued { topic: Arc::clone(&message.topic), since: *since, size };
        answered(shared, Some(queued), Reason::PacketTooLarge);
    }
    fits
}

/// Polls the wire and nothing else: a poll that is dropped half-way may lose an acknowledgement, and one that publishes
/// deadlocks (rumqttc issue 1025).
async fn drive(wire: &mut Wire, flights: &mut Flights, shared: &Shared, pulse: &Pulse) -> Ended {
    loop {
        match wire.next().await {
            Ok(signal) => {
                let inflight = wire.inflight();
                pulse.inflight.store(inflight, Ordering::Relaxed);
                counts::mqtt_inflight(inflight);
                if let Some(ended) = handle(signal, flights, shared, pulse) {
                    return ended;
                }
            }
            Err(error) => return Ended::Failed(error),
        }
    }
}

fn handle(signal: Signal, flights: &mut Flights, shared: &Shared, pulse: &Pulse) -> Option<Ended> {
    bump(&pulse.events);
    match signal {
        Signal::Arrived(arrived) => route(arrived, shared),
        Signal::Sent(packet_id) => {
            let queued = shared.outbox.taken();
            if packet_id != 0 {
                pulse.last_packet_id.store(packet_id, Ordering::Relaxed);
                queued.into_iter().for_each(|queued| flights.begin(packet_id, queued));
            }
            bump(&pulse.progress);
        }
        Signal::Acknowledged(packet_id, reason) => {
            bump(&pulse.progress);
            bump(&pulse.acknowledged);
            answered(shared, flights.end(packet_id), reason);
        }
        Signal::Subscribed(answers) => {
            bump(&pulse.progress);
            shared.registry.subscribed(answers);
        }
        Signal::Unsubscribed => {
            bump(&pulse.progress);
            shared.registry.unsubscribed();
        }
        Signal::Goodbye => return Some(Ended::Goodbye),
        Signal::Other => {}
    }
    None
}

fn route(arrived: Arrived, shared: &Shared) {
    let by_hand = shared.settings.receipts == Acknowledge::WhenDropped && arrived.packet_id != 0;
    let receipt = by_hand.then(|| shared.receipts.begin(arrived.packet_id, shared.registry.holds_strays()));
    let topic = arrived.topic.clone();
    let Ok(topic) = std::str::from_utf8(&topic) else { return bump(&shared.counters.malformed) };
    if !shared.registry.deliver(topic, receipt.as_ref(), |name| arrived.message(name)) {
        bump(&shared.counters.unrouted);
    }
}

/// The broker's word on a publish.
fn answered(shared: &Shared, queued: Option<Queued>, reason: Reason) {
    match queued {
        Some(queued) if reason.is_error() => shared.refusals.refused(&queued, reason),
        Some(queued) => shared.refusals.accepted(&queued),
        None => {}
    }
    if reason.is_error() {
        bump(&shared.counters.refused);
    }
}

/// Tells the broker of subscriptions as they come and go; returns when the client has ended.
async fn ask(client: &Client, shared: &Shared) {
    loop {
        let sent = match shared.registry.request() {
            Some(registry::Request::Subscribe(filters)) => client.subscribe(&filters).await,
            Some(registry::Request::Unsubscribe(filters)) => client.unsubscribe(&filters).await,
            None => {
                shared.registry.changed.notified().await;
                Ok(())
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Acknowledges what was dealt with; returns when the client has ended.
async fn acknowledge(client: &Client, shared: &Shared) {
    loop {
        while let Some(packet_id) = shared.receipts.take() {
            if client.acknowledge(packet_id).await.is_err() {
                return;
            }
        }
        shared.receipts.changed.notified().await;
    }
}

/// Lets go of messages that nobody subscribed to.
async fn release(shared: &Shared) -> Infallible {
    sleep(STRAYS).await;
    shared.unrouted(shared.registry.release());
    pending().await
}

/// After `close`: lets what is queued go out, then disconnects.
async fn goodbye(client: &Client, shared: &Shared, pulse: &Pulse) -> Ended {
    is_closing(&mut shared.closing.subscribe()).await;
    let deadline = Instant::now() + GOODBYE;
    while !(idle(shared, pulse) && shared.receipts.is_idle()) && Instant::now() < deadline {
        sleep(Duration::from_millis(5)).await;
    }
    // The event loop ends the connection when it has written the packet; a broken one is given up.
    if client.disconnect() {
        sleep(Duration::from_millis(500)).await;
    }
    Ended::Goodbye
}
