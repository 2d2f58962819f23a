//! Connections and their limits: so many at once, headers within a time, bodies within a size and a time.

use super::api::Api;
use super::document::router;
use super::limit::{Peer, limited};
use super::problem::Problem;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::{Map, Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

/// Connections at once; more wait until one ends.
const CONNECTIONS: usize = 1_024;
/// How long a connection may take for a request's head, and be idle between requests.
const HEAD: Duration = Duration::from_secs(10);
/// How long an answer may take to begin.
const ANSWER: Duration = Duration::from_secs(60);
/// Longest body of a request in bytes.
const BODY: usize = 256 * 1024;
/// Header fields of a request.
const HEADERS: usize = 64;
/// How long requests under way have when the process stops.
const GRACE: Duration = Duration::from_secs(2);

/// The listening server.
#[derive(Debug)]
pub struct Http {
    stop: watch::Sender<bool>,
    places: Arc<Semaphore>,
    task: JoinHandle<()>,
}

impl Http {
    /// Answers whoever connects.
    pub fn start(listener: TcpListener, api: Api) -> Self {
        let (stop, stopping) = watch::channel(false);
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let task = tokio::spawn(accept(listener, app(api), Arc::clone(&places), stopping));
        Self { stop, places, task }
    }

    /// Takes no more requests, and lets those under way end within a limit.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let all = self.places.acquire_many(u32::try_from(CONNECTIONS).unwrap_or(u32::MAX));
        drop(tokio::time::timeout(GRACE, all).await);
        self.task.abort();
    }
}

fn app(api: Api) -> Router {
    router()
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "PH8401", "there is no such path"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "PH8401", "this path does not know that method")
        })
        .layer(middleware::from_fn_with_state(api.clone(), audited))
        .layer(middleware::from_fn_with_state(api.clone(), limited))
        .layer(middleware::from_fn(within))
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(api)
}

/// What the audit tells of a call beyond its path; a handler leaves it in its response.
#[derive(Debug, Clone)]
pub(super) struct About(pub(super) Map<String, Value>);

/// What has changed something is written down, with who asked.
async fn audited(State(api): State<Api>, request: Request, next: Next) -> Response {
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

/// Every answer begins within a time, and errors that are not ours become problems.
async fn within(request: Request, next: Next) -> Response {
    let Ok(response) = tokio::time::timeout(ANSWER, next.run(request)).await else {
        return Problem::new(StatusCode::GATEWAY_TIMEOUT, "PH8407", "the answer took too long").into_response();
    };
    match response.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let words = format!("the body has more than {BODY} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "PH8402", words).into_response()
        }
        StatusCode::BAD_REQUEST if !is_problem(&response) => {
            Problem::new(StatusCode::BAD_REQUEST, "PH8402", "the request cannot be read").into_response()
        }
        _ => response,
    }
}

fn is_problem(response: &Response) -> bool {
    let kind = response.headers().get(axum::http::header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/problem+json"))
}

async fn accept(listener: TcpListener, app: Router, places: Arc<Semaphore>, mut stopping: watch::Receiver<bool>) {
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = async { drop(stopping.wait_for(|stop| *stop).await) } => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (app, stopping) = (app.clone(), stopping.clone());
                tokio::spawn(async move {
                    serve(stream, peer.ip(), app, stopping).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, peer: IpAddr, app: Router, mut stopping: watch::Receiver<bool>) {
    drop(stream.set_nodelay(true));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD).max_headers(HEADERS).half_close(false);
    let app = TowerToHyperService::new(app);
    let known = service_fn(move |mut request: axum::http::Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        app.call(request)
    });
    let connection = server.serve_connection(TokioIo::new(stream), known);
    tokio::pin!(connection);
    let stopped = async { drop(stopping.wait_for(|stop| *stop).await) };
    tokio::select! {
        // How a client leaves is its own affair.
        _ = connection.as_mut() => return,
        () = stopped => {}
    }
    connection.as_mut().graceful_shutdown();
    drop(tokio::time::timeout(GRACE, connection).await);
}
