//! Uploads: content arrives whole before there is a name for it, and the name is made from what arrived.

use std::{io, sync::Arc};

use super::{
    content::Content,
    counters::Bytes,
    peer::Peer,
    reply::{Refusal, Reply},
    storage::{Storage, StorePath, now_unix, on_disk, short_name},
    temp::TempFile,
};
use crate::wire::{Extension, FileId, FileName, NewName, SizeWord, SlaveHead, Source, Status, UploadHead, stored};

/// Names differ in 23 random bits, so a second try is rare and a third one never seen.
const TRIES: usize = 16;

impl Storage {
    pub(super) async fn upload(&self, peer: &mut Peer) -> Result<Reply, Refusal> {
        self.upload_named(peer, SizeWord::normal).await
    }

    pub(super) async fn upload_appender(&self, peer: &mut Peer) -> Result<Reply, Refusal> {
        self.upload_named(peer, |_, random| SizeWord::appender(random)).await
    }

    async fn upload_named(&self, peer: &mut Peer, word: fn(u64, u32) -> SizeWord) -> Result<Reply, Refusal> {
        let head = UploadHead::decode(peer.take(UploadHead::LEN).await?)?;
        let (index, path) = self.path_for_upload(head.path_index)?;
        let content = self.receive(peer, &path, head.size).await?;
        let naming = Naming { index, source: self.source, size: head.size, word, extension: head.extension };
        let at = Arc::clone(&path);
        let name = on_disk(&path.writers, move || {
            let (upload, crc32) = content.into_temp(&at)?;
            naming.publish(&at, upload, crc32)
        });
        let name = name.await?;
        self.counters.moved(Bytes::Uploaded, head.size);
        Ok(self.stored(name))
    }

    pub(super) async fn upload_slave(&self, peer: &mut Peer) -> Result<Reply, Refusal> {
        let head = SlaveHead::decode(peer.take(SlaveHead::LEN).await?)?;
        let master = short_name(peer, head.name_length).await?;
        if head.size != peer.body_left() {
            return Err(Refusal::INVALID);
        }
        let name = master.slave(&head.prefix, &head.extension)?;
        let path = self.path_of(&master)?;
        let (at, slave) = (Arc::clone(&path), name.clone());
        let is_there = on_disk(&path.readers, move || {
            at.tree.open_to_read(&master)?;
            Ok(at.tree.open_to_read(&slave).is_ok())
        });
        if is_there.await? {
            return Err(Refusal::Status(Status::EXISTS));
        }
        let content = self.receive(peer, &path, head.size).await?;
        let (at, slave) = (Arc::clone(&path), name.clone());
        let published = on_disk(&path.writers, move || {
            let (upload, _) = content.into_temp(&at)?;
            // Of an earlier file of this name, whose deletion was killed half-way.
            at.remove_metadata(&slave)?;
            at.tree.publish(upload, &slave).map_err(|(_, error)| error)
        });
        published.await?;
        self.counters.moved(Bytes::Uploaded, head.size);
        Ok(self.stored(name))
    }

    async fn receive(&self, peer: &mut Peer, path: &Arc<StorePath>, size: u64) -> Result<Content, Refusal> {
        if size != peer.body_left() {
            return Err(Refusal::INVALID);
        }
        self.check_size(0, size)?;
        path.check_room(size).await?;
        Content::receive(peer, path).await
    }

    pub(super) fn stored(&self, name: FileName) -> Reply {
        Reply::Body(stored(&FileId { group: self.group, name }))
    }
}

/// What becomes part of a name besides the content's CRC.
struct Naming {
    index: u8,
    source: Source,
    size: u64,
    word: fn(u64, u32) -> SizeWord,
    extension: Extension,
}

impl Naming {
    fn publish(&self, path: &StorePath, mut upload: TempFile, crc32: u32) -> io::Result<FileName> {
        for _ in 0..TRIES {
            let name = self.draw(path, crc32)?;
            match path.tree.publish(upload, &name) {
                Ok(()) => return Ok(name),
                Err((back, error)) if error.kind() == io::ErrorKind::AlreadyExists => upload = back,
                Err((_, error)) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn draw(&self, path: &StorePath, crc32: u32) -> io::Result<FileName> {
        let size_word = (self.word)(self.size, rand::random());
        let name = NewName { source: self.source, created_unix: now_unix() as u32, size_word, crc32 };
        let leaf = name.leaf(&self.extension, rand::random());
        FileName::new(self.index, path.tree.next_folders(), &leaf).map_err(io::Error::other)
    }
}
