//! Sending content: uploads, appends and modifications, from memory, a file or any reader.

use std::{io, net::SocketAddr, path::Path, time::Duration};

use tokio::{
    fs::File,
    io::{AsyncRead, AsyncReadExt as _},
};

use super::{
    Client, ClientError, Operation,
    connection::{Fault, PIECE},
    exchange::{Call, MAX_ANSWER},
    pool::Lease,
};
use crate::wire::{
    Command, Extension, FileId, FileKind, Header, SlaveHead, SlavePrefix, StoreTarget, UploadHead, parse_file_request,
};

/// Content up to this size goes out together with what stands before it.
const TOGETHER: usize = 64 << 10;
/// How long to wait for the words of a server that stopped reading.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What is sent.
pub(super) enum Content<'a> {
    Bytes(&'a [u8]),
    Reader { reader: &'a mut (dyn AsyncRead + Unpin + Send), size: u64, what: &'a Path },
}

impl Content<'_> {
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Reader { size, .. } => *size,
        }
    }
}

/// A request whose body is `head` and then content.
pub(super) struct Sending<'a> {
    pub(super) command: Command,
    pub(super) head: Vec<u8>,
    pub(super) content: Content<'a>,
}

impl Client {
    /// Uploads bytes as a normal file.
    pub async fn upload(&self, content: &[u8], extension: &Extension) -> Result<FileId, ClientError> {
        self.upload_content(Command::UPLOAD, Content::Bytes(content), extension).await
    }

    /// Uploads a local file as a normal file, with the size that it has now.
    pub async fn upload_file(&self, path: &Path, extension: &Extension) -> Result<FileId, ClientError> {
        self.upload_path(Command::UPLOAD, path, extension).await
    }

    /// Uploads exactly `size` bytes of a reader as a normal file; a reader that ends before fails the upload.
    pub async fn upload_reader(
        &self,
        reader: &mut (dyn AsyncRead + Unpin + Send),
        size: u64,
        extension: &Extension,
    ) -> Result<FileId, ClientError> {
        let content = Content::Reader { reader, size, what: Path::new("the reader") };
        self.upload_content(Command::UPLOAD, content, extension).await
    }

    /// Uploads bytes as the beginning of an appender file.
    pub async fn upload_appender(&self, content: &[u8], extension: &Extension) -> Result<FileId, ClientError> {
        self.upload_content(Command::UPLOAD_APPENDER, Content::Bytes(content), extension).await
    }

    /// Uploads a local file as the beginning of an appender file.
    pub async fn upload_appender_file(&self, path: &Path, extension: &Extension) -> Result<FileId, ClientError> {
        self.upload_path(Command::UPLOAD_APPENDER, path, extension).await
    }

    /// Uploads bytes as a slave of `master`: its name is the master's with `prefix` added.
    pub async fn upload_slave(
        &self,
        master: &FileId,
        prefix: &SlavePrefix,
        extension: &Extension,
        content: &[u8],
    ) -> Result<FileId, ClientError> {
        let call = Call::on(Operation::Upload, master);
        let address = self.update_target(master).await?.address;
        let head = SlaveHead::encode(&master.name, content.len() as u64, prefix, extension);
        let sending = Sending { command: Command::UPLOAD_SLAVE, head, content: Content::Bytes(content) };
        let (_, answer) = self.send(call, address, sending).await?;
        parse_file_request(&answer).map_err(|source| ClientError::Answer { attempt: call.attempt(address), source })
    }

    async fn upload_path(&self, command: Command, path: &Path, extension: &Extension) -> Result<FileId, ClientError> {
        let (mut file, size) = open(path).await.map_err(|source| local(path, source))?;
        let content = Content::Reader { reader: &mut file, size, what: path };
        self.upload_content(command, content, extension).await
    }

    async fn upload_content(
        &self,
        command: Command,
        content: Content<'_>,
        extension: &Extension,
    ) -> Result<FileId, ClientError> {
        let call = Call::new(Operation::Upload);
        let StoreTarget { address, path_index, .. } = self.store_target().await?;
        let size = content.size();
        let head = UploadHead { path_index, size, extension: *extension }.encode();
        let (crc32, answer) = self.send(call, address, Sending { command, head, content }).await?;
        let stored = parse_file_request(&answer).and_then(|file| file.name.info().map(|named| (file, named)));
        let (file, named) = stored.map_err(|source| ClientError::Answer { attempt: call.attempt(address), source })?;
        let same_size = match named.kind {
            FileKind::Normal { size: named } | FileKind::Trunk { size: named, .. } => named == size,
            FileKind::Appender | FileKind::Slave => true,
        };
        if !same_size || named.crc32 != crc32 {
            let call = Call::on(Operation::Upload, &file);
            return Err(ClientError::Mismatch { attempt: call.attempt(address) });
        }
        Ok(file)
    }

    /// Sends content; the CRC of what was sent, and the answer. Only an answer of success lets the connection live on.
    pub(super) async fn send(
        &self,
        call: Call<'_>,
        address: SocketAddr,
        sending: Sending<'_>,
    ) -> Result<(u32, bytes::Bytes), ClientError> {
        let mut lease = self.shared.pool.lease(address).await?;
        let length = sending.head.len() as u64 + sending.content.size();
        let mut start = Header::request(sending.command, length).encode().to_vec();
        start.extend_from_slice(&sending.head);
        let sent = match sending.content {
            Content::Bytes(bytes) => send_bytes(&mut lease, start, bytes).await,
            Content::Reader { reader, size, what } => match send_reader(&mut lease, &start, reader, size).await {
                Err(ReadFault::Local(source)) => return Err(local(what, source)),
                Err(ReadFault::Wire(fault)) => Err(fault),
                Ok(crc32) => Ok(crc32),
            },
        };
        let crc32 = match sent {
            Ok(crc32) => crc32,
            Err(fault) => return Err(last_words(&mut lease, call, fault).await),
        };
        let answered = async {
            let header = lease.connection.answer().await?;
            Ok((header, lease.connection.body(header.length, MAX_ANSWER).await?))
        };
        let (header, body) = answered.await.map_err(|fault| call.fault(address, fault))?;
        if !header.status.is_ok() {
            return Err(call.status(address, header.status));
        }
        lease.keep();
        Ok((crc32, body))
    }
}

/// A server that refuses in the middle answers and stops reading: its answer says more than the broken pipe.
async fn last_words(lease: &mut Lease<'_>, call: Call<'_>, fault: Fault) -> ClientError {
    let address = lease.connection.address;
    match tokio::time::timeout(LAST_WORDS, lease.connection.answer()).await {
        Ok(Ok(header)) if !header.status.is_ok() => call.status(address, header.status),
        _ => call.fault(address, fault),
    }
}

enum ReadFault {
    Local(io::Error),
    Wire(Fault),
}

async fn send_bytes(lease: &mut Lease<'_>, mut start: Vec<u8>, content: &[u8]) -> Result<u32, Fault> {
    let together = content.len().min(TOGETHER);
    start.extend_from_slice(&content[..together]);
    lease.connection.write(&start).await?;
    lease.connection.write(&content[together..]).await?;
    Ok(crc32fast::hash(content))
}

async fn send_reader(
    lease: &mut Lease<'_>,
    start: &[u8],
    reader: &mut (dyn AsyncRead + Unpin + Send),
    size: u64,
) -> Result<u32, ReadFault> {
    let mut crc = crc32fast::Hasher::new();
    let mut piece = vec![0; PIECE.min(usize::try_from(size).unwrap_or(PIECE))];
    let mut left = size;
    lease.connection.write(start).await.map_err(ReadFault::Wire)?;
    while left > 0 {
        let want = left.min(piece.len() as u64) as usize;
        let count = reader.read(&mut piece[..want]).await.map_err(ReadFault::Local)?;
        if count == 0 {
            return Err(ReadFault::Local(io::ErrorKind::UnexpectedEof.into()));
        }
        crc.update(&piece[..count]);
        lease.connection.write(&piece[..count]).await.map_err(ReadFault::Wire)?;
        left -= count as u64;
    }
    Ok(crc.finalize())
}

pub(super) async fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut file = File::open(path).await?;
    file.set_max_buf_size(PIECE);
    let metadata = file.metadata().await?;
    if metadata.is_file() { Ok((file, metadata.len())) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

pub(super) fn local(path: &Path, source: io::Error) -> ClientError {
    ClientError::Local { what: path.to_owned(), source }
}
