//! An async client: connections kept and checked, trackers tried in turn, every wait limited, every answer checked.
//!
//! * `options`, `conf` — what can be chosen, and reading it from a `client.conf`
//! * `operation`, `error` — what was done; what failed, on which file, and whether to repeat it
//! * `connection`, `pool` — one connection; those that rest; `exchange`, `send`, `ahead` — one request and its answer, without
//!   content and with it, from files too
//! * `buffers` — memory for large answers; `tries` — doing it again; `routes`, `lists` — asking trackers
//! * `upload`, `slave`, `append`, `change`, `inspect` — the operations on files
//! * `download`, `sink` — ranges to memory and streams; `fetch`, `part`, `spans` — whole files, over several connections
//! * `resumable` — uploads in steps that can go on later

mod ahead;
mod append;
mod buffers;
mod change;
mod conf;
mod connection;
mod download;
mod error;
mod exchange;
mod fetch;
mod inspect;
mod lists;
mod operation;
mod options;
mod part;
mod pool;
mod resumable;
mod routes;
mod send;
mod sink;
mod slave;
mod spans;
mod tries;
mod upload;

use std::sync::Arc;

pub use conf::ConfError;
pub use error::{Attempt, ClientError, Sent};
pub use fetch::DownloadOptions;
pub use operation::Operation;
pub use options::{ClientOptions, Place};
pub use resumable::{Begun, ResumableUpload};

/// Told how much is done of how much, both in bytes; called from whichever thread made the progress, never from two at once.
pub type Progress = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// A client of one FastDFS cluster. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
    place: Place,
}

#[derive(Debug)]
struct Shared {
    options: ClientOptions,
    pool: pool::Pool,
    routes: routes::Routes,
    buffers: Arc<buffers::Buffers>,
}

impl Client {
    /// Connects when first used, not here.
    #[must_use]
    pub fn new(options: ClientOptions) -> Self {
        let pool = pool::Pool::new(&options);
        let place = options.place;
        let (routes, buffers) = (routes::Routes::default(), Arc::default());
        Self { shared: Arc::new(Shared { options, pool, routes, buffers }), place }
    }

    /// The same client, whose uploads go to `place`. Shares connections with this one.
    #[must_use]
    pub fn at(&self, place: Place) -> Self {
        Self { shared: Arc::clone(&self.shared), place }
    }
}
