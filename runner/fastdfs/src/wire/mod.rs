//! The FastDFS protocol as pure functions: bytes to values and values to bytes, no sockets, no clock, no randomness.
//!
//! * `header` — the ten bytes before every message
//! * `command`, `status` — the two one-byte vocabularies
//! * `field` — reading and writing fixed fields without trusting lengths
//! * `text` — group names, extensions, slave prefixes and storage ids, checked once
//! * `file_id` — `group/M00/..` as a value that cannot leave its folder
//! * `file_name` — what a name says of its file, and how a new one is made
//! * `tracker`, `tracker_request`, `storage`, `content`, `metadata` — the bodies of the messages
//! * `group_record`, `storage_record`, `statistics` — what trackers list

mod command;
mod content;
mod error;
mod field;
mod file_id;
mod file_name;
mod group_record;
mod header;
mod metadata;
mod statistics;
mod status;
mod storage;
mod storage_record;
mod text;
mod tracker;
mod tracker_request;

pub use command::Command;
pub use content::{AppendHead, ModifyHead, SlaveHead, UploadHead};
pub use error::WireError;
pub(crate) use field::until_nul;
pub use file_id::{FileId, FileName, MAX_FILE_NAME};
pub use file_name::{FileKind, NameInfo, NewName, SizeWord, Source, TrunkPlace};
pub use group_record::{GroupRecord, group_records};
pub use header::{HEADER_LEN, Header, message};
pub use metadata::{Metadata, MetadataFlag};
pub use statistics::{RECORD_COUNTERS, Statistics, Tried};
pub use status::Status;
pub use storage::{
    DownloadRequest, FileInfo, MetadataRequest, TruncateRequest, file_request, parse_file_request, parse_stored, stored,
};
pub use storage_record::{StorageRecord, storage_records};
pub use text::{Extension, GroupName, SlavePrefix, StorageId};
pub use tracker::{AddressSize, FetchTarget, StoreTarget};
pub use tracker_request::{GroupRequest, StoragesRequest, leader, leader_answer};
