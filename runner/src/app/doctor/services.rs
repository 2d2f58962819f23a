//! Which services are looked at: those that are named, those of the process that owns the data folder, or embedded ones for a moment.

use super::Finding;
use super::place::Place;
use crate::bus::BrokerHandle;
use crate::settings::{FastdfsAt, MqttAt, Settings};
use packhorse_fastdfs::server::{ServerHandle, ServerOptions};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Services to look at; what was started for it is stopped by [`Looked::stop`].
pub(super) struct Looked {
    /// URL of the broker.
    pub(super) mqtt: Option<String>,
    /// Trackers of the file store.
    pub(super) trackers: Option<Vec<String>>,
    broker: Option<BrokerHandle>,
    fastdfs: Option<(ServerHandle, PathBuf)>,
}

/// Finds or starts them.
pub(super) async fn find(settings: &Settings, place: &Place, findings: &mut Vec<Finding>) -> Looked {
    let owners = if place.owned { owners(settings) } else { None };
    let mut looked = Looked { mqtt: None, trackers: None, broker: None, fastdfs: None };
    match (&settings.mqtt, owners.as_ref().and_then(|owners| owners.get("mqtt")?.as_str())) {
        (MqttAt::Embedded(_), Some(url)) => looked.mqtt = Some(url.to_owned()),
        (MqttAt::Embedded(_), None) => match super::super::services::broker(free()).await {
            Ok(broker) => {
                looked.mqtt = Some(format!("mqtt://{}", broker.addr));
                looked.broker = Some(broker);
            }
            Err(stop) => findings.push(not_started("broker", "PH8010", &stop.failure.message)),
        },
        (MqttAt::Url(url), _) => looked.mqtt = Some(url.clone()),
    }
    let trackers = owners.as_ref().and_then(|owners| owners.get("fastdfs")?.as_array());
    match (&settings.fastdfs, trackers) {
        (FastdfsAt::Embedded(_), Some(trackers)) => {
            looked.trackers = Some(trackers.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect());
        }
        (FastdfsAt::Embedded(_), None) => looked.start_fastdfs(findings).await,
        (FastdfsAt::Trackers(trackers), _) => looked.trackers = Some(trackers.clone()),
    }
    looked
}

impl Looked {
    /// A file store in a folder of its own: the user's files are left alone.
    async fn start_fastdfs(&mut self, findings: &mut Vec<Finding>) {
        let folder = std::env::temp_dir().join(format!("packhorse-doctor-{}", std::process::id()));
        let options = ServerOptions::new(folder.clone()).on_free_ports();
        match super::super::services::start_fastdfs(options).await {
            Ok(server) => {
                self.trackers = Some(vec![server.tracker_addr.to_string()]);
                self.fastdfs = Some((server, folder));
            }
            Err(stop) => findings.push(not_started("file store", "PH8014", &stop.failure.message)),
        }
    }

    /// Stops what was started.
    pub(super) async fn stop(self) {
        if let Some(broker) = self.broker {
            broker.shutdown().await;
        }
        if let Some((server, folder)) = self.fastdfs {
            server.shutdown().await;
            drop(std::fs::remove_dir_all(folder));
        }
    }
}

/// What the process that owns the data folder wrote of its services.
fn owners(settings: &Settings) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(settings.data.join(super::super::SERVICES)).ok()?).ok()
}

fn free() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn not_started(check: &'static str, code: &'static str, words: &str) -> Finding {
    Finding::unreachable(check, code, words.to_owned(), "the message holds the system's reason")
}
