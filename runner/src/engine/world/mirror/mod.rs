//! The mirror: three keys in the Redis that `--redis` names, for outside systems to read. The truth is elsewhere.
//!
//! ```text
//! file:md5:upload:{md5}     FastDFS path of a file that was stored
//! file:md5:split:{md5}      packets of its transfer, done/total
//! file:md5:download:{md5}   hash: offset -> FastDFS path of what was pulled
//! ```
//! * `entries`: what is written when; pure
//! * `queue`: what waits to be written, newest state only, bounded; pure
//! * `writer`: the one task that writes, and who lives by the keys

mod entries;
mod queue;
mod writer;

pub(super) use entries::{at_checkpoint, at_end, downloaded, stored, upload_key, uri_of};
pub use writer::Mirror;
