//! Journal and key-value store on one redb file.
//!
//! * `file`: creating and opening it.
//! * `journal`, `key_value`: the two traits.

mod file;
mod journal;
mod key_value;
#[cfg(test)]
mod tests;

use super::journal::StoreError;
use redb::{Database, TableDefinition};
use std::path::Path;
use std::sync::Arc;

/// Version of the layout of tables and values; a later one is refused, an earlier one brought up to it. 1 had no times of objects and no
/// streams.
const FORMAT: u64 = 2;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Run to its sealed row.
const RUNS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("runs");
/// Run and place to a sealed fact.
const FACTS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("facts");
const CHECKPOINTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("checkpoints");
const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");
/// Digest of an object to when it was last put, UTC in milliseconds.
const PUT: TableDefinition<'_, &str, u64> = TableDefinition::new("put");
const KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("keys");
/// Key and field to sealed text.
const FIELDS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("fields");

/// The embedded store: a [`super::Journal`] and a [`super::KeyValue`] on one file. Clones share it.
///
/// A key-value operation is durable with the next append to the journal, thus before the step that asked for it counts as done.
#[derive(Clone)]
pub struct EmbeddedStore {
    database: Arc<Database>,
}

impl EmbeddedStore {
    /// Opens the file, or creates it: whole under its name or not at all. Reads it through once, to find damage before anything is built
    /// on it. Errors: [`StoreError::Locked`], [`StoreError::Format`], [`StoreError::Damaged`], [`StoreError::Failed`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        file::open(path).map(|database| Self { database: Arc::new(database) })
    }
}

impl std::fmt::Debug for EmbeddedStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("EmbeddedStore")
    }
}

/// What redb suffered, with what was tried.
fn failed<E: Into<redb::Error>>(action: &'static str) -> impl Fn(E) -> StoreError {
    move |error| match error.into() {
        redb::Error::Corrupted(what) => StoreError::Damaged { what: format!("the store: {what}") },
        error => StoreError::failed(action, error),
    }
}
