//! Storage records (answers to 92), of every length that servers have sent.

use super::{
    AddressSize, Statistics, WireError,
    field::{Fields, put_number, put_text},
    statistics::RECORD_COUNTERS,
};

const WHAT: &str = "a list of storages";
/// Width of a storage id.
const ID: usize = 16;
/// Width of the field that held a domain name.
const DOMAIN: usize = 128;
/// Numbers of connections, statistics, trunk flag.
const END: usize = 3 * 4 + RECORD_COUNTERS * 8 + 1;

/// A storage, as trackers list it. [`StorageRecord::default`] is a base to fill in: a storage that is read from and written
/// to, with priority 10, one store path and 256 folders of each level.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StorageRecord {
    /// 0 init, 1 waits for sync, 2 syncs, 3 has another address, 4 deleted, 5 offline, 6 online, 7 active, 9 recovers, 99 none.
    pub status: u8,
    /// 4 is read from, 2 takes uploads, 6 both; 6 from servers before 6.13, which know no other.
    pub mode: u8,
    /// Its id; its address where ids are not used.
    pub id: String,
    /// Where it listens. Text, because a storage that has never joined has none.
    pub address: String,
    /// Its name, which servers before 6.13 looked up.
    pub domain: String,
    /// The storage that it first synced from; empty for none.
    pub source_id: String,
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
    /// Kept free, MiB. 0 from servers before 6.13.1, which do not say.
    pub reserved_mb: u64,
    /// Which storage takes uploads first: the lowest.
    pub upload_priority: u64,
    /// Store paths.
    pub paths: u64,
    /// Folders of each level.
    pub folders: u64,
    /// Index of the store path that takes the next upload.
    pub current_write_path: u64,
    /// Its port.
    pub port: u64,
    /// Its port for HTTP; servers since 6.13 have none.
    pub http_port: Option<u64>,
    /// Connections that it has set memory aside for.
    pub allocated_connections: u32,
    /// Connections now.
    pub connections: u32,
    /// Connections at the worst time.
    pub most_connections: u32,
    /// Statistics since it started, in the order of the wire; [`StorageRecord::statistics`] names them.
    pub counters: [u64; RECORD_COUNTERS],
    /// Whether it gives out places in trunk files.
    pub is_trunk_server: bool,
}

impl Default for StorageRecord {
    fn default() -> Self {
        Self {
            status: 0,
            mode: 6,
            id: String::new(),
            address: String::new(),
            domain: String::new(),
            source_id: String::new(),
            version: String::new(),
            joined_unix: 0,
            started_unix: 0,
            total_mb: 0,
            free_mb: 0,
            reserved_mb: 0,
            upload_priority: 10,
            paths: 1,
            folders: 256,
            current_write_path: 0,
            port: 0,
            http_port: None,
            allocated_connections: 0,
            connections: 0,
            most_connections: 0,
            counters: [0; RECORD_COUNTERS],
            is_trunk_server: false,
        }
    }
}

impl StorageRecord {
    /// The counters by name.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        Statistics::of(&self.counters)
    }

    /// The record as servers since 6.13.1 write it, without domain and port for HTTP; the address field is as wide as `size`
    /// says. Texts that are longer than their fields are cut.
    #[must_use]
    pub fn encode(&self, size: AddressSize) -> Vec<u8> {
        let layout = Layout::newest(size);
        let mut out = Vec::with_capacity(layout.length());
        out.extend([self.status, self.mode]);
        put_text(&mut out, &self.id, ID);
        put_text(&mut out, &self.address, layout.address);
        put_text(&mut out, &self.source_id, ID);
        put_text(&mut out, &self.version, layout.version);
        let disk = [self.joined_unix, self.started_unix, self.total_mb, self.free_mb, self.reserved_mb];
        let paths = [self.upload_priority, self.paths, self.folders, self.current_write_path, self.port];
        disk.into_iter().chain(paths).for_each(|number| put_number(&mut out, number));
        for count in [self.allocated_connections, self.connections, self.most_connections] {
            out.extend_from_slice(&count.to_be_bytes());
        }
        self.counters.into_iter().for_each(|number| put_number(&mut out, number));
        out.push(self.is_trunk_server.into());
        out
    }

    fn decode(record: &[u8], layout: &Layout) -> Result<Self, WireError> {
        let mut fields = Fields::of("a storage record", record);
        let mut storage = Self { status: fields.byte()?, ..Self::default() };
        if layout.numbers != Numbers::Http {
            storage.mode = fields.byte()?;
        }
        storage.read_texts(&mut fields, layout)?;
        (storage.joined_unix, storage.started_unix) = (fields.number()?, fields.number()?);
        (storage.total_mb, storage.free_mb) = (fields.number()?, fields.number()?);
        if layout.numbers == Numbers::Reserved {
            storage.reserved_mb = fields.number()?;
        }
        (storage.upload_priority, storage.paths) = (fields.number()?, fields.number()?);
        (storage.folders, storage.current_write_path) = (fields.number()?, fields.number()?);
        storage.port = fields.number()?;
        if layout.numbers == Numbers::Http {
            storage.http_port = Some(fields.number()?);
        }
        (storage.allocated_connections, storage.connections) = (fields.count()?, fields.count()?);
        storage.most_connections = fields.count()?;
        for counter in &mut storage.counters {
            *counter = fields.number()?;
        }
        storage.is_trunk_server = fields.byte()? != 0;
        fields.end().map(|()| storage)
    }

    fn read_texts(&mut self, fields: &mut Fields<'_>, layout: &Layout) -> Result<(), WireError> {
        fields.text(ID)?.clone_into(&mut self.id);
        fields.text(layout.address)?.clone_into(&mut self.address);
        if layout.numbers == Numbers::Http {
            fields.text(DOMAIN)?.clone_into(&mut self.domain);
        }
        fields.text(ID)?.clone_into(&mut self.source_id);
        fields.text(layout.version)?.clone_into(&mut self.version);
        Ok(())
    }
}

/// Which of the numbers that came and went stand in a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Numbers {
    /// 6.13.1 and later: mode and reserved space.
    Reserved,
    /// Before 6.13: domain and port for HTTP.
    Http,
}

struct Layout {
    address: usize,
    version: usize,
    numbers: Numbers,
}

/// Newest first. No two have a common multiple that a group of 32 storages reaches.
const LAYOUTS: [Layout; 3] = [
    Layout { address: 16, version: 8, numbers: Numbers::Reserved },
    Layout { address: 46, version: 8, numbers: Numbers::Reserved },
    Layout { address: 16, version: 6, numbers: Numbers::Http },
];

impl Layout {
    fn newest(size: AddressSize) -> &'static Self {
        match size {
            AddressSize::Ipv4 => &LAYOUTS[0],
            AddressSize::Ipv6 => &LAYOUTS[1],
        }
    }

    fn length(&self) -> usize {
        let texts = ID + self.address + ID + self.version;
        match self.numbers {
            Numbers::Reserved => 2 + texts + 10 * 8 + END,
            Numbers::Http => 1 + texts + DOMAIN + 10 * 8 + END,
        }
    }

    fn records(&self, body: &[u8]) -> Result<Vec<StorageRecord>, WireError> {
        let mut storages = Vec::with_capacity(body.len() / self.length());
        for record in body.chunks_exact(self.length()) {
            storages.push(StorageRecord::decode(record, self)?);
        }
        Ok(storages)
    }
}

/// Reads an answer to 92: records of 487 or 517 bytes (since 6.13.1, by the size of addresses) or of 612 (5.12).
pub fn storage_records(body: &[u8]) -> Result<Vec<StorageRecord>, WireError> {
    let mut error = WireError::length(WHAT, body.len());
    for layout in LAYOUTS.iter().filter(|layout| body.len().is_multiple_of(layout.length())) {
        match layout.records(body) {
            Ok(storages) => return Ok(storages),
            Err(refused) => error = refused,
        }
    }
    Err(error)
}
