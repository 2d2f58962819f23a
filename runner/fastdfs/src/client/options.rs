//! What can be chosen about a client.

use std::time::Duration;

use crate::wire::GroupName;

/// Options of a client; start from [`ClientOptions::new`].
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// `host:port` of each tracker, tried in turn.
    pub trackers: Vec<String>,
    /// Uploads go to this group; to any where it is not set.
    pub group: Option<GroupName>,
    /// Limit of making a connection. Default 5 s.
    pub connect_timeout: Duration,
    /// Limit of waiting for the next bytes to go out or come in. Default 60 s.
    pub io_timeout: Duration,
    /// A connection that rested longer is probed before it is used again. Default 10 s.
    pub probe_after: Duration,
    /// A connection that rested longer is closed. Default 30 min.
    pub idle_limit: Duration,
    /// Connections in use at once, to all servers together; more operations wait. Default 64.
    pub max_connections: usize,
    /// Resting connections for each server. Default 32.
    pub max_idle: usize,
}

impl ClientOptions {
    /// The defaults.
    pub fn new(trackers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            trackers: trackers.into_iter().map(Into::into).collect(),
            group: None,
            connect_timeout: Duration::from_secs(5),
            io_timeout: Duration::from_secs(60),
            probe_after: Duration::from_secs(10),
            idle_limit: Duration::from_secs(30 * 60),
            max_connections: 64,
            max_idle: 32,
        }
    }
}
