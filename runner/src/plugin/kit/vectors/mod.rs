//! Golden vectors: scripted sessions in YAML, bytes on one side and fields on the other.
//!
//! * `case`: a file, its cases and their steps, parsed. `spelling`: how words of the contract are written.

mod case;
mod spelling;

pub use case::{Call, Case, MessageIn, MessageOut, Side, Step, Vectors, read, read_dir};
pub use spelling::{FaultWanted, Hex};
