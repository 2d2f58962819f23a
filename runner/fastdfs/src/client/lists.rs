//! Asking trackers about groups, storages and themselves, and servers whether they are there.

use std::net::SocketAddr;

use super::{
    Client, ClientError, Operation,
    exchange::{Call, Request},
    routes::group_field,
};
use crate::wire::{Command, GroupName, GroupRecord, StorageRecord, WireError, group_records, leader, storage_records};

impl Client {
    /// All groups.
    pub async fn groups(&self) -> Result<Vec<GroupRecord>, ClientError> {
        self.list(Request::new(Command::LIST_GROUPS, &[]), group_records).await
    }

    /// One group; not found is a refusal.
    pub async fn group(&self, group: &GroupName) -> Result<GroupRecord, ClientError> {
        let body = group_field(group);
        let request = Request::new(Command::LIST_ONE_GROUP, &body);
        self.list(request, |body| only(group_records(body)?, "a group record", body)).await
    }

    /// All storages of a group.
    pub async fn storages(&self, group: &GroupName) -> Result<Vec<StorageRecord>, ClientError> {
        let body = group_field(group);
        self.list(Request::new(Command::LIST_STORAGES, &body), storage_records).await
    }

    /// One storage, by the id of its record (its address where ids are not used); not found is a refusal, and so is an id over 15
    /// bytes.
    pub async fn storage(&self, group: &GroupName, id: &str) -> Result<StorageRecord, ClientError> {
        let body = [&group_field(group)[..], id.as_bytes()].concat();
        let request = Request::new(Command::LIST_STORAGES, &body);
        self.list(request, |body| only(storage_records(body)?, "a storage record", body)).await
    }

    /// The tracker that leads the others, as they name it. Needs servers since 6.
    pub async fn leader(&self) -> Result<SocketAddr, ClientError> {
        self.list(Request::new(Command::LEADER, &[]), leader).await
    }

    /// Asks every tracker once whether it is there; how many are.
    pub async fn active_trackers(&self) -> usize {
        let mut active = 0;
        for tracker in &self.shared.options.trackers {
            let request = Request::new(Command::ACTIVE_TEST, &[]);
            active += usize::from(self.ask_tracker(Call::new(Operation::ActiveTest), tracker, request).await.is_ok());
        }
        active
    }

    /// Asks a storage or tracker once whether it is there.
    pub async fn active_test(&self, address: SocketAddr) -> Result<(), ClientError> {
        let request = Request::new(Command::ACTIVE_TEST, &[]);
        self.ask(Call::new(Operation::ActiveTest), address, request, 0).await.map(|_| ())
    }

    /// Closes resting connections with a goodbye, and frees what memory is kept for large downloads (at most two buffers of 32 MiB).
    /// The client stays usable.
    pub async fn quit(&self) {
        self.shared.buffers.empty();
        for connection in self.shared.pool.empty() {
            connection.quit().await;
        }
    }

    async fn list<T>(
        &self,
        request: Request<'_>,
        decode: impl Fn(&[u8]) -> Result<T, WireError>,
    ) -> Result<T, ClientError> {
        self.repeat(|| self.ask_trackers(Call::new(Operation::List), request, &decode)).await
    }
}

fn only<T>(records: Vec<T>, what: &'static str, body: &[u8]) -> Result<T, WireError> {
    let mut records = records.into_iter();
    match (records.next(), records.next()) {
        (Some(record), None) => Ok(record),
        _ => Err(WireError::Length { what, length: body.len() as u64 }),
    }
}
