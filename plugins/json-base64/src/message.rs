//! Writes messages, each with the exact capacity that it needs.

use md5::{Digest, Md5};
use packhorse_codec::json::{ObjectWriter, decimal_length};
use packhorse_codec::{Algorithm, Fault, File, Span, base64, hex};

use crate::describe::{Check, OVERHEAD, PER_MILLE};
use crate::fields::{CRC, FileMd5};

/// Makes the data messages of one file.
#[derive(Debug)]
pub(crate) struct DataWriter {
    /// `fileMd5` to `fileSize`, with fewer and fewer of the optional names.
    prefixes: Vec<Vec<u8>>,
    size: u64,
    check: Check,
}

/// Which of the optional names goes first when there is no room for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum First {
    Name,
    Type,
}

impl DataWriter {
    /// `None` where the file's MD5 or size is not known.
    pub(crate) fn new(file: &File, check: Check, first: First) -> Option<Self> {
        let md5 = md5_of(file)?;
        let size = file.size?;
        let name = Some(file.name.as_str()).filter(|name| !name.is_empty());
        let kind = file.meta("type");
        let single = match first {
            First::Name => [(name, None), (None, kind)],
            First::Type => [(None, kind), (name, None)],
        };
        let variants = [(name, kind), single[0], single[1], (None, None)];
        let prefixes = variants.into_iter().map(|(name, kind)| prefix(&md5, name, kind, size)).collect();
        Some(Self { prefixes, size, check })
    }

    /// One data message. `packet_size` is the largest piece of the transfer: the optional names go in where its message leaves room.
    pub(crate) fn message(&self, offset: u64, bytes: &[u8], packet_size: u64) -> Result<Vec<u8>, Fault> {
        let length = bytes.len() as u64;
        if offset.checked_add(length).is_none_or(|end| end > self.size) {
            return Err(Fault::malformed(format!("{length} bytes at {offset} pass the end of {} bytes", self.size)));
        }
        let rest = r#"{,"packSize":,"packOffset":,"packData":""}"#.len()
            + decimal_length(length)
            + decimal_length(offset)
            + base64::encoded_length(bytes.len())
            + match self.check {
                Check::Crc => CRC_MEMBER,
                Check::Md5 => r#","packMd5":"""#.len() + 32,
                Check::None => 0,
            };
        let room = OVERHEAD + packet_size.max(length) as usize * PER_MILLE / 1000;
        let fitting = self.prefixes.iter().find(|prefix| prefix.len() + rest <= room);
        let prefix = fitting.or_else(|| self.prefixes.last()).map(Vec::as_slice).unwrap_or_default();
        let mut object = ObjectWriter::after(prefix, prefix.len() + rest);
        object.number("packSize", length);
        object.number("packOffset", offset);
        object.base64("packData", bytes);
        if self.check == Check::Md5 {
            object.string("packMd5", &hex::encode(&Md5::digest(bytes)));
        }
        Ok(guarded(object, self.check))
    }
}

const CRC_MEMBER: usize = r#","packCrc":"""#.len() + 8;

/// `packSize` and `packOffset` of a file, and how it ended or what is missing: what a device answers.
pub(crate) struct Answer<'a> {
    pub(crate) md5: Option<&'a FileMd5>,
    pub(crate) file_type: &'a str,
    pub(crate) span: Span,
    pub(crate) missing: Option<Span>,
    pub(crate) verdict: Option<(u64, &'a str)>,
}

impl Answer<'_> {
    pub(crate) fn message(&self, check: Check) -> Vec<u8> {
        let mut object = ObjectWriter::with_capacity(128);
        match self.md5 {
            Some(md5) => object.string("fileMd5", &hex::encode(md5)),
            None => object.string("fileType", self.file_type),
        }
        object.number("packSize", self.span.length());
        object.number("packOffset", self.span.start);
        if let Some(missing) = self.missing {
            object.raw("missing", &format!("[[{},{}]]", missing.start, missing.length()));
        }
        if let Some((code, message)) = self.verdict {
            object.number("code", code);
            if !message.is_empty() {
                object.string("message", message);
            }
        }
        exact(guarded(object, check))
    }
}

/// Asks for one piece.
pub(crate) fn pull_request(file_type: &str, offset: u64, length: u64, check: Check) -> Vec<u8> {
    let mut object = ObjectWriter::with_capacity(128);
    object.string("fileType", file_type);
    object.number("packOffset", offset);
    object.number("packSize", length);
    exact(guarded(object, check))
}

/// Asks for the digest of what is stored.
pub(crate) fn verify_request(md5: &FileMd5, check: Check) -> Vec<u8> {
    let mut object = ObjectWriter::with_capacity(96);
    object.string("fileMd5", &hex::encode(md5));
    exact(guarded(object, check))
}

/// Tells the digest of what is stored; none where there is no such file.
pub(crate) fn verify_reply(asked: &FileMd5, stored: Option<&[u8]>, size: Option<u64>, check: Check) -> Vec<u8> {
    let mut object = ObjectWriter::with_capacity(160);
    object.string("fileMd5", &hex::encode(asked));
    object.string("md5", &stored.map(hex::encode).unwrap_or_default());
    object.number("size", size.unwrap_or_default());
    exact(guarded(object, check))
}

pub(crate) fn md5_of(file: &File) -> Option<FileMd5> {
    file.digest(Algorithm::Md5).and_then(|md5| md5.try_into().ok())
}

fn prefix(md5: &FileMd5, name: Option<&str>, kind: Option<&str>, size: u64) -> Vec<u8> {
    let mut object = ObjectWriter::with_capacity(0);
    object.string("fileMd5", &hex::encode(md5));
    if let Some(name) = name {
        object.string("fileName", name);
    }
    if let Some(kind) = kind {
        object.string("fileType", kind);
    }
    object.number("fileSize", size);
    object.members().to_vec()
}

fn guarded(mut object: ObjectWriter, check: Check) -> Vec<u8> {
    if check == Check::Crc {
        let crc = CRC.checksum(object.written());
        object.string("packCrc", &hex::encode(&crc.to_be_bytes()));
    }
    object.finish()
}

fn exact(mut message: Vec<u8>) -> Vec<u8> {
    message.shrink_to_fit();
    message
}
