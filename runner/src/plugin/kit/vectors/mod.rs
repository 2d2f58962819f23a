//! Golden vectors: scripted sessions in YAML, bytes on one side and fields on the other.
//!
//! * `case`: a file, its cases and their steps, parsed. `spelling`: how words of the contract are written.
//! * `written`: the same words, messages and sessions put into a file.

mod case;
mod spelling;
pub mod written;

pub(crate) use case::MAX_FILE_BYTES;
pub use case::{Call, Case, MessageIn, MessageOut, Side, Step, Vectors, read, read_dir};
pub use spelling::{FaultWanted, Hex};
