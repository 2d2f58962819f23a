//! Group records (answers to 90 and 91), of every length that servers have sent.

use super::{
    GroupName, WireError,
    field::{Fields, put_number, put_text},
};

const WHAT: &str = "a list of groups";
/// Eleven numbers behind the name; 6.13.1 added a twelfth.
const OLDER: usize = GroupName::WIDTH + 1 + 11 * 8;

/// A group, as trackers list it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupRecord {
    /// Its name.
    pub name: GroupName,
    /// Disk size, MiB.
    pub total_mb: u64,
    /// Free, MiB.
    pub free_mb: u64,
    /// Kept free, MiB. 0 from servers before 6.13.1, which do not say.
    pub reserved_mb: u64,
    /// Free within trunk files, MiB.
    pub trunk_free_mb: u64,
    /// Storages in it.
    pub storages: u64,
    /// Their port.
    pub port: u64,
    /// Their port for HTTP; servers since 6.13 have none.
    pub http_port: Option<u64>,
    /// How many can be read from; before 6.13, how many are active.
    pub readable: u64,
    /// How many take uploads; before 6.13, how many are active.
    pub writable: u64,
    /// Index of the storage that takes the next upload.
    pub current_write_server: u64,
    /// Store paths of each.
    pub paths: u64,
    /// Folders of each level.
    pub folders: u64,
    /// The trunk file being filled; none where trunk files are off.
    pub current_trunk_file: Option<u64>,
}

impl GroupRecord {
    /// Length of the record that [`GroupRecord::encode`] writes.
    pub const LEN: usize = OLDER + 8;

    /// A group without storages, numbers all 0: a base to fill in.
    #[must_use]
    pub fn new(name: GroupName) -> Self {
        Self {
            name,
            total_mb: 0,
            free_mb: 0,
            reserved_mb: 0,
            trunk_free_mb: 0,
            storages: 0,
            port: 0,
            http_port: None,
            readable: 0,
            writable: 0,
            current_write_server: 0,
            paths: 0,
            folders: 0,
            current_trunk_file: None,
        }
    }

    /// The record as servers since 6.13.1 write it: without a port for HTTP.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::LEN);
        put_text(&mut out, self.name.as_str(), GroupName::WIDTH + 1);
        let space = [self.total_mb, self.free_mb, self.reserved_mb, self.trunk_free_mb];
        let storages = [self.storages, self.port, self.readable, self.writable, self.current_write_server];
        let places = [self.paths, self.folders, self.current_trunk_file.unwrap_or(u64::MAX)];
        space.into_iter().chain(storages).chain(places).for_each(|number| put_number(&mut out, number));
        out
    }

    fn decode(record: &[u8], layout: Layout) -> Result<Self, WireError> {
        let mut fields = Fields::of("a group record", record);
        let mut group = Self::new(fields.text(GroupName::WIDTH + 1)?.parse()?);
        (group.total_mb, group.free_mb) = (fields.number()?, fields.number()?);
        if layout == Layout::Reserved {
            group.reserved_mb = fields.number()?;
        }
        group.trunk_free_mb = fields.number()?;
        (group.storages, group.port) = (fields.number()?, fields.number()?);
        if layout == Layout::Http {
            group.http_port = Some(fields.number()?);
            group.readable = fields.number()?;
            group.writable = group.readable;
        } else {
            (group.readable, group.writable) = (fields.number()?, fields.number()?);
        }
        group.current_write_server = fields.number()?;
        (group.paths, group.folders) = (fields.number()?, fields.number()?);
        group.current_trunk_file = u64::try_from(fields.signed()?).ok();
        fields.end().map(|()| group)
    }
}

/// What stands in a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// 6.13.1 and later: everything but the port for HTTP.
    Reserved,
    /// 6.13.0: as later, without the reserved space.
    Counts,
    /// Before 6.13: a port for HTTP and one count of active storages, in the place of the two counts.
    Http,
}

/// Reads an answer to 90 or 91.
///
/// A record of 105 bytes may be of 6.13.0 or of a server before it: the sixth number is how many storages can be read from,
/// or a port for HTTP. It is taken for the count where no record's is larger than its number of storages. So a group of an
/// old server that has port 0 for HTTP is read with 0 `readable`, and its active storages as `writable`.
pub fn group_records(body: &[u8]) -> Result<Vec<GroupRecord>, WireError> {
    let newest = records(body, GroupRecord::LEN, Layout::Reserved);
    if newest.is_ok() {
        return newest;
    }
    match records(body, OLDER, Layout::Counts) {
        Ok(groups) if groups.iter().all(|group| group.readable <= group.storages) => Ok(groups),
        Ok(_) => records(body, OLDER, Layout::Http),
        // The error of the length that fits.
        Err(error) => newest.map_err(|first| if body.len().is_multiple_of(OLDER) { error } else { first }),
    }
}

fn records(body: &[u8], length: usize, layout: Layout) -> Result<Vec<GroupRecord>, WireError> {
    if !body.len().is_multiple_of(length) {
        return Err(WireError::length(WHAT, body.len()));
    }
    let mut groups = Vec::with_capacity(body.len() / length);
    for record in body.chunks_exact(length) {
        groups.push(GroupRecord::decode(record, layout)?);
    }
    Ok(groups)
}
