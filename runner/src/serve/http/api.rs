//! What handlers ask of the process.

use super::access::Access;
use super::devices::DeviceView;
use super::limit::Limits;
use super::metrics::Metrics;
use super::refusals::Refusals;
use crate::catalog::Catalogs;
use crate::engine::EngineHandle;
use crate::serve::audit::Audit;
use crate::serve::control::Start;
use crate::trigger::Triggers;
use packhorse_core::admission::Hold;
use packhorse_core::failure::Failure;
use packhorse_core::run::RunId;
use serde_json::Value;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A future that owns what it needs.
pub type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A request that must come to one run however often it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// As the client named it.
    pub key: String,
    /// SHA-256 of what it asked for, in hex: the same key with another request is an error.
    pub request: String,
}

/// What a start came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The run.
    pub run: RunId,
    /// Whether it was started by an earlier request with the same key.
    pub replayed: bool,
}

/// Whether the process can do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readiness {
    /// The journal can be written.
    pub journal: bool,
    /// The broker is connected.
    pub broker: bool,
    /// Bytes of the journal's file, where it is one.
    pub journal_bytes: Option<u64>,
}

/// The process behind the API.
pub trait Runner: Send + Sync + 'static {
    /// Its runs.
    fn engine(&self) -> &EngineHandle;

    /// Its workflows and plugins.
    fn catalogs(&self) -> &Catalogs;

    /// What starts runs by itself.
    fn triggers(&self) -> &Triggers;

    /// Starts a run of what counts now. Local files are refused: who asks over the network must not have the daemon read its disk.
    fn start(&self, start: Start, once: Option<Once>) -> Answer<Result<Started, Failure>>;

    /// Moves a run from the build of its codec that `from` names to the one that `to` names.
    fn repin(&self, run: RunId, from: String, to: String) -> Answer<Result<(), Failure>>;

    /// The same of several, by their ids or the beginnings of them; tells what came of each.
    fn repin_all(&self, runs: Vec<String>, from: String, to: String) -> Answer<Result<Value, Failure>>;

    /// What is known of a run or a device, and why it waits.
    fn explain(&self, subject: String) -> Answer<Result<Value, Failure>>;

    /// What a device id comes to now.
    fn device(&self, id: String) -> Answer<Result<DeviceView, Failure>>;

    /// Holds that stand.
    fn holds(&self) -> Answer<Result<Vec<Hold>, Failure>>;

    /// Holds the runs that a selector means.
    fn hold(&self, selector: String, reason: Option<String>, by: String) -> Answer<Result<Hold, Failure>>;

    /// Ends a hold.
    fn release(&self, id: String, by: String) -> Answer<Result<(), Failure>>;

    /// Whether it can do its work.
    fn ready(&self) -> Readiness;
}

/// What every handler is given.
#[derive(Clone)]
pub struct Api {
    /// The process.
    pub runner: Arc<dyn Runner>,
    /// Who may do what.
    pub access: Arc<Access>,
    /// How much of it.
    pub limits: Arc<Limits>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where it is written down who changed what.
    pub audit: Arc<Audit>,
    /// What was refused, and what is open.
    pub refusals: Arc<Refusals>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Api").field("access", &self.access).finish_non_exhaustive()
    }
}
