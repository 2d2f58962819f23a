//! State that outlives the process: the journal of runs with its objects and checkpoints, and the key-value store of workflows.
//!
//! * `journal`: the trait, its words and errors. `key_value`: the trait of the Redis-like store, and the semantics of its operations; `limits`: how much a step can take.
//! * `embedded`: both on one redb file. `memory`: both in memory. `redis`: on a Redis server.
//! * `writer`: the thread that commits what has gathered.
//! * `row`: what is stored about a run, and the checksum around everything that is stored.
//! * `clock`: the wall clock, and the steady one by which things are forgotten.
//! * `retention`: forgets old runs and what only they needed.
//! * `folder`: the data folder and its lock.
//!
//! Adding a store: one file, one line here, and the tests in `contract`.

mod clock;
#[cfg(test)]
mod contract;
mod embedded;
mod folder;
mod journal;
mod key_value;
mod limits;
mod memory;
mod redis;
mod retention;
mod row;
#[cfg(test)]
mod state_machine;
mod writer;

pub use clock::{Jumps, steady, wall};
pub use embedded::EmbeddedStore;
pub use folder::{DataFolder, FolderError};
pub use journal::*;
pub use key_value::{BoxFuture, KeyValue, KvError};
pub use memory::{MemoryJournal, MemoryKeyValue};
pub use redis::{
    Fitness, Fsync, RedisIndex, RedisJournal, RedisJournalOptions, RedisKeyValue, RedisSettings, RedisUrlError, Role,
    ServerReport, inspect,
};
pub use retention::{Sweeper, Swept};
pub use writer::*;
