//! Routes of holds: list, set, end.

use super::access::Scope;
use super::api::Api;
use super::problem::Problem;
use super::runs::body;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use packhorse_core::admission::Hold;
use serde::{Deserialize, Serialize};

/// Which runs are to be held.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewHold {
    /// `all`, or CEL over `device`, `workflow` and `run` (`id`, `priority`, `slot`).
    #[schema(max_length = 1024)]
    selector: String,
    /// For people.
    #[serde(default)]
    reason: Option<String>,
}

/// A hold that stands.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct HoldView {
    /// Its id.
    id: String,
    /// Which runs it means.
    selector: String,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Who asked.
    by: String,
    /// Since when (RFC 3339).
    since: String,
}

/// All holds, the oldest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct HoldList {
    /// The holds.
    items: Vec<HoldView>,
}

impl From<Hold> for HoldView {
    fn from(hold: Hold) -> Self {
        let Hold { id, selector, reason, by, since, still: _ } = hold;
        Self { id, selector, reason, by, since: since.to_rfc3339() }
    }
}

/// Lists holds.
#[utoipa::path(get, path = "/v1/holds", tag = "holds", security(("bearer" = ["runs:read"])),
    responses((status = 200, body = HoldList), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 503, body = Problem)))]
pub(super) async fn holds(State(api): State<Api>, headers: HeaderMap) -> Result<Json<HoldList>, Problem> {
    api.access.check(&headers, Scope::RunsRead)?;
    let holds = api.runner.holds().await?;
    Ok(Json(HoldList { items: holds.into_iter().map(HoldView::from).collect() }))
}

/// Holds runs: while it stands, nothing that it means begins, and running transfers park at the next packet.
#[utoipa::path(post, path = "/v1/holds", tag = "holds", security(("bearer" = ["runs:control"])), request_body = NewHold,
    responses((status = 201, description = "It counts from now on", body = HoldView), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 413, body = Problem), (status = 422, body = Problem),
        (status = 503, body = Problem)))]
pub(super) async fn hold(
    State(api): State<Api>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<(StatusCode, Json<HoldView>), Problem> {
    api.access.check(&headers, Scope::RunsControl)?;
    let NewHold { selector, reason } = body(&bytes)?;
    let by = api.access.who(&headers);
    let hold = api.runner.hold(selector, reason, by).await?;
    Ok((StatusCode::CREATED, Json(hold.into())))
}

/// Ends a hold: what waited for it goes on by itself.
#[utoipa::path(delete, path = "/v1/holds/{id}", tag = "holds", security(("bearer" = ["runs:control"])), params(("id" = String, Path, description = "Its id")),
    responses((status = 204, description = "It has ended"), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn release(
    State(api): State<Api>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    api.access.check(&headers, Scope::RunsControl)?;
    // A selector is no id: one request must not end several.
    if !id.starts_with("hold_") {
        return Err(Problem::new(StatusCode::NOT_FOUND, "PH8042", format!("there is no hold {id}")));
    }
    let by = api.access.who(&headers);
    api.runner.release(id, by).await?;
    Ok(StatusCode::NO_CONTENT)
}
