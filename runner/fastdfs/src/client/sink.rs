//! Where streamed content goes, and how far it came.

use std::{io, path::Path};

use bytes::Bytes;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    sync::mpsc::Sender,
};

use super::{ClientError, send::local};

pub(super) enum Sink<'a> {
    Writer {
        writer: &'a mut (dyn AsyncWrite + Unpin + Send),
        what: &'a Path,
    },
    Each(&'a mut (dyn FnMut(Bytes) -> io::Result<()> + Send)),
    /// To a thread that writes; it has stopped when the queue is closed.
    Queue(&'a Sender<Bytes>),
    /// Only the CRC is wanted.
    Nowhere,
}

/// Content on its way: what came stays, whichever connection brings the rest.
pub(super) struct Flow<'a> {
    sink: Sink<'a>,
    crc: crc32fast::Hasher,
    /// Bytes that the sink has taken.
    pub(super) done: u64,
    /// All that will come, once a server has said it.
    pub(super) whole: Option<u64>,
}

impl<'a> Flow<'a> {
    pub(super) fn to(sink: Sink<'a>) -> Self {
        Self { sink, crc: crc32fast::Hasher::new(), done: 0, whole: None }
    }

    pub(super) async fn take(&mut self, piece: Bytes) -> Result<(), ClientError> {
        let size = piece.len() as u64;
        match &mut self.sink {
            Sink::Writer { writer, what } => {
                self.crc.update(&piece);
                writer.write_all(&piece).await.map_err(|source| local(what, source))?;
            }
            Sink::Each(each) => each(piece).map_err(|source| local("the receiver".as_ref(), source))?,
            Sink::Queue(queue) => {
                let closed = |_| local("the queue to the disk".as_ref(), io::ErrorKind::BrokenPipe.into());
                queue.send(piece).await.map_err(closed)?;
            }
            Sink::Nowhere => self.crc.update(&piece),
        }
        self.done += size;
        Ok(())
    }

    pub(super) async fn end(&mut self) -> Result<(), ClientError> {
        match &mut self.sink {
            Sink::Writer { writer, what } => writer.flush().await.map_err(|source| local(what, source)),
            Sink::Each(_) | Sink::Queue(_) | Sink::Nowhere => Ok(()),
        }
    }

    /// Of all that came; 0 for sinks that do not need it.
    pub(super) fn crc32(&self) -> u32 {
        self.crc.clone().finalize()
    }
}
