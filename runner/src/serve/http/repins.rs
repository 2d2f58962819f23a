//! The route that moves several runs to another build of their codec at once.

use super::access::Scope;
use super::api::Api;
use super::layers::About;
use super::problem::Problem;
use super::runs::body;
use super::shapes::Moved;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Runs of one request: its answer must come in time.
const MOST: usize = 32;

/// Which runs are to be moved from which build of their codec to which.
#[derive(Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Move {
    /// Their ids, or unambiguous beginnings of them.
    #[schema(max_items = 32)]
    runs: Vec<String>,
    /// SHA-256 of the build that they are pinned to, or its first eight digits or more.
    #[schema(pattern = "^[0-9a-fA-F]{8,64}$")]
    from: String,
    /// The same of the other one, or its `NAME@VERSION`.
    to: String,
    /// For the audit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Moves runs to another build of their codec; tells of each what came of it, as `packhorse plugin repin -o json` does.
#[utoipa::path(post, path = "/v1/repin", tag = "runs", security(("bearer" = ["runs:control"])), request_body = Move,
    responses((status = 200, description = "What came of each", body = Moved), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 413, body = Problem),
        (status = 422, description = "There is no such codec, or more runs are named than 32", body = Problem),
        (status = 503, body = Problem)))]
pub(super) async fn repin(State(api): State<Api>, headers: HeaderMap, bytes: Bytes) -> Result<Response, Problem> {
    api.access.check(&headers, Scope::RunsControl)?;
    let asked: Move = body(&bytes)?;
    if asked.runs.len() > MOST {
        let words = format!("{} runs are named, {MOST} are moved at once", asked.runs.len());
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "PH8402", words));
    }
    let about = serde_json::to_value(&asked).ok();
    let Move { runs, from, to, reason: _ } = asked;
    let mut response = Json(api.runner.repin_all(runs, from, to).await?).into_response();
    if let Some(Value::Object(about)) = about {
        response.extensions_mut().insert(About(about));
    }
    Ok(response)
}
