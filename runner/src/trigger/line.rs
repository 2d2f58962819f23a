//! The connection on which triggers hear messages: one of their own, made when the first of them listens. The broker keeps its session
//! while no process is there, and has each message until what it asks for is durable.

use crate::bus::{Bus, BusError};
use crate::store::BoxFuture;
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::OnceCell;

/// Connects under a client id.
pub type Connect = Box<dyn Fn(String) -> BoxFuture<'static, Result<Joined, BusError>> + Send + Sync>;

/// A connection.
#[derive(Clone)]
pub struct Joined {
    /// It.
    pub bus: Arc<dyn Bus>,
    /// Nobody else uses it.
    pub own: bool,
}

/// The connection, and what outlives it.
pub struct Line {
    connect: Connect,
    joined: OnceCell<Joined>,
    book: Mutex<Book>,
}

/// What is kept of the session in a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Session {
    /// Under which the broker keeps it.
    client_id: String,
    /// At least what the broker may hold messages for.
    filters: BTreeSet<String>,
}

#[derive(Debug)]
struct Book {
    /// Nothing where nothing is kept.
    path: Option<PathBuf>,
    session: Session,
    /// What triggers listen to now.
    wanted: BTreeSet<String>,
    /// What of it was asked for on this connection.
    asked: BTreeSet<String>,
    /// All that was wanted has been asked for, and the broker has forgotten the rest.
    complete: bool,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Line").field("book", &self.book).finish_non_exhaustive()
    }
}

impl Line {
    /// A line whose session is kept under the id that this file names; it is made where it is not there, or holds none.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read or written.
    pub fn open(path: &Path, connect: Connect) -> io::Result<Self> {
        let read = Session::read(path)?;
        let fresh = read.is_none();
        let session = read.unwrap_or_else(|| Session {
            // Letters and digits, no more than 23: more a broker of MQTT 3.1.1 need not take (section 3.1.3.1).
            client_id: format!("packhorseT{:012x}", rand::rng().random::<u64>() >> 16),
            filters: BTreeSet::new(),
        });
        let book = Book::new(Some(path.to_owned()), session);
        if fresh {
            book.write()?;
        }
        Ok(Self { connect, joined: OnceCell::new(), book: Mutex::new(book) })
    }

    /// A bus that others use too.
    pub fn over(bus: Arc<dyn Bus>) -> Self {
        let session = Session { client_id: String::new(), filters: BTreeSet::new() };
        let book = Mutex::new(Book::new(None, session));
        let connect: Connect = Box::new(|_| Box::pin(std::future::ready(Err(BusError::Closed))));
        Self { connect, joined: OnceCell::new_with(Some(Joined { bus, own: false })), book }
    }

    /// The connection.
    pub(super) async fn bus(&self) -> Result<Arc<dyn Bus>, BusError> {
        let made = self.joined.get_or_try_init(|| async {
            let client_id = self.lock().session.client_id.clone();
            (self.connect)(client_id).await
        });
        made.await.map(|joined| Arc::clone(&joined.bus))
    }

    /// A trigger has subscribed, or was refused. When all have, the broker need keep nothing for what an earlier process listened to; sooner, messages
    /// that it had kept would be taken for somebody's who is not there any more.
    pub(super) fn asked(&self, filter: &str) {
        let Some(joined) = self.joined.get() else { return };
        let Some(left) = self.lock().left(filter) else { return };
        if joined.own {
            joined.bus.complete(&left);
        }
    }

    /// Ends it in order: the broker hears of everything that was dealt with.
    pub(super) async fn close(&self) {
        // One that others use too is theirs to close.
        if let Some(joined) = self.joined.get().filter(|joined| joined.own) {
            joined.bus.close().await;
        }
    }

    /// What triggers listen to from now on, before they do.
    pub(super) fn wants(&self, filters: BTreeSet<String>) {
        let mut book = self.lock();
        // What an earlier process listened to is still to be forgotten.
        let before = if book.complete { BTreeSet::new() } else { book.session.filters.clone() };
        book.wanted.clone_from(&filters);
        let all: BTreeSet<String> = filters.union(&before).cloned().collect();
        if all == book.session.filters {
            return;
        }
        book.session.filters = all;
        if let Err(error) = book.write() {
            tracing::warn!("what triggers listen to cannot be written down: {error}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn read(path: &Path) -> io::Result<Option<Self>> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let read = serde_json::from_slice(&bytes);
        if let Err(error) = &read {
            let path = path.display();
            tracing::error!(
                "{path} holds no session ({error}): triggers begin a new one, and messages that the broker kept for the old one are lost"
            );
        }
        Ok(read.ok())
    }
}

impl Book {
    fn new(path: Option<PathBuf>, session: Session) -> Self {
        Self { path, session, wanted: BTreeSet::new(), asked: BTreeSet::new(), complete: false }
    }

    /// One more was asked for; once, when that are all: what the broker may hold messages for though nobody wants them any more.
    fn left(&mut self, filter: &str) -> Option<Vec<String>> {
        if self.complete {
            return None;
        }
        self.asked.insert(filter.to_owned());
        if !self.wanted.is_subset(&self.asked) {
            return None;
        }
        self.complete = true;
        Some(self.session.filters.difference(&self.wanted).cloned().collect())
    }

    /// Durable when this returns, whole or not at all.
    fn write(&self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&serde_json::to_vec(&self.session)?)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        File::open(folder)?.sync_all()
    }
}
