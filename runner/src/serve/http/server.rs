//! Connections and their limits: so many at once, heads of a size within a time, answers that are taken.

use super::api::Api;
use super::document::router;
use super::layers::{Cut, Held, around};
use super::limit::Peer;
use super::patient::Patient;
use super::problem::Problem;
use super::refusals::Refusals;
use axum::Router;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use futures_util::future::Either;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;

/// Connections at once; more wait until one ends.
const CONNECTIONS: usize = 1_024;
/// How long a connection may take for a request's head, and be idle between requests.
const HEAD: Duration = Duration::from_secs(10);
/// Longest head of a request in bytes.
const HEAD_SIZE: usize = 16 * 1024;
/// Header fields of a request.
const HEADERS: usize = 64;
/// How long the other side may leave an answer lying.
const TAKES: Duration = Duration::from_secs(30);
/// How long requests under way have when the process stops.
const GRACE: Duration = Duration::from_secs(2);

/// The listening server.
#[derive(Debug)]
pub struct Http {
    stop: watch::Sender<bool>,
    places: Arc<Semaphore>,
    task: JoinHandle<()>,
}

/// What every connection is given.
#[derive(Clone)]
struct Shared {
    app: Router,
    api: Api,
    places: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
}

impl Http {
    /// Answers whoever connects.
    pub fn start(listener: TcpListener, api: Api) -> Self {
        let (stop, stopping) = watch::channel(false);
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let shared = Shared { app: app(api.clone()), api, places: Arc::clone(&places), stopping };
        let task = tokio::spawn(accept(listener, shared));
        Self { stop, places, task }
    }

    /// Takes no more requests, and lets those under way end within a limit, also those whose client has left.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let all = self.places.acquire_many(u32::try_from(CONNECTIONS).unwrap_or(u32::MAX));
        drop(tokio::time::timeout(GRACE, all).await);
        self.task.abort();
    }
}

fn app(api: Api) -> Router {
    let routes = router()
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "PH8401", "there is no such path"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "PH8401", "this path does not know that method")
        });
    around(routes, &api).with_state(api)
}

async fn accept(listener: TcpListener, shared: Shared) {
    let mut stopping = shared.stopping.clone();
    loop {
        let Some(place) = place(&shared).await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = async { drop(stopping.wait_for(|stop| *stop).await) } => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                tokio::spawn(serve(stream, peer.ip(), shared.clone(), Arc::new(place)));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// A place for the next connection.
async fn place(Shared { places, api, .. }: &Shared) -> Option<OwnedSemaphorePermit> {
    if let Ok(place) = Arc::clone(places).try_acquire_owned() {
        return Some(place);
    }
    api.refusals.is_full(CONNECTIONS, (api.access.clock)());
    Arc::clone(places).acquire_owned().await.ok()
}

async fn serve(stream: TcpStream, peer: IpAddr, shared: Shared, place: Arc<OwnedSemaphorePermit>) {
    let Shared { app, api, mut stopping, .. } = shared;
    let _counted = Refusals::connection(&api.refusals);
    drop(stream.set_nodelay(true));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD).max_headers(HEADERS).half_close(false);
    server.max_buf_size(HEAD_SIZE);
    let (app, cut) = (TowerToHyperService::new(app), Cut::default());
    let of_all = (Peer(peer), Held(place), cut.clone());
    let known = service_fn(move |mut request: Request<Incoming>| {
        let (peer, held, cut) = of_all.clone();
        let extensions = request.extensions_mut();
        extensions.insert(peer);
        extensions.insert(held);
        extensions.insert(cut);
        carried_out(&app, request)
    });
    let connection = server.serve_connection(TokioIo::new(Patient::new(stream, TAKES)), known);
    tokio::pin!(connection);
    let stopped = async { drop(stopping.wait_for(|stop| *stop).await) };
    tokio::select! {
        // How a client leaves is its own affair.
        _ = connection.as_mut() => return,
        () = stopped => {}
    }
    connection.as_mut().graceful_shutdown();
    if tokio::time::timeout(GRACE, connection.as_mut()).await.is_err() {
        cut.0.store(true, Ordering::Release);
    }
}

/// Answers a request. What may change something outlives its client, so that all of it is done and told in the audit.
fn carried_out(
    app: &TowerToHyperService<Router>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response, Infallible>> + use<> {
    let safe = request.method().is_safe();
    let answer = app.call(request);
    if safe {
        return Either::Left(answer);
    }
    Either::Right(tokio::spawn(answer).map(|done| {
        done.unwrap_or_else(|_| {
            let words = "the request was not carried out to its end";
            Ok(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "PH9001", words).into_response())
        })
    }))
}
