//! File bytes: where they are kept, and one cache through which all transfers read them.
//!
//! * `store` — the trait of a place of bytes; `fastdfs`, `memory` — the places; `packets` — files of many packets over any of them; `contract` — what each must do
//! * `contents` — reading by URI, local files included, and its rules; `cache` — its blocks; `local` — open local files; `digest` — MD5 and SHA-256
//! * `error` — what can go wrong, with stable codes

mod cache;
mod contents;
#[cfg(test)]
mod contents_rules;
#[cfg(test)]
mod contract;
mod digest;
mod error;
mod fastdfs;
mod local;
mod memory;
mod packets;
mod store;

pub use contents::Contents;
pub use digest::Digests;
pub use error::BlobError;
pub use fastdfs::FastdfsBlobs;
pub use memory::MemoryBlobs;
pub use packets::{MOST_PACKETS, PacketBlobs, PacketList, is_packets, is_stored};
pub use store::{BlobInfo, BlobStore, BoxFuture};
