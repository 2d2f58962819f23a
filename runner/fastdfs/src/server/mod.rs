//! A tracker and a storage in one process: real sockets, files on disk, names as FastDFS makes them.
//!
//! Every connection has a thread of its own that reads, works on files and answers, one request after the other; the
//! caller's async tasks never wait for these disks. Memory of a connection is constant, whatever the size of a file.
//!
//! * `options` — what can be chosen; `handle` — starting and stopping
//! * `connections` — who is connected; `peer` — one connection; `reply` — outcomes of a request
//! * `tracker`, `storage` — commands; `upload`, `change`, `read` — what the storage's commands do
//! * `tree` — files on disk; `temp` — files that have no name yet; `intents` — unfinished changes; `writers` — one writer a file
//! * `counters` — what was done since the start

mod change;
mod connections;
mod counters;
mod error;
mod handle;
mod intents;
mod options;
mod peer;
mod read;
mod reply;
mod storage;
mod temp;
mod tracker;
mod tree;
mod upload;
mod writers;

pub use error::ServerError;
pub use handle::ServerHandle;
pub use options::{Fsync, ServerOptions};
