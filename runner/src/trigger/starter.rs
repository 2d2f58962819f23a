//! What triggers ask of the process.

use crate::store::BoxFuture;
use packhorse_core::failure::Failure;
use packhorse_core::run::{FirstMessage, RunId};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A run that a trigger asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Name of the workflow.
    pub workflow: String,
    /// Inputs as text, as `-i` has them.
    pub inputs: BTreeMap<String, String>,
    /// From where relative files count; without it, no file of this machine may be named.
    pub folder: Option<PathBuf>,
    /// Root `trigger` of the run's expressions.
    pub context: Value,
    /// It was said just now, by a message that no broker had kept: whatever device the run is for is there.
    pub live: bool,
    /// The message that asks for it, for its codec.
    pub message: Option<FirstMessage>,
    /// One run for everything with the same key.
    pub key: Option<Key>,
}

/// A key, and what may come under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// As whoever came named it.
    pub key: String,
    /// Without blanks; the same key for something else is an error.
    pub request: String,
}

/// What a start came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// The run.
    pub run: RunId,
    /// Whether it was there already.
    pub replayed: bool,
}

/// Starts runs. The run is durable when the future ends well; one that is dropped may have started it all the same.
pub trait Starter: Send + Sync + 'static {
    /// Starts a run of what counts now.
    fn start(&self, asked: Asked) -> BoxFuture<'static, Result<Begun, Failure>>;
}
