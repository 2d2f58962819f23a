//! Who is connected: admits up to a limit, runs each connection as a task, and ends them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{net::TcpStream, sync::watch};

use super::{
    peer::Peer,
    reply::{Refusal, Reply},
};
use crate::wire::{Command, Header, Status};

/// The commands of a server.
pub(super) trait Service: Send + Sync + 'static {
    /// Carries out one request. What it leaves of the body is dropped.
    fn serve(&self, header: Header, peer: &mut Peer) -> impl Future<Output = Result<Reply, Refusal>> + Send;
    /// Whether the connection ends after this refusal.
    fn closes_after(&self, status: Status) -> bool;
}

/// How far the end of a server has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Phase {
    /// It has not begun.
    Serving,
    /// Requests that have begun are served to their end; nobody waits for another one.
    Finishing,
    /// Nobody waits for anything.
    Cut,
}

pub(super) struct Connections {
    phase: watch::Sender<Phase>,
    count: watch::Sender<usize>,
    /// As many were connected at once at most.
    most: AtomicUsize,
    max: usize,
    idle: Duration,
    io: Duration,
}

impl Connections {
    pub(super) fn new(max: usize, idle: Duration, io: Duration) -> Self {
        Self {
            phase: watch::Sender::new(Phase::Serving),
            count: watch::Sender::new(0),
            most: AtomicUsize::new(0),
            max,
            idle,
            io,
        }
    }

    pub(super) fn count(&self) -> usize {
        *self.count.borrow()
    }

    pub(super) fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// Serves a new connection in a task of its own; closes it when there are too many.
    pub(super) fn admit<S: Service>(self: &Arc<Self>, stream: TcpStream, service: Arc<S>, name: &str) {
        let Some(registered) = self.register() else {
            tracing::warn!(server = name, max = self.max, "too many connections: a new one was closed");
            return;
        };
        let peer = Peer::new(stream, self.idle, self.io, self.phase.subscribe());
        let session = Session { service, registered };
        tokio::spawn(async move { converse(peer, &session).await });
    }

    /// Lets every connection finish the request it is in, and admits no more.
    pub(super) fn stop(&self) {
        self.advance(Phase::Finishing);
    }

    /// Cuts what is left.
    pub(super) fn cut(&self) {
        self.advance(Phase::Cut);
    }

    /// Returns when nobody is connected.
    pub(super) async fn ended(&self) {
        // The sender lives as long as self, so waiting cannot fail.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let on = *phase < to;
            *phase = to.max(*phase);
            on
        });
    }

    fn register(self: &Arc<Self>) -> Option<Registered> {
        let admitted = *self.phase.borrow() == Phase::Serving
            && self.count.send_if_modified(|count| {
                let room = *count < self.max;
                *count += usize::from(room);
                self.most.fetch_max(*count, Ordering::Relaxed);
                room
            });
        admitted.then(|| Registered { of: Arc::clone(self) })
    }
}

async fn converse<S: Service>(mut peer: Peer, session: &Session<S>) {
    let service = session.service.as_ref();
    while *session.registered.of.phase.borrow() == Phase::Serving {
        // Requests that were sent together would else be served without ever giving way.
        tokio::task::consume_budget().await;
        let Some(header) = peer.header().await else { return };
        if header.command == Command::QUIT {
            return;
        }
        let status = match service.serve(header, &mut peer).await {
            Ok(Reply::Body(body)) if peer.answer(Status::OK, &body).await.is_ok() => Status::OK,
            Ok(Reply::Sent) => Status::OK,
            Err(Refusal::Status(status)) if peer.answer(status, &[]).await.is_ok() => status,
            Ok(Reply::Body(_) | Reply::Close) | Err(Refusal::Status(_) | Refusal::Broken) => return,
        };
        if !status.is_ok() && service.closes_after(status) || !peer.drain().await {
            return peer.linger().await;
        }
    }
    peer.linger().await;
}

/// Lets go of the service before the connection counts as ended: who waits for that may open the same folder again.
struct Session<S> {
    service: Arc<S>,
    registered: Registered,
}

/// Takes a connection off the count however its task ends.
struct Registered {
    of: Arc<Connections>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.of.count.send_modify(|count| *count -= 1);
    }
}
