//! MQTT: the `Bus` that transfers speak through, its implementations, and the embedded broker.
//!
//! * `message`: what travels: [`Message`], [`Properties`], [`Qos`]; `topic`: which names and filters are valid, and match
//! * `subscription`: the receiving end: [`Subscription`], [`Delivery`]; `routes`: which of them a topic goes to
//! * `error`, `status`: [`BusError`], [`BusStatus`]
//! * `client`: [`RumqttcBus`], with `settings`, `tls` and `crypto`; behind it `connection` (the supervised task), `link`
//!   (one connection), `watchdog`, `failure`, `backoff`, `outbox` (the publish queue), `registry` (subscriptions), `convert`
//!   (rumqttc's types)
//! * `memory`: [`MemoryBus`], for tests
//! * `broker`: [`EmbeddedBroker`]
//!
//! ```text
//! publish() -> outbox -> rumqttc's channel -> link (task) <-> broker
//! recv() <- subscription's queue <- routes <----'
//! ```
//!
//! Only end-to-end acknowledgement makes a transfer safe: a message that was accepted here may still be lost, or arrive
//! twice, when a connection breaks.

mod backoff;
mod broker;
mod client;
mod connection;
mod convert;
mod crypto;
mod error;
mod failure;
mod link;
mod memory;
mod message;
mod outbox;
mod registry;
mod routes;
mod settings;
mod status;
mod subscription;
mod tls;
pub mod topic;
mod watchdog;

use std::future::Future;
use std::pin::Pin;

use tokio::sync::watch;

pub use broker::{Broker, BrokerError, BrokerHandle, EmbeddedBroker};
pub use client::{BusCounts, RumqttcBus};
pub use crypto::install_crypto;
pub use error::BusError;
pub use memory::MemoryBus;
pub use message::{Message, Properties, Qos};
pub use settings::Settings;
pub use status::BusStatus;
pub use subscription::{Delivery, QUEUE_BYTES, QUEUE_MESSAGES, Subscription};

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

    /// Sends what is queued (for at most a few seconds), says goodbye to the broker and ends every subscription.
    /// Afterwards every call gives [`BusError::Closed`].
    fn close(&self) -> BoxFuture<'_, ()>;
}

#[cfg(test)]
mod tests;
