//! Asking trackers: where to store, where to read, where to change. Trackers are tried in turn, the last good one first.

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;

use super::{
    Client, ClientError, Operation, Place,
    exchange::{Call, MAX_ANSWER, Request},
};
use crate::wire::{Command, FetchTarget, FileId, GroupName, Status, StoreTarget, WireError};

#[derive(Debug, Default)]
pub(super) struct Routes {
    /// Which tracker answered last.
    preferred: AtomicUsize,
}

impl Client {
    /// Where an upload should go. Where the place is a given storage, this asks for any.
    pub async fn store_target(&self) -> Result<StoreTarget, ClientError> {
        self.repeat(|| self.route_to_store()).await
    }

    /// All storages that an upload may go to, of the group that the tracker chooses; else as [`Client::store_target`].
    pub async fn store_targets(&self) -> Result<Vec<StoreTarget>, ClientError> {
        self.repeat(|| self.route_to_store_all()).await
    }

    /// A storage to read a file from. Trackers do not know whether the file exists.
    pub async fn fetch_target(&self, file: &FileId) -> Result<FetchTarget, ClientError> {
        self.repeat(|| self.route_to_read(file)).await
    }

    /// All storages that a file can be read from.
    pub async fn fetch_targets(&self, file: &FileId) -> Result<Vec<FetchTarget>, ClientError> {
        self.repeat(|| self.route_to_all(file)).await
    }

    /// The storage that changes to a file go to.
    pub async fn update_target(&self, file: &FileId) -> Result<FetchTarget, ClientError> {
        self.repeat(|| self.route_to_change(file)).await
    }

    pub(super) async fn route_to_store(&self) -> Result<StoreTarget, ClientError> {
        self.where_to(Command::STORE_ANY_ONE, Command::STORE_GROUP_ONE).await.map(first)
    }

    pub(super) async fn route_to_store_all(&self) -> Result<Vec<StoreTarget>, ClientError> {
        self.where_to(Command::STORE_ANY_ALL, Command::STORE_GROUP_ALL).await
    }

    pub(super) async fn route_to_read(&self, file: &FileId) -> Result<FetchTarget, ClientError> {
        self.where_is(file, Command::FETCH_ONE).await.map(first)
    }

    pub(super) async fn route_to_all(&self, file: &FileId) -> Result<Vec<FetchTarget>, ClientError> {
        self.where_is(file, Command::FETCH_ALL).await
    }

    pub(super) async fn route_to_change(&self, file: &FileId) -> Result<FetchTarget, ClientError> {
        self.where_is(file, Command::UPDATE).await.map(first)
    }

    async fn where_to(&self, any: Command, of_group: Command) -> Result<Vec<StoreTarget>, ClientError> {
        let body;
        let request = match &self.place {
            Place::Anywhere | Place::Storage { .. } => Request::new(any, &[]),
            Place::Group(group) => {
                body = group_field(group);
                Request::new(of_group, &body)
            }
        };
        self.ask_trackers(Call::new(Operation::StoreQuery), request, StoreTarget::decode).await
    }

    async fn where_is(&self, file: &FileId, command: Command) -> Result<Vec<FetchTarget>, ClientError> {
        let body = FetchTarget::request(&file.group, &file.name);
        let request = Request::new(command, &body);
        self.ask_trackers(Call::on(Operation::FetchQuery, file), request, FetchTarget::decode).await
    }

    /// Tries each tracker once. A refusal counts as a failure too: a tracker that has just started knows no storage yet.
    pub(super) async fn ask_trackers<T>(
        &self,
        call: Call<'_>,
        request: Request<'_>,
        decode: impl Fn(&[u8]) -> Result<T, WireError>,
    ) -> Result<T, ClientError> {
        let trackers = &self.shared.options.trackers;
        let preferred = self.shared.routes.preferred.load(Ordering::Relaxed);
        let mut last = ClientError::NotConfigured;
        for turn in 0..trackers.len() {
            let index = (preferred + turn) % trackers.len();
            let asked = self.ask_tracker(call, &trackers[index], request).await;
            let decoded = asked.and_then(|(address, body)| {
                decode(&body).map_err(|source| ClientError::Answer { attempt: call.attempt(address), source })
            });
            match decoded {
                Ok(answer) => {
                    self.shared.routes.preferred.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) if error.status() == Some(Status::INVALID) => return Err(error),
                Err(error) => last = error,
            }
        }
        match trackers.len() {
            0 | 1 => Err(last),
            tried => Err(ClientError::NoTracker { tried, source: Box::new(last) }),
        }
    }

    pub(super) async fn ask_tracker(
        &self,
        call: Call<'_>,
        tracker: &str,
        request: Request<'_>,
    ) -> Result<(SocketAddr, Bytes), ClientError> {
        let mut unreachable = None;
        for address in self.resolve(tracker).await? {
            match self.ask(call, address, request, MAX_ANSWER).await {
                Err(error @ ClientError::Connect { .. }) => unreachable = Some(error),
                asked => return asked.map(|answer| (address, answer)),
            }
        }
        let source = io::ErrorKind::NotFound.into();
        Err(unreachable.unwrap_or_else(|| ClientError::Connect { address: tracker.to_owned(), source }))
    }

    /// All addresses of a tracker: a name may have several, and not all of them may be listened on.
    async fn resolve(&self, tracker: &str) -> Result<Vec<SocketAddr>, ClientError> {
        if let Ok(address) = tracker.parse() {
            return Ok(vec![address]);
        }
        let cannot = |source| ClientError::Connect { address: tracker.to_owned(), source };
        let limit = self.shared.options.connect_timeout;
        let found = tokio::time::timeout(limit, tokio::net::lookup_host(tracker)).await;
        let found = found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        found.map(Iterator::collect).map_err(cannot)
    }
}

fn first<T>(targets: Vec<T>) -> T {
    targets.into_iter().next().expect("decoding refuses an answer without targets")
}

/// A group as a whole body.
pub(super) fn group_field(group: &GroupName) -> [u8; GroupName::WIDTH] {
    let mut field = [0; GroupName::WIDTH];
    field[..group.as_str().len()].copy_from_slice(group.as_str().as_bytes());
    field
}
