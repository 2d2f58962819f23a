//! MQTT: the `Bus` that transfers speak through, its implementations, and the embedded broker.
//!
//! * `message`: what travels: [`Message`], [`Properties`], [`Qos`]; `topic`: which names and filters are valid, and match
//! * `subscription`: the receiving end: [`Subscription`], [`Delivery`]; `routes`: which of them a topic goes to
//! * `error`, `reason`, `status`: [`BusError`], [`Reason`] (the 43 codes of MQTT 5), [`BusStatus`]
//! * `client`: [`RumqttcBus`], with `settings`, `server` (URLs), `secret` (password files), `tls` and `crypto`; behind it
//!   `connection` (the supervised task), `rota` (whose turn among several brokers), `backoff`, `link` (one connection),
//!   `watchdog`, `outbox` (the publish queue), `flights` (what is in flight), `refusals` (publishes that the broker
//!   refused), `receipts` (messages that are acknowledged when they were dealt with), `registry` (subscriptions), `wire` (rumqttc, MQTT 5 and 3.1.1)
//! * `memory`: [`MemoryBus`], for tests
//! * `broker`: [`EmbeddedBroker`]
//!
//! ```text
//! publish() -> outbox -> wire's channel -> link (task) <-> broker
//! recv() <- subscription's queue <- routes <----'
//! ```
//!
//! Only end-to-end acknowledgement makes a transfer safe: a message that was accepted here may still be lost, or arrive
//! twice, when a connection breaks.

mod backoff;
mod broker;
mod client;
mod connection;
mod crypto;
mod error;
mod flights;
mod link;
mod memory;
mod message;
mod outbox;
mod reason;
mod receipts;
mod refusals;
mod registry;
mod rota;
mod routes;
mod secret;
mod server;
mod settings;
mod status;
mod subscription;
mod tls;
pub mod topic;
mod watchdog;
mod wire;

use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use tokio::sync::watch;

pub use broker::{Broker, BrokerError, BrokerHandle, EmbeddedBroker};
pub use client::{BusCounts, RumqttcBus};
pub use crypto::install_crypto;
pub use error::{BusError, TlsFault};
pub use memory::MemoryBus;
pub use message::{Message, Properties, Qos};
pub use reason::{Carrier, Reason};
pub use receipts::Receipt;
pub use secret::warn_if_open;
pub use server::Server;
pub use settings::{Acknowledge, Password, Session, Settings, Version};
pub use status::{BusStatus, Limits};
pub use subscription::{Delivery, QUEUE_BYTES, QUEUE_MESSAGES, Subscription};
pub use wire::Protocol;

/// A future behind a pointer, so that the traits of this room can be used as `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One connection to an MQTT broker, shared by everything in the process (`Arc<dyn Bus>`).
pub trait Bus: Send + Sync + 'static {
    /// Queues a message and returns at once. `Ok` means queued, not delivered.
    ///
    /// [`BusError::Busy`] when the queue is full: wait for [`Bus::ready`], then publish again. While the connection is
    /// down messages gather in the same queue and go out when it is back, unless they expired meanwhile.
    /// Also [`BusError::InvalidTopic`], [`BusError::TooLarge`] (against the broker's limit) and [`BusError::Closed`].
    fn publish(&self, message: Message) -> Result<(), BusError>;

    /// Resolves when the queue has room (or the bus is closed). Several waiters may be woken for one place: loop.
    fn ready(&self) -> BoxFuture<'_, ()>;

    /// One filter, as [`Bus::subscribe_many`].
    fn subscribe(&self, filter: &str, qos: Qos) -> BoxFuture<'_, Result<Subscription, BusError>> {
        self.subscribe_many(&[(filter, qos)])
    }

    /// Several filters into one queue, in arrival order; [`Delivery::filter`] is the index of the (first) filter that
    /// matched. A message comes once to a subscription however many of its filters match, as far as the broker sends
    /// it once.
    ///
    /// Resolves when the broker has acknowledged all filters on the present connection; while there is none, it waits
    /// without limit, so give it one. They are renewed on each reconnect until the [`Subscription`] is dropped, and a
    /// filter is unsubscribed when its last holder is gone. Dropping the future takes the subscription back.
    fn subscribe_many(&self, filters: &[(&str, Qos)]) -> BoxFuture<'_, Result<Subscription, BusError>>;

    /// The present state of the connection and its limits.
    fn status(&self) -> watch::Receiver<BusStatus>;

    /// Why the broker refuses publishes to this topic: one that was answered since then with an error, and none accepted
    /// after it. A broker of MQTT 3.1.1 cannot say so, and nobody answers QoS 0.
    fn refusal(&self, _topic: &str, _since: Instant) -> Option<BusError> {
        None
    }

    /// Whoever wants what a kept session holds has subscribed: the broker is to forget these filters of an earlier process that nobody holds.
    /// Until then a message that the broker had kept goes to each who subscribes and matches, however late.
    fn complete(&self, _left: &[String]) {}

    /// Sends what is queued (for at most a few seconds), says goodbye to the broker and ends every subscription.
    /// Afterwards every call gives [`BusError::Closed`].
    fn close(&self) -> BoxFuture<'_, ()>;
}

#[cfg(test)]
mod tests;
