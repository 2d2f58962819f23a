//! The state of the connection as everybody may watch it.

use std::sync::Arc;
use std::time::Instant;

use super::{BusError, Protocol, Qos};

/// What the connection is doing now, with the limits that the broker named.
#[derive(Debug, Clone)]
pub enum BusStatus {
    /// No connection; attempts go on.
    Connecting {
        /// When the connection was lost, or when the first attempt began.
        since: Instant,
        /// Failed attempts since then.
        attempts: u32,
        /// Why there is no connection, as far as known.
        last_error: Option<Arc<BusError>>,
        /// Every broker refused in a way that no repetition will change. Attempts go on all the same, as rights change.
        hopeless: bool,
    },
    /// A broker has accepted us.
    Connected {
        /// `host:port` of the one that serves.
        address: Arc<str>,
        /// The version that is spoken with it.
        protocol: Protocol,
        /// What it allows.
        limits: Limits,
        /// The broker still knew our session.
        session_present: bool,
        /// Counts the connections of this bus from 1.
        generation: u64,
    },
    /// Attempts have ended: another client keeps taking over our session. Final.
    GivenUp(Arc<BusError>),
    /// [`close`](super::Bus::close) was called; final.
    Closed,
}

/// What a broker allows, as its CONNACK says; a broker of MQTT 3.1.1 says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest MQTT packet (headers included) that the broker takes; `None` when it named no limit. Our own limit of
    /// 1 MiB holds besides.
    pub max_packet_size: Option<u32>,
    /// How many unacknowledged QoS 1 and 2 messages the broker takes; `None` means 65 535.
    pub receive_max: Option<u16>,
    /// Messages of a higher QoS are sent with this one.
    pub max_qos: Qos,
    /// Whether retained messages are kept.
    pub retain: bool,
    /// Whether filters may hold `+` and `#`.
    pub wildcards: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_packet_size: None, receive_max: None, max_qos: Qos::ExactlyOnce, retain: true, wildcards: true }
    }
}

impl BusStatus {
    /// True in [`BusStatus::Connected`].
    pub fn is_connected(&self) -> bool {
        matches!(self, Self::Connected { .. })
    }

    /// What the broker allows, while there is one.
    pub fn limits(&self) -> Option<Limits> {
        match self {
            Self::Connected { limits, .. } => Some(*limits),
            Self::Connecting { .. } | Self::GivenUp(_) | Self::Closed => None,
        }
    }
}
