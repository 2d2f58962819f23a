//! What can be chosen about a client.

use std::{net::SocketAddr, time::Duration};

use crate::wire::GroupName;

/// Where uploads go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Place {
    /// Where the tracker says.
    #[default]
    Anywhere,
    /// To the storage that the tracker names in this group.
    Group(GroupName),
    /// To this storage: where to upload is not asked of a tracker. What comes later (steps, metadata) is, as for any file.
    Storage {
        /// Where it listens.
        address: SocketAddr,
        /// Which of its store paths, from 0; none lets the storage choose.
        path_index: Option<u8>,
    },
}

/// Options of a client; start from [`ClientOptions::new`].
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// `host:port` of each tracker, tried in turn.
    pub trackers: Vec<String>,
    /// Where uploads go. Default [`Place::Anywhere`].
    pub place: Place,
    /// Limit of making a connection. Default 5 s.
    pub connect_timeout: Duration,
    /// Limit of waiting for the next bytes to go out or come in. Default 60 s.
    pub io_timeout: Duration,
    /// How much longer an answer may take for which the storage first reads a whole file: its CRC is asked for (appenders and slaves),
    /// or an appender becomes a normal file. Default 10 min.
    pub reading_timeout: Duration,
    /// How often an operation is tried that fails with what may pass, where that cannot do it twice; 1 means that nothing is
    /// repeated. Default 3.
    pub tries: usize,
    /// The pause before the second try; doubled before each further one up to 2 s, and each time varied by half of it to both
    /// sides. Default 100 ms.
    pub pause: Duration,
    /// A connection that rested longer is probed before it is used again. Default 10 s.
    pub probe_after: Duration,
    /// A connection that rested longer is closed. Default 30 min.
    pub idle_limit: Duration,
    /// Connections in use at once, to all servers together; more operations wait. Default 64. A download whose receiver, or an upload
    /// whose reader, waits for another operation of the same client needs room for both, or waits for ever.
    pub max_connections: usize,
    /// Resting connections for each server. Default 32.
    pub max_idle: usize,
}

impl ClientOptions {
    /// The defaults.
    pub fn new(trackers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            trackers: trackers.into_iter().map(Into::into).collect(),
            place: Place::Anywhere,
            connect_timeout: Duration::from_secs(5),
            io_timeout: Duration::from_secs(60),
            reading_timeout: Duration::from_secs(600),
            tries: 3,
            pause: Duration::from_millis(100),
            probe_after: Duration::from_secs(10),
            idle_limit: Duration::from_secs(30 * 60),
            max_connections: 64,
            max_idle: 32,
        }
    }
}
