//! The services of a process: embedded ones are started, others are only named; their addresses are written down.

use crate::app::exit::Stop;
use crate::bus::{Broker as _, BrokerError, BrokerHandle, EmbeddedBroker};
use crate::settings::{FastdfsAt, MqttAt, RedisAt, STORAGE_PORT, Settings, StoreKind, TRACKER_PORT};
use packhorse_core::failure::chain;
use packhorse_fastdfs::server::{Fsync, ServerError, ServerHandle, ServerOptions};
use serde::Serialize;
use std::net::SocketAddr;
use std::path::Path;

/// Name of the file with the addresses in the data folder.
pub const SERVICES: &str = "services.json";

/// What runs for this process.
#[derive(Debug)]
pub struct Services {
    /// URL of the broker.
    pub mqtt: String,
    /// Trackers of the file store.
    pub trackers: Vec<String>,
    /// `embedded`, or the URL of the Redis server without its password.
    pub redis: String,
    /// `embedded` or `redis`: what the journal lies on.
    pub store: &'static str,
    /// Where a daemon's API listens.
    pub http: Option<SocketAddr>,
    broker: Option<BrokerHandle>,
    fastdfs: Option<ServerHandle>,
}

#[derive(Serialize)]
struct Written<'a> {
    pid: u32,
    mqtt: String,
    fastdfs: &'a [String],
    redis: &'a str,
    store: &'static str,
    storage: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<String>,
    control: String,
}

impl Services {
    /// Starts what is embedded.
    pub async fn start(settings: &Settings) -> Result<Self, Stop> {
        let (mqtt, broker) = match &settings.mqtt {
            MqttAt::Url(url) => (url.clone(), None),
            MqttAt::Embedded(address) => {
                let broker = broker(*address).await?;
                (format!("mqtt://{}", broker.addr), Some(broker))
            }
        };
        let (trackers, fastdfs) = match &settings.fastdfs {
            FastdfsAt::Trackers(trackers) => (trackers.clone(), None),
            FastdfsAt::Embedded(address) => {
                let server = fastdfs(*address, &settings.data).await?;
                (vec![server.tracker_addr.to_string()], Some(server))
            }
        };
        let redis = match &settings.redis {
            RedisAt::Embedded => "embedded".to_owned(),
            RedisAt::Server(server) => crate::settings::without_password(&server.url),
        };
        let store = match settings.store.kind {
            StoreKind::Embedded => "embedded",
            StoreKind::Redis => "redis",
        };
        Ok(Self { mqtt, trackers, redis, store, http: None, broker, fastdfs })
    }

    /// Writes the addresses to the data folder, under a temporary name first.
    pub fn write(&self, data: &Path) -> std::io::Result<()> {
        let written = Written {
            pid: std::process::id(),
            mqtt: crate::settings::without_password(&self.mqtt),
            fastdfs: &self.trackers,
            redis: &self.redis,
            store: self.store,
            storage: self.fastdfs.as_ref().map(|server| server.storage_addr),
            http: self.http.map(|addr| format!("http://{addr}")),
            control: crate::serve::control::SOCKET.to_owned(),
        };
        let path = data.join(SERVICES);
        let temporary = data.join(format!(".{SERVICES}.{}", std::process::id()));
        crate::failpoint::Point::ServicesWrite.attempt()?;
        std::fs::write(&temporary, serde_json::to_vec_pretty(&written)?)?;
        std::fs::rename(temporary, path)
    }

    /// Whether the broker is ours.
    pub const fn embeds_broker(&self) -> bool {
        self.broker.is_some()
    }

    /// Whether the file store is ours.
    pub const fn embeds_fastdfs(&self) -> bool {
        self.fastdfs.is_some()
    }

    /// Stops what was started.
    pub async fn stop(self) {
        if let Some(broker) = self.broker {
            broker.shutdown().await;
        }
        if let Some(server) = self.fastdfs {
            server.shutdown().await;
        }
    }
}

/// Starts the embedded broker.
pub async fn broker(address: SocketAddr) -> Result<BrokerHandle, Stop> {
    EmbeddedBroker.start(address).await.map_err(|error| match error {
        BrokerError::AddressInUse { .. } => taken(address, "MQTT broker", "--mqtt embedded://127.0.0.1:0"),
        error => Stop::unavailable(
            "PH1002",
            format!("cannot start the embedded MQTT broker on {address}: {}", chain(&error)),
        ),
    })
}

async fn fastdfs(tracker: SocketAddr, data: &Path) -> Result<ServerHandle, Stop> {
    let storage = if tracker.port() == TRACKER_PORT { STORAGE_PORT } else { 0 };
    let mut options = ServerOptions::new(data.join("fastdfs"));
    options.tracker = tracker.to_string();
    options.storage = SocketAddr::new(tracker.ip(), storage).to_string();
    options.fsync = Fsync::Close;
    start_fastdfs(options).await
}

/// Starts the embedded file store.
pub async fn start_fastdfs(options: ServerOptions) -> Result<ServerHandle, Stop> {
    let (tracker, storage) = (options.tracker.clone(), options.storage.clone());
    ServerHandle::start(options).await.map_err(|error| match &error {
        ServerError::Listen { address, source } if source.kind() == std::io::ErrorKind::AddrInUse => {
            taken(address, "FastDFS server", "--fastdfs embedded://127.0.0.1:0")
        }
        _ => Stop::unavailable(
            "PH1002",
            format!("cannot start the FastDFS server on {tracker} and {storage}: {}", chain(&error)),
        ),
    })
}

fn taken(address: impl std::fmt::Display, what: &str, instead: &str) -> Stop {
    Stop::unavailable("PH1001", format!("cannot start the {what}: {address} is in use by another program"))
        .hint(format!("is another packhorse running? Stop it, or choose another port: {instead} takes a free one"))
}
