//! The MQTT broker inside the process: `mqtt5` behind a small trait, as that crate breaks its interface often.

use std::net::SocketAddr;
use std::time::Duration;
use std::{fmt, io};

use mqtt5::broker::{
    BrokerConfig, BrokerShutdownHandle, MqttBroker, ResourceLimits, StorageBackendType, StorageConfig,
};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::BoxFuture;

/// Clients at a time, from one address as from many.
const CLIENTS: usize = 100_000;

/// Largest MQTT packet. Some clients refuse to connect when a broker announces the format's own maximum.
const MAX_PACKET: usize = 1 << 20;

/// Messages that wait for one client which does not keep up; beyond it the publisher is slowed down.
const CLIENT_QUEUE: usize = 10_000;

/// Unacknowledged QoS 1 messages towards one client, as far as that client allows.
const INFLIGHT: u16 = 1024;

/// How long sessions of absent clients are kept, in memory.
const SESSION: Duration = Duration::from_secs(24 * 3600);

/// How long `shutdown` waits; the broker itself gives its clients 5 s.
const STOP: Duration = Duration::from_secs(8);

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// Another program listens there.
    #[error("cannot start the MQTT broker: {addr} is in use")]
    AddressInUse {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("cannot start the MQTT broker on {addr}")]
    Bind {
        /// The address asked for.
        addr: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The broker itself refuses to start.
    #[error("cannot start the MQTT broker on {addr}: {reason}")]
    Start {
        /// The address asked for.
        addr: SocketAddr,
        /// Its words.
        reason: String,
    },
}

/// A kind of broker that can be started in this process.
pub trait Broker {
    /// Listens on `addr` for MQTT 3.1.1 and 5 clients, anonymous or not; port 0 takes a free one. Returns when clients
    /// can connect.
    fn start(&self, addr: SocketAddr) -> BoxFuture<'static, Result<BrokerHandle, BrokerError>>;
}

/// A running broker. Dropping it stops the broker too, without waiting.
pub struct BrokerHandle {
    /// Where it listens.
    pub addr: SocketAddr,
    stop: BrokerShutdownHandle,
    task: JoinHandle<()>,
}

/// The `mqtt5` broker: memory only, no files, no `$SYS` topics, no limits that a fleet behind one address would meet.
/// Of clients that all knock in the same instant, those beyond 1024 (the listen queue) wait for their kernel's next try.
#[derive(Debug, Clone, Copy, Default)]
pub struct EmbeddedBroker;

impl Broker for EmbeddedBroker {
    fn start(&self, addr: SocketAddr) -> BoxFuture<'static, Result<BrokerHandle, BrokerError>> {
        Box::pin(start(addr))
    }
}

impl BrokerHandle {
    /// Disconnects every client and waits until the port is free again.
    pub async fn shutdown(mut self) {
        self.stop.shutdown();
        if timeout(STOP, &mut self.task).await.is_err() {
            tracing::warn!(addr = %self.addr, "the MQTT broker did not stop in time");
        }
    }
}

impl Drop for BrokerHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for BrokerHandle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("BrokerHandle").field("addr", &self.addr).finish_non_exhaustive()
    }
}

async fn start(addr: SocketAddr) -> Result<BrokerHandle, BrokerError> {
    let mut broker = match MqttBroker::with_config(config(addr)).await {
        Ok(broker) => broker,
        Err(error) => return Err(explain(addr, error.to_string()).await),
    };
    let failed = |reason: &str| BrokerError::Start { addr, reason: reason.to_owned() };
    let bound = broker.local_addr().ok_or_else(|| failed("it tells no address"))?;
    broker.resource_monitor().update_limits(limits());
    let (stop, mut ready) = (broker.shutdown_handle(), broker.ready_receiver());
    let task = tokio::spawn(async move {
        if let Err(error) = broker.run().await {
            tracing::error!(%error, "the MQTT broker ended");
        }
    });
    let handle = BrokerHandle { addr: bound, stop, task };
    ready.wait_for(|ready| *ready).await.map_err(|_| failed("it ended while starting"))?;
    Ok(handle)
}

fn config(addr: SocketAddr) -> BrokerConfig {
    let storage = StorageConfig::new().with_backend(StorageBackendType::Memory);
    let mut config = BrokerConfig::new()
        .with_bind_address(addr)
        .with_max_clients(CLIENTS)
        .with_max_packet_size(MAX_PACKET)
        .with_session_expiry(SESSION)
        .with_client_channel_capacity(CLIENT_QUEUE)
        .with_max_outbound_inflight(INFLIGHT)
        .with_sys_topics_enabled(false)
        .with_storage(storage);
    // Nobody logs in here, so there is nothing to rate.
    config.auth_config.rate_limit.enabled = false;
    config
}

/// No limit on rates: zero means none for messages and bytes, and an empty window forgets connections at once.
fn limits() -> ResourceLimits {
    ResourceLimits {
        max_connections: CLIENTS,
        max_connections_per_ip: CLIENTS,
        max_message_rate_per_client: 0,
        max_bandwidth_per_client: 0,
        max_connection_rate: u32::MAX,
        rate_limit_window: Duration::ZERO,
    }
}

/// The broker tells a failed bind in prose only; trying the address ourselves gives the system's error.
async fn explain(addr: SocketAddr, reason: String) -> BrokerError {
    match TcpListener::bind(addr).await {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => BrokerError::AddressInUse { addr },
        Err(source) => BrokerError::Bind { addr, source },
        Ok(_) => BrokerError::Start { addr, reason },
    }
}
