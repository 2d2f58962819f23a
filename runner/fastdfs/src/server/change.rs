//! Changes of files that exist: append, modify, truncate, regenerate, delete.
//!
//! A change is there whole or not at all, whatever ends it: a client that goes away, or a killed server, whose next start
//! takes it back or brings it to its end. Who reads while a range is overwritten may see some of the old bytes and some of the
//! new ones.

use std::{
    fs::File,
    io::{self, Seek as _, SeekFrom},
    os::unix::fs::FileExt as _,
    sync::Arc,
};

use super::{
    Fsync,
    content::{Content, stream_to},
    counters::Bytes,
    intents::{Intent, Remedy},
    peer::{PIECE, Peer},
    read::crc_of,
    reply::{Refusal, Reply},
    storage::{Storage, StorePath, WHOLE_NAME, file_of, now_unix, on_disk, whole_name},
    temp::TempFile,
    writers::Writer,
};
use crate::wire::{AppendHead, FileName, ModifyHead, NewName, SizeWord, Status, TruncateRequest, parse_stored};

/// A file that only its holder may change now. Jobs hold it too: it stays locked until the last of them has ended.
struct Changing {
    path: Arc<StorePath>,
    name: FileName,
    file: Arc<File>,
    size: u64,
    writer: Writer,
}

impl Storage {
    pub(super) async fn append(&self, peer: &mut Peer) -> Result<Reply, Refusal> {
        let head = AppendHead::decode(peer.take(AppendHead::LEN).await?)?;
        let name = whole_name(peer, head.name_length).await?;
        if head.size != peer.body_left() {
            return Err(Refusal::INVALID);
        }
        let content = small_content(peer).await?;
        let changing = self.change(peer, name).await?;
        let appended = self.extend(peer, changing, content).await?;
        self.counters.moved(Bytes::Appended, head.size);
        Ok(appended)
    }

    pub(super) async fn modify(&self, peer: &mut Peer) -> Result<Reply, Refusal> {
        let head = ModifyHead::decode(peer.take(ModifyHead::LEN).await?)?;
        let name = whole_name(peer, head.name_length).await?;
        if head.size != peer.body_left() {
            return Err(Refusal::INVALID);
        }
        let content = small_content(peer).await?;
        let changing = self.change(peer, name).await?;
        let modified = match head.offset.cmp(&changing.size) {
            std::cmp::Ordering::Greater => Err(Refusal::INVALID),
            std::cmp::Ordering::Equal => self.extend(peer, changing, content).await,
            std::cmp::Ordering::Less => self.overwrite(peer, changing, content, head.offset).await,
        };
        self.counters.moved(Bytes::Modified, if modified.is_ok() { head.size } else { 0 });
        modified
    }

    pub(super) async fn truncate(&self, peer: &mut Peer) -> Result<Reply, Refusal> {
        let TruncateRequest { size, name } = TruncateRequest::decode(peer.whole_body().await?)?;
        check_whole(&name)?;
        let changing = self.change(peer, name).await?;
        self.check_size(0, size)?;
        let path = Arc::clone(&changing.path);
        let cut = on_disk(&path.writers, move || {
            changing.file.set_len(size)?;
            changing.sync()
        });
        cut.await.map(|()| Reply::EMPTY)
    }

    pub(super) async fn regenerate(&self, peer: &mut Peer) -> Result<Reply, Refusal> {
        let name = parse_stored(peer.whole_body().await?)?;
        check_whole(&name)?;
        let changing = self.change(peer, name).await?;
        let path = Arc::clone(&changing.path);
        let crc32 = crc_of(&path, &changing.file, changing.size).await?;
        let source = self.source;
        let new = on_disk(&path.writers, move || {
            let size_word = SizeWord::normal(changing.size, rand::random());
            let new = NewName { source, created_unix: now_unix() as u32, size_word, crc32 };
            changing.become_normal(&new)
        });
        Ok(self.stored(new.await?))
    }

    pub(super) async fn delete(&self, peer: &mut Peer) -> Result<Reply, Refusal> {
        let file = file_of(peer.whole_body().await?)?;
        self.check_group(&file.group)?;
        let path = self.path_of(&file.name)?;
        let writer = self.lock(peer, &file.name).await?;
        let at = Arc::clone(&path);
        let deleted = on_disk(&path.writers, move || {
            at.tree.remove(&file.name)?;
            at.remove_metadata(&file.name)?;
            drop(writer);
            Ok(())
        });
        deleted.await.map(|()| Reply::EMPTY)
    }

    /// Waits until nobody else changes the file.
    pub(super) async fn lock(&self, peer: &mut Peer, name: &FileName) -> Result<Writer, Refusal> {
        tokio::select! {
            writer = self.writers.lock(name, self.patience) => writer.ok_or(Refusal::Status(Status::BUSY)),
            () = peer.cut() => Err(Refusal::Broken),
        }
    }

    /// Takes the right to change an appender file. A missing one is told before one of the wrong kind.
    async fn change(&self, peer: &mut Peer, name: FileName) -> Result<Changing, Refusal> {
        let path = self.path_of(&name)?;
        let writer = self.lock(peer, &name).await?;
        let (at, of) = (Arc::clone(&path), name.clone());
        let opened = on_disk(&path.writers, move || {
            let file = at.tree.open_to_change(&of)?;
            let size = file.metadata()?.len();
            Ok((file, size))
        });
        let (file, size) = opened.await?;
        if !name.is_appender() {
            return Err(Refusal::INVALID);
        }
        writer.show_only(size);
        Ok(Changing { path, name, file: Arc::new(file), size, writer })
    }

    /// Writes the body at the end of the file.
    async fn extend(&self, peer: &mut Peer, changing: Changing, content: Option<Vec<u8>>) -> Result<Reply, Refusal> {
        let more = content.as_ref().map_or_else(|| peer.body_left(), |content| content.len() as u64);
        self.check_size(changing.size, more)?;
        changing.path.check_room(more).await?;
        let path = Arc::clone(&changing.path);
        if let Some(content) = content {
            let done = on_disk(&path.writers, move || changing.extend_with(&content));
            return done.await.map(|()| Reply::EMPTY);
        }
        let changing = Arc::new(changing);
        let of = Arc::clone(&changing);
        let intent = on_disk(&path.writers, move || of.begin(Remedy::TakeBack { size: of.size })).await?;
        let streamed = stream_to(peer, &path, Arc::clone(&changing.file), changing.size).await;
        let arrived = streamed.is_ok();
        let ended = on_disk(&path.writers, move || changing.end(intent, arrived)).await;
        streamed.and(ended).map(|()| Reply::EMPTY)
    }

    /// Writes the body over what is there. It is received whole first, so that a client that goes away changes nothing.
    async fn overwrite(
        &self,
        peer: &mut Peer,
        changing: Changing,
        content: Option<Vec<u8>>,
        offset: u64,
    ) -> Result<Reply, Refusal> {
        let size = content.as_ref().map_or_else(|| peer.body_left(), |content| content.len() as u64);
        self.check_size(offset, size)?;
        let path = Arc::clone(&changing.path);
        path.check_room(size).await?;
        let content = match content {
            Some(content) => Content::Memory(content),
            None => Content::receive(peer, &path).await?,
        };
        let done = on_disk(&path.writers, move || {
            let (content, _) = content.into_temp(&changing.path)?;
            changing.repeat_until_done(content, offset)
        });
        done.await.map(|()| Reply::EMPTY)
    }
}

impl Changing {
    fn begin(&self, remedy: Remedy) -> io::Result<Intent> {
        self.path.tree.intents.begin(&self.name, remedy).map_err(|(error, stands)| {
            if stands {
                self.writer.give_up();
            }
            error
        })
    }

    /// The change is over: it took place, or was taken back.
    fn finish(&self, intent: Intent) -> io::Result<()> {
        let finished = self.path.tree.intents.finish(intent);
        finished.inspect_err(|_| self.writer.give_up())
    }

    /// Cuts off what a change that failed has added. Where even that fails, the intent stays, and the next start does it.
    fn take_back(&self) -> io::Result<()> {
        let cut = self.file.set_len(self.size).and_then(|()| self.sync());
        cut.inspect_err(|_| self.writer.give_up())
    }

    fn sync(&self) -> io::Result<()> {
        if self.path.tree.fsync == Fsync::Always { self.file.sync_data() } else { Ok(()) }
    }

    /// Writes behind the end of the file: all of it, or nothing.
    fn extend_with(&self, content: &[u8]) -> io::Result<()> {
        let intent = self.begin(Remedy::TakeBack { size: self.size })?;
        let written = self.file.write_all_at(content, self.size);
        let ended = self.end(intent, written.is_ok());
        written.and(ended)
    }

    /// Ends a change behind the end of the file; takes back what did not arrive whole.
    fn end(&self, intent: Intent, arrived: bool) -> io::Result<()> {
        let synced = if arrived { self.sync() } else { Ok(()) };
        if !arrived || synced.is_err() {
            self.take_back()?;
        }
        self.finish(intent)?;
        synced
    }

    /// Copies content over the file. A kill in the middle leaves both content and intent, and the next start copies again.
    fn repeat_until_done(&self, mut content: TempFile, offset: u64) -> io::Result<()> {
        if self.path.tree.fsync == Fsync::Always {
            content.file.sync_data()?;
            self.path.tree.temp.sync()?;
        }
        content.file.rewind()?;
        let mut file = self.file.as_ref();
        file.seek(SeekFrom::Start(offset))?;
        let intent = self.begin(Remedy::Repeat { temp: content.number, offset })?;
        let copied = io::copy(&mut content.file, &mut file).and_then(|_| self.sync());
        if copied.is_err() {
            // What stood there is gone; but the file does not keep what it never had.
            self.take_back()?;
        }
        self.finish(intent)?;
        copied
    }

    fn become_normal(&self, new: &NewName) -> io::Result<FileName> {
        let tree = &self.path.tree;
        if tree.fsync != Fsync::Never {
            self.file.sync_data()?;
        }
        let leaf = new.leaf_with_tail_of(self.name.leaf());
        let new = self.name.with_leaf(&leaf).map_err(io::Error::other)?;
        tree.rename(&self.name, &new)?;
        self.path.remove_metadata(&self.name)?;
        Ok(new)
    }
}

/// A body that fits into memory, received before the file is locked: who sends it slowly holds up nobody. None where it is larger.
async fn small_content(peer: &mut Peer) -> Result<Option<Vec<u8>>, Refusal> {
    match peer.body_left() {
        size if size <= PIECE as u64 => peer.content(size as usize).await.map(Some),
        _ => Ok(None),
    }
}

fn check_whole(name: &FileName) -> Result<(), Refusal> {
    if (name.as_str().len() as u64) < WHOLE_NAME { Err(Refusal::INVALID) } else { Ok(()) }
}
