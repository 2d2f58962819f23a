//! The FastDFS protocol as pure functions: bytes to values and values to bytes, no sockets, no clock, no randomness.
//!
//! * `header` — the ten bytes before every message
//! * `command`, `status` — the two one-byte vocabularies
//! * `field` — reading and writing fixed fields without trusting lengths
//! * `text` — group names, extensions and slave prefixes, checked once
//! * `file_id` — `group/M00/..` as a value that cannot leave its folder
//! * `file_name` — what a name says of its file, and how a new one is made
//! * `tracker`, `storage`, `content`, `metadata`, `records` — the bodies of the messages

mod command;
mod content;
mod error;
mod field;
mod file_id;
mod file_name;
mod header;
mod metadata;
mod records;
mod status;
mod storage;
mod text;
mod tracker;

pub use command::Command;
pub use content::{AppendHead, ModifyHead, SlaveHead, UploadHead};
pub use error::WireError;
pub(crate) use field::until_nul;
pub use file_id::{FileId, FileName, MAX_FILE_NAME};
pub use file_name::{FileKind, NameInfo, NewName, SizeWord, Source};
pub use header::{HEADER_LEN, Header, message};
pub use metadata::{Metadata, MetadataFlag};
pub use records::{GroupRecord, RECORD_COUNTERS, StorageRecord, group_records, storage_records};
pub use status::Status;
pub use storage::{
    DownloadRequest, FileInfo, MetadataRequest, TruncateRequest, file_request, parse_file_request, parse_stored, stored,
};
pub use text::{Extension, GroupName, SlavePrefix};
pub use tracker::{AddressSize, FetchTarget, StoreTarget};
