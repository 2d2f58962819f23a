//! What a file name says of its file, and how a new name is made: base64 of address, time, size word and CRC.

use std::net::Ipv4Addr;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};

use super::{Extension, FileName, SlavePrefix, WireError};

/// Characters of base64 for the 20 bytes every name has.
const CODED: usize = 27;
/// `.ext`, filled up with digits on its left.
const TAIL: usize = 7;
/// Characters of base64 for the place in a trunk file.
const TRUNK: usize = 16;
/// Storage ids lie below this; anything above is an IPv4 address.
const MAX_STORAGE_ID: u32 = 0x00FF_FFFF;

/// What a name has at its end when it stands for the metadata of another.
const METADATA: &str = "-m";

const HAS_RANDOM: u64 = 1 << 63;
const IN_TRUNK: u64 = 1 << 59;
const APPENDER: u64 = 1 << 58;
const RANDOM_BITS: u32 = 0x007F_FFFF;

/// Who made the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// A storage known by its address.
    Address(Ipv4Addr),
    /// A storage known by its id, 1 to 2^24-1.
    Id(u32),
}

impl Source {
    fn encode(self) -> [u8; 4] {
        match self {
            Self::Address(address) => address.octets(),
            Self::Id(id) => id.to_le_bytes(),
        }
    }

    fn decode(bytes: [u8; 4]) -> Self {
        match u32::from_le_bytes(bytes) {
            id @ 1..=MAX_STORAGE_ID => Self::Id(id),
            _ => Self::Address(bytes.into()),
        }
    }
}

/// The 64 bits that hold a size, flags and randomness.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SizeWord(pub u64);

impl SizeWord {
    /// For a normal file of less than 2^58 bytes. Above 4 GiB there is no room for `random`; of it, 23 bits count.
    #[must_use]
    pub fn normal(size: u64, random: u32) -> Self {
        if size > u64::from(u32::MAX) { Self(size) } else { Self(HAS_RANDOM | Self::random(random) | size) }
    }

    /// For an appender file, whose name does not tell its size.
    #[must_use]
    pub fn appender(random: u32) -> Self {
        Self(HAS_RANDOM | APPENDER | Self::random(random))
    }

    /// For a file that is packed with others.
    #[must_use]
    pub fn trunk(size: u32, random: u32) -> Self {
        Self(HAS_RANDOM | IN_TRUNK | Self::random(random) | u64::from(size))
    }

    fn random(random: u32) -> u64 {
        u64::from(random & RANDOM_BITS) << 32
    }

    fn size(self) -> u64 {
        if self.0 & HAS_RANDOM == 0 { self.0 & (APPENDER - 1) } else { self.0 & u64::from(u32::MAX) }
    }
}

/// What kind of file a name stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileKind {
    /// A file on its own; size and CRC in the name are those of its content.
    Normal {
        /// Bytes.
        size: u64,
    },
    /// A file that may change; the server must be asked for its size.
    Appender,
    /// A small file packed with others.
    Trunk {
        /// Bytes.
        size: u64,
        /// Which trunk file.
        id: u32,
        /// Where in it.
        offset: u32,
        /// How much of it is set aside.
        allocated: u32,
    },
    /// A file that hangs on another's name; time and CRC in the name are the master's.
    Slave,
}

/// What a name says without asking any server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NameInfo {
    /// The storage that took the upload.
    pub source: Source,
    /// When, in Unix seconds.
    pub created_unix: u32,
    /// CRC-32 of the content at upload.
    pub crc32: u32,
    /// What kind of file.
    pub kind: FileKind,
}

impl FileName {
    /// Decodes the name. A slave that is no longer than a normal name cannot be told from one.
    pub fn info(&self) -> Result<NameInfo, WireError> {
        let leaf = self.leaf().as_bytes();
        let bytes = decoded::<20>(leaf.get(..CODED))?;
        let word = SizeWord(u64::from_be_bytes(bytes[8..16].try_into().expect("eight bytes")));
        Ok(NameInfo {
            source: Source::decode(bytes[..4].try_into().expect("four bytes")),
            created_unix: big_endian(&bytes[4..8]),
            crc32: big_endian(&bytes[16..20]),
            kind: kind_of(word, leaf)?,
        })
    }

    /// The name of a slave: this one with its extension cut off, the prefix, and the slave's own extension. Fails where the name
    /// becomes too long, or one that stands for another file's metadata (it would end in `-m`).
    pub fn slave(&self, prefix: &SlavePrefix, extension: &Extension) -> Result<Self, WireError> {
        let leaf = self.leaf();
        let tail = leaf.len().saturating_sub(TAIL);
        // Among the last seven characters, so that a dot in the prefix of a slave's slave is not mistaken for an extension's.
        let stem = leaf[tail..].find('.').map_or(leaf, |dot| &leaf[..tail + dot]);
        let dot = if extension.as_str().is_empty() { "" } else { "." };
        let name = format!("{stem}{prefix}{dot}{extension}");
        if name.ends_with(METADATA) {
            return Err(WireError::Text { what: "a slave's name" });
        }
        self.with_leaf(&name)
    }

    /// Whether the storage lets its content change.
    #[must_use]
    pub fn is_appender(&self) -> bool {
        self.info().is_ok_and(|info| info.kind == FileKind::Appender)
    }
}

fn kind_of(word: SizeWord, leaf: &[u8]) -> Result<FileKind, WireError> {
    let in_trunk = word.0 & IN_TRUNK != 0;
    let whole = if in_trunk { CODED + TRUNK + TAIL } else { CODED + TAIL };
    if leaf.len() > whole {
        return Ok(FileKind::Slave);
    }
    if word.0 & APPENDER != 0 {
        return Ok(FileKind::Appender);
    }
    if !in_trunk {
        return Ok(FileKind::Normal { size: word.size() });
    }
    let TrunkPlace { id, offset, allocated } = TrunkPlace::decode(&decoded(leaf.get(CODED..CODED + TRUNK))?);
    Ok(FileKind::Trunk { size: word.size(), id, offset, allocated })
}

fn decoded<const N: usize>(text: Option<&[u8]>) -> Result<[u8; N], WireError> {
    const BAD: WireError = WireError::Text { what: "the coded part of a file name" };
    let mut bytes = [0; N];
    let count = BASE64.decode_slice(text.ok_or(BAD)?, &mut bytes).map_err(|_| BAD)?;
    if count == N { Ok(bytes) } else { Err(BAD) }
}

fn big_endian(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("callers pass four bytes"))
}

/// Where a packed file lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TrunkPlace {
    /// Which trunk file.
    pub id: u32,
    /// Where in it.
    pub offset: u32,
    /// How much of it is set aside.
    pub allocated: u32,
}

impl TrunkPlace {
    fn decode(bytes: &[u8; 12]) -> Self {
        let [id, offset, allocated] = [0, 4, 8].map(|at| big_endian(&bytes[at..at + 4]));
        Self { id, offset, allocated }
    }

    fn coded(self) -> String {
        BASE64.encode([self.id, self.offset, self.allocated].map(u32::to_be_bytes).as_flattened())
    }
}

/// What a storage puts into the name of a file that it has just taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewName {
    /// The storage itself.
    pub source: Source,
    /// Now, in Unix seconds.
    pub created_unix: u32,
    /// Size, flags, randomness.
    pub size_word: SizeWord,
    /// CRC-32 of the content; 0 when empty.
    pub crc32: u32,
}

impl NewName {
    /// The leaf of the name. `digits` fills the tail on the left of the extension; any number will do.
    #[must_use]
    pub fn leaf(&self, extension: &Extension, digits: u32) -> String {
        self.coded() + &tail(extension, digits)
    }

    /// The leaf of a packed file's name; the size word is one of [`SizeWord::trunk`].
    #[must_use]
    pub fn leaf_in_trunk(&self, place: TrunkPlace, extension: &Extension, digits: u32) -> String {
        self.coded() + &place.coded() + &tail(extension, digits)
    }

    /// The leaf with the tail of an existing one: how a regenerated appender keeps its end.
    #[must_use]
    pub fn leaf_with_tail_of(&self, leaf: &str) -> String {
        let tail = leaf.get(leaf.len().saturating_sub(TAIL)..).unwrap_or_default();
        self.coded() + tail
    }

    fn coded(&self) -> String {
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&self.source.encode());
        bytes[4..8].copy_from_slice(&self.created_unix.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.size_word.0.to_be_bytes());
        bytes[16..].copy_from_slice(&self.crc32.to_be_bytes());
        BASE64.encode(bytes)
    }
}

/// `.ext`, filled up with digits to seven characters.
fn tail(extension: &Extension, digits: u32) -> String {
    let extension = extension.as_str();
    let fill = if extension.is_empty() { TAIL } else { TAIL - 1 - extension.len() };
    let dot = if extension.is_empty() { "" } else { "." };
    match fill {
        0 => format!("{dot}{extension}"),
        _ => format!("{digits:0fill$}{dot}{extension}", digits = digits % 10_u32.pow(fill as u32)),
    }
}
