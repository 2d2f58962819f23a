//! Reads the members that the format knows from a message, and tells what kind of message it is.

use std::borrow::Cow;

use md5::{Digest, Md5};
use packhorse_codec::crc::{Crc32, crc32};
use packhorse_codec::json::{self, Str, Value};
use packhorse_codec::{Fault, Span, base64, hex};

/// The digest that names a file.
pub(crate) type FileMd5 = [u8; 16];

/// The check of `packCrc`: that of zlib.
pub(crate) static CRC: Crc32 = crc32("CRC-32/ISO-HDLC");

/// Everything that a message may hold.
#[derive(Debug, Default)]
pub(crate) struct Fields<'a> {
    pub(crate) file_md5: Option<FileMd5>,
    pub(crate) file_name: Option<Cow<'a, str>>,
    pub(crate) file_type: Option<Cow<'a, str>>,
    pub(crate) file_size: Option<u64>,
    pub(crate) pack_size: Option<u64>,
    pub(crate) pack_offset: Option<u64>,
    pack_data: Option<Str<'a>>,
    pack_md5: Option<Str<'a>>,
    missing: Option<Value<'a>>,
    pub(crate) code: Option<u64>,
    pub(crate) message: Option<Cow<'a, str>>,
    /// Of a verify reply; empty text is `Some(None)`.
    pub(crate) md5: Option<Option<FileMd5>>,
    pub(crate) size: Option<u64>,
    /// Whether `packCrc` was there, and held.
    pub(crate) checked: bool,
}

/// What a message on the two main routes is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Data,
    Ack,
    Request,
}

/// The piece of a data message.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) file_size: u64,
    pub(crate) last: bool,
    /// Whether `packMd5` was there, and held.
    pub(crate) sum: Option<bool>,
}

impl<'a> Fields<'a> {
    pub(crate) fn read(payload: &'a [u8]) -> Result<Self, Fault> {
        let mut fields = Self::default();
        let mut members = json::members(payload)?;
        let mut end = members.position();
        while let Some((key, value)) = members.member()? {
            if key.is("packCrc") {
                check(payload.get(..end).unwrap_or_default(), &value)?;
                fields.checked = true;
            } else {
                fields.take(&key.bytes(), value)?;
            }
            end = members.position();
        }
        Ok(fields)
    }

    fn take(&mut self, key: &[u8], value: Value<'a>) -> Result<(), Fault> {
        if value == Value::Null {
            return Ok(());
        }
        match key {
            b"fileMd5" => self.file_md5 = digest("fileMd5", &value)?,
            b"fileName" => self.file_name = value.text(),
            b"fileType" => self.file_type = value.text(),
            b"fileSize" => self.file_size = Some(number("fileSize", &value)?),
            b"packSize" => self.pack_size = Some(number("packSize", &value)?),
            b"packOffset" => self.pack_offset = Some(number("packOffset", &value)?),
            b"packData" => self.pack_data = Some(string("packData", value)?),
            b"packMd5" => self.pack_md5 = Some(string("packMd5", value)?),
            b"missing" => self.missing = Some(value),
            b"code" => self.code = Some(number("code", &value)?),
            b"message" => self.message = value.text(),
            b"md5" => self.md5 = Some(digest("md5", &value)?),
            b"size" => self.size = Some(number("size", &value)?),
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn kind(&self) -> Result<Kind, Fault> {
        if self.pack_data.is_some() {
            Ok(Kind::Data)
        } else if self.file_md5.is_some() {
            Ok(Kind::Ack)
        } else if self.file_type.is_some() {
            Ok(Kind::Request)
        } else {
            Err(Fault::malformed("there is neither packData nor fileMd5 nor fileType"))
        }
    }

    pub(crate) fn required_md5(&self) -> Result<FileMd5, Fault> {
        self.file_md5.ok_or_else(|| absent("fileMd5"))
    }

    /// The range that the message speaks of, if it names one; it must lie in a file of `size` bytes.
    pub(crate) fn span(&self, size: u64) -> Result<Option<Span>, Fault> {
        match (self.pack_offset, self.pack_size) {
            (Some(offset), Some(length)) => within(offset, length, size).map(Some),
            (None, None) => Ok(None),
            (None, _) => Err(absent("packOffset")),
            (_, None) => Err(absent("packSize")),
        }
    }

    /// The piece of a data message, decoded and checked.
    pub(crate) fn piece(&self) -> Result<Piece, Fault> {
        let data = self.pack_data.ok_or_else(|| absent("packData"))?;
        let offset = self.pack_offset.ok_or_else(|| absent("packOffset"))?;
        let file_size = self.file_size.ok_or_else(|| absent("fileSize"))?;
        let bytes = base64::decode(&data.bytes()).map_err(|error| Fault::malformed(format!("packData: {error}")))?;
        let length = bytes.len() as u64;
        if self.pack_size.is_some_and(|told| told != length) {
            return Err(Fault::malformed(format!(
                "packSize is {}, packData has {length} bytes",
                self.pack_size.unwrap_or_default()
            )));
        }
        let span = within(offset, length, file_size)?;
        if length == 0 && file_size > 0 {
            return Err(Fault::malformed("an empty packet of a file that is not empty"));
        }
        let sum = self.pack_md5.map(|told| hex::decode(&told.bytes()).is_ok_and(|told| told == *Md5::digest(&bytes)));
        Ok(Piece { offset, bytes, file_size, last: span.end >= file_size, sum })
    }

    /// The ranges that `missing` takes back.
    pub(crate) fn missing(&self, size: u64) -> Result<Vec<Span>, Fault> {
        let Some(list) = &self.missing else { return Ok(Vec::new()) };
        let range = |item: Value<'_>| {
            let mut pair = item.items().filter_map(Result::ok).map(|value| value.u64());
            match (pair.next().flatten(), pair.next().flatten()) {
                (Some(offset), Some(length)) => within(offset, length, size),
                _ => Err(Fault::malformed("missing is no list of [offset, size]")),
            }
        };
        list.items().map(|item| range(item?)).collect()
    }
}

pub(crate) fn absent(key: &str) -> Fault {
    Fault::malformed(format!("{key} is missing"))
}

fn within(offset: u64, length: u64, size: u64) -> Result<Span, Fault> {
    match Span::at(offset, length) {
        Some(span) if span.end <= size => Ok(span),
        _ => Err(Fault::malformed(format!("packOffset {offset} and packSize {length} pass the end of {size} bytes"))),
    }
}

fn number(key: &str, value: &Value<'_>) -> Result<u64, Fault> {
    value.u64().ok_or_else(|| Fault::malformed(format!("{key} is no whole number")))
}

fn string<'a>(key: &str, value: Value<'a>) -> Result<Str<'a>, Fault> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(Fault::malformed(format!("{key} is no string"))),
    }
}

/// An MD5 in hexadecimal, any case; empty text is none.
fn digest(key: &str, value: &Value<'_>) -> Result<Option<FileMd5>, Fault> {
    let text = string(key, *value)?.bytes();
    if text.is_empty() {
        return Ok(None);
    }
    hex::decode_array(&text).map(Some).map_err(|error| Fault::malformed(format!("{key}: {error}")))
}

fn check(before: &[u8], told: &Value<'_>) -> Result<(), Fault> {
    let told = string("packCrc", *told)?.bytes();
    match hex::decode_array(&told) {
        Ok(told) if u32::from_be_bytes(told) == CRC.checksum(before) => Ok(()),
        _ => Err(Fault::malformed("packCrc does not hold")),
    }
}
