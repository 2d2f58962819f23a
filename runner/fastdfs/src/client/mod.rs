//! An async client: connections kept and checked, trackers tried in turn, every wait limited, every answer checked.
//!
//! * `options` — what can be chosen; `error` — what failed, on which file, and whether to repeat it
//! * `connection`, `pool` — one connection; those that rest; `exchange` — one request and its answer
//! * `routes` — asking trackers; `upload`, `in_appends`, `download`, `change`, `inspect` — the operations

mod change;
mod connection;
mod download;
mod error;
mod exchange;
mod in_appends;
mod inspect;
mod options;
mod pool;
mod routes;
mod upload;

use std::sync::Arc;

pub use error::{Attempt, ClientError, Operation};
pub use options::ClientOptions;

/// A client of one FastDFS cluster. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: ClientOptions,
    pool: pool::Pool,
    routes: routes::Routes,
}

impl Client {
    /// Connects when first used, not here.
    #[must_use]
    pub fn new(options: ClientOptions) -> Self {
        let pool = pool::Pool::new(&options);
        Self { shared: Arc::new(Shared { options, pool, routes: routes::Routes::default() }) }
    }
}
