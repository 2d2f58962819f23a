//! One connection: bytes out and in, each wait limited, lengths from the wire never trusted.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::buffers::Buffers;
use crate::wire::{Command, HEADER_LEN, Header, Status, WireError, message};

/// Largest piece of content that is read or written at once.
pub(super) const PIECE: usize = 256 << 10;
/// Room for any answer that is not content.
const SMALL: usize = 4 << 10;

/// Why a connection cannot go on.
#[derive(Debug)]
pub(super) enum Fault {
    Io(io::Error),
    TimedOut(Duration),
    Wire(WireError),
    TooLarge { size: u64, limit: u64 },
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<WireError> for Fault {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    pub(super) address: SocketAddr,
    /// Bytes that came with an answer and are not its header.
    buffer: BytesMut,
    io_timeout: Duration,
    pub(super) rested_since: Instant,
    /// Rested in the pool: the server may have closed it without our knowing.
    pub(super) reused: bool,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr, connect: Duration, io_timeout: Duration) -> io::Result<Self> {
        let connected = timeout(connect, TcpStream::connect(address)).await;
        let stream = connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        stream.set_nodelay(true)?;
        let buffer = BytesMut::with_capacity(SMALL);
        Ok(Self { stream, address, buffer, io_timeout, rested_since: Instant::now(), reused: false })
    }

    /// Whether nothing came while it rested: neither an end nor bytes that belong to no request.
    pub(super) fn is_quiet(&self) -> bool {
        let waiting = self.stream.try_read(&mut [0]);
        self.buffer.is_empty() && waiting.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Asks the server whether it is there.
    pub(super) async fn probe(&mut self) -> Result<(), Fault> {
        self.write(&message(Command::ACTIVE_TEST, Status::OK, &[])).await?;
        let header = self.answer().await?;
        if header.status.is_ok() && header.length == 0 {
            return Ok(());
        }
        Err(WireError::Length { what: "an answer to a probe", length: header.length }.into())
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let mut left = bytes;
        while !left.is_empty() {
            let written = timeout(self.io_timeout, self.stream.write(left)).await;
            match written.map_err(|_| Fault::TimedOut(self.io_timeout))?? {
                0 => return Err(Fault::Io(io::ErrorKind::WriteZero.into())),
                count => left = &left[count..],
            }
        }
        Ok(())
    }

    /// The header of the answer.
    pub(super) async fn answer(&mut self) -> Result<Header, Fault> {
        self.late_answer(Duration::ZERO).await
    }

    /// As [`Connection::answer`], which may take so much longer.
    pub(super) async fn late_answer(&mut self, patience: Duration) -> Result<Header, Fault> {
        while self.buffer.len() < HEADER_LEN {
            self.fill(SMALL, self.io_timeout.saturating_add(patience)).await?;
        }
        let header = Header::decode(self.buffer.first_chunk().expect("that many are there"))?;
        self.buffer.advance(HEADER_LEN);
        if header.command != Command::ANSWER {
            return Err(WireError::NotAnAnswer(header.command.0).into());
        }
        Ok(header)
    }

    /// A whole body of at most `limit` bytes.
    pub(super) async fn body(&mut self, length: u64, limit: usize) -> Result<Bytes, Fault> {
        let size = allowed(length, limit)?;
        let mut body = Vec::with_capacity(size);
        self.read_into(&mut body, size).await?;
        Ok(body.into())
    }

    /// As [`Connection::body`], of content, which may be large.
    pub(super) async fn content(&mut self, length: u64, limit: usize, buffers: &Arc<Buffers>) -> Result<Bytes, Fault> {
        let size = allowed(length, limit)?;
        let mut content = buffers.take(size);
        self.read_into(&mut content, size).await?;
        Ok(buffers.lend(content))
    }

    async fn read_into(&mut self, body: &mut Vec<u8>, size: usize) -> Result<(), Fault> {
        let have = self.buffer.len().min(size);
        body.extend_from_slice(&self.buffer.split_to(have));
        while body.len() < size {
            let missing = size - body.len();
            let read = timeout(self.io_timeout, self.stream.read_buf(&mut (&mut *body).limit(missing))).await;
            if read.map_err(|_| Fault::TimedOut(self.io_timeout))?? == 0 {
                return Err(Fault::Io(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        Ok(())
    }

    /// The next piece of a body of which `left` bytes are to come; at least one byte, at most `left`.
    pub(super) async fn piece(&mut self, left: u64) -> Result<Bytes, Fault> {
        if self.buffer.is_empty() {
            self.fill(PIECE, self.io_timeout).await?;
        }
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
        Ok(self.buffer.split_to(count).freeze())
    }

    /// Says goodbye; there is no answer.
    pub(super) async fn quit(mut self) {
        // Closing says the same to a server that does not read this.
        let _ = self.write(&message(Command::QUIT, Status::OK, &[])).await;
    }

    async fn fill(&mut self, room: usize, limit: Duration) -> Result<(), Fault> {
        // What is left of an allocation is used up first, down to a quarter: small pieces would else cost a whole one each.
        if self.buffer.capacity() - self.buffer.len() < room / 4 {
            self.buffer.reserve(room);
        }
        let read = timeout(limit, self.stream.read_buf(&mut self.buffer)).await;
        if read.map_err(|_| Fault::TimedOut(limit))?? == 0 {
            return Err(Fault::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(())
    }
}

/// The length as a size, where it is within the limit.
fn allowed(length: u64, limit: usize) -> Result<usize, Fault> {
    let size = usize::try_from(length).ok().filter(|size| *size <= limit);
    size.ok_or(Fault::TooLarge { size: length, limit: limit as u64 })
}
