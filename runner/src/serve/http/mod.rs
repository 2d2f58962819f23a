//! The control API over HTTP: `/v1`, JSON, problems as RFC 9457 says, events as they are journaled.
//!
//! * `api`: what handlers ask of the process. `problem`: errors. `access`: who may do what. `limit`: how often.
//! * `runs`, `steer`, `repins`, `explain`, `definitions`, `devices`, `triggers`, `system`: the routes. `events`: a run's journal as server-sent events. `metrics`: numbers for Prometheus.
//! * `document`: the OpenAPI document, made of the same handlers that answer; `shapes`: objects in it that are made elsewhere.
//! * `server`: connections and their limits; `patient`: answers that nobody takes. `layers`: what happens before and after each handler.
//! * `refusals`: what was refused, and what is open.

mod access;
mod api;
mod definitions;
mod devices;
mod document;
mod events;
mod explain;
mod holds;
mod layers;
mod limit;
pub mod metrics;
mod patient;
mod problem;
mod refusals;
mod repins;
mod runs;
mod server;
mod shapes;
mod steer;
mod system;
mod triggers;

pub use access::{Access, Grant, Scope, hashed};
pub use api::{Answer, Api, Once, Readiness, Runner, Started};
pub use definitions::LoadError;
pub use definitions::Reloaded;
pub use devices::{DeviceEntry, DeviceList, DeviceView, DevicesFile};
pub use document::document;
pub use limit::Limits;
pub use refusals::Refusals;
pub use server::Http;
