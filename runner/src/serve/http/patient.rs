//! A connection whose other side must take what it is sent: who asks and does not read would keep its place for ever.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// Bytes that count as progress where not everything is taken: a few at a time must not hold a place.
const ENOUGH: usize = 16 * 1024;

/// Fails with `TimedOut` where, for so long, neither [`ENOUGH`] nor everything that is to be sent was taken.
#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    limit: Duration,
    waits: Option<Waits>,
}

/// Since the other side last took enough.
#[derive(Debug)]
struct Waits {
    end: Pin<Box<Sleep>>,
    taken: usize,
}

impl<S> Patient<S> {
    pub(super) const fn new(stream: S, limit: Duration) -> Self {
        Self { stream, limit, waits: None }
    }

    fn judge(&mut self, context: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match (&written, &mut self.waits) {
            (Poll::Ready(Ok(bytes)), Some(waits)) => {
                waits.taken = waits.taken.saturating_add(*bytes);
                if waits.taken >= ENOUGH {
                    self.waits = None;
                }
            }
            (Poll::Ready(_), _) => {}
            (Poll::Pending, waits) => {
                let limit = self.limit;
                let begun = || Waits { end: Box::pin(tokio::time::sleep(limit)), taken: 0 };
                if waits.get_or_insert_with(begun).end.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Is asked for when everything was written.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if flushed.is_ready() {
            self.waits = None;
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    const LIMIT: Duration = Duration::from_millis(300);

    #[tokio::test]
    async fn who_takes_nothing_is_left() {
        let (ours, theirs) = duplex(1_000);
        let error = Patient::new(ours, LIMIT).write_all(&[0; 2_000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(theirs);
    }

    #[tokio::test]
    async fn who_takes_a_byte_now_and_then_is_left_too() {
        let (ours, mut theirs) = duplex(1_000);
        let trickle = tokio::spawn(async move {
            while theirs.read_u8().await.is_ok() {
                tokio::time::sleep(LIMIT / 10).await;
            }
        });
        let mut ours = Patient::new(ours, LIMIT);
        let error = ours.write_all(&vec![0; 1 << 20]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        trickle.abort();
    }

    #[tokio::test]
    async fn who_is_slow_and_takes_enough_gets_everything() {
        let (ours, mut theirs) = duplex(ENOUGH);
        let limit = LIMIT * 8;
        let taken = tokio::spawn(async move {
            let (mut piece, mut all) = (vec![0; ENOUGH], 0);
            // In all this takes longer than the limit.
            while let Ok(()) = theirs.read_exact(&mut piece).await.map(drop) {
                all += piece.len();
                tokio::time::sleep(limit / 8).await;
            }
            all
        });
        let mut ours = Patient::new(ours, limit);
        for _ in 0..10 {
            ours.write_all(&[7; ENOUGH]).await.unwrap();
            ours.flush().await.unwrap();
        }
        drop(ours);
        assert_eq!(taken.await.unwrap(), ENOUGH * 10);
    }
}
