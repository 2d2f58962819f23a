//! Asking trackers: where to store, where to read, where to change. Trackers are tried in turn, the last good one first.

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;

use super::{
    Client, ClientError, Operation,
    exchange::{Call, MAX_ANSWER, Request},
};
use crate::wire::{
    Command, FetchTarget, FileId, GroupName, GroupRecord, Status, StorageRecord, StoreTarget, WireError, group_records,
    storage_records,
};

#[derive(Debug, Default)]
pub(super) struct Routes {
    /// Which tracker answered last.
    preferred: AtomicUsize,
}

impl Client {
    /// Where an upload should go.
    pub async fn store_target(&self) -> Result<StoreTarget, ClientError> {
        let call = Call::new(Operation::StoreQuery);
        let mut body = [0; GroupName::WIDTH];
        let request = match &self.shared.options.group {
            None => Request::new(Command::STORE_ANY_ONE, &[]),
            Some(group) => {
                body[..group.as_str().len()].copy_from_slice(group.as_str().as_bytes());
                Request::new(Command::STORE_GROUP_ONE, &body)
            }
        };
        self.ask_trackers(call, request, |body| StoreTarget::decode(body).map(first)).await
    }

    /// A storage to read a file from. Trackers do not know whether the file exists.
    pub async fn fetch_target(&self, file: &FileId) -> Result<FetchTarget, ClientError> {
        self.where_is(file, Command::FETCH_ONE).await.map(first)
    }

    /// All storages that a file can be read from.
    pub async fn fetch_targets(&self, file: &FileId) -> Result<Vec<FetchTarget>, ClientError> {
        self.where_is(file, Command::FETCH_ALL).await
    }

    /// The storage that changes to a file go to.
    pub async fn update_target(&self, file: &FileId) -> Result<FetchTarget, ClientError> {
        self.where_is(file, Command::UPDATE).await.map(first)
    }

    /// All groups. Understands servers since 6.13.1.
    pub async fn groups(&self) -> Result<Vec<GroupRecord>, ClientError> {
        let request = Request::new(Command::LIST_GROUPS, &[]);
        self.ask_trackers(Call::new(Operation::List), request, group_records).await
    }

    /// All storages of a group. Understands servers since 6.13.1.
    pub async fn storages(&self, group: &GroupName) -> Result<Vec<StorageRecord>, ClientError> {
        let mut body = [0; GroupName::WIDTH];
        body[..group.as_str().len()].copy_from_slice(group.as_str().as_bytes());
        let request = Request::new(Command::LIST_STORAGES, &body);
        self.ask_trackers(Call::new(Operation::List), request, storage_records).await
    }

    /// Asks every tracker whether it is there; how many are.
    pub async fn active_trackers(&self) -> usize {
        let mut active = 0;
        for tracker in &self.shared.options.trackers {
            let request = Request::new(Command::ACTIVE_TEST, &[]);
            active += usize::from(self.ask_tracker(Call::new(Operation::ActiveTest), tracker, request).await.is_ok());
        }
        active
    }

    /// Asks a storage or tracker whether it is there.
    pub async fn active_test(&self, address: SocketAddr) -> Result<(), ClientError> {
        let request = Request::new(Command::ACTIVE_TEST, &[]);
        self.ask(Call::new(Operation::ActiveTest), address, request, 0).await.map(|_| ())
    }

    /// Closes resting connections with a goodbye. The client stays usable.
    pub async fn quit(&self) {
        for connection in self.shared.pool.empty() {
            connection.quit().await;
        }
    }

    async fn where_is(&self, file: &FileId, command: Command) -> Result<Vec<FetchTarget>, ClientError> {
        let body = FetchTarget::request(&file.group, &file.name);
        let request = Request::new(command, &body);
        self.ask_trackers(Call::on(Operation::FetchQuery, file), request, FetchTarget::decode).await
    }

    /// Tries each tracker once. A refusal counts as a failure too: a tracker that has just started knows no storage yet.
    async fn ask_trackers<T>(
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

    async fn ask_tracker(
        &self,
        call: Call<'_>,
        tracker: &str,
        request: Request<'_>,
    ) -> Result<(SocketAddr, Bytes), ClientError> {
        let address = self.resolve(tracker).await?;
        Ok((address, self.ask(call, address, request, MAX_ANSWER).await?))
    }

    async fn resolve(&self, tracker: &str) -> Result<SocketAddr, ClientError> {
        if let Ok(address) = tracker.parse() {
            return Ok(address);
        }
        let cannot = |source| ClientError::Connect { address: tracker.to_owned(), source };
        let limit = self.shared.options.connect_timeout;
        let found = tokio::time::timeout(limit, tokio::net::lookup_host(tracker)).await;
        let found = found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        found.map_err(cannot)?.next().ok_or_else(|| cannot(io::ErrorKind::NotFound.into()))
    }
}

fn first<T>(targets: Vec<T>) -> T {
    targets.into_iter().next().expect("decoding refuses an answer without targets")
}
