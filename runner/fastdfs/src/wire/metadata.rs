//! Metadata of a file: `key 0x02 value` records joined by 0x01.

use std::collections::BTreeMap;

use super::WireError;

const RECORD: u8 = 1;
const FIELD: u8 = 2;
const MAX_KEY: usize = 64;
const MAX_VALUE: usize = 256;

/// What becomes of items that a file has already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetadataFlag {
    /// They go.
    Overwrite,
    /// They stay, unless the new ones name them.
    Merge,
}

impl MetadataFlag {
    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Overwrite => b'O',
            Self::Merge => b'M',
        }
    }

    pub(super) fn from_byte(byte: u8) -> Result<Self, WireError> {
        match byte {
            b'O' => Ok(Self::Overwrite),
            b'M' => Ok(Self::Merge),
            _ => Err(WireError::Number { what: "a metadata flag" }),
        }
    }
}

/// Items sorted by key, each key once. Bytes, because FastDFS knows no encoding here.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Metadata {
    items: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Metadata {
    /// Adds or replaces an item. Fails when the key is empty or over 64 bytes, the value over 256, or one holds 0x01 or 0x02.
    pub fn insert(&mut self, key: &[u8], value: &[u8]) -> Result<(), WireError> {
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(WireError::length("a metadata key", key.len()));
        }
        if value.len() > MAX_VALUE {
            return Err(WireError::length("a metadata value", value.len()));
        }
        if key.iter().chain(value).any(|byte| matches!(*byte, RECORD | FIELD)) {
            return Err(WireError::Text { what: "metadata" });
        }
        self.put(key, value);
        Ok(())
    }

    /// The value of a key.
    #[must_use]
    pub fn value(&self, key: &[u8]) -> Option<&[u8]> {
        self.items.get(key).map(Vec::as_slice)
    }

    /// Items in the order of their keys.
    pub fn items(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.items.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Takes over all items of `newer`; they win.
    pub fn merge(&mut self, newer: &Self) {
        for (key, value) in newer.items() {
            self.put(key, value);
        }
    }

    /// Reads records as servers do: an item without a separator or key is left out, long keys and values are cut.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let mut metadata = Self::default();
        for record in bytes.split(|byte| *byte == RECORD) {
            let Some(at) = record.iter().position(|byte| *byte == FIELD) else { continue };
            let (key, value) = (&record[..at.min(MAX_KEY)], &record[at + 1..]);
            if !key.is_empty() && !value.contains(&FIELD) {
                metadata.put(key, &value[..value.len().min(MAX_VALUE)]);
            }
        }
        metadata
    }

    /// The records, without a separator at the end.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (index, (key, value)) in self.items().enumerate() {
            if index > 0 {
                bytes.push(RECORD);
            }
            bytes.extend_from_slice(key);
            bytes.push(FIELD);
            bytes.extend_from_slice(value);
        }
        bytes
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.items.insert(key.to_vec(), value.to_vec());
    }
}
