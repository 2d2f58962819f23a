//! The control API over HTTP: `/v1`, JSON, problems as RFC 9457 says, events as they are journaled.
//!
//! * `api`: what handlers ask of the process. `problem`: errors. `access`: who may do what. `limit`: how often.
//! * `runs`, `repins`, `explain`, `definitions`, `devices`, `triggers`, `system`: the routes. `events`: a run's journal as server-sent events. `metrics`: numbers for Prometheus.
//! * `document`: the OpenAPI document, made of the same handlers that answer.
//! * `server`: connections and their limits.

mod access;
mod api;
mod definitions;
mod devices;
mod document;
mod events;
mod explain;
mod holds;
mod limit;
pub mod metrics;
mod problem;
mod repins;
mod runs;
mod server;
mod system;
mod triggers;

pub use access::{Access, Grant, Scope, hashed};
pub use api::{Answer, Api, Once, Readiness, Runner, Started};
pub use definitions::LoadError;
pub use definitions::Reloaded;
pub use devices::{DeviceEntry, DeviceList, DeviceView, DevicesFile};
pub use document::document;
pub use limit::Limits;
pub use server::Http;
