//! One connection, seen from the server: headers, bodies in pieces, answers; a limit on every wait.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncWriteExt as _, Interest},
    net::TcpStream,
    sync::watch,
    time::timeout,
};

use super::{connections::Phase, reply::Refusal};
use crate::wire::{Command, HEADER_LEN, Header, Status};

/// Holds whole small requests, and several when they were sent together.
const BUFFER: usize = 16 << 10;
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
    /// For messages over `BUFFER`; made when first needed.
    large: Vec<u8>,
    body_left: u64,
    /// Until the first request it is `io`: who connects and says nothing is not waited for as long as who rests.
    idle: Duration,
    rests: Duration,
    io: Duration,
    phase: watch::Receiver<Phase>,
}

impl Peer {
    pub(super) fn new(stream: TcpStream, idle: Duration, io: Duration, phase: watch::Receiver<Phase>) -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        let stream = Arc::new(stream);
        Self { stream, buffer, start: 0, end: 0, large: Vec::new(), body_left: 0, idle: io, rests: idle, io, phase }
    }

    pub(super) fn local_address(&self) -> Option<SocketAddr> {
        self.stream.local_addr().ok()
    }

    /// The next request. None when the client is done, silent for too long, or not speaking FastDFS; and when the server stops.
    pub(super) async fn header(&mut self) -> Option<Header> {
        while self.end - self.start < HEADER_LEN {
            let (wait, until) = match self.end - self.start {
                0 => (self.idle, Phase::Finishing),
                _ => (self.io, Phase::Cut),
            };
            self.fill(wait, until).await.ok()?;
        }
        let bytes = self.buffer[self.start..].first_chunk::<HEADER_LEN>().expect("that many are there");
        let header = Header::decode(bytes).ok()?;
        self.start += HEADER_LEN;
        self.body_left = header.length;
        self.idle = self.rests;
        self.large = Vec::new();
        Some(header)
    }

    /// How much of the body has not been read.
    pub(super) fn body_left(&self) -> u64 {
        self.body_left
    }

    /// The next `count` bytes of the body; refused when there are fewer, or when it is more than a message may have.
    pub(super) async fn take(&mut self, count: usize) -> Result<&[u8], Refusal> {
        if count as u64 > self.body_left || count > PIECE {
            return Err(Refusal::INVALID);
        }
        if count > BUFFER {
            self.large = self.content(count).await?;
            return Ok(&self.large);
        }
        self.body_left -= count as u64;
        while self.end - self.start < count {
            self.fill(self.io, Phase::Cut).await.map_err(|error| Refusal::socket(&error))?;
        }
        let taken = self.start..self.start + count;
        self.start += count;
        Ok(&self.buffer[taken])
    }

    /// All that is left of a body that is a message, not content.
    pub(super) async fn whole_body(&mut self) -> Result<&[u8], Refusal> {
        let count = usize::try_from(self.body_left).map_err(|_| Refusal::INVALID)?;
        self.take(count).await
    }

    /// The next `count` bytes of content, at most what is left of the body and [`PIECE`].
    pub(super) async fn content(&mut self, count: usize) -> Result<Vec<u8>, Refusal> {
        self.content_in(Vec::new(), count).await
    }

    /// As [`Peer::content`], in a buffer that was used before.
    pub(super) async fn content_in(&mut self, mut piece: Vec<u8>, count: usize) -> Result<Vec<u8>, Refusal> {
        let here = count.min(self.end - self.start);
        piece.clear();
        piece.reserve_exact(count);
        piece.extend_from_slice(&self.buffer[self.start..self.start + here]);
        self.start += here;
        while piece.len() < count {
            self.read_into(&mut piece, count).await.map_err(|error| Refusal::socket(&error))?;
        }
        self.body_left -= count as u64;
        Ok(piece)
    }

    pub(super) async fn answer(&mut self, status: Status, body: &[u8]) -> Result<(), Refusal> {
        let message = crate::wire::message(Command::ANSWER, status, body);
        self.write(&message).await
    }

    pub(super) async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Refusal> {
        while !bytes.is_empty() {
            match self.stream.try_write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if is_not_ready(&error) => self.writable().await?,
                Err(error) => return Err(Refusal::socket(&error)),
            }
        }
        Ok(())
    }

    /// Waits until more can be written.
    pub(super) async fn writable(&mut self) -> Result<(), Refusal> {
        let ready = self.ready(Interest::WRITABLE, self.io, Phase::Cut).await;
        ready.map_err(|error| Refusal::socket(&error))
    }

    /// Returns when the server cuts its connections.
    pub(super) async fn cut(&mut self) {
        // The sender lives as long as there is a connection.
        let _ = self.phase.wait_for(|phase| *phase >= Phase::Cut).await;
    }

    /// For writers that copy from a file to the socket themselves.
    pub(super) fn stream(&self) -> Arc<TcpStream> {
        Arc::clone(&self.stream)
    }

    /// Makes ready for the next request; false when more is coming than is worth reading.
    pub(super) async fn drain(&mut self) -> bool {
        self.body_left <= DRAIN && self.skip_body().await.is_ok()
    }

    /// Ends the connection so that the last answer arrives: closing with unread bytes would reset it.
    pub(super) async fn linger(mut self) {
        let until = Instant::now() + LINGER;
        self.body_left = DRAIN;
        self.io = self.io.min(LINGER);
        // Nobody else holds it: every job that writes to it has ended.
        let Some(stream) = Arc::get_mut(&mut self.stream) else { return };
        if stream.shutdown().await.is_ok() {
            // It ends by itself when the client closes; whatever else happens, the time is over then.
            let _ = tokio::time::timeout_at(until.into(), self.skip_body()).await;
        }
    }

    async fn skip_body(&mut self) -> io::Result<()> {
        while self.body_left > 0 {
            if self.start == self.end {
                self.fill(self.io, Phase::Cut).await?;
            }
            let count = self.body_left.min((self.end - self.start) as u64);
            self.start += count as usize;
            self.body_left -= count;
        }
        Ok(())
    }

    /// Reads at least one byte behind those that are there.
    async fn fill(&mut self, wait: Duration, until: Phase) -> io::Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        loop {
            match self.stream.try_read(&mut self.buffer[self.end..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.end += count;
                    return Ok(());
                }
                Err(error) if is_not_ready(&error) => {
                    if until == Phase::Cut {
                        self.acknowledge_at_once();
                    }
                    self.ready(Interest::READABLE, wait, until).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads at least one byte to the end of a piece that is to have `count` bytes.
    async fn read_into(&mut self, piece: &mut Vec<u8>, count: usize) -> io::Result<()> {
        use bytes::BufMut as _;
        loop {
            let missing = count - piece.len();
            match self.stream.try_read_buf(&mut (&mut *piece).limit(missing)) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => return Ok(()),
                Err(error) if is_not_ready(&error) => {
                    self.acknowledge_at_once();
                    self.ready(Interest::READABLE, self.io, Phase::Cut).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A client that sends a request in two parts without `TCP_NODELAY` keeps the second one back until the first one is
    /// acknowledged (RFC 896), which the system delays by 40 ms unless told so. It forgets what it was told with every read.
    fn acknowledge_at_once(&self) {
        #[cfg(target_os = "linux")]
        // Where it cannot be had, such clients wait a little.
        let _ = socket2::SockRef::from(self.stream.as_ref()).set_tcp_quickack(true);
    }

    /// Waits for the socket; not beyond `wait`, and not into the phase `until` of the server's end.
    async fn ready(&mut self, interest: Interest, wait: Duration, until: Phase) -> io::Result<()> {
        let Self { stream, phase, .. } = self;
        tokio::select! {
            ready = timeout(wait, stream.ready(interest)) => ready.map_err(|_| io::ErrorKind::TimedOut)?.map(|_| ()),
            _ = phase.wait_for(|phase| *phase >= until) => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

fn is_not_ready(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
