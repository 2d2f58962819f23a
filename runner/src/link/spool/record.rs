//! The spool's file format, pure: a segment is a header and records, each with its own checksum.
//!
//! ```text
//! segment = "PHSPOOL1" record*
//! record  = crc32 u32 | kind u8 | key u64 | offset u64 | length u32 | bytes      (integers little-endian)
//! ```
//! The CRC-32 covers everything after itself. The first record that does not hold ends a segment: it was being written
//! when the process died, and nobody was told that it is durable.

/// Begins every segment; the digit is the version of the format.
pub(super) const MAGIC: &[u8; 8] = b"PHSPOOL1";
/// Bytes before a record's data.
pub(super) const HEADER: usize = 4 + 1 + 8 + 8 + 4;
/// Longest data of one record; a longer one is damage.
pub(super) const MAX_DATA: u32 = 1 << 20;

/// Names a transfer in the spool: the first eight bytes of the SHA-256 of its key.
pub(super) type Key = u64;

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Bytes of a file.
    Data,
    /// All bytes of this transfer so far are void: its file changed.
    Truncate,
    /// This transfer is over.
    Forget,
    /// What this transfer is called: the bytes are its name. Comes before its first bytes, so that it is known later whose they are.
    Name,
}

/// A record without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) kind: Kind,
    pub(super) key: Key,
    /// Offset in the file that travels.
    pub(super) offset: u64,
    pub(super) length: u32,
}

impl Record {
    /// Appends the record with its data.
    pub(super) fn write(self, data: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        out.push(self.kind.code());
        out.extend_from_slice(&self.key.to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(data);
        let sum = crc32fast::hash(&out[start + 4..]);
        out[start..start + 4].copy_from_slice(&sum.to_le_bytes());
    }

    /// Reads a header: the checksum and the record; `None` where it cannot be one.
    pub(super) fn parse(header: &[u8; HEADER]) -> Option<(u32, Self)> {
        let kind = Kind::from_code(header[4])?;
        let record = Self {
            kind,
            key: u64::from_le_bytes(header[5..13].try_into().ok()?),
            offset: u64::from_le_bytes(header[13..21].try_into().ok()?),
            length: u32::from_le_bytes(header[21..25].try_into().ok()?),
        };
        let sum = u32::from_le_bytes(header[..4].try_into().ok()?);
        (record.length <= MAX_DATA && record.offset.checked_add(u64::from(record.length)).is_some())
            .then_some((sum, record))
    }

    /// The checksum of a header and its data.
    pub(super) fn sum(header: &[u8; HEADER], data: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&header[4..]);
        hasher.update(data);
        hasher.finalize()
    }
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Truncate => 2,
            Self::Forget => 3,
            Self::Name => 4,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Data),
            2 => Some(Self::Truncate),
            3 => Some(Self::Forget),
            4 => Some(Self::Name),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_a_flipped_bit_shows() {
        let record = Record { kind: Kind::Data, key: 7, offset: 1 << 40, length: 3 };
        let mut bytes = Vec::new();
        record.write(b"abc", &mut bytes);
        let header: [u8; HEADER] = bytes[..HEADER].try_into().expect("a whole header");
        let (sum, read) = Record::parse(&header).expect("a record");
        assert_eq!(read, record);
        assert_eq!(sum, Record::sum(&header, b"abc"));
        assert_ne!(sum, Record::sum(&header, b"abd"));
    }

    #[test]
    fn hostile_headers_are_refused() {
        let mut header = [0_u8; HEADER];
        assert!(Record::parse(&header).is_none(), "kind 0");
        header[4] = 1;
        header[21..25].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(Record::parse(&header).is_none(), "length beyond the cap");
        header[21..25].copy_from_slice(&1_u32.to_le_bytes());
        header[13..21].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(Record::parse(&header).is_none(), "offset that overflows");
    }
}
