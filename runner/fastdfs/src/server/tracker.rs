//! The tracker's commands. It knows one group with one storage, and never looks whether a file exists.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::{
    ServerOptions,
    connections::{Connections, Service},
    peer::{PIECE, Peer},
    reply::{Refusal, Reply},
    storage::{Storage, now_unix},
};
use crate::wire::{
    AddressSize, Command, FetchTarget, GroupName, GroupRecord, Header, Status, StorageRecord, StoreTarget,
};

const GROUP: usize = GroupName::WIDTH;
/// Shortest and longest file name in a fetch query.
const NAME: std::ops::Range<usize> = 22..128;
/// Longest storage id in a list query.
const ID: usize = 15;
const STORE_PATH: u8 = 0;
const ACTIVE: u8 = 7;

pub(super) struct Tracker {
    group: GroupName,
    advertise: Option<IpAddr>,
    listening: SocketAddr,
    storage: Arc<Storage>,
    at_storage: Arc<Connections>,
    started_unix: u64,
}

impl Tracker {
    pub(super) fn new(
        options: &ServerOptions,
        listening: SocketAddr,
        storage: Arc<Storage>,
        at_storage: Arc<Connections>,
    ) -> Self {
        let started_unix = now_unix();
        Self { group: options.group, advertise: options.advertise, listening, storage, at_storage, started_unix }
    }

    /// The storage's address as this client can reach it.
    fn storage_for(&self, peer: &Peer) -> SocketAddr {
        let ip = self.advertise.unwrap_or_else(|| match self.listening.ip() {
            any if any.is_unspecified() => peer.local_address().map_or(any, |local| local.ip().to_canonical()),
            ip => ip,
        });
        SocketAddr::new(ip, self.listening.port())
    }

    fn store(&self, peer: &Peer) -> Reply {
        let storage = self.storage_for(peer);
        Reply::Body(StoreTarget::encode(&self.group, &[storage], STORE_PATH, AddressSize::of(storage.ip())))
    }

    fn fetch(&self, peer: &mut Peer) -> Result<Reply, Refusal> {
        let body = peer.whole_body()?;
        let name = body.get(GROUP..).ok_or(Refusal::INVALID)?;
        if !NAME.contains(&name.len()) {
            return Err(Refusal::INVALID);
        }
        self.check_group(&body[..GROUP])?;
        let storage = self.storage_for(peer);
        Ok(Reply::Body(FetchTarget::encode(&self.group, &[storage], AddressSize::of(storage.ip()))))
    }

    /// A body that is one group, known here.
    fn group_body(&self, peer: &mut Peer) -> Result<(), Refusal> {
        let body = peer.whole_body()?;
        if body.len() == GROUP { self.check_group(body) } else { Err(Refusal::INVALID) }
    }

    fn check_group(&self, field: &[u8]) -> Result<(), Refusal> {
        let known = crate::wire::until_nul(field) == self.group.as_str().as_bytes();
        if known { Ok(()) } else { Err(Refusal::NOT_FOUND) }
    }

    fn list_groups(&self) -> Reply {
        let (total_mb, free_mb) = self.storage.tree.space_mb();
        let port = u64::from(self.listening.port());
        let record = GroupRecord {
            name: self.group,
            total_mb,
            free_mb,
            storages: 1,
            port,
            readable: 1,
            writable: 1,
            paths: 1,
            folders: 256,
            ..GroupRecord::new(self.group)
        };
        Reply::Body(record.encode())
    }

    fn list_storages(&self, peer: &mut Peer) -> Result<Reply, Refusal> {
        let address = self.storage_for(peer);
        let body = peer.whole_body()?;
        let (group, id) = body.split_at_checked(GROUP).ok_or(Refusal::INVALID)?;
        if id.len() > ID {
            return Err(Refusal::INVALID);
        }
        self.check_group(group)?;
        let own_id = address.ip().to_string();
        if !id.is_empty() && crate::wire::until_nul(id) != own_id.as_bytes() {
            return Err(Refusal::NOT_FOUND);
        }
        let (total_mb, free_mb) = self.storage.tree.space_mb();
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
            allocated_connections: connections,
            connections,
            most_connections: connections,
            counters: self.storage.counters.all(),
            ..StorageRecord::default()
        };
        Ok(Reply::Body(record.encode(AddressSize::of(address.ip()))))
    }
}

impl Service for Tracker {
    fn serve(&self, header: Header, peer: &mut Peer) -> Result<Reply, Refusal> {
        if header.length > PIECE as u64 {
            return Ok(Reply::Close);
        }
        let empty = header.length == 0;
        match header.command {
            Command::ACTIVE_TEST if empty => Ok(Reply::EMPTY),
            Command::STORE_ANY_ONE | Command::STORE_ANY_ALL if empty => Ok(self.store(peer)),
            Command::STORE_GROUP_ONE | Command::STORE_GROUP_ALL => {
                self.group_body(peer)?;
                Ok(self.store(peer))
            }
            Command::FETCH_ONE | Command::FETCH_ALL | Command::UPDATE => self.fetch(peer),
            Command::LIST_GROUPS if empty => Ok(self.list_groups()),
            Command::LIST_ONE_GROUP => {
                self.group_body(peer)?;
                Ok(self.list_groups())
            }
            Command::LIST_STORAGES => self.list_storages(peer),
            Command::STORAGE_BEAT => Err(Refusal::Status(Status::ACCESS)),
            _ => Err(Refusal::INVALID),
        }
    }

    fn closes_after(&self, _: Status) -> bool {
        false
    }
}
