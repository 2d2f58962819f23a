//! What happens to every request before its handler and after it, from the outside in: a number and a count, a time limit, the rate limit
//! (`limit`), who asks, the whole body, the audit.

use super::api::Api;
use super::limit::{self, Peer};
use super::problem::Problem;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// How long an answer may take to begin.
const ANSWER: Duration = Duration::from_secs(60);
/// Longest body of a request in bytes.
const BODY: usize = 256 * 1024;
/// How long it may take to come.
const COMES: Duration = Duration::from_secs(20);
/// What anybody may ask.
pub(super) const OPEN: [&str; 3] = ["/healthz", "/readyz", "/v1/openapi.json"];
/// Which answer this is, for the log and for whoever asks about it.
pub(super) const REQUEST_ID: &str = "x-request-id";

/// The place of a request's connection: it is taken until whatever was asked over it is done.
#[derive(Debug, Clone)]
pub(super) struct Held(
    #[expect(dead_code, reason = "it is kept, and not looked at")] pub(super) Arc<OwnedSemaphorePermit>,
);

/// Whether the connection was dropped by us, so that a body that seems to end may have been cut off.
#[derive(Debug, Clone, Default)]
pub(super) struct Cut(pub(super) Arc<AtomicBool>);

/// What the audit tells of a call beyond its path; a handler leaves it in its response.
#[derive(Debug, Clone)]
pub(super) struct About(pub(super) Map<String, Value>);

/// Every answer has a number; a problem tells it, and what it was about. Refusals are counted, our own failures are logged.
pub(super) async fn told(State(api): State<Api>, request: Request, next: Next) -> Response {
    let id = format!("req_{}", ulid::Ulid::new());
    let (path, call) = (request.uri().path().to_owned(), format!("{} {}", request.method(), request.uri().path()));
    let by = match request.extensions().get::<Peer>() {
        Some(Peer(address)) => format!("{} {address}", api.access.who(request.headers())),
        None => api.access.who(request.headers()),
    };
    let mut response = next.run(request).await;
    let now = (api.access.clock)();
    api.refusals.note(response.status().as_u16(), &call, &by, now);
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        if response.status().is_server_error() {
            let Problem { status, code, detail, .. } = &problem;
            tracing::warn!(request = id, call, by, status, code, detail, "a request to the API failed");
        }
        problem.of(path, &id, now).rewrite(&mut response);
    }
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(HeaderName::from_static(REQUEST_ID), id);
    }
    response
}

/// Every answer begins within a time, and errors that are not ours become problems.
pub(super) async fn within(request: Request, next: Next) -> Response {
    let (safe, held) = (request.method().is_safe(), request.extensions().get::<Held>().cloned());
    let mut answer = Box::pin(next.run(request));
    let Ok(response) = tokio::time::timeout(ANSWER, &mut answer).await else {
        let words = if safe { "the answer took too long" } else { "the answer took too long: what was asked goes on" };
        if !safe {
            // What changes something is done to its end, so that the audit tells of it.
            tokio::spawn(async move {
                drop(answer.await);
                drop(held);
            });
        }
        return Problem::new(StatusCode::GATEWAY_TIMEOUT, "PH8407", words).into_response();
    };
    let ours = response.extensions().get::<Problem>().is_some();
    match response.status() {
        StatusCode::BAD_REQUEST if !ours => unreadable("the request cannot be read").into_response(),
        _ => response,
    }
}

fn unreadable(words: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "PH8402", words)
}

/// Strangers are refused before anything of their body is read. What exactly somebody may do, each handler asks.
pub(super) async fn known(State(api): State<Api>, request: Request, next: Next) -> Response {
    if OPEN.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    match api.access.admit(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// What may change something is begun when its whole body is here.
pub(super) async fn whole(request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let length = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > BODY) {
        return too_long().into_response();
    }
    let late = || {
        let words = format!("the body did not come within {} s", COMES.as_secs());
        Problem::new(StatusCode::REQUEST_TIMEOUT, "PH8413", words)
    };
    let read = tokio::time::timeout(COMES, read(body, BODY)).await;
    let cut = parts.extensions.get::<Cut>().is_some_and(|Cut(cut)| cut.load(Ordering::Acquire));
    match read.unwrap_or_else(|_| Err(late())) {
        Ok(_) if cut => unreadable("the connection was ended before the whole body had come").into_response(),
        Ok(bytes) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Err(problem) => problem.into_response(),
    }
}

fn too_long() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "PH8402", format!("the body has more than {BODY} bytes"))
}

/// All of a body, up to a limit.
async fn read(body: Body, most: usize) -> Result<Bytes, Problem> {
    let (mut pieces, mut whole) = (body.into_data_stream(), Vec::new());
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| unreadable("the body broke off"))?;
        if piece.len() > most - whole.len() {
            return Err(too_long());
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.into())
}

/// What has changed something is written down, with who asked.
pub(super) async fn audited(State(api): State<Api>, request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let (by, call) = (api.access.who(request.headers()), format!("{} {}", request.method(), request.uri().path()));
    let response = next.run(request).await;
    if response.status().is_success() {
        let place = response.headers().get(LOCATION).and_then(|place| place.to_str().ok());
        let mut about = json!({ "status": response.status().as_u16(), "location": place });
        if let (Some(about), Some(About(more))) = (about.as_object_mut(), response.extensions().get::<About>()) {
            about.extend(more.clone());
        }
        api.audit.note(&by, &call, &about);
    }
    response
}

/// All of them around the routes.
pub(super) fn around(routes: axum::Router<Api>, api: &Api) -> axum::Router<Api> {
    use axum::middleware::{from_fn, from_fn_with_state};
    routes
        .layer(from_fn_with_state(api.clone(), audited))
        .layer(from_fn(whole))
        .layer(from_fn_with_state(api.clone(), known))
        .layer(from_fn_with_state(api.clone(), limit::limited))
        .layer(from_fn(within))
        .layer(from_fn_with_state(api.clone(), told))
        .layer(axum::extract::DefaultBodyLimit::disable())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_is_read_to_its_limit() {
        let body = |pieces: &[usize]| {
            let pieces: Vec<_> = pieces.iter().map(|size| Ok::<_, std::io::Error>(vec![b'x'; *size])).collect();
            read(Body::from_stream(futures_util::stream::iter(pieces)), 10)
        };
        assert_eq!(body(&[4, 0, 6]).await.unwrap().len(), 10);
        assert_eq!(body(&[4, 6, 1]).await.unwrap_err().status, 413);
        assert_eq!(body(&[11]).await.unwrap_err().status, 413);
        assert_eq!(body(&[]).await.unwrap().len(), 0);
        let broken = futures_util::stream::iter([Ok(vec![1]), Err(std::io::Error::other("cut"))]);
        assert_eq!(read(Body::from_stream(broken), 10).await.unwrap_err().status, 400);
    }
}
