//! A run's journal as server-sent events: each record under its number, so that a client goes on after the last one it had.

use super::access::Scope;
use super::api::Api;
use super::limit::{Peer, who};
use super::problem::Problem;
use super::refusals::Opened;
use super::runs::numbered;
use crate::engine::EngineError;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use axum::response::Response;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use packhorse_core::run::{Fact, RunId};
use serde_json::Value;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// Between looks at a run that nobody works on.
const ASK: Duration = Duration::from_secs(1);
/// Between signs of life of a quiet stream.
const ALIVE: Duration = Duration::from_secs(15);

/// A stream under way.
struct Following {
    api: Api,
    run: RunId,
    next: u64,
    ready: VecDeque<Value>,
    over: bool,
    _place: Arc<Opened>,
}

/// One event of a stream.
#[derive(Debug, utoipa::ToSchema)]
pub(super) struct RecordEvent {
    /// The record's number, for `Last-Event-ID`.
    id: String,
    /// The record's kind, as its `fact` says.
    event: String,
    /// The record: JSON in one line.
    data: String,
}

/// A run's journal as it grows, to its end. `Last-Event-ID` goes on after that record; where it is the end of a run that is over, there is
/// nothing to wait for, and the answer is 204.
#[utoipa::path(get, path = "/v1/runs/{run}/events", tag = "runs", security(("bearer" = ["runs:read"])),
    params(("run" = String, Path, description = "Its id"),
        ("Last-Event-ID" = Option<String>, Header, description = "Number of the last record that is known")),
    responses((status = 200, description = "Server-sent events, each of them like this",
        body = RecordEvent, content_type = "text/event-stream"), (status = 204, description = "The run is over, and its last record is known: there is no need to ask again"),
        (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn events(
    State(api): State<Api>,
    headers: HeaderMap,
    peer: Option<Extension<Peer>>,
    Path(run): Path<String>,
) -> Result<Response, Problem> {
    api.access.check(&headers, Scope::RunsRead)?;
    let run: RunId = run.parse().map_err(|_| Problem::missing("run", &run))?;
    let next = after(&headers)?;
    let place = api.refusals.stream(who(&api, &headers, peer.as_deref()));
    let full = || Problem::new(StatusCode::TOO_MANY_REQUESTS, "PH8406", "too many event streams are open");
    let place = place.ok_or_else(full)?;
    let ready = VecDeque::from(numbered(&api, &run, next).await?);
    if ready.is_empty() && is_over(&api, &run, next).await? {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let following = Following { api, run, next, ready, over: false, _place: Arc::new(place) };
    Ok(Sse::new(told(following)).keep_alive(KeepAlive::new().interval(ALIVE)).into_response())
}

/// Whether the record before `next` is the run's end, and nothing follows. Where there is no such record, the last one counts.
async fn is_over(api: &Api, run: &RunId, next: u64) -> Result<bool, EngineError> {
    for from in [next.saturating_sub(1), 0] {
        let records = api.runner.engine().records(run, from, usize::MAX).await?;
        if let Some(last) = records.last() {
            let nothing_follows = from.saturating_add(records.len() as u64) <= next;
            return Ok(nothing_follows && matches!(last.fact, Fact::Finished { .. }));
        }
    }
    Ok(false)
}

fn after(headers: &HeaderMap) -> Result<u64, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(0) };
    let number = value.to_str().ok().and_then(|text| text.parse::<u64>().ok());
    let bad = || Problem::new(StatusCode::BAD_REQUEST, "PH8402", "Last-Event-ID is no record's number");
    number.map(|number| number.saturating_add(1)).ok_or_else(bad)
}

/// One event after another, ending after the run's last record.
fn told(following: Following) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    stream::unfold(following, |mut following| async move {
        let event = following.event().await?;
        Some((Ok(event), following))
    })
}

impl Following {
    /// The next event; `None` when the run's last record was told, or its journal cannot be read any more.
    async fn event(&mut self) -> Option<Event> {
        loop {
            if let Some(record) = self.ready.pop_front() {
                self.next += 1;
                self.over = record["fact"] == "finished";
                return Some(RecordEvent::of(&record).told());
            }
            if self.over {
                return None;
            }
            self.moved().await;
            let records = numbered(&self.api, &self.run, self.next).await;
            self.ready = records.ok()?.into();
        }
    }

    /// Waits until the run may have more records.
    async fn moved(&self) {
        let watched = self.api.runner.engine().subscribe(&self.run).await;
        let changed = async {
            match watched {
                Ok(mut views) => drop(views.changed().await),
                Err(_) => std::future::pending().await,
            }
        };
        // Who cancels or takes up a run elsewhere tells nobody here.
        drop(tokio::time::timeout(ASK, changed).await);
    }
}

impl RecordEvent {
    fn of(record: &Value) -> Self {
        let event = record["fact"].as_str().unwrap_or("fact").to_owned();
        Self { id: record["seq"].to_string(), event, data: record.to_string() }
    }

    fn told(self) -> Event {
        Event::default().id(self.id).event(self.event).data(self.data)
    }
}
