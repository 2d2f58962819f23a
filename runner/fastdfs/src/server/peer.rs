//! One connection, seen from the server: headers, bodies in pieces, answers. Blocking, with a limit on every wait.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use super::reply::Refusal;
use crate::wire::{Command, HEADER_LEN, Header, Status};

/// Holds whole small requests, and several when they were sent together.
const BUFFER: usize = 32 << 10;
/// Largest piece of a body, and largest body that is not content.
pub(super) const PIECE: usize = 256 << 10;
/// An unwanted body up to this size is read and dropped, so that the connection can go on.
const DRAIN: u64 = 1 << 20;

/// How long a connection that is being closed may go on sending.
const LINGER: Duration = Duration::from_secs(1);

pub(super) struct Peer {
    stream: Arc<TcpStream>,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// For bodies over `BUFFER`; made when first needed.
    large: Vec<u8>,
    body_left: u64,
    idle: Duration,
    io: Duration,
    read_timeout: Duration,
}

impl Peer {
    pub(super) fn new(stream: Arc<TcpStream>, idle: Duration, io: Duration) -> io::Result<Self> {
        let (idle, io) = (idle.max(Duration::from_millis(1)), io.max(Duration::from_millis(1)));
        stream.set_read_timeout(Some(idle))?;
        stream.set_write_timeout(Some(io))?;
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Ok(Self { stream, buffer, start: 0, end: 0, large: Vec::new(), body_left: 0, idle, io, read_timeout: idle })
    }

    pub(super) fn local_address(&self) -> Option<SocketAddr> {
        self.stream.local_addr().ok()
    }

    /// The next request. None when the client is done, silent for too long, or not speaking FastDFS.
    pub(super) fn header(&mut self) -> Option<Header> {
        while self.end - self.start < HEADER_LEN {
            let wait = if self.start == self.end { self.idle } else { self.io };
            self.fill(wait).ok()?;
        }
        let bytes = self.buffer[self.start..].first_chunk::<HEADER_LEN>().expect("that many are there");
        let header = Header::decode(bytes).ok()?;
        self.start += HEADER_LEN;
        self.body_left = header.length;
        Some(header)
    }

    /// How much of the body has not been read.
    pub(super) fn body_left(&self) -> u64 {
        self.body_left
    }

    /// The next `count` bytes of the body; refused when there are fewer, or when it is more than a message may have.
    pub(super) fn take(&mut self, count: usize) -> Result<&[u8], Refusal> {
        if count as u64 > self.body_left || count > PIECE {
            return Err(Refusal::INVALID);
        }
        self.body_left -= count as u64;
        if count <= BUFFER { self.take_small(count) } else { self.take_large(count) }
    }

    /// All that is left of a body that is a message, not content.
    pub(super) fn whole_body(&mut self) -> Result<&[u8], Refusal> {
        let count = usize::try_from(self.body_left).map_err(|_| Refusal::INVALID)?;
        self.take(count)
    }

    /// The next piece of content, as it comes. Empty at the end of the body.
    pub(super) fn piece(&mut self) -> Result<&[u8], Refusal> {
        if self.body_left == 0 {
            return Ok(&[]);
        }
        if self.start == self.end {
            if self.body_left > BUFFER as u64 {
                return self.large_piece();
            }
            self.fill(self.io).map_err(|error| Refusal::socket(&error))?;
        }
        let count = self.body_left.min((self.end - self.start) as u64) as usize;
        let piece = self.start..self.start + count;
        self.start += count;
        self.body_left -= count as u64;
        Ok(&self.buffer[piece])
    }

    pub(super) fn answer(&mut self, status: Status, body: &[u8]) -> Result<(), Refusal> {
        let message = crate::wire::message(Command::ANSWER, status, body);
        self.write(&message)
    }

    pub(super) fn write(&self, bytes: &[u8]) -> Result<(), Refusal> {
        (&*self.stream).write_all(bytes).map_err(|error| Refusal::socket(&error))
    }

    /// Copies from a file to the socket without passing through our memory, where the system can.
    pub(super) fn copy_from(&self, file: &std::fs::File, count: u64) -> Result<(), Refusal> {
        let copied = io::copy(&mut file.take(count), &mut &*self.stream).map_err(|error| Refusal::socket(&error))?;
        if copied == count { Ok(()) } else { Err(Refusal::Broken) }
    }

    /// Makes ready for the next request; false when more is coming than is worth reading.
    pub(super) fn drain(&mut self) -> bool {
        if self.body_left > DRAIN {
            return false;
        }
        while self.body_left > 0 {
            if self.piece().is_err() {
                return false;
            }
        }
        true
    }

    /// Ends the connection so that the last answer arrives: closing with unread bytes would reset it.
    pub(super) fn linger(&mut self) {
        let until = Instant::now() + LINGER;
        self.body_left = DRAIN;
        self.io = self.io.min(LINGER);
        if self.stream.shutdown(Shutdown::Write).is_err() {
            return;
        }
        while self.body_left > 0 && Instant::now() < until {
            if self.piece().is_err() {
                return;
            }
        }
    }

    fn take_small(&mut self, count: usize) -> Result<&[u8], Refusal> {
        while self.end - self.start < count {
            self.fill(self.io).map_err(|error| Refusal::socket(&error))?;
        }
        let taken = self.start..self.start + count;
        self.start += count;
        Ok(&self.buffer[taken])
    }

    fn take_large(&mut self, count: usize) -> Result<&[u8], Refusal> {
        let have = self.end - self.start;
        self.make_large();
        self.large[..have].copy_from_slice(&self.buffer[self.start..self.end]);
        (self.start, self.end) = (0, 0);
        self.wait_at_most(self.io).map_err(|error| Refusal::socket(&error))?;
        (&*self.stream).read_exact(&mut self.large[have..count]).map_err(|error| Refusal::socket(&error))?;
        Ok(&self.large[..count])
    }

    fn large_piece(&mut self) -> Result<&[u8], Refusal> {
        self.make_large();
        self.wait_at_most(self.io).map_err(|error| Refusal::socket(&error))?;
        let want = self.body_left.min(PIECE as u64) as usize;
        let count = read(&self.stream, &mut self.large[..want]).map_err(|error| Refusal::socket(&error))?;
        self.body_left -= count as u64;
        Ok(&self.large[..count])
    }

    fn make_large(&mut self) {
        self.large.resize(PIECE, 0);
    }

    /// Reads at least one byte behind those that are there.
    fn fill(&mut self, wait: Duration) -> io::Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        self.wait_at_most(wait)?;
        self.end += read(&self.stream, &mut self.buffer[self.end..])?;
        Ok(())
    }

    fn wait_at_most(&mut self, wait: Duration) -> io::Result<()> {
        if self.read_timeout != wait {
            self.stream.set_read_timeout(Some(wait))?;
            self.read_timeout = wait;
        }
        Ok(())
    }
}

fn read(mut stream: &TcpStream, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(into) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
