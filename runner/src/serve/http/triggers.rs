//! Routes of triggers: what listens, a request that starts a run, and what no run could be made of.

use super::access::Scope;
use super::api::Api;
use super::problem::Problem;
use super::runs::{bad_query, idempotency_key};
use super::shapes;
use crate::trigger::{Called, Key};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use packhorse_core::hex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema};

/// All triggers.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct TriggerList {
    /// The objects that `packhorse triggers -o json` prints.
    #[schema(value_type = Vec<shapes::Trigger>)]
    items: Vec<Value>,
}

/// Dead letters, newest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct DeadLetterList {
    /// The objects that `packhorse dead-letters -o json` prints.
    #[schema(value_type = Vec<shapes::DeadLetter>)]
    items: Vec<Value>,
}

/// What a request to a trigger came to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Triggered {
    /// The run; absent where the trigger ignored the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<String>,
    /// Whether the run was started by an earlier request.
    replayed: bool,
    /// Whether the trigger's `if` does not hold.
    ignored: bool,
}

/// What a request to a trigger bears.
#[derive(Debug)]
pub(super) struct Payload;

impl utoipa::PartialSchema for Payload {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().description(Some("What a request to a trigger bears.")).into()
    }
}

impl utoipa::ToSchema for Payload {}

/// Which trigger.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Id of the trigger, where the workflow has more than one of kind `http`.
    trigger: Option<String>,
}

fn items<T: Serialize>(all: &[T]) -> Vec<Value> {
    all.iter().map(|one| serde_json::to_value(one).unwrap_or_default()).collect()
}

/// What starts runs by itself.
#[utoipa::path(get, path = "/v1/triggers", tag = "triggers", security(("bearer" = ["definitions:read"])),
    responses((status = 200, body = TriggerList), (status = 401, body = Problem), (status = 403, body = Problem)))]
pub(super) async fn triggers(State(api): State<Api>, headers: HeaderMap) -> Result<Json<TriggerList>, Problem> {
    api.access.check(&headers, Scope::DefinitionsRead)?;
    Ok(Json(TriggerList { items: items(&api.runner.triggers().list()) }))
}

/// Starts a run by the workflow's trigger of kind `http`; the body is its payload, JSON or any bytes, 64 KiB at the most.
#[utoipa::path(post, path = "/v1/triggers/{workflow}", tag = "triggers", security(("bearer" = ["runs:start"])),
    params(("workflow" = String, Path, description = "Its name"), Which,
        ("Idempotency-Key" = Option<String>, Header, description = "One run for all requests with this key")),
    request_body(content = Option<Payload>),
    responses(
        (status = 201, description = "Started", body = Triggered),
        (status = 200, description = "Ignored, or started by an earlier request", body = Triggered),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, description = "The workflow is not loaded, or has no such trigger", body = Problem),
        (status = 409, description = "A request with this key is under way", body = Problem),
        (status = 413, body = Problem), (status = 422, body = Problem),
        (status = 429, description = "The trigger may start no more runs now", body = Problem), (status = 503, body = Problem)))]
pub(super) async fn trigger(
    State(api): State<Api>,
    headers: HeaderMap,
    Path(workflow): Path<String>,
    query: Result<Query<Which>, QueryRejection>,
    bytes: Bytes,
) -> Result<(StatusCode, Json<Triggered>), Problem> {
    api.access.check(&headers, Scope::RunsStart)?;
    let Query(which) = query.map_err(|error| bad_query(&error.body_text()))?;
    let request = || hex::encode(&Sha256::digest([workflow.as_bytes(), b"\0", &bytes].concat()));
    let key = idempotency_key(&headers)?.map(|key| Key { key, request: request() });
    let called = api.runner.triggers().call(&workflow, which.trigger.as_deref(), bytes, key).await?;
    Ok(match called {
        Called::Ignored => (StatusCode::OK, Json(Triggered { run: None, replayed: false, ignored: true })),
        Called::Run(begun) => {
            let status = if begun.replayed { StatusCode::OK } else { StatusCode::CREATED };
            let run = Some(begun.run.to_string());
            (status, Json(Triggered { run, replayed: begun.replayed, ignored: false }))
        }
    })
}

/// What came to triggers and no run could be made of, newest first, without payloads.
#[utoipa::path(get, path = "/v1/dead-letters", tag = "triggers", security(("bearer" = ["runs:read"])),
    responses((status = 200, body = DeadLetterList), (status = 401, body = Problem), (status = 403, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn dead_letters(State(api): State<Api>, headers: HeaderMap) -> Result<Json<DeadLetterList>, Problem> {
    api.access.check(&headers, Scope::RunsRead)?;
    Ok(Json(DeadLetterList { items: items(&api.runner.triggers().letters().list().await?) }))
}

fn number(text: &str) -> Result<u64, Problem> {
    text.parse().map_err(|_| Problem::new(StatusCode::NOT_FOUND, "PH8505", format!("there is no dead letter {text}")))
}

/// One of them, with its payload in Base64.
#[utoipa::path(get, path = "/v1/dead-letters/{letter}", tag = "triggers", security(("bearer" = ["runs:read"])),
    params(("letter" = String, Path, description = "Its id")),
    responses((status = 200, body = shapes::DeadLetter), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn dead_letter(
    State(api): State<Api>,
    headers: HeaderMap,
    Path(letter): Path<String>,
) -> Result<Json<Value>, Problem> {
    api.access.check(&headers, Scope::RunsRead)?;
    let letter = api.runner.triggers().letters().show(number(&letter)?).await?;
    Ok(Json(serde_json::to_value(letter).unwrap_or_default()))
}

/// Makes a run of one after all, and throws it away.
#[utoipa::path(post, path = "/v1/dead-letters/{letter}/retry", tag = "triggers", security(("bearer" = ["runs:start"])),
    params(("letter" = String, Path, description = "Its id")),
    responses((status = 200, body = Triggered), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn retry_dead_letter(
    State(api): State<Api>,
    headers: HeaderMap,
    Path(letter): Path<String>,
) -> Result<Json<Triggered>, Problem> {
    api.access.check(&headers, Scope::RunsStart)?;
    let begun = api.runner.triggers().retry(number(&letter)?).await?;
    let ignored = begun.is_none();
    let replayed = begun.as_ref().is_some_and(|begun| begun.replayed);
    Ok(Json(Triggered { run: begun.map(|begun| begun.run.to_string()), replayed, ignored }))
}
