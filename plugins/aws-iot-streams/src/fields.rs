//! Reads a stream message: one flat map of short keys, in JSON or in CBOR. Both formats come out alike.

use std::borrow::Cow;

use packhorse_codec::json::{self, Value};
use packhorse_codec::{Fault, base64, hex};

use crate::cbor::{self, Item};

/// In what a message is written; its topic says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Cbor,
}

impl Format {
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Json, Self::Cbor].into_iter().find(|format| format.name() == name)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Cbor => "cbor",
        }
    }
}

/// The members of a message, and how their bytes are written. `null` counts as absent.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    format: Format,
    members: Vec<(Cow<'a, str>, Field<'a>)>,
}

#[derive(Debug)]
enum Field<'a> {
    Number(u64),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    Other,
}

/// More members are no message of this protocol.
const MEMBERS_MOST: usize = 32;

impl<'a> Fields<'a> {
    pub(crate) fn read(format: Format, payload: &'a [u8]) -> Result<Self, Fault> {
        let mut fields = Self { format, members: Vec::with_capacity(8) };
        match format {
            Format::Json => fields.read_json(payload)?,
            Format::Cbor => fields.read_cbor(payload)?,
        }
        match fields.members.len() {
            0..=MEMBERS_MOST => Ok(fields),
            many => Err(Fault::malformed(format!("{many} members, more than {MEMBERS_MOST}"))),
        }
    }

    fn read_json(&mut self, payload: &'a [u8]) -> Result<(), Fault> {
        let mut all = json::members(payload)?;
        while let Some((key, value)) = all.member()? {
            let field = match value {
                Value::Null => continue,
                Value::Number(_) => value.u64().map_or(Field::Other, Field::Number),
                Value::String(text) => Field::Text(text.text()),
                Value::Bool(_) | Value::Array(_) | Value::Object(_) => Field::Other,
            };
            self.members.push((key.text(), field));
        }
        Ok(())
    }

    fn read_cbor(&mut self, payload: &'a [u8]) -> Result<(), Fault> {
        cbor::read(payload, |key, item| {
            let field = match item {
                Item::Null => return,
                Item::Number(number) => Field::Number(number),
                Item::Text(Cow::Borrowed(text)) => Field::Text(String::from_utf8_lossy(text)),
                Item::Text(Cow::Owned(text)) => Field::Text(Cow::Owned(String::from_utf8_lossy(&text).into_owned())),
                Item::Bytes(bytes) => Field::Bytes(bytes),
                Item::Other => Field::Other,
            };
            self.members.push((Cow::Owned(String::from_utf8_lossy(key).into_owned()), field));
        })
    }

    /// The first of these keys that is there: some messages have a long and a short name for one thing.
    fn find(&self, keys: &[&str]) -> Option<&Field<'a>> {
        let find = |key: &&str| self.members.iter().find(|(known, _)| known == key).map(|(_, field)| field);
        keys.iter().find_map(find)
    }

    /// A number that is whole and not negative, also one in quotation marks.
    pub(crate) fn number(&self, key: &str) -> Result<Option<u64>, Fault> {
        let number = match self.find(&[key]) {
            None => return Ok(None),
            Some(Field::Number(number)) => Some(*number),
            Some(Field::Text(text)) => text.trim().parse().ok(),
            Some(Field::Bytes(_) | Field::Other) => None,
        };
        number.map(Some).ok_or_else(|| Fault::malformed(format!("{key} is no whole number")))
    }

    pub(crate) fn required(&self, key: &str) -> Result<u64, Fault> {
        self.number(key)?.ok_or_else(|| Fault::malformed(format!("{key} is missing")))
    }

    pub(crate) fn text(&self, keys: &[&str]) -> Option<&str> {
        match self.find(keys)? {
            Field::Text(text) => Some(text),
            Field::Number(_) | Field::Bytes(_) | Field::Other => None,
        }
    }

    /// The bytes of a block: Base64 in JSON, a string of bytes in CBOR.
    pub(crate) fn payload(&self, key: &str) -> Result<Cow<'_, [u8]>, Fault> {
        match (self.find(&[key]), self.format) {
            (Some(Field::Bytes(bytes)), _) => Ok(Cow::Borrowed(bytes)),
            (Some(Field::Text(text)), Format::Json) => Ok(Cow::Owned(base64::decode(text.as_bytes())?)),
            (None, _) => Err(Fault::malformed(format!("{key} is missing"))),
            _ => Err(Fault::malformed(format!("{key} holds no bytes"))),
        }
    }

    /// A bitmap: hexadecimal digits in JSON, with `0x` in front or not; a string of bytes in CBOR.
    pub(crate) fn bitmap(&self, key: &str) -> Result<Option<Cow<'_, [u8]>>, Fault> {
        match (self.find(&[key]), self.format) {
            (None, _) => Ok(None),
            (Some(Field::Bytes(bytes)), _) => Ok(Some(Cow::Borrowed(bytes))),
            (Some(Field::Text(text)), Format::Json) => {
                let text = text.trim();
                let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
                Ok(Some(Cow::Owned(hex::decode(digits.as_bytes())?)))
            }
            _ => Err(Fault::malformed(format!("{key} is no bitmap"))),
        }
    }
}
