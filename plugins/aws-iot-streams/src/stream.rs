//! Writes the messages of streams, in either format, in the order in which AWS has their members.

use packhorse_codec::json::{ObjectWriter, decimal_length};
use packhorse_codec::{Fault, base64};

use crate::cbor::{MapWriter, head_length};
use crate::fields::Format;

/// The version of a stream: it never changes here, as its name comes of the file.
pub(crate) const STREAM_VERSION: u64 = 1;

/// Why a request is not answered: AWS' code, and words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejection {
    pub(crate) code: &'static str,
    pub(crate) words: String,
}

impl Rejection {
    pub(crate) fn new(code: &'static str, words: impl Into<String>) -> Self {
        Self { code, words: words.into() }
    }

    /// A message whose members make no request.
    pub(crate) fn request(fault: Fault) -> Self {
        Self::new("InvalidRequest", words(fault))
    }

    /// A message that is not of its format.
    pub(crate) fn unreadable(format: Format, fault: Fault) -> Self {
        let code = match format {
            Format::Json => "InvalidJson",
            Format::Cbor => "InvalidCbor",
        };
        Self::new(code, words(fault))
    }
}

fn words(fault: Fault) -> String {
    match fault {
        Fault::Malformed(words) => words,
        other => format!("{other:?}"),
    }
}

/// A block, as it goes to the device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block<'a> {
    /// Empty = the request had none.
    pub(crate) token: &'a str,
    pub(crate) file_id: u8,
    pub(crate) index: u64,
    pub(crate) bytes: &'a [u8],
}

impl Block<'_> {
    /// With exact capacity.
    pub(crate) fn write(&self, format: Format) -> Vec<u8> {
        match format {
            Format::Json => self.json(),
            Format::Cbor => self.cbor(),
        }
    }

    fn json(&self) -> Vec<u8> {
        let length = self.bytes.len() as u64;
        let token = if self.token.is_empty() { 0 } else { r#""c":"","#.len() + self.token.len() };
        let numbers = decimal_length(self.file_id.into()) + decimal_length(length) + decimal_length(self.index);
        let fixed = r#"{"f":,"l":,"i":,"p":""}"#.len();
        let mut object =
            ObjectWriter::with_capacity(fixed + token + numbers + base64::encoded_length(self.bytes.len()));
        if !self.token.is_empty() {
            object.string("c", self.token);
        }
        object.number("f", self.file_id.into());
        object.number("l", length);
        object.number("i", self.index);
        object.base64("p", self.bytes);
        object.finish()
    }

    fn cbor(&self) -> Vec<u8> {
        let length = self.bytes.len() as u64;
        let token = self.token.len();
        let token = if token == 0 { 0 } else { 2 + head_length(token as u64) + token };
        let heads = head_length(self.file_id.into()) + head_length(self.index) + 2 * head_length(length);
        let mut map = MapWriter::with_capacity(2 + 4 * 2 + token + heads + self.bytes.len());
        if token > 0 {
            map.text("c", self.token);
        }
        map.number("f", self.file_id.into());
        map.number("i", self.index);
        map.number("l", length);
        map.bytes("p", self.bytes);
        map.finish()
    }
}

/// What the stream holds: one file.
pub(crate) fn description(format: Format, token: &str, words: &str, file_id: u8, size: u64) -> Vec<u8> {
    match format {
        Format::Json => {
            let mut object = ObjectWriter::with_capacity(96 + token.len() + words.len());
            if !token.is_empty() {
                object.string("c", token);
            }
            object.number("s", STREAM_VERSION);
            object.string("d", words);
            object.raw("r", &format!(r#"[{{"f":{file_id},"z":{size}}}]"#));
            object.finish()
        }
        Format::Cbor => {
            let mut map = MapWriter::with_capacity(48 + token.len() + words.len());
            if !token.is_empty() {
                map.text("c", token);
            }
            map.number("s", STREAM_VERSION);
            map.text("d", words);
            map.list_of_one("r", |file| {
                file.number("f", file_id.into());
                file.number("z", size);
            });
            map.finish()
        }
    }
}

/// Why there is no answer.
pub(crate) fn rejected(format: Format, token: &str, rejection: &Rejection) -> Vec<u8> {
    let Rejection { code, words } = rejection;
    match format {
        Format::Json => {
            let mut object = ObjectWriter::with_capacity(48 + token.len() + words.len());
            object.string("o", code);
            object.string("m", words);
            if !token.is_empty() {
                object.string("c", token);
            }
            object.finish()
        }
        Format::Cbor => {
            let mut map = MapWriter::with_capacity(48 + token.len() + words.len());
            map.text("o", code);
            map.text("m", words);
            if !token.is_empty() {
                map.text("c", token);
            }
            map.finish()
        }
    }
}

/// What a device asks for: one run of blocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) token: &'a str,
    pub(crate) file_id: u8,
    pub(crate) size: u64,
    pub(crate) first: u64,
    pub(crate) count: u64,
}

impl Request<'_> {
    pub(crate) fn write(&self, format: Format) -> Vec<u8> {
        let numbers = [("f", self.file_id.into()), ("l", self.size), ("o", self.first), ("n", self.count)];
        match format {
            Format::Json => {
                let mut object = ObjectWriter::with_capacity(96 + self.token.len());
                object.string("c", self.token);
                object.number("s", STREAM_VERSION);
                numbers.into_iter().for_each(|(key, number)| object.number(key, number));
                object.finish()
            }
            Format::Cbor => {
                let mut map = MapWriter::with_capacity(48 + self.token.len());
                map.text("c", self.token);
                map.number("s", STREAM_VERSION);
                numbers.into_iter().for_each(|(key, number)| map.number(key, number));
                map.finish()
            }
        }
    }
}
