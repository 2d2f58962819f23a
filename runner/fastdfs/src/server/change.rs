//! Changes of files that exist: append, modify, truncate, regenerate, delete, metadata.
//!
//! A change that ends in the middle is taken back to the size before it: at once when the client went away, at the next start
//! when the process was killed.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
};

use super::{
    Fsync,
    peer::{PIECE, Peer},
    reply::{Refusal, Reply},
    storage::{Changing, Storage, now_unix, whole_name},
    tree::{Tree, metadata_name},
    upload::receive_into,
};
use crate::wire::{
    AppendHead, FileName, Metadata, MetadataFlag, MetadataRequest, ModifyHead, NewName, SizeWord, Status,
    TruncateRequest, parse_file_request, parse_stored,
};

/// Metadata of a file beyond this is refused.
const MAX_METADATA: usize = PIECE;
/// Shortest name of commands that carry nothing but a name.
const WHOLE_NAME: usize = 44;

impl Storage {
    pub(super) fn append(&self, peer: &mut Peer) -> Result<Reply, Refusal> {
        let head = AppendHead::decode(peer.take(AppendHead::LEN)?)?;
        let name = whole_name(peer, head.name_length)?;
        if head.size != peer.body_left() {
            return Err(Refusal::INVALID);
        }
        let changing = self.change(&name)?;
        self.extend(peer, &name, &changing)
    }

    pub(super) fn modify(&self, peer: &mut Peer) -> Result<Reply, Refusal> {
        let head = ModifyHead::decode(peer.take(ModifyHead::LEN)?)?;
        let name = whole_name(peer, head.name_length)?;
        if head.size != peer.body_left() {
            return Err(Refusal::INVALID);
        }
        let changing = self.change(&name)?;
        match head.offset.cmp(&changing.size) {
            std::cmp::Ordering::Greater => Err(Refusal::INVALID),
            std::cmp::Ordering::Equal => self.extend(peer, &name, &changing),
            std::cmp::Ordering::Less => self.overwrite(peer, &name, &changing, head.offset),
        }
    }

    pub(super) fn truncate(&self, peer: &mut Peer) -> Result<Reply, Refusal> {
        let TruncateRequest { size, name } = TruncateRequest::decode(peer.whole_body()?)?;
        if name.as_str().len() < WHOLE_NAME {
            return Err(Refusal::INVALID);
        }
        let changing = self.change(&name)?;
        self.check_size(0, size)?;
        changing.file.set_len(size).map_err(|error| Refusal::disk(&error))?;
        self.sync_change(&changing.file)?;
        Ok(Reply::EMPTY)
    }

    pub(super) fn regenerate(&self, peer: &mut Peer) -> Result<Reply, Refusal> {
        let name = parse_stored(peer.whole_body()?)?;
        if name.as_str().len() < WHOLE_NAME {
            return Err(Refusal::INVALID);
        }
        let changing = self.change(&name)?;
        let crc32 = crc_of(&changing.file, changing.size).map_err(|error| Refusal::disk(&error))?;
        if self.tree.fsync != Fsync::Never {
            changing.file.sync_data().map_err(|error| Refusal::disk(&error))?;
        }
        let size_word = SizeWord::normal(changing.size, rand::random());
        let new = NewName { source: self.source, created_unix: now_unix() as u32, size_word, crc32 };
        let new = name.with_leaf(&new.leaf_with_tail_of(name.leaf()))?;
        self.tree.rename(&name, &new).map_err(|error| Refusal::disk(&error))?;
        self.remove_metadata(&name)?;
        Ok(self.stored(new))
    }

    pub(super) fn delete(&self, peer: &mut Peer) -> Result<Reply, Refusal> {
        let file = parse_file_request(peer.whole_body()?)?;
        self.check_group(&file.group)?;
        self.check_path(file.name.path_index())?;
        let _writer = self.writers.lock(&file.name, self.patience).ok_or(Refusal::Status(Status::BUSY))?;
        self.tree.remove(&file.name).map_err(|error| Refusal::disk(&error))?;
        self.remove_metadata(&file.name)?;
        Ok(Reply::EMPTY)
    }

    pub(super) fn set_metadata(&self, peer: &mut Peer) -> Result<Reply, Refusal> {
        let MetadataRequest { flag, file, metadata } = MetadataRequest::decode(peer.whole_body()?)?;
        self.check_group(&file.group)?;
        let _writer = self.writers.lock(&file.name, self.patience).ok_or(Refusal::Status(Status::BUSY))?;
        self.open(&file.name, Tree::open_to_read)?;
        let metadata = match flag {
            MetadataFlag::Overwrite => metadata,
            MetadataFlag::Merge => {
                let mut merged = self.metadata_of(&file.name)?.unwrap_or_default();
                merged.merge(&metadata);
                merged
            }
        };
        if metadata.is_empty() {
            return self.remove_metadata(&file.name).map(|()| Reply::EMPTY);
        }
        self.write_metadata(&file.name, &metadata)
    }

    /// Metadata that was set, if any.
    pub(super) fn metadata_of(&self, name: &FileName) -> Result<Option<Metadata>, Refusal> {
        let name = metadata_name(name).ok_or(Refusal::INVALID)?;
        let file = match self.tree.open_to_read(&name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| Refusal::disk(&error))?,
        };
        let mut bytes = Vec::new();
        file.take(MAX_METADATA as u64).read_to_end(&mut bytes).map_err(|error| Refusal::disk(&error))?;
        Ok(Some(Metadata::decode(&bytes)))
    }

    fn write_metadata(&self, name: &FileName, metadata: &Metadata) -> Result<Reply, Refusal> {
        let bytes = metadata.encode();
        if bytes.len() > MAX_METADATA {
            return Err(Refusal::Status(Status::TOO_BIG));
        }
        let name = metadata_name(name).ok_or(Refusal::INVALID)?;
        let written = self.tree.temp.create().and_then(|mut new| {
            io::Write::write_all(&mut new.file, &bytes)?;
            self.tree.replace(new, &name)
        });
        written.map(|()| Reply::EMPTY).map_err(|error| Refusal::disk(&error))
    }

    fn remove_metadata(&self, name: &FileName) -> Result<(), Refusal> {
        // A name too long to have metadata has none.
        let Some(name) = metadata_name(name) else { return Ok(()) };
        match self.tree.remove(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Refusal::disk(&error)),
            _ => Ok(()),
        }
    }

    /// Writes the body at the end of the file.
    fn extend(&self, peer: &mut Peer, name: &FileName, changing: &Changing<'_>) -> Result<Reply, Refusal> {
        self.check_size(changing.size, peer.body_left())?;
        self.all_or_nothing(name, changing, |file| {
            file.seek(SeekFrom::Start(changing.size)).map_err(|error| Refusal::disk(&error))?;
            receive_into(peer, file).map(|_| ())
        })
    }

    /// Writes the body over what is there. It is received whole first, so that a client that goes away changes nothing.
    fn overwrite(&self, peer: &mut Peer, name: &FileName, changing: &Changing<'_>, at: u64) -> Result<Reply, Refusal> {
        self.check_size(at, peer.body_left())?;
        let mut content = self.tree.temp.create().map_err(|error| Refusal::disk(&error))?;
        receive_into(peer, &content.file)?;
        self.all_or_nothing(name, changing, |file| {
            let copied = content.file.rewind().and_then(|()| {
                file.seek(SeekFrom::Start(at))?;
                io::copy(&mut content.file, file)
            });
            copied.map(|_| ()).map_err(|error| Refusal::disk(&error))
        })
    }

    /// Changes a file so that its size is the one before or the one after, whatever ends us.
    fn all_or_nothing(
        &self,
        name: &FileName,
        changing: &Changing<'_>,
        change: impl FnOnce(&mut &File) -> Result<(), Refusal>,
    ) -> Result<Reply, Refusal> {
        let intent = self.tree.intents.begin(name, changing.size).map_err(|error| Refusal::disk(&error))?;
        let changed = change(&mut &changing.file).and_then(|()| self.sync_change(&changing.file));
        if changed.is_err() && changing.file.set_len(changing.size).is_err() {
            // The intent stays, and the next start takes the change back.
            return Err(Refusal::Status(Status::IO));
        }
        intent.finish().map_err(|error| Refusal::disk(&error))?;
        changed.map(|()| Reply::EMPTY)
    }

    fn sync_change(&self, file: &File) -> Result<(), Refusal> {
        if self.tree.fsync != Fsync::Always {
            return Ok(());
        }
        file.sync_data().map_err(|error| Refusal::disk(&error))
    }

    fn check_size(&self, have: u64, more: u64) -> Result<(), Refusal> {
        let size = have.checked_add(more).ok_or(Refusal::INVALID)?;
        if size > self.max_file_size { Err(Refusal::Status(Status::TOO_BIG)) } else { Ok(()) }
    }
}

/// CRC-32 of the first `size` bytes.
pub(super) fn crc_of(file: &File, size: u64) -> io::Result<u32> {
    use std::os::unix::fs::FileExt as _;
    let mut crc = crc32fast::Hasher::new();
    let mut piece = vec![0; PIECE.min(usize::try_from(size).unwrap_or(PIECE))];
    let mut at = 0;
    while at < size {
        let want = (size - at).min(piece.len() as u64) as usize;
        file.read_exact_at(&mut piece[..want], at)?;
        crc.update(&piece[..want]);
        at += want as u64;
    }
    Ok(crc.finalize())
}
