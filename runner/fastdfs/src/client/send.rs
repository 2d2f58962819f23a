//! One request that carries content, from memory, a file or any reader, and its answer.

use std::{
    borrow::Cow, fs::File, io, net::SocketAddr, os::unix::fs::FileExt as _, path::Path, sync::Arc, time::Duration,
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{
    Client, ClientError, Sent,
    ahead::Ahead,
    connection::{Fault, PIECE},
    exchange::{Call, MAX_ANSWER},
    fetch::blocking,
    pool::Lease,
};
use crate::wire::{Command, HEADER_LEN, Header};

/// Content up to this size goes out together with what stands before it.
const TOGETHER: usize = 64 << 10;
/// How long to wait for the words of a server that stopped reading.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What is sent.
pub(super) struct Content<'a> {
    origin: Origin<'a>,
    size: u64,
    /// For errors.
    what: &'a Path,
    /// Whether anything of it was read.
    begun: bool,
    /// Of all of it, once all of it was read.
    crc32: Option<u32>,
}

enum Origin<'a> {
    Bytes(Cow<'a, [u8]>),
    File(Arc<File>),
    Reader(&'a mut (dyn AsyncRead + Unpin + Send)),
}

/// A request whose body is `head` and then content.
#[derive(Clone, Copy)]
pub(super) struct Sending<'a> {
    pub(super) command: Command,
    pub(super) head: &'a [u8],
}

impl<'a> Content<'a> {
    pub(super) fn bytes(bytes: &'a [u8]) -> Self {
        let (origin, size, what) = (Origin::Bytes(Cow::Borrowed(bytes)), bytes.len() as u64, Path::new("the bytes"));
        Self { origin, size, what, begun: false, crc32: None }
    }

    pub(super) fn reader(reader: &'a mut (dyn AsyncRead + Unpin + Send), size: u64) -> Self {
        Self { origin: Origin::Reader(reader), size, what: Path::new("the reader"), begun: false, crc32: None }
    }

    /// A file with the size that it has now; a small one is read at once.
    pub(super) async fn file(path: &'a Path) -> Result<Self, ClientError> {
        let from = path.to_owned();
        let opening = move || {
            let (file, size) = open(&from)?;
            let mut small = vec![0; if size > TOGETHER as u64 { 0 } else { size as usize }];
            file.read_exact_at(&mut small, 0)?;
            Ok((file, size, small))
        };
        let (file, size, small) = blocking(path, opening).await?;
        let is_small = small.len() as u64 == size;
        let origin = if is_small { Origin::Bytes(Cow::Owned(small)) } else { Origin::File(Arc::new(file)) };
        Ok(Self { origin, size, what: path, begun: false, crc32: None })
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The CRC of all of it, unless it comes from a reader that was not read to its end.
    pub(super) fn crc32(&self) -> Option<u32> {
        match &self.origin {
            Origin::Bytes(bytes) => self.crc32.or_else(|| Some(crc32fast::hash(bytes))),
            Origin::File(_) | Origin::Reader(_) => self.crc32,
        }
    }

    /// Where all of it is in memory.
    pub(super) fn as_bytes(&self) -> Option<&[u8]> {
        match &self.origin {
            Origin::Bytes(bytes) => Some(bytes),
            Origin::File(_) | Origin::Reader(_) => None,
        }
    }

    /// Whether it can be sent again: not what comes from a reader of which something was taken.
    pub(super) fn is_whole(&self) -> bool {
        !self.begun || !matches!(self.origin, Origin::Reader(_))
    }
}

impl Client {
    /// Sends content; the answer. Only an answer of success lets the connection live on.
    pub(super) async fn send(
        &self,
        call: Call<'_>,
        address: SocketAddr,
        sending: Sending<'_>,
        content: &mut Content<'_>,
    ) -> Result<Bytes, ClientError> {
        let mut lease = self.shared.pool.lease(address).await?;
        let length = sending.head.len() as u64 + content.size;
        let mut start = Vec::with_capacity(HEADER_LEN + sending.head.len() + content.together().len());
        start.extend_from_slice(&Header::request(sending.command, length).encode());
        start.extend_from_slice(sending.head);
        match content.send(&mut lease, start).await {
            Ok(()) => {}
            Err(Stop::Local(source)) => return Err(local(content.what, source)),
            Err(Stop::Wire(fault)) => {
                self.shared.pool.forget(address);
                return Err(last_words(&mut lease, call, fault).await);
            }
        }
        let answered = async {
            let header = lease.connection.answer().await?;
            Ok((header, lease.connection.body(header.length, MAX_ANSWER).await?))
        };
        let (header, body) = answered.await.map_err(|fault| self.broken(call, Sent::Whole, address, fault))?;
        if !header.status.is_ok() {
            return Err(call.status(address, header.status));
        }
        lease.keep();
        Ok(body)
    }
}

/// A server that refuses in the middle answers and stops reading: its answer says more than the broken pipe.
async fn last_words(lease: &mut Lease<'_>, call: Call<'_>, fault: Fault) -> ClientError {
    let address = lease.connection.address;
    match tokio::time::timeout(LAST_WORDS, lease.connection.answer()).await {
        Ok(Ok(header)) if !header.status.is_ok() => call.status(address, header.status),
        _ => call.fault_when(Sent::Partly, address, fault),
    }
}

enum Stop {
    Local(io::Error),
    Wire(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Wire(fault)
    }
}

impl Content<'_> {
    /// What goes out in one piece with what stands before it.
    fn together(&self) -> &[u8] {
        match &self.origin {
            Origin::Bytes(bytes) => &bytes[..bytes.len().min(TOGETHER)],
            Origin::File(_) | Origin::Reader(_) => &[],
        }
    }

    async fn send(&mut self, lease: &mut Lease<'_>, mut start: Vec<u8>) -> Result<(), Stop> {
        start.extend_from_slice(self.together());
        lease.connection.write(&start).await?;
        self.begun = true;
        self.crc32 = Some(match &mut self.origin {
            Origin::Bytes(bytes) => {
                let rest = bytes.get(TOGETHER..).unwrap_or_default();
                lease.connection.write(rest).await?;
                crc32fast::hash(bytes)
            }
            Origin::File(file) => send_file(lease, file, self.size).await?,
            Origin::Reader(reader) => send_reader(lease, *reader, self.size).await?,
        });
        Ok(())
    }
}

async fn send_file(lease: &mut Lease<'_>, file: &Arc<File>, size: u64) -> Result<u32, Stop> {
    let mut ahead = Ahead::start(Arc::clone(file), size);
    while let Some(piece) = ahead.next().await {
        lease.connection.write(&piece).await?;
        ahead.give_back(piece);
    }
    ahead.end().await.map_err(Stop::Local)
}

async fn send_reader(
    lease: &mut Lease<'_>,
    reader: &mut (dyn AsyncRead + Unpin + Send),
    size: u64,
) -> Result<u32, Stop> {
    let mut crc = crc32fast::Hasher::new();
    let mut piece = vec![0; PIECE.min(usize::try_from(size).unwrap_or(PIECE))];
    let mut left = size;
    while left > 0 {
        let want = left.min(piece.len() as u64) as usize;
        let count = reader.read(&mut piece[..want]).await.map_err(Stop::Local)?;
        if count == 0 {
            return Err(Stop::Local(io::ErrorKind::UnexpectedEof.into()));
        }
        crc.update(&piece[..count]);
        lease.connection.write(&piece[..count]).await?;
        left -= count as u64;
    }
    Ok(crc.finalize())
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, metadata.len())) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

pub(super) fn local(path: &Path, source: io::Error) -> ClientError {
    ClientError::Local { what: path.to_owned(), source }
}
