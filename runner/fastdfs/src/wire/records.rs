//! Group and storage records (90, 91, 92) in the layout of 6.13.1 and later.

use std::net::IpAddr;

use super::{
    AddressSize, GroupName, WireError,
    field::{Fields, put_number, put_text},
};

/// Statistics of a storage record, in the order of the wire: success pairs of operations, bytes, file calls, times.
pub const RECORD_COUNTERS: usize = 42;

/// A group, as trackers list it (113 bytes).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupRecord {
    /// Its name.
    pub name: GroupName,
    /// Disk size, MiB.
    pub total_mb: u64,
    /// Free, MiB.
    pub free_mb: u64,
    /// Kept free, MiB.
    pub reserved_mb: u64,
    /// Storages in it.
    pub storages: u64,
    /// Their port.
    pub port: u64,
    /// How many can be read from.
    pub readable: u64,
    /// How many take uploads.
    pub writable: u64,
    /// Store paths of each.
    pub paths: u64,
    /// Folders of each level.
    pub folders: u64,
}

impl GroupRecord {
    const LEN: usize = 113;

    /// The record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::LEN);
        put_text(&mut out, self.name.as_str(), GroupName::WIDTH + 1);
        let numbers = [self.total_mb, self.free_mb, self.reserved_mb, 0, self.storages, self.port];
        numbers.into_iter().for_each(|number| put_number(&mut out, number));
        [self.readable, self.writable, 0, self.paths, self.folders].into_iter().for_each(|n| put_number(&mut out, n));
        // No trunk file: -1.
        put_number(&mut out, u64::MAX);
        out
    }

    fn decode(record: &[u8]) -> Result<Self, WireError> {
        let mut fields = Fields::of("a group record", record);
        let name = fields.text(GroupName::WIDTH + 1)?.parse()?;
        let (total_mb, free_mb, reserved_mb) = (fields.number()?, fields.number()?, fields.number()?);
        fields.signed()?;
        let (storages, port) = (fields.number()?, fields.number()?);
        let (readable, writable) = (fields.number()?, fields.number()?);
        fields.signed()?;
        let (paths, folders) = (fields.number()?, fields.number()?);
        Ok(Self { name, total_mb, free_mb, reserved_mb, storages, port, readable, writable, paths, folders })
    }
}

/// Reads an answer to 91.
pub fn group_records(body: &[u8]) -> Result<Vec<GroupRecord>, WireError> {
    if !body.len().is_multiple_of(GroupRecord::LEN) {
        return Err(WireError::length("a list of groups", body.len()));
    }
    body.chunks_exact(GroupRecord::LEN).map(GroupRecord::decode).collect()
}

/// A storage, as trackers list it (487 or 517 bytes).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StorageRecord {
    /// 7 is active.
    pub status: u8,
    /// Its id; its address where ids are not used.
    pub id: String,
    /// Where it listens.
    pub address: IpAddr,
    /// And on which port.
    pub port: u64,
    /// Version of its program, at most 8 bytes.
    pub version: String,
    /// When it joined, Unix seconds.
    pub joined_unix: u64,
    /// When it started, Unix seconds.
    pub started_unix: u64,
    /// Disk size, MiB.
    pub total_mb: u64,
    /// Free, MiB.
    pub free_mb: u64,
    /// Connections now.
    pub connections: u32,
    /// Statistics since it started.
    pub counters: [u64; RECORD_COUNTERS],
}

impl StorageRecord {
    const ID: usize = 16;
    const VERSION: usize = 8;
    const READ_AND_WRITE: u8 = 6;
    const FOLDERS: u64 = 256;

    fn length(size: AddressSize) -> usize {
        471 + size.width() + 1
    }

    /// The record; the address field is as wide as `size` says.
    #[must_use]
    pub fn encode(&self, size: AddressSize) -> Vec<u8> {
        let mut out = vec![self.status, Self::READ_AND_WRITE];
        put_text(&mut out, &self.id, Self::ID);
        put_text(&mut out, &self.address.to_string(), size.width() + 1);
        put_text(&mut out, "", Self::ID);
        put_text(&mut out, &self.version, Self::VERSION);
        let disk = [self.joined_unix, self.started_unix, self.total_mb, self.free_mb, 0];
        let paths = [10, 1, Self::FOLDERS, 0, self.port];
        disk.into_iter().chain(paths).for_each(|number| put_number(&mut out, number));
        for count in [self.connections; 3] {
            out.extend_from_slice(&count.to_be_bytes());
        }
        self.counters.into_iter().for_each(|number| put_number(&mut out, number));
        out.push(0);
        out
    }

    fn decode(record: &[u8], size: AddressSize) -> Result<Self, WireError> {
        let mut fields = Fields::of("a storage record", record);
        let status = fields.byte()?;
        fields.byte()?;
        let id = fields.text(Self::ID)?.to_owned();
        let address = fields.text(size.width() + 1)?.parse();
        let address = address.map_err(|_| WireError::Text { what: "a storage address" })?;
        fields.take(Self::ID)?;
        let version = fields.text(Self::VERSION)?.to_owned();
        let (joined_unix, started_unix) = (fields.number()?, fields.number()?);
        let (total_mb, free_mb) = (fields.number()?, fields.number()?);
        fields.take(5 * 8)?;
        let port = fields.number()?;
        fields.take(4)?;
        let connections = u32::from_be_bytes(fields.take(4)?.try_into().expect("four bytes were taken"));
        fields.take(4)?;
        let mut counters = [0; RECORD_COUNTERS];
        for counter in &mut counters {
            *counter = fields.number()?;
        }
        fields.byte()?;
        fields.end()?;
        let disk = (total_mb, free_mb);
        Ok(Self {
            status,
            id,
            address,
            port,
            version,
            joined_unix,
            started_unix,
            total_mb: disk.0,
            free_mb: disk.1,
            connections,
            counters,
        })
    }
}

/// Reads an answer to 92 of either address size.
pub fn storage_records(body: &[u8]) -> Result<Vec<StorageRecord>, WireError> {
    let fits = |size: &AddressSize| body.len().is_multiple_of(StorageRecord::length(*size));
    let size = [AddressSize::Ipv4, AddressSize::Ipv6].into_iter().find(fits);
    let size = size.ok_or_else(|| WireError::length("a list of storages", body.len()))?;
    body.chunks_exact(StorageRecord::length(size)).map(|record| StorageRecord::decode(record, size)).collect()
}
