//! Routes of runs: start, list, show, journal.

use super::access::Scope;
use super::api::{Api, Once};
use super::problem::Problem;
use super::shapes;
use crate::engine::{EngineError, LiveView};
use crate::serve::control::{Start, is_key};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use packhorse_core::admission::Priority;
use packhorse_core::run::{RunId, RunStatus, WallTime};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

/// Most items of one page.
const PAGE: usize = 200;
/// Items of a page where nothing is said.
const FEW: usize = 50;

/// What is to be run.
#[derive(Debug, Clone, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StartRun {
    /// Name of a workflow that is loaded.
    #[schema(max_length = 128)]
    workflow: String,
    /// Its inputs. A `file` is `fastdfs:ID`, `md5:HEX` or `sha256:HEX`.
    #[serde(default)]
    #[schema(value_type = Object)]
    inputs: Map<String, Value>,
    /// Another codec than the workflow names, by name.
    #[serde(default)]
    codec: Option<String>,
    /// Variables for the codec.
    #[serde(default)]
    vars: BTreeMap<String, String>,
    /// Another priority than the workflow says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^(critical|high|normal|low|bulk)$")]
    priority: Option<Priority>,
}

/// A run as it is now: the object that `packhorse show RUN -o json` prints.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct RunView(LiveView);

impl utoipa::PartialSchema for RunView {
    fn schema() -> RefOr<Schema> {
        shapes::RunView::schema()
    }
}

impl utoipa::ToSchema for RunView {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        shapes::RunView::schemas(schemas);
    }
}

impl RunView {
    pub(super) const fn of(view: LiveView) -> Self {
        Self(view)
    }
}

/// A page of runs, newest first. Filters may leave none of it, and more may still follow: the end is where there is no `next_cursor`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct RunPage {
    /// The runs.
    items: Vec<RunView>,
    /// Where the next page begins; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Records of a run's journal.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct RecordPage {
    /// The records, each with its number `seq`.
    #[schema(value_type = Vec<shapes::Record>)]
    items: Vec<Value>,
    /// Number of the record after them.
    next: u64,
}

/// Which runs.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// At most so many, 200 at the most.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u16>,
    /// Of an earlier page.
    cursor: Option<String>,
    /// Only of these statuses, with commas between them.
    status: Option<String>,
    /// Only of this workflow.
    workflow: Option<String>,
    /// Only those that were created after this time (RFC 3339).
    #[param(format = "date-time")]
    started_after: Option<String>,
}

/// Which records.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct From {
    /// From this number on; the first record is 0.
    #[serde(default)]
    from: u64,
}

pub(super) fn run_id(text: &str) -> Result<RunId, Problem> {
    text.parse().map_err(|_| Problem::new(StatusCode::NOT_FOUND, "PH8003", format!("there is no run {text}")))
}

/// A body of JSON, judged by us so that every error is a problem; an empty one is `{}`.
pub(super) fn body<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, Problem> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    serde_json::from_slice(bytes).map_err(|error| {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "PH8402", format!("the body is not what is expected: {error}"))
    })
}

/// Starts a run. With `Idempotency-Key`, the same request again gives the same run.
#[utoipa::path(post, path = "/v1/runs", tag = "runs", security(("bearer" = ["runs:start"])), request_body = StartRun,
    params(("Idempotency-Key" = Option<String>, Header, description = "One run for all requests with this key")),
    responses(
        (status = 201, description = "Started", body = RunView),
        (status = 200, description = "Started by an earlier request with this key", body = RunView),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 409, description = "A request with this key is under way, nobody works on its run, or its concurrency group is full", body = Problem),
        (status = 413, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn start(State(api): State<Api>, headers: HeaderMap, bytes: Bytes) -> Result<Response, Problem> {
    api.access.check(&headers, Scope::RunsStart)?;
    let wanted: StartRun = body(&bytes)?;
    let key = idempotency_key(&headers)?;
    let workflow = wanted.workflow.clone();
    let inputs = wanted.inputs.into_iter().map(|(name, value)| (name, text(value))).collect();
    let StartRun { codec, vars, priority, .. } = wanted;
    let start = Start { workflow: workflow.clone(), inputs, codec, vars, priority, ..Start::default() };
    let once = key.map(|key| Once { key, request: start.digest() });
    let started = api.runner.start(start, once).await?;
    if !started.replayed {
        api.metrics.started(&workflow, "manual");
    }
    let view = api.runner.engine().view(&started.run).await?;
    let status = if started.replayed { StatusCode::OK } else { StatusCode::CREATED };
    let mut response = (status, Json(RunView(view))).into_response();
    if started.replayed {
        response
            .headers_mut()
            .insert(HeaderName::from_static("idempotency-replayed"), HeaderValue::from_static("true"));
    }
    if let Ok(place) = HeaderValue::from_str(&format!("/v1/runs/{}", started.run)) {
        response.headers_mut().insert(axum::http::header::LOCATION, place);
    }
    Ok(response)
}

/// The header of this name, where there is one.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let bad =
        || Problem::new(StatusCode::BAD_REQUEST, "PH8402", "Idempotency-Key is 1 to 255 visible ASCII characters");
    let key = value.to_str().ok().filter(|key| is_key(key)).ok_or_else(bad)?;
    Ok(Some(key.to_owned()))
}

/// Inputs as the command line has them.
fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// Lists runs, newest first.
#[utoipa::path(get, path = "/v1/runs", tag = "runs", security(("bearer" = ["runs:read"])), params(Which),
    responses((status = 200, body = RunPage), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn list(
    State(api): State<Api>,
    headers: HeaderMap,
    query: Result<Query<Which>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<RunPage>, Problem> {
    api.access.check(&headers, Scope::RunsRead)?;
    let Query(which) = query.map_err(|error| bad_query(&error.body_text()))?;
    let filter = Filter::of(&which)?;
    let limit = which.limit.map_or(FEW, usize::from);
    if !(1..=PAGE).contains(&limit) {
        return Err(bad_query("limit is from 1 to 200"));
    }
    let mut cursor =
        which.cursor.as_deref().map(|text| text.parse::<RunId>().map_err(|_| bad_query("cursor is of no page")));
    let mut cursor = cursor.take().transpose()?;
    let mut items = Vec::new();
    // Filters may leave most of a page out; what was looked at bounds the work of a request.
    for _ in 0..10 {
        let (views, next) = api.runner.engine().page(cursor.as_ref(), PAGE).await?;
        for view in views {
            cursor = Some(view.view.run.clone());
            if filter.lets(&view.view) {
                items.push(RunView(view));
            }
            if items.len() == limit {
                return Ok(Json(RunPage { items, next_cursor: cursor.map(|run| run.to_string()) }));
            }
        }
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    Ok(Json(RunPage { items, next_cursor: cursor.map(|run| run.to_string()) }))
}

/// Which runs a page is to have.
#[derive(Default)]
struct Filter {
    statuses: Option<Vec<RunStatus>>,
    workflow: Option<String>,
    after: Option<WallTime>,
}

impl Filter {
    fn of(which: &Which) -> Result<Self, Problem> {
        let statuses = which.status.as_deref().map(statuses).transpose()?;
        let after = which.started_after.as_deref().map(time).transpose()?;
        Ok(Self { statuses, workflow: which.workflow.clone(), after })
    }

    fn lets(&self, run: &packhorse_core::run::RunView) -> bool {
        self.statuses.as_ref().is_none_or(|statuses| statuses.contains(&run.status))
            && self.workflow.as_ref().is_none_or(|workflow| *workflow == run.workflow)
            && self.after.is_none_or(|after| run.created_at > after)
    }
}

/// A time as people write it; what lies before 1970 is its beginning.
fn time(text: &str) -> Result<WallTime, Problem> {
    let time = chrono::DateTime::parse_from_rfc3339(text);
    let time = time.map_err(|error| bad_query(&format!("started_after is no time of RFC 3339: {error}")))?;
    Ok(WallTime(u64::try_from(time.timestamp_millis()).unwrap_or_default()))
}

pub(super) fn bad_query(why: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "PH8402", format!("the query is not what is expected: {why}"))
}

fn statuses(text: &str) -> Result<Vec<RunStatus>, Problem> {
    let one = |word: &str| {
        serde_json::from_value(Value::String(word.to_owned())).map_err(|_| bad_query(&format!("`{word}` is no status")))
    };
    text.split(',').map(one).collect()
}

/// Shows a run.
#[utoipa::path(get, path = "/v1/runs/{run}", tag = "runs", security(("bearer" = ["runs:read"])), params(("run" = String, Path, description = "Its id")),
    responses((status = 200, body = RunView), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn show(
    State(api): State<Api>,
    headers: HeaderMap,
    Path(run): Path<String>,
) -> Result<Json<RunView>, Problem> {
    api.access.check(&headers, Scope::RunsRead)?;
    Ok(Json(RunView(api.runner.engine().view(&run_id(&run)?).await?)))
}

/// Records of a run's journal, 1000 at the most.
#[utoipa::path(get, path = "/v1/runs/{run}/journal", tag = "runs", security(("bearer" = ["runs:read"])), params(("run" = String, Path, description = "Its id"), From),
    responses((status = 200, body = RecordPage), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn journal(
    State(api): State<Api>,
    headers: HeaderMap,
    Path(run): Path<String>,
    query: Result<Query<From>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<RecordPage>, Problem> {
    api.access.check(&headers, Scope::RunsRead)?;
    let Query(From { from }) = query.map_err(|error| bad_query(&error.body_text()))?;
    let items = numbered(&api, &run_id(&run)?, from).await?;
    let next = from.saturating_add(items.len() as u64);
    Ok(Json(RecordPage { items, next }))
}

/// Records as JSON, each with its number.
pub(super) async fn numbered(api: &Api, run: &RunId, from: u64) -> Result<Vec<Value>, EngineError> {
    let records = api.runner.engine().records(run, from, 1000).await?;
    let with = |(number, record)| {
        let mut value = serde_json::to_value(record).unwrap_or_default();
        value["seq"] = Value::from(number);
        value
    };
    Ok((from..).zip(records.iter()).map(with).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_rfc_3339() {
        assert_eq!(time("2026-11-30T12:00:00+02:00").unwrap(), time("2026-11-30T10:00:00Z").unwrap());
        assert_eq!(time("1970-01-01T00:00:01.5Z").unwrap(), WallTime(1_500));
        assert_eq!(time("1960-01-01T00:00:00Z").unwrap(), WallTime(0));
        for bad in ["", "yesterday", "2026-11-30", "2026-11-30T12:00:00"] {
            assert_eq!(time(bad).unwrap_err().status, 400, "{bad}");
        }
    }
}
