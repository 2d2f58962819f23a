//! JSON as devices write it: a reader that forgives what firmware gets wrong, and a writer that knows its length beforehand.
//!
//! The reader walks over the members of an object without building a tree. It takes trailing commas, a byte order mark, control
//! characters within strings, numbers written as strings, and a zero byte or blanks after the end. `read.rs` reads, `scan.rs`
//! finds the end of strings, `write.rs` writes.

mod read;
mod scan;
mod write;

use std::fmt;

pub use read::{Items, Members, Str, Value, members};
pub use write::{ObjectWriter, decimal_length};

/// Why text is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonError {
    /// Something else stands where this should be.
    Expected {
        /// What should be there.
        what: &'static str,
        /// Where.
        at: usize,
    },
    /// Arrays or objects within each other, more than 64 deep.
    Deep {
        /// Where.
        at: usize,
    },
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expected { what, at } => write!(f, "not JSON: no {what} at byte {at}"),
            Self::Deep { at } => write!(f, "JSON is nested too deep at byte {at}"),
        }
    }
}

impl std::error::Error for JsonError {}
