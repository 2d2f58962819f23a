//! A tracker and a storage in one process: real sockets, files on disk, names as FastDFS makes them.
//!
//! Network work is apart from disk work: each connection is a task of the caller's runtime, which reads requests and writes
//! answers; files are worked on by blocking threads, so many at once for each store path. A connection has at most one job
//! there, reads the next request only when it has answered the last one, and needs the same memory whatever the size of a
//! file.
//!
//! * `options` — what can be chosen; `handle` — starting and stopping
//! * `connections` — who is connected; `peer` — one connection; `reply` — outcomes of a request
//! * `tracker`, `storage` — commands; `upload`, `change`, `metadata`, `read` — what the storage's commands do
//! * `lanes` — disk work and its turns; `content` — bytes between socket and disk
//! * `tree` — files of a store path; `beneath` — opening them without ever leaving it; `temp` — files that have no name yet;
//!   `intents` — unfinished changes; `writers` — one writer a file
//! * `counters` — what was done since the start

mod beneath;
mod change;
mod connections;
mod content;
mod counters;
mod error;
mod handle;
mod intents;
mod lanes;
mod metadata;
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
