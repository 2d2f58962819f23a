//! Uploads: content goes to a nameless file, and the name is made from what arrived.

use std::{fs::File, io::Write as _};

use super::{
    peer::Peer,
    reply::{Refusal, Reply},
    storage::{Storage, now_unix, short_name},
    temp::TempFile,
    tree::{METADATA, Tree},
};
use crate::wire::{Extension, FileId, FileName, NewName, SizeWord, SlaveHead, SlavePrefix, Status, UploadHead, stored};

/// The storage chooses the store path.
const ANY_PATH: u8 = 0xFF;
/// Names differ in 23 random bits, so a second try is rare and a third one never seen.
const TRIES: usize = 16;
/// `.ext` of a name.
const TAIL: usize = 7;

impl Storage {
    pub(super) fn upload(&self, peer: &mut Peer) -> Result<Reply, Refusal> {
        self.upload_named(peer, SizeWord::normal)
    }

    pub(super) fn upload_appender(&self, peer: &mut Peer) -> Result<Reply, Refusal> {
        self.upload_named(peer, |_, random| SizeWord::appender(random))
    }

    fn upload_named(&self, peer: &mut Peer, word: fn(u64, u32) -> SizeWord) -> Result<Reply, Refusal> {
        let head = UploadHead::decode(peer.take(UploadHead::LEN)?)?;
        if head.path_index != ANY_PATH {
            self.check_path(head.path_index)?;
        }
        let (mut upload, crc32) = self.receive(peer, head.size)?;
        for _ in 0..TRIES {
            let random = rand::random();
            let name = self.new_name(word(head.size, random), crc32, &head.extension)?;
            match self.tree.publish(upload, &name) {
                Ok(()) => return Ok(self.stored(name)),
                Err((back, error)) if error.kind() == std::io::ErrorKind::AlreadyExists => upload = back,
                Err((_, error)) => return Err(Refusal::disk(&error)),
            }
        }
        Err(Refusal::Status(Status::EXISTS))
    }

    pub(super) fn upload_slave(&self, peer: &mut Peer) -> Result<Reply, Refusal> {
        let head = SlaveHead::decode(peer.take(SlaveHead::LEN)?)?;
        let master = short_name(peer, head.name_length)?;
        if head.size != peer.body_left() {
            return Err(Refusal::INVALID);
        }
        let name = slave_name(&master, &head.prefix, &head.extension)?;
        self.open(&master, Tree::open_to_read)?;
        if self.open(&name, Tree::open_to_read).is_ok() {
            return Err(Refusal::Status(Status::EXISTS));
        }
        let (upload, _) = self.receive(peer, head.size)?;
        self.tree.publish(upload, &name).map_err(|(_, error)| Refusal::disk(&error))?;
        Ok(self.stored(name))
    }

    /// The content of a request, in a nameless file, with its CRC.
    fn receive(&self, peer: &mut Peer, size: u64) -> Result<(TempFile, u32), Refusal> {
        if size != peer.body_left() {
            return Err(Refusal::INVALID);
        }
        if size > self.max_file_size {
            return Err(Refusal::Status(Status::TOO_BIG));
        }
        let upload = self.tree.temp.create().map_err(|error| Refusal::disk(&error))?;
        let crc32 = receive_into(peer, &upload.file)?;
        Ok((upload, crc32))
    }

    fn new_name(&self, size_word: SizeWord, crc32: u32, extension: &Extension) -> Result<FileName, Refusal> {
        let name = NewName { source: self.source, created_unix: now_unix() as u32, size_word, crc32 };
        Ok(FileName::new(0, self.tree.next_folders(), &name.leaf(extension, rand::random()))?)
    }

    pub(super) fn stored(&self, name: FileName) -> Reply {
        Reply::Body(stored(&FileId { group: self.group, name }))
    }
}

/// Writes the rest of a body where the file stands.
pub(super) fn receive_into(peer: &mut Peer, mut file: &File) -> Result<u32, Refusal> {
    let mut crc = crc32fast::Hasher::new();
    loop {
        let piece = peer.piece()?;
        if piece.is_empty() {
            return Ok(crc.finalize());
        }
        crc.update(piece);
        file.write_all(piece).map_err(|error| Refusal::disk(&error))?;
    }
}

/// The master's name without its extension, the prefix, the slave's own extension.
fn slave_name(master: &FileName, prefix: &SlavePrefix, extension: &Extension) -> Result<FileName, Refusal> {
    let leaf = master.leaf();
    let tail = leaf.len().saturating_sub(TAIL);
    let stem = leaf[tail..].find('.').map_or(leaf, |dot| &leaf[..tail + dot]);
    let dot = if extension.as_str().is_empty() { "" } else { "." };
    let leaf = format!("{stem}{prefix}{dot}{extension}");
    // Such a name is taken for the metadata of another file.
    if leaf.ends_with(METADATA) {
        return Err(Refusal::INVALID);
    }
    Ok(master.with_leaf(&leaf)?)
}
