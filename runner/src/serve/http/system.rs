//! Routes of the process itself: health, readiness, metrics, the OpenAPI document.

use super::access::Scope;
use super::api::Api;
use super::metrics::Now;
use super::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

/// The process answers.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Health {
    /// `ok`.
    status: String,
}

/// Whether it can do its work.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Ready {
    /// Everything below but `refused` is good.
    ready: bool,
    /// The journal can be written.
    journal: bool,
    /// The broker is connected.
    broker: bool,
    /// Workflows, plugins and files of devices whose newest content does not count; the others are served.
    refused: u64,
}

/// Whether the process answers. Needs no token.
#[utoipa::path(get, path = "/healthz", tag = "system", responses((status = 200, body = Health)))]
pub(super) async fn health() -> Json<Health> {
    Json(Health { status: "ok".to_owned() })
}

/// Whether it can do its work. Needs no token.
#[utoipa::path(get, path = "/readyz", tag = "system",
    responses((status = 200, body = Ready), (status = 503, description = "Not now", body = Ready)))]
pub(super) async fn ready(State(api): State<Api>) -> (StatusCode, Json<Ready>) {
    let readiness = api.runner.ready();
    let generation = api.runner.catalogs().current();
    let refused = generation.refused() as u64;
    let ready = readiness.journal && readiness.broker;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Ready { ready, journal: readiness.journal, broker: readiness.broker, refused }))
}

/// Numbers for Prometheus, in its text format.
#[utoipa::path(get, path = "/metrics", tag = "system", security(("bearer" = ["metrics:read"])),
    responses((status = 200, body = String, content_type = "text/plain"), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn metrics(State(api): State<Api>, headers: HeaderMap) -> Result<Response, Problem> {
    api.access.check(&headers, Scope::MetricsRead)?;
    let census = api.runner.engine().census().await?;
    let generation = api.runner.catalogs().current();
    let text = api.metrics.text(&Now {
        census: &census,
        generation: &generation,
        ready: api.runner.ready(),
        refusals: &api.refusals,
    });
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// This document. Needs no token.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "system", responses((status = 200, body = Object)))]
pub(super) async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(super::document())
}
