//! Bodies between a client and a storage that carry content: the bytes before it.

use super::{
    Extension, FileName, SlavePrefix, WireError,
    field::{Fields, put_number, put_text},
    storage::numbers_and_name,
};

/// Before the content of an upload (11, 23).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UploadHead {
    /// From the tracker's answer; 0xFF lets the storage choose.
    pub path_index: u8,
    /// Bytes of content that follow.
    pub size: u64,
    /// Extension of the new name.
    pub extension: Extension,
}

impl UploadHead {
    /// Its length on the wire.
    pub const LEN: usize = 15;

    /// The bytes before the content.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.path_index];
        put_number(&mut out, self.size);
        put_text(&mut out, self.extension.as_str(), Extension::WIDTH);
        out
    }

    /// Reads the first 15 bytes of a body.
    pub fn decode(head: &[u8]) -> Result<Self, WireError> {
        let mut fields = Fields::of("an upload request", head);
        let path_index = fields.byte()?;
        let size = fields.number()?;
        let extension = fields.text(Extension::WIDTH)?.parse()?;
        fields.end()?;
        Ok(Self { path_index, size, extension })
    }
}

/// Before the content of a slave upload (21); the master's name stands between this and the content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlaveHead {
    /// Length of the master's name.
    pub name_length: u64,
    /// Bytes of content.
    pub size: u64,
    /// What is added to the master's name.
    pub prefix: SlavePrefix,
    /// Extension of the slave; none means none.
    pub extension: Extension,
}

impl SlaveHead {
    /// Its length on the wire.
    pub const LEN: usize = 38;

    /// Everything before the content.
    #[must_use]
    pub fn encode(master: &FileName, size: u64, prefix: &SlavePrefix, extension: &Extension) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::LEN + master.as_str().len());
        put_number(&mut out, master.as_str().len() as u64);
        put_number(&mut out, size);
        put_text(&mut out, prefix.as_str(), SlavePrefix::WIDTH);
        put_text(&mut out, extension.as_str(), Extension::WIDTH);
        out.extend_from_slice(master.as_str().as_bytes());
        out
    }

    /// Reads the first 38 bytes of a body.
    pub fn decode(head: &[u8]) -> Result<Self, WireError> {
        let mut fields = Fields::of("a slave upload request", head);
        let (name_length, size) = (fields.number()?, fields.number()?);
        let prefix = fields.text(SlavePrefix::WIDTH)?.parse()?;
        let extension = fields.text(Extension::WIDTH)?.parse()?;
        fields.end()?;
        Ok(Self { name_length, size, prefix, extension })
    }
}

/// Before the name and content of an append (24).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AppendHead {
    /// Length of the file's name.
    pub name_length: u64,
    /// Bytes of content.
    pub size: u64,
}

impl AppendHead {
    /// Its length on the wire.
    pub const LEN: usize = 16;

    /// Everything before the content.
    #[must_use]
    pub fn encode(name: &FileName, size: u64) -> Vec<u8> {
        numbers_and_name(&[size], name)
    }

    /// Reads the first 16 bytes of a body.
    pub fn decode(head: &[u8]) -> Result<Self, WireError> {
        let mut fields = Fields::of("an append request", head);
        let head = Self { name_length: fields.number()?, size: fields.number()? };
        fields.end().map(|()| head)
    }
}

/// Before the name and content of a modify (34).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ModifyHead {
    /// Length of the file's name.
    pub name_length: u64,
    /// Where the content goes; at most the file's size.
    pub offset: u64,
    /// Bytes of content.
    pub size: u64,
}

impl ModifyHead {
    /// Its length on the wire.
    pub const LEN: usize = 24;

    /// Everything before the content.
    #[must_use]
    pub fn encode(name: &FileName, offset: u64, size: u64) -> Vec<u8> {
        numbers_and_name(&[offset, size], name)
    }

    /// Reads the first 24 bytes of a body.
    pub fn decode(head: &[u8]) -> Result<Self, WireError> {
        let mut fields = Fields::of("a modify request", head);
        let head = Self { name_length: fields.number()?, offset: fields.number()?, size: fields.number()? };
        fields.end().map(|()| head)
    }
}
