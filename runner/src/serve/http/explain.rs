//! The route of what is known of a run or a device.

use super::access::Scope;
use super::api::Api;
use super::problem::Problem;
use super::shapes::Explained;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde_json::Value;

/// What is known of a run, by its id or the beginning of it, or of a device and its runs: `items`, as `show` has them, and `presence` of the
/// devices that are waited for. `packhorse explain` makes sentences of it.
#[utoipa::path(get, path = "/v1/explain/{subject}", tag = "runs", security(("bearer" = ["runs:read"])),
    params(("subject" = String, Path, description = "A run's id, which begins with `run_`, or a device id")),
    responses((status = 200, body = Explained), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn explain(
    State(api): State<Api>,
    headers: HeaderMap,
    Path(subject): Path<String>,
) -> Result<Json<Value>, Problem> {
    api.access.check(&headers, Scope::RunsRead)?;
    Ok(Json(api.runner.explain(subject).await?))
}
