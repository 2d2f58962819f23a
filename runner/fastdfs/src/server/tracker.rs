//! The tracker's commands. It knows one group with one storage, and never looks whether a file exists.

use std::{net::SocketAddr, sync::Arc};

use super::{
    ServerOptions,
    connections::{Connections, Service},
    peer::{PIECE, Peer},
    reply::{Refusal, Reply},
    storage::{Storage, now_unix},
};
use crate::wire::{Command, FetchTarget, GroupName, GroupRecord, Header, Status, StorageRecord, StoreTarget};

const GROUP: usize = GroupName::WIDTH;
/// Shortest and longest file name in a fetch query.
const NAME: std::ops::Range<usize> = 22..128;
/// Longest storage id in a list query.
const ID: usize = 15;
const ACTIVE: u8 = 7;

pub(super) struct Tracker {
    options: ServerOptions,
    /// Where the storage listens.
    listening: SocketAddr,
    /// Where the tracker itself listens.
    own: SocketAddr,
    storage: Arc<Storage>,
    at_storage: Arc<Connections>,
    started_unix: u64,
}

impl Tracker {
    pub(super) fn new(
        options: &ServerOptions,
        own: SocketAddr,
        listening: SocketAddr,
        storage: Arc<Storage>,
        at_storage: Arc<Connections>,
    ) -> Self {
        Self { options: options.clone(), listening, own, storage, at_storage, started_unix: now_unix() }
    }

    /// The storage's address as this client can reach it.
    fn storage_for(&self, peer: &Peer) -> SocketAddr {
        self.seen_by(peer, self.listening)
    }

    fn seen_by(&self, peer: &Peer, listening: SocketAddr) -> SocketAddr {
        let ip = self.options.advertise.unwrap_or_else(|| match listening.ip() {
            any if any.is_unspecified() => peer.local_address().map_or(any, |local| local.ip().to_canonical()),
            ip => ip,
        });
        SocketAddr::new(ip, listening.port())
    }

    /// The only tracker leads.
    fn leader(&self, peer: &Peer) -> Reply {
        Reply::Body(self.seen_by(peer, self.own).to_string().into_bytes())
    }

    /// The only storage is active, and the only group holds it: neither can be deleted.
    async fn delete_storage(&self, peer: &mut Peer) -> Result<Reply, Refusal> {
        let own_id = self.storage_for(peer).ip().to_string();
        let (group, id) = split_group(peer.whole_body().await?)?;
        self.check_group(group)?;
        if !(1..=ID).contains(&id.len()) {
            return Err(Refusal::INVALID);
        }
        let known = crate::wire::until_nul(id) == own_id.as_bytes();
        Err(if known { Refusal::Status(Status::BUSY) } else { Refusal::NOT_FOUND })
    }

    fn store(&self, peer: &Peer) -> Reply {
        let storage = self.storage_for(peer);
        let path = self.storage.next_path();
        Reply::Body(StoreTarget::encode(&self.options.group, &[storage], path, self.options.address_size(storage.ip())))
    }

    async fn fetch(&self, peer: &mut Peer) -> Result<Reply, Refusal> {
        let body = peer.whole_body().await?;
        let name = body.get(GROUP..).ok_or(Refusal::INVALID)?;
        if !NAME.contains(&name.len()) {
            return Err(Refusal::INVALID);
        }
        self.check_group(&body[..GROUP])?;
        let storage = self.storage_for(peer);
        Ok(Reply::Body(FetchTarget::encode(&self.options.group, &[storage], self.options.address_size(storage.ip()))))
    }

    /// A body that is one group, known here.
    async fn group_body(&self, peer: &mut Peer) -> Result<(), Refusal> {
        let body = peer.whole_body().await?;
        if body.len() == GROUP { self.check_group(body) } else { Err(Refusal::INVALID) }
    }

    fn check_group(&self, field: &[u8]) -> Result<(), Refusal> {
        let known = crate::wire::until_nul(field) == self.options.group.as_str().as_bytes();
        if known { Ok(()) } else { Err(Refusal::NOT_FOUND) }
    }

    async fn list_groups(&self) -> Reply {
        let (total_mb, free_mb) = self.storage.space_mb().await;
        let port = u64::from(self.listening.port());
        let record = GroupRecord {
            name: self.options.group,
            total_mb,
            free_mb,
            reserved_mb: self.storage.reserved_mb(),
            storages: 1,
            port,
            readable: 1,
            writable: 1,
            paths: self.storage.path_count() as u64,
            folders: 256,
            ..GroupRecord::new(self.options.group)
        };
        Reply::Body(record.encode())
    }

    async fn list_storages(&self, peer: &mut Peer) -> Result<Reply, Refusal> {
        let address = self.storage_for(peer);
        let body = peer.whole_body().await?;
        let (group, id) = split_group(body)?;
        if id.len() > ID {
            return Err(Refusal::INVALID);
        }
        self.check_group(group)?;
        let own_id = address.ip().to_string();
        if !id.is_empty() && crate::wire::until_nul(id) != own_id.as_bytes() {
            return Err(Refusal::NOT_FOUND);
        }
        let (total_mb, free_mb) = self.storage.space_mb().await;
        let connections = self.at_storage.count() as u32;
        let record = StorageRecord {
            status: ACTIVE,
            id: own_id,
            address: address.ip().to_string(),
            port: u64::from(address.port()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            joined_unix: self.started_unix,
            started_unix: self.started_unix,
            total_mb,
            free_mb,
            reserved_mb: self.storage.reserved_mb(),
            paths: self.storage.path_count() as u64,
            allocated_connections: connections,
            connections,
            most_connections: self.at_storage.most() as u32,
            counters: self.storage.counters.all(),
            ..StorageRecord::default()
        };
        Ok(Reply::Body(record.encode(self.options.address_size(address.ip()))))
    }
}

fn split_group(body: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    body.split_at_checked(GROUP).ok_or(Refusal::INVALID)
}

impl Service for Tracker {
    async fn serve(&self, header: Header, peer: &mut Peer) -> Result<Reply, Refusal> {
        if header.length > PIECE as u64 {
            return Ok(Reply::Close);
        }
        let empty = header.length == 0;
        match header.command {
            Command::ACTIVE_TEST if empty => Ok(Reply::EMPTY),
            Command::STORE_ANY_ONE | Command::STORE_ANY_ALL if empty => Ok(self.store(peer)),
            Command::STORE_GROUP_ONE | Command::STORE_GROUP_ALL => {
                self.group_body(peer).await?;
                Ok(self.store(peer))
            }
            Command::FETCH_ONE | Command::FETCH_ALL | Command::UPDATE => self.fetch(peer).await,
            Command::LIST_GROUPS if empty => Ok(self.list_groups().await),
            Command::LIST_ONE_GROUP => {
                self.group_body(peer).await?;
                Ok(self.list_groups().await)
            }
            Command::LIST_STORAGES => self.list_storages(peer).await,
            Command::LEADER if empty => Ok(self.leader(peer)),
            Command::DELETE_STORAGE => self.delete_storage(peer).await,
            Command::DELETE_GROUP => {
                self.group_body(peer).await?;
                Err(Refusal::Status(Status::BUSY))
            }
            Command::STORAGE_BEAT => Err(Refusal::Status(Status::ACCESS)),
            _ => Err(Refusal::INVALID),
        }
    }

    fn closes_after(&self, _: Status) -> bool {
        false
    }
}
