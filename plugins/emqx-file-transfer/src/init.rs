//! The first message of an upload: name, and what else is known of the file.

use packhorse_codec::json::{ObjectWriter, Value, members};
use packhorse_codec::{Fault, hex};

use crate::command::Checksum;

/// EMQX takes names of so many bytes.
pub(crate) const NAME_MOST: usize = 240;

/// What this codec uses of it: `size` is told for information alone, `expire_at` and `segments_ttl` are about EMQX's own storage,
/// `user_data` is for whoever reads the file there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Init {
    pub(crate) name: String,
    pub(crate) size: Option<u64>,
    pub(crate) checksum: Option<Checksum>,
}

impl Init {
    pub(crate) fn read(payload: &[u8]) -> Result<Self, Fault> {
        let mut init = Self::default();
        let mut all = members(payload)?;
        while let Some((key, value)) = all.member()? {
            match &*key.bytes() {
                b"name" => init.name = value.text().unwrap_or_default().into_owned(),
                b"size" => init.size = value.u64(),
                b"checksum" => init.checksum = checksum(&value)?,
                _ => {}
            }
        }
        match init.name.len() {
            0 => Err(Fault::malformed("an upload without a name")),
            length if length > NAME_MOST => {
                Err(Fault::malformed(format!("a name of {length} bytes, more than {NAME_MOST}")))
            }
            _ => Ok(init),
        }
    }

    pub(crate) fn message(&self) -> Vec<u8> {
        let mut object = ObjectWriter::with_capacity(160 + self.name.len());
        object.string("name", &self.name);
        if let Some(size) = self.size {
            object.number("size", size);
        }
        if let Some(checksum) = &self.checksum {
            object.string("checksum", &hex::encode(checksum));
        }
        exact(object)
    }
}

/// Hexadecimal digits of any case; `null` and empty text are as good as no key.
fn checksum(value: &Value<'_>) -> Result<Option<Checksum>, Fault> {
    let text = value.text().unwrap_or_default();
    match (text.trim(), value) {
        ("", Value::Null | Value::String(_)) => Ok(None),
        (digits, _) => hex::decode_array(digits.as_bytes())
            .map(Some)
            .map_err(|error| Fault::malformed(format!("the checksum: {error}"))),
    }
}

/// The host takes a message without a copy where its capacity is its length.
pub(crate) fn exact(object: ObjectWriter) -> Vec<u8> {
    let mut message = object.finish();
    message.shrink_to_fit();
    message
}
