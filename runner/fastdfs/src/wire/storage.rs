//! Bodies between a client and a storage that carry no content.

use std::net::IpAddr;

use super::{
    FileId, FileName, GroupName, Metadata, MetadataFlag, WireError,
    field::{Fields, put_number, put_text, until_nul},
};

const GROUP: usize = GroupName::WIDTH;

/// Set the size of an appender file (36).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TruncateRequest {
    /// The new size; a larger one adds zeros.
    pub size: u64,
    /// Which file.
    pub name: FileName,
}

impl TruncateRequest {
    /// The body.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        numbers_and_name(&[self.size], &self.name)
    }

    /// Reads a body.
    pub fn decode(body: &[u8]) -> Result<Self, WireError> {
        let mut fields = Fields::of("a truncate request", body);
        let (length, size) = (fields.number()?, fields.number()?);
        let name = fields.rest();
        if name.len() as u64 != length {
            return Err(WireError::length("a truncate request", body.len()));
        }
        Ok(Self { size, name: parse_stored(name)? })
    }
}

/// Download a range (14).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DownloadRequest {
    /// First byte.
    pub offset: u64,
    /// How many bytes; 0 means to the end.
    pub length: u64,
    /// Group of the file.
    pub group: GroupName,
    /// Which file.
    pub name: FileName,
}

impl DownloadRequest {
    /// The body.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + GROUP + self.name.as_str().len());
        put_number(&mut out, self.offset);
        put_number(&mut out, self.length);
        out.extend_from_slice(&file_request(&self.group, &self.name));
        out
    }

    /// Reads a body.
    pub fn decode(body: &[u8]) -> Result<Self, WireError> {
        let mut fields = Fields::of("a download request", body);
        let (offset, length) = (fields.number()?, fields.number()?);
        let FileId { group, name } = parse_file_request(fields.rest())?;
        Ok(Self { offset, length, group, name })
    }
}

/// Set metadata (13).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MetadataRequest {
    /// What becomes of existing items.
    pub flag: MetadataFlag,
    /// Which file.
    pub file: FileId,
    /// The items.
    pub metadata: Metadata,
}

impl MetadataRequest {
    /// The body.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let items = self.metadata.encode();
        let mut out = Vec::with_capacity(128 + items.len());
        put_number(&mut out, self.file.name.as_str().len() as u64);
        put_number(&mut out, items.len() as u64);
        out.push(self.flag.byte());
        out.extend_from_slice(&file_request(&self.file.group, &self.file.name));
        out.extend_from_slice(&items);
        out
    }

    /// Reads a body; both lengths must fill it exactly.
    pub fn decode(body: &[u8]) -> Result<Self, WireError> {
        let wrong = WireError::length("a metadata request", body.len());
        let mut fields = Fields::of("a metadata request", body);
        let (name_length, items_length) = (fields.number()?, fields.number()?);
        let flag = MetadataFlag::from_byte(fields.byte()?)?;
        let group = fields.text(GROUP)?.parse()?;
        let name = fields.take(usize::try_from(name_length).map_err(|_| wrong.clone())?)?;
        let items = fields.rest();
        if items.len() as u64 != items_length {
            return Err(wrong);
        }
        Ok(Self { flag, file: FileId { group, name: parse_stored(name)? }, metadata: Metadata::decode(items) })
    }
}

/// Answer of file info (22).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileInfo {
    /// Bytes now.
    pub size: u64,
    /// Last change, Unix seconds.
    pub modified_unix: i64,
    /// CRC-32 of the content (0 where the request asked not to compute it).
    pub crc32: u32,
    /// The storage that took the upload, when the answer names one.
    pub source: Option<IpAddr>,
}

impl FileInfo {
    const NUMBERS: usize = 24;

    /// Reads an answer of either address size.
    pub fn decode(body: &[u8]) -> Result<Self, WireError> {
        let mut fields = Fields::of("a file info answer", body);
        let size = fields.number()?;
        let modified_unix = fields.signed()?;
        // The CRC travels sign-extended from 32 bits.
        let crc32 = fields.signed()? as u32;
        let width = match fields.remaining() {
            width @ (16 | 46) => width,
            other => return Err(WireError::length("a file info answer", Self::NUMBERS + other)),
        };
        Ok(Self { size, modified_unix, crc32, source: fields.text(width)?.parse().ok() })
    }

    /// The answer, its address field as wide as `address_width` (16 or 46).
    #[must_use]
    pub fn encode(&self, address_width: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::NUMBERS + address_width);
        put_number(&mut out, self.size);
        out.extend_from_slice(&self.modified_unix.to_be_bytes());
        out.extend_from_slice(&i64::from(self.crc32 as i32).to_be_bytes());
        let source = self.source.map(|address| address.to_string()).unwrap_or_default();
        put_text(&mut out, &source, address_width);
        out
    }
}

/// The body of requests that name a file and nothing else: `group[16] name`.
#[must_use]
pub fn file_request(group: &GroupName, name: &FileName) -> Vec<u8> {
    let mut out = Vec::with_capacity(GROUP + name.as_str().len());
    put_text(&mut out, group.as_str(), GROUP);
    out.extend_from_slice(name.as_str().as_bytes());
    out
}

/// Reads `group[16] name`.
pub fn parse_file_request(body: &[u8]) -> Result<FileId, WireError> {
    let mut fields = Fields::of("a file request", body);
    let group = fields.text(GROUP)?.parse()?;
    Ok(FileId { group, name: parse_stored(fields.rest())? })
}

/// Reads a name that runs to the end of a body; names without a store path are of path 0, as in old ids.
pub fn parse_stored(name: &[u8]) -> Result<FileName, WireError> {
    let text = str::from_utf8(until_nul(name)).map_err(|_| WireError::Text { what: "a file name" })?;
    if text.starts_with('M') { text.parse() } else { format!("M00/{text}").parse() }
}

/// Answer of uploads and of regenerate: the new file's id.
#[must_use]
pub fn stored(file: &FileId) -> Vec<u8> {
    file_request(&file.group, &file.name)
}

pub(super) fn numbers_and_name(numbers: &[u64], name: &FileName) -> Vec<u8> {
    let name = name.as_str();
    let mut out = Vec::with_capacity(8 + numbers.len() * 8 + name.len());
    put_number(&mut out, name.len() as u64);
    for number in numbers {
        put_number(&mut out, *number);
    }
    out.extend_from_slice(name.as_bytes());
    out
}
