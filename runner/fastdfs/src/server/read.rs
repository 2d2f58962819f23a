//! Reading: downloads and file info. What the system has in memory is read at once, what it has not by a disk reader.

use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    sync::Arc,
};

use tokio::net::TcpStream;

use super::{
    counters::Bytes,
    peer::{PIECE, Peer},
    reply::{Refusal, Reply},
    storage::{Storage, StorePath, file_of, on_disk},
};
use crate::wire::{DownloadRequest, FileInfo, FileKind, FileName, HEADER_LEN, Header, Source, Status};

/// Answers up to this size are read and sent in one piece; for larger ones only the first piece is.
const FIRST: u64 = 64 << 10;
/// What a reader reads before others have their turn.
const TURN: u64 = 4 << 20;
/// Offset and length, before the file in a download request.
const RANGE: usize = 16;
/// Flag in the status of a file info request.
const NO_CRC: u8 = 1;

impl Storage {
    pub(super) async fn download(&self, peer: &mut Peer) -> Result<Reply, Refusal> {
        let request = range_of(peer.whole_body().await?)?;
        self.check_group(&request.group)?;
        let path = self.path_of(&request.name)?;
        let file = open(&path, &request.name).await?;
        let mut tries = 2;
        loop {
            let size = self.visible_size(&request.name, &file)?;
            if request.offset >= size {
                return Err(Refusal::INVALID);
            }
            let rest = size - request.offset;
            let count = if request.length == 0 { rest } else { request.length.min(rest) };
            match beginning(&path, &file, request.offset, count).await {
                // Cut meanwhile.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && tries > 1 => tries -= 1,
                Err(error) => return Err(Refusal::disk(&error)),
                Ok(answer) => {
                    send(peer, &path, &file, answer, request.offset..request.offset + count).await?;
                    self.counters.moved(Bytes::Downloaded, count);
                    return Ok(Reply::Sent);
                }
            }
        }
    }

    pub(super) async fn file_info(&self, peer: &mut Peer, flags: Status) -> Result<Reply, Refusal> {
        let request = file_of(peer.whole_body().await?)?;
        self.check_group(&request.group)?;
        let path = self.path_of(&request.name)?;
        let file = open(&path, &request.name).await?;
        let size = self.visible_size(&request.name, &file)?;
        let metadata = file.metadata().map_err(|error| Refusal::disk(&error))?;
        let named = request.name.info()?;
        let crc32 = match named.kind {
            FileKind::Normal { .. } | FileKind::Trunk { .. } => named.crc32,
            FileKind::Appender | FileKind::Slave if flags.0 & NO_CRC != 0 => 0,
            FileKind::Appender | FileKind::Slave => crc_of(&path, &file, size).await?,
        };
        let source = match named.source {
            Source::Address(address) => address.into(),
            Source::Id(_) => self.address,
        };
        let info = FileInfo { size, modified_unix: metadata.mtime(), crc32, source: Some(source) };
        Ok(Reply::Body(info.encode(self.address_size.width() + 1)))
    }

    /// The size without what an unfinished change has added.
    fn visible_size(&self, name: &FileName, file: &File) -> Result<u64, Refusal> {
        // Asked before and after: a change may begin or end while the size is read.
        let before = self.writers.visible(name);
        let size = file.metadata().map_err(|error| Refusal::disk(&error))?.len();
        let visible = before.min(self.writers.visible(name));
        Ok(size.min(visible))
    }
}

async fn open(path: &Arc<StorePath>, name: &FileName) -> Result<Arc<File>, Refusal> {
    let opened = match path.tree.open_cached(name) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            let (at, name) = (Arc::clone(path), name.clone());
            path.readers.run(move || at.tree.open_to_read(&name)).await
        }
        opened => opened,
    };
    opened.map(Arc::new).map_err(|error| Refusal::disk(&error))
}

/// As [`file_of`], with the range in front.
fn range_of(body: &[u8]) -> Result<DownloadRequest, Refusal> {
    DownloadRequest::decode(body).map_err(|_| match body.split_at_checked(RANGE) {
        Some((_, file)) => file_of(file).map_or_else(|refusal| refusal, |_| Refusal::INVALID),
        None => Refusal::INVALID,
    })
}

/// Sends header and first bytes, then the rest of the range.
async fn send(
    peer: &mut Peer,
    path: &StorePath,
    file: &Arc<File>,
    beginning: Vec<u8>,
    Range { start, end }: Range<u64>,
) -> Result<(), Refusal> {
    peer.write(&beginning).await?;
    let mut at = start + (beginning.len() - HEADER_LEN) as u64;
    while at < end {
        let (stream, file, turn) = (peer.stream(), Arc::clone(file), (end - at).min(TURN));
        match path.readers.run(move || copy(&stream, &file, at, turn)).await {
            Ok(copied) => at += copied,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => peer.writable().await?,
            // The header is out: a failure now can only cut the connection.
            Err(error) => return Err(Refusal::socket(&error)),
        }
    }
    Ok(())
}

/// The header of an answer of `count` bytes, and the first of them, in one buffer.
async fn beginning(path: &StorePath, file: &Arc<File>, offset: u64, count: u64) -> io::Result<Vec<u8>> {
    let mut answer = vec![0; HEADER_LEN + count.min(FIRST) as usize];
    answer[..HEADER_LEN].copy_from_slice(&Header::answer(Status::OK, count).encode());
    if read_cached(file, &mut answer[HEADER_LEN..], offset) {
        return Ok(answer);
    }
    let file = Arc::clone(file);
    let read = move || file.read_exact_at(&mut answer[HEADER_LEN..], offset).map(|()| answer);
    path.readers.run(read).await
}

/// CRC-32 of the first `size` bytes; gives way to other readers as downloads do.
pub(super) async fn crc_of(path: &StorePath, file: &Arc<File>, size: u64) -> Result<u32, Refusal> {
    let mut crc = crc32fast::Hasher::new();
    let mut at = 0;
    while at < size {
        let (file, turn) = (Arc::clone(file), at..size.min(at + TURN));
        at = turn.end;
        crc = on_disk(&path.readers, move || add_to_crc(crc, &file, turn)).await?;
    }
    Ok(crc.finalize())
}

fn add_to_crc(mut crc: crc32fast::Hasher, file: &File, range: Range<u64>) -> io::Result<crc32fast::Hasher> {
    let mut piece = vec![0; PIECE.min((range.end - range.start) as usize)];
    let mut at = range.start;
    while at < range.end {
        let count = piece.len().min((range.end - at) as usize);
        file.read_exact_at(&mut piece[..count], at)?;
        crc.update(&piece[..count]);
        at += count as u64;
    }
    Ok(crc)
}

/// Whether the system had all of it in memory.
#[cfg(target_os = "linux")]
fn read_cached(file: &File, into: &mut [u8], offset: u64) -> bool {
    let wanted = into.len();
    let read = rustix::io::preadv2(file, &mut [io::IoSliceMut::new(into)], offset, rustix::io::ReadWriteFlags::NOWAIT);
    read == Ok(wanted)
}

#[cfg(not(target_os = "linux"))]
fn read_cached(_: &File, _: &mut [u8], _: u64) -> bool {
    false
}

/// Copies some of a file to a socket: as much as the socket takes now, at most `count` bytes.
#[cfg(target_os = "linux")]
fn copy(stream: &TcpStream, file: &File, offset: u64, count: u64) -> io::Result<u64> {
    let mut at = offset;
    while at < offset + count {
        let left = (offset + count - at) as usize;
        // Without passing through our memory.
        match stream
            .try_io(tokio::io::Interest::WRITABLE, || Ok(rustix::fs::sendfile(stream, file, Some(&mut at), left)?))
        {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && at > offset => break,
            Err(error) => return Err(error),
        }
    }
    Ok(at - offset)
}

#[cfg(not(target_os = "linux"))]
fn copy(stream: &TcpStream, file: &File, offset: u64, count: u64) -> io::Result<u64> {
    let mut piece = vec![0; count.min(FIRST) as usize];
    file.read_exact_at(&mut piece, offset)?;
    stream.try_write(&piece).map(|count| count as u64)
}
