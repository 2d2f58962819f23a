//! The state of the connection as everybody may watch it.

use std::sync::Arc;
use std::time::Instant;

use super::BusError;

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
    },
    /// The broker has accepted us.
    Connected {
        /// The largest MQTT packet (headers included) that the broker takes; `None` when it named no limit. Our own
        /// limit of 1 MiB holds besides.
        max_packet_size: Option<u32>,
        /// How many unacknowledged QoS 1 and 2 messages the broker takes; `None` means 65 535.
        receive_max: Option<u16>,
        /// The broker still knew our session.
        session_present: bool,
        /// Counts the connections of this bus from 1.
        generation: u64,
    },
    /// [`close`](super::Bus::close) was called; final.
    Closed,
}

impl BusStatus {
    /// True in [`BusStatus::Connected`].
    pub fn is_connected(&self) -> bool {
        matches!(self, Self::Connected { .. })
    }
}
