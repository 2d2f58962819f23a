//! Routes that steer a run: cancel, pause, resume, retry, another build of its codec. Who asks may say why: that stands in the audit.

use super::access::Scope;
use super::api::Api;
use super::layers::About;
use super::problem::Problem;
use super::runs::{RunView, body, run_id};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use packhorse_core::run::RunId;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Why something is asked.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Because {
    /// For the audit; of a cancel for the journal too.
    #[serde(default)]
    reason: Option<String>,
}

/// From which build of its codec a run is to be moved to which.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Builds {
    /// SHA-256 of the one that it is pinned to, or its first eight digits or more.
    #[schema(pattern = "^[0-9a-fA-F]{8,64}$")]
    from: String,
    /// The same of the other one, or its `NAME@VERSION`.
    to: String,
    /// For the audit.
    #[serde(default)]
    reason: Option<String>,
}

/// Cancels a run: it ends at a packet boundary.
#[utoipa::path(post, path = "/v1/runs/{run}/cancel", tag = "runs", params(("run" = String, Path, description = "Its id")),
    request_body(content = Option<Because>), security(("bearer" = ["runs:control"])),
    responses((status = 202, body = RunView), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem),
        (status = 422, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn cancel(
    State(api): State<Api>,
    headers: HeaderMap,
    Path(run): Path<String>,
    bytes: Bytes,
) -> Result<Response, Problem> {
    let (run, reason) = steered(&api, &headers, &run, &bytes)?;
    api.runner.engine().cancel(&run, reason.clone()).await?;
    accepted(&api, &run, about(reason)).await
}

/// Pauses a run at the next packet boundary.
#[utoipa::path(post, path = "/v1/runs/{run}/pause", tag = "runs", params(("run" = String, Path, description = "Its id")),
    request_body(content = Option<Because>), security(("bearer" = ["runs:control"])),
    responses((status = 202, body = RunView), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem),
        (status = 422, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn pause(
    State(api): State<Api>,
    headers: HeaderMap,
    Path(run): Path<String>,
    bytes: Bytes,
) -> Result<Response, Problem> {
    let (run, reason) = steered(&api, &headers, &run, &bytes)?;
    api.runner.engine().pause(&run).await?;
    accepted(&api, &run, about(reason)).await
}

/// Goes on with a paused run.
#[utoipa::path(post, path = "/v1/runs/{run}/resume", tag = "runs", params(("run" = String, Path, description = "Its id")),
    request_body(content = Option<Because>), security(("bearer" = ["runs:control"])),
    responses((status = 202, body = RunView), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem),
        (status = 422, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn resume(
    State(api): State<Api>,
    headers: HeaderMap,
    Path(run): Path<String>,
    bytes: Bytes,
) -> Result<Response, Problem> {
    let (run, reason) = steered(&api, &headers, &run, &bytes)?;
    api.runner.engine().resume(&run).await?;
    accepted(&api, &run, about(reason)).await
}

/// Continues a failed run at the failed step.
#[utoipa::path(post, path = "/v1/runs/{run}/retry", tag = "runs", params(("run" = String, Path, description = "Its id")),
    request_body(content = Option<Because>), security(("bearer" = ["runs:control"])),
    responses((status = 202, body = RunView), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem),
        (status = 422, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn retry(
    State(api): State<Api>,
    headers: HeaderMap,
    Path(run): Path<String>,
    bytes: Bytes,
) -> Result<Response, Problem> {
    let (run, reason) = steered(&api, &headers, &run, &bytes)?;
    api.runner.engine().retry(&run).await?;
    accepted(&api, &run, about(reason)).await
}

/// Moves a run to another build of its codec; where it is pinned to it already, nothing happens.
#[utoipa::path(post, path = "/v1/runs/{run}/repin", tag = "runs", params(("run" = String, Path, description = "Its id")),
    request_body = Builds, security(("bearer" = ["runs:control"])),
    responses((status = 202, body = RunView), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, description = "It is pinned to another codec, or has ended well", body = Problem),
        (status = 413, body = Problem), (status = 422, description = "There is no such codec, or it does not take the variables of the run", body = Problem),
        (status = 503, body = Problem)))]
pub(super) async fn repin(
    State(api): State<Api>,
    headers: HeaderMap,
    Path(run): Path<String>,
    bytes: Bytes,
) -> Result<Response, Problem> {
    api.access.check(&headers, Scope::RunsControl)?;
    let run = run_id(&run)?;
    let Builds { from, to, reason } = body(&bytes)?;
    let mut told = about(reason);
    told.extend([("from".to_owned(), from.clone().into()), ("to".to_owned(), to.clone().into())]);
    api.runner.repin(run.clone(), from, to).await?;
    accepted(&api, &run, told).await
}

/// The run that somebody may steer, and why it is asked.
fn steered(api: &Api, headers: &HeaderMap, run: &str, bytes: &[u8]) -> Result<(RunId, Option<String>), Problem> {
    api.access.check(headers, Scope::RunsControl)?;
    let run = run_id(run)?;
    let Because { reason } = body(bytes)?;
    Ok((run, reason))
}

fn about(reason: Option<String>) -> Map<String, Value> {
    reason.into_iter().map(|reason| ("reason".to_owned(), Value::String(reason))).collect()
}

async fn accepted(api: &Api, run: &RunId, about: Map<String, Value>) -> Result<Response, Problem> {
    let view = Json(RunView::of(api.runner.engine().view(run).await?));
    let mut response = (StatusCode::ACCEPTED, view).into_response();
    response.extensions_mut().insert(About(about));
    Ok(response)
}
