//! Routes of devices: every entry of the registry, and what one device id comes to.

use super::access::Scope;
use super::api::Api;
use super::definitions::{LoadError, load_error};
use super::problem::Problem;
use crate::catalog::Generation;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use packhorse_core::registry::{Placed, Registry, context};
use serde::Serialize;
use serde_json::Value;

/// An entry of the registry.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct DeviceEntry {
    /// Name of the file in which it stands.
    file: String,
    /// Which devices, and what goes with them: `match`, `codec`, `vars`, `model`, `hw`, `rate`, `budget`, `timezone`, `labels`, `presence`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    entry: Value,
}

/// A file of devices.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct DevicesFile {
    /// Its name, without extension.
    name: String,
    /// SHA-256 of the content that counts; absent where none was good yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// Since when it counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    loaded_at: Option<String>,
    /// How many entries count.
    entries: u64,
    /// Whether it has newer content that is not good.
    stale: bool,
    /// Why the newest content does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    load_error: Option<LoadError>,
}

/// The registry of devices.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct DeviceList {
    /// Ids in their order, then globs, the nearest first.
    items: Vec<DeviceEntry>,
    /// The files in which they stand.
    files: Vec<DevicesFile>,
}

/// What a device id comes to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct DeviceView {
    /// The device.
    id: String,
    /// `match` of its entry; absent where it has none.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pattern: Option<String>,
    /// The file in which its entry stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// Whether that file has newer content that is not good.
    stale: bool,
    /// What a run that is started now sees at `device`.
    #[schema(value_type = Object)]
    device: Value,
    /// Whether it is there, as far as is known: `online`, `since`, `heard_at`, and by whom that was told (`will` or `traffic`); null where
    /// nothing is known.
    #[schema(value_type = Option<Object>)]
    presence: Option<Value>,
}

impl DeviceList {
    /// Of a generation.
    pub fn of(generation: &Generation) -> Self {
        let files = generation.devices.entries().map(|(name, entry)| DevicesFile {
            name: name.to_owned(),
            digest: entry.live.as_ref().map(|live| live.digest.clone()),
            loaded_at: entry.live.as_ref().map(|live| live.since.to_rfc3339()),
            entries: entry.live.as_ref().map_or(0, |live| live.value.entries.len() as u64),
            stale: entry.is_stale(),
            load_error: load_error(entry),
        });
        Self { items: items(&generation.registry), files: files.collect() }
    }

    /// Of a folder that was read just now, where every file is good.
    pub fn plain(registry: &Registry) -> Self {
        Self { items: items(registry), files: Vec::new() }
    }
}

fn items(registry: &Registry) -> Vec<DeviceEntry> {
    let entry = |placed: &Placed| serde_json::to_value(&*placed.entry).unwrap_or_default();
    let items = registry.all().into_iter();
    items.map(|placed| DeviceEntry { file: placed.file.clone(), entry: entry(placed) }).collect()
}

impl DeviceView {
    /// Of a generation, with what the device said last of itself, and what is known of its presence.
    pub fn of(generation: &Generation, id: &str, hello: Option<Value>, presence: Option<Value>) -> Self {
        let view = Self::plain(&generation.registry, id, hello);
        let entry = view.file.as_ref().and_then(|file| generation.devices.entry(file));
        Self { stale: entry.is_some_and(packhorse_core::catalog::Entry::is_stale), presence, ..view }
    }

    /// Of a folder that was read just now.
    pub fn plain(registry: &Registry, id: &str, hello: Option<Value>) -> Self {
        let placed = registry.find(id);
        Self {
            id: id.to_owned(),
            pattern: placed.map(|placed| placed.entry.pattern.to_string()),
            file: placed.map(|placed| placed.file.clone()),
            stale: false,
            device: context(id, placed.map(|placed| &*placed.entry), hello),
            presence: None,
        }
    }
}

/// Lists the registry of devices.
#[utoipa::path(get, path = "/v1/devices", tag = "definitions", security(("bearer" = ["definitions:read"])),
    responses((status = 200, body = DeviceList), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub(super) async fn devices(State(api): State<Api>, headers: HeaderMap) -> Result<Json<DeviceList>, Problem> {
    api.access.check(&headers, Scope::DefinitionsRead)?;
    Ok(Json(DeviceList::of(&api.runner.catalogs().current())))
}

/// Shows what a device id comes to, be it registered or not.
#[utoipa::path(get, path = "/v1/devices/{id}", tag = "definitions", security(("bearer" = ["definitions:read"])), params(("id" = String, Path, description = "The device id")),
    responses((status = 200, body = DeviceView), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 503, body = Problem)))]
pub(super) async fn device(
    State(api): State<Api>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<DeviceView>, Problem> {
    api.access.check(&headers, Scope::DefinitionsRead)?;
    let view = api.runner.device(id).await;
    view.map(Json)
        .map_err(|failure| Problem::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, &failure.code, failure.message))
}
