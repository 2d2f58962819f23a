//! What can be had from a Redis server: the keys of workflows, and the journal.
//!
//! * `target`: which server, and how to connect to it.
//! * `fault`: what an error of the client means for the operation that met it.
//! * `command`: operations as commands, and answers as values.
//! * `key_value`: the keys of workflows. `journal`: runs. `index`: our own keys.
//! * `report`: what the server says of itself.
//! * `testing`: a server of one's own for tests.

mod command;
mod fault;
mod index;
mod journal;
mod key_value;
mod report;
mod target;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;

pub use index::RedisIndex;
pub use journal::{RedisJournal, RedisJournalOptions};
pub use key_value::RedisKeyValue;
pub use report::{Fitness, Fsync, Role, ServerReport, inspect};
pub use target::{RedisSettings, RedisUrlError};
