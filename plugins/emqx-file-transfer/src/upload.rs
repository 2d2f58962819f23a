//! The upload that the platform takes: which file id it has, and whether another message belongs to it.

use packhorse_codec::{Algorithm, Digest, Fault, File, Length, ReadError, Reader, Writer};

use crate::command::Checksum;
use crate::init::Init;

/// An upload that has begun.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Upload {
    /// Empty: none has begun.
    pub(crate) file_id: String,
    /// Empty: segments came before its `init` did.
    pub(crate) name: String,
    pub(crate) checksum: Option<Checksum>,
    /// Its name does not tell it from the one before it, so that it is told with its id.
    again: bool,
}

/// How a command stands to the upload that is being taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Belongs {
    Here,
    /// To one that is not taken, or not any more.
    Elsewhere,
}

impl Upload {
    /// A command that is no `init`. Where none has begun and any upload is taken, this one is: its `init` was lost, or came before a
    /// restart.
    pub(crate) fn belongs(&mut self, file_id: &str, any: bool) -> Result<Belongs, Fault> {
        if self.file_id.is_empty() {
            if !any {
                return Err(Fault::NotMine);
            }
            file_id.clone_into(&mut self.file_id);
        }
        Ok(if self.file_id == file_id { Belongs::Here } else { Belongs::Elsewhere })
    }

    /// Whether an `init` under an id that is known says something else than the first one.
    pub(crate) fn contradicts(&self, file_id: &str, init: &Init) -> bool {
        let checksum = self.checksum.zip(init.checksum).is_some_and(|(known, told)| known != told);
        self.file_id == file_id && !self.name.is_empty() && (self.name != init.name || checksum)
    }

    /// An upload begins, or begins again. Another id is another upload; where neither name nor checksum tells that its content is
    /// another, the name is made to.
    pub(crate) fn begin(&mut self, file_id: &str, init: &Init) {
        let other = !self.file_id.is_empty() && self.file_id != file_id;
        let alike = self.name == init.name && (self.checksum.is_none() || init.checksum.is_none());
        if self.file_id != file_id {
            self.again = other && (alike || self.name.is_empty());
        }
        file_id.clone_into(&mut self.file_id);
        init.name.clone_into(&mut self.name);
        self.checksum = init.checksum.or_else(|| self.checksum.filter(|_| !other));
    }

    /// As the contract's file. Its size is only told at the end: an upload is over when the device says so, not when all bytes that it
    /// once promised are here.
    pub(crate) fn file(&self) -> File {
        let name = if self.again { format!("{}~{}", self.name, self.file_id) } else { self.name.clone() };
        File { name, size: None, digests: self.digests(), meta: Vec::new() }
    }

    pub(crate) fn digests(&self) -> Vec<Digest> {
        self.checksum.iter().map(|checksum| Digest::new(Algorithm::Sha256, *checksum)).collect()
    }

    pub(crate) fn save(&self, state: &mut Writer) {
        for text in [&self.file_id, &self.name] {
            let open = state.begin(Length::U8);
            state.slice(text.as_bytes());
            state.end(open).expect("ids have 128 bytes at most, names 240");
        }
        state.u8(self.again.into());
        state.u8(self.checksum.is_some().into());
        state.slice(self.checksum.as_ref().map(|checksum| &checksum[..]).unwrap_or_default());
    }

    pub(crate) fn restore(state: &mut Reader<'_>) -> Result<Self, ReadError> {
        let mut text = |what| Ok(String::from_utf8_lossy(state.prefixed_u8(what)?).into_owned());
        let (file_id, name) = (text("file id")?, text("name")?);
        let again = state.u8("again")? == 1;
        let checksum = if state.u8("checksum")? == 1 { Some(state.array("checksum")?) } else { None };
        Ok(Self { file_id, name, checksum, again })
    }
}
