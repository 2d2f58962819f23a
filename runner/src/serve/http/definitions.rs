//! Routes of workflows and plugins: what counts, what does not and why, and a look at the folders.

use super::access::Scope;
use super::api::Api;
use super::problem::Problem;
use super::shapes;
use crate::catalog::{Definition, Reload, Shelved};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use packhorse_core::catalog::{Catalog, Entry, Refused};
use serde::Serialize;
use serde_json::{Value, json};

/// A workflow by name.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct WorkflowView {
    /// Its name, which is its file's.
    name: String,
    /// SHA-256 of the source that counts; absent where none was good yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// Since when it counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    loaded_at: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// Whether its file has newer content that is not good.
    stale: bool,
    /// Why the newest content does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    load_error: Option<LoadError>,
}

/// A plugin by the name of its file.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct PluginView {
    /// `NAME` or `NAME@VERSION`.
    name: String,
    /// `codec` or `step`; absent where none was good yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    /// As it says itself; a step plugin says none.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// SHA-256 of the bytes that count.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// Since when they count.
    #[serde(skip_serializing_if = "Option::is_none")]
    loaded_at: Option<String>,
    /// Whether these bytes came with the program.
    embedded: bool,
    /// How many sessions of its own vectors it passed when it was loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    vectors: Option<u64>,
    /// Whether its file has newer content that is not good.
    stale: bool,
    /// Why the newest content does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    load_error: Option<LoadError>,
}

/// Why a content does not count.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct LoadError {
    /// Stable code.
    code: String,
    /// What is wrong, with file, line and column where it has them.
    message: String,
    /// SHA-256 of the content; empty where it could not be read.
    digest: String,
    /// Since when it lies there.
    since: String,
}

/// All workflows.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct WorkflowList {
    /// By name.
    items: Vec<WorkflowView>,
}

/// All plugins.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct PluginList {
    /// By name.
    items: Vec<PluginView>,
}

/// What a look at the folders came to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Reloaded {
    /// Number of the generation that counts.
    generation: u64,
    /// Since when it counts.
    loaded_at: String,
    /// Workflows that count.
    workflows: u64,
    /// Plugins that count.
    plugins: u64,
    /// Files of devices that count.
    devices: u64,
    /// Names whose newest content does not count.
    refused: u64,
    /// What this look changed.
    #[schema(value_type = Vec<shapes::Changed>)]
    changes: Vec<Value>,
    /// Those names, each with its kind, code and message.
    #[schema(value_type = Vec<shapes::Stale>)]
    problems: Vec<Value>,
}

impl Reloaded {
    /// Of a look.
    pub fn of(reload: &Reload) -> Self {
        let generation = &reload.generation;
        Self {
            generation: generation.number,
            loaded_at: generation.since.to_rfc3339(),
            workflows: generation.workflows.live_count() as u64,
            plugins: generation.plugins.live_count() as u64,
            devices: generation.devices.live_count() as u64,
            refused: (generation.refused() + reload.unsettled.len()) as u64,
            changes: reload.changes.iter().map(|told| serde_json::to_value(told).unwrap_or_default()).collect(),
            problems: generation.problems().map(problem).chain(reload.unsettled.iter().map(unsettled)).collect(),
        }
    }
}

fn unsettled((kind, name): &(&str, String)) -> Value {
    let message = "it is still being written, or judged: what counted before counts";
    json!({ "kind": kind, "name": name, "code": "PH2013", "message": message })
}

fn problem((kind, name, refused): (&str, &str, &Refused)) -> Value {
    let Refused { failure, since, .. } = refused;
    json!({ "kind": kind, "name": name, "code": failure.code, "message": failure.message, "since": since.to_rfc3339() })
}

pub(super) fn load_error<T>(entry: &Entry<T>) -> Option<LoadError> {
    let refused = entry.refused.as_ref()?;
    let (code, message) = (refused.failure.code.to_string(), refused.failure.message.clone());
    Some(LoadError { code, message, digest: refused.digest.clone(), since: refused.since.to_rfc3339() })
}

fn workflow_view(name: &str, entry: &Entry<Definition>) -> WorkflowView {
    let live = entry.live.as_ref();
    WorkflowView {
        name: name.to_owned(),
        digest: live.map(|live| live.digest.clone()),
        loaded_at: live.map(|live| live.since.to_rfc3339()),
        description: live.map(|live| live.value.workflow.description.clone()).filter(|text| !text.is_empty()),
        stale: entry.is_stale(),
        load_error: load_error(entry),
    }
}

fn plugin_view(name: &str, entry: &Entry<Shelved>) -> PluginView {
    let live = entry.live.as_ref();
    let (kind, version, vectors) = match live.map(|live| &*live.value) {
        Some(Shelved::Codec { plugin, vectors }) => (Some("codec"), Some(plugin.version().to_owned()), *vectors),
        Some(Shelved::Step(_)) => (Some("step"), None, None),
        None => (None, None, None),
    };
    PluginView {
        name: name.to_owned(),
        kind: kind.map(str::to_owned),
        version,
        digest: live.map(|live| live.digest.clone()),
        loaded_at: live.map(|live| live.since.to_rfc3339()),
        embedded: live.is_some_and(|live| live.value.is_embedded()),
        vectors,
        stale: entry.is_stale(),
        load_error: load_error(entry),
    }
}

fn all<T, View>(catalog: &Catalog<T>, view: impl Fn(&str, &Entry<T>) -> View) -> Vec<View> {
    catalog.entries().map(|(name, entry)| view(name, entry)).collect()
}

/// Lists workflows.
#[utoipa::path(get, path = "/v1/workflows", tag = "definitions", security(("bearer" = ["definitions:read"])),
    responses((status = 200, body = WorkflowList), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub(super) async fn workflows(State(api): State<Api>, headers: HeaderMap) -> Result<Json<WorkflowList>, Problem> {
    api.access.check(&headers, Scope::DefinitionsRead)?;
    Ok(Json(WorkflowList { items: all(&api.runner.catalogs().current().workflows, workflow_view) }))
}

/// Shows a workflow.
#[utoipa::path(get, path = "/v1/workflows/{name}", tag = "definitions", security(("bearer" = ["definitions:read"])), params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = WorkflowView), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem)))]
pub(super) async fn workflow(
    State(api): State<Api>,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Result<Json<WorkflowView>, Problem> {
    api.access.check(&headers, Scope::DefinitionsRead)?;
    let generation = api.runner.catalogs().current();
    let entry = generation.workflows.entry(&name).ok_or_else(|| Problem::missing("workflow", &name))?;
    Ok(Json(workflow_view(&name, entry)))
}

/// Lists plugins.
#[utoipa::path(get, path = "/v1/plugins", tag = "definitions", security(("bearer" = ["definitions:read"])),
    responses((status = 200, body = PluginList), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub(super) async fn plugins(State(api): State<Api>, headers: HeaderMap) -> Result<Json<PluginList>, Problem> {
    api.access.check(&headers, Scope::DefinitionsRead)?;
    Ok(Json(PluginList { items: all(&api.runner.catalogs().current().plugins, plugin_view) }))
}

/// Shows a plugin.
#[utoipa::path(get, path = "/v1/plugins/{name}", tag = "definitions", security(("bearer" = ["definitions:read"])),
    params(("name" = String, Path, description = "NAME or NAME@VERSION, as its file is named")),
    responses((status = 200, body = PluginView), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem)))]
pub(super) async fn plugin(
    State(api): State<Api>,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Result<Json<PluginView>, Problem> {
    api.access.check(&headers, Scope::DefinitionsRead)?;
    let generation = api.runner.catalogs().current();
    let entry = generation.plugins.entry(&name).ok_or_else(|| Problem::missing("plugin", &name))?;
    Ok(Json(plugin_view(&name, entry)))
}

/// Has the folders looked at now; answers when everything that lies there is judged.
#[utoipa::path(post, path = "/v1/reload", tag = "definitions", security(("bearer" = ["definitions:reload"])),
    responses((status = 200, body = Reloaded), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 503, body = Problem)))]
pub(super) async fn reload(State(api): State<Api>, headers: HeaderMap) -> Result<Json<Reloaded>, Problem> {
    api.access.check(&headers, Scope::DefinitionsReload)?;
    let reload = api.runner.catalogs().reload().await;
    let stopped = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "PH7002", "the process is being stopped");
    Ok(Json(Reloaded::of(&reload.ok_or_else(stopped)?)))
}
