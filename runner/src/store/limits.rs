//! How much a step can take at once: one rule for every store of keys. Our own keys are read with [`super::KeyValue::fields`], which has none.

use super::key_value::KvError;
use packhorse_core::effect::KvRequest;

/// Longest value that is read or written, and all fields of a hash together, in bytes.
pub(super) const MOST_BYTES: usize = 1 << 20;
/// Most fields of a hash that are read at once.
pub(super) const MOST_FIELDS: usize = 4_096;

/// Refuses what is too large to be written.
pub(super) fn fits(request: &KvRequest) -> Result<(), KvError> {
    match request {
        KvRequest::Set { key, value, .. } | KvRequest::Hset { key, value, .. } => bytes(key, value.len()),
        KvRequest::Xadd { key, fields, .. } => {
            bytes(key, fields.iter().map(|(name, value)| name.len() + value.len()).sum())
        }
        _ => Ok(()),
    }
}

/// Refuses so many bytes where they are too many.
pub(super) fn bytes(key: &str, found: usize) -> Result<(), KvError> {
    if found <= MOST_BYTES { Ok(()) } else { Err(more_than(key, MOST_BYTES, "bytes")) }
}

/// Refuses so many fields where they are too many.
pub(super) fn fields(key: &str, found: usize) -> Result<(), KvError> {
    if found <= MOST_FIELDS { Ok(()) } else { Err(more_than(key, MOST_FIELDS, "fields")) }
}

fn more_than(key: &str, most: usize, unit: &str) -> KvError {
    KvError::Unfit { key: key.to_owned(), what: format!("more than the {most} {unit} that a step can take") }
}
