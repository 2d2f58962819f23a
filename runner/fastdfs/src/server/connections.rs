//! Who is connected: admits up to a limit, runs each connection on its own thread, and ends them.

use std::{
    collections::HashMap,
    net::{Shutdown, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::sync::watch;

use super::{
    peer::Peer,
    reply::{Refusal, Reply},
};
use crate::wire::{Command, Header, Status};

/// Requests need little stack; large buffers are on the heap.
const STACK: usize = 256 << 10;

/// The commands of a server.
pub(super) trait Service: Send + Sync + 'static {
    /// Carries out one request. What it leaves of the body is dropped.
    fn serve(&self, header: Header, peer: &mut Peer) -> Result<Reply, Refusal>;
    /// Whether the connection ends after this refusal.
    fn closes_after(&self, status: Status) -> bool;
}

struct Live {
    streams: HashMap<u64, Arc<TcpStream>>,
    stopping: bool,
}

pub(super) struct Connections {
    live: Mutex<Live>,
    count: watch::Sender<usize>,
    next: AtomicU64,
    max: usize,
    idle: Duration,
    io: Duration,
}

impl Connections {
    pub(super) fn new(max: usize, idle: Duration, io: Duration) -> Self {
        let live = Mutex::new(Live { streams: HashMap::new(), stopping: false });
        Self { live, count: watch::Sender::new(0), next: AtomicU64::new(0), max, idle, io }
    }

    pub(super) fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// Serves a new connection on a thread of its own; closes it when there are too many.
    pub(super) fn admit(self: &Arc<Self>, stream: TcpStream, service: Arc<dyn Service>, name: &str) {
        let stream = Arc::new(stream);
        let Some(id) = self.register(&stream) else {
            tracing::warn!(server = name, max = self.max, "too many connections: a new one was closed");
            return;
        };
        let this = Arc::clone(self);
        let serving = thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(move || {
            let session = Session { service, registered: Registered { id, of: this } };
            let of = &session.registered.of;
            if let Ok(mut peer) = Peer::new(stream, of.idle, of.io) {
                of.converse(&mut peer, session.service.as_ref());
            }
        });
        if let Err(error) = serving {
            tracing::error!(%error, "cannot start a thread for a connection");
            self.forget(id);
        }
    }

    fn converse(&self, peer: &mut Peer, service: &dyn Service) {
        while !self.locked().stopping {
            let Some(header) = peer.header() else { return };
            if header.command == Command::QUIT {
                return;
            }
            let refused = match service.serve(header, peer) {
                Ok(Reply::Body(body)) => peer.answer(Status::OK, &body),
                Ok(Reply::Sent) => Ok(()),
                Ok(Reply::Close) => return,
                Err(refusal) => Err(refusal),
            };
            match refused {
                Ok(()) => {}
                Err(Refusal::Broken) => return,
                Err(Refusal::Status(status)) => {
                    if peer.answer(status, &[]).is_err() {
                        return;
                    }
                    if service.closes_after(status) {
                        return peer.linger();
                    }
                }
            }
            if !peer.drain() {
                return peer.linger();
            }
        }
    }

    /// Lets every connection finish the request it is in, and admits no more.
    pub(super) fn stop(&self) {
        self.end(Shutdown::Read);
    }

    /// Cuts what is left.
    pub(super) fn cut(&self) {
        self.end(Shutdown::Both);
    }

    /// Returns when nobody is connected.
    pub(super) async fn ended(&self) {
        // The sender lives as long as self, so waiting cannot fail.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    fn end(&self, how: Shutdown) {
        let mut live = self.locked();
        live.stopping = true;
        for stream in live.streams.values() {
            // One that is closed already is what we want.
            let _ = stream.shutdown(how);
        }
    }

    fn register(&self, stream: &Arc<TcpStream>) -> Option<u64> {
        let mut live = self.locked();
        if live.stopping || live.streams.len() >= self.max {
            return None;
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        live.streams.insert(id, Arc::clone(stream));
        self.count.send_replace(live.streams.len());
        Some(id)
    }

    fn forget(&self, id: u64) {
        let mut live = self.locked();
        live.streams.remove(&id);
        self.count.send_replace(live.streams.len());
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets go of the service before the connection counts as ended: who waits for that may open the same folder again.
struct Session {
    service: Arc<dyn Service>,
    registered: Registered,
}

/// Takes a connection off the list however its thread ends.
struct Registered {
    id: u64,
    of: Arc<Connections>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.of.forget(self.id);
    }
}
