//! Everything that can go wrong on the bus, by what a caller may do about it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

/// An error of a bus. Cheap to clone, so that one lost connection can be told to many waiters.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// The publish queue is full: wait for `ready()` and publish again.
    #[error("the publish queue is full")]
    Busy,
    /// The bus was closed by ourselves.
    #[error("the bus is closed")]
    Closed,
    /// A topic to publish to is empty, too long, or holds `+`, `#` or NUL.
    #[error("{topic:?} is no topic name: {reason}")]
    InvalidTopic {
        /// As given.
        topic: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A filter to subscribe to is malformed, or a shared one.
    #[error("{filter:?} is no topic filter: {reason}")]
    InvalidFilter {
        /// As given.
        filter: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The message, with its headers, exceeds what the broker takes.
    #[error("a message of {size} bytes to {topic} exceeds the broker's limit of {limit} bytes")]
    TooLarge {
        /// Where it should have gone.
        topic: Arc<str>,
        /// Size of the MQTT packet in bytes.
        size: usize,
        /// Largest packet allowed.
        limit: usize,
    },
    /// The broker refused a subscription; asking again will not help.
    #[error("the broker refuses the subscription to {filter}: {reason}")]
    SubscriptionRefused {
        /// The filter in question.
        filter: Arc<str>,
        /// The broker's reason code in words.
        reason: String,
    },
    /// The broker answered the connection attempt with a refusal.
    #[error("the MQTT broker at {address} refuses the connection: {reason}")]
    Refused {
        /// `host:port`.
        address: String,
        /// The broker's reason code in words.
        reason: String,
        /// True when trying again later may help (busy, unavailable); false for wrong credentials and the like.
        transient: bool,
    },
    /// Another client connected with our client id (reason code 0x8E): the id is used twice.
    #[error("another client took over our session {client_id:?} at {address}")]
    TakenOver {
        /// `host:port`.
        address: String,
        /// The id that is used twice.
        client_id: String,
    },
    /// No connection, or it broke.
    #[error("cannot speak to the MQTT broker at {address}: {reason}")]
    Connection {
        /// `host:port`.
        address: String,
        /// What failed, in words.
        reason: String,
        /// The operating system's error, where there was one.
        source: Option<Arc<io::Error>>,
    },
    /// `connect` gave up.
    #[error("no MQTT broker at {address} after {attempts} attempts in {waited:.1?}")]
    Unreachable {
        /// `host:port`.
        address: String,
        /// How many attempts were made.
        attempts: u32,
        /// How long in all.
        waited: Duration,
        /// The last attempt's error.
        source: Option<Arc<Self>>,
    },
    /// The settings cannot be used: a URL, a CA file, a client id.
    #[error("{what}: {reason}")]
    Settings {
        /// The setting, such as the URL without its password.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
}
