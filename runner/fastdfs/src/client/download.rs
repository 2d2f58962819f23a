//! Ranges of files: to memory, to any writer, to a function. What comes is never more than was asked for.
//!
//! A file whose name says that it is empty is not asked for: servers since 6.15.4 refuse to read at the end of a file.

use std::{io, net::SocketAddr};

use bytes::Bytes;
use tokio::io::AsyncWrite;

use super::{
    Client, ClientError, Operation,
    exchange::{Call, Request},
    inspect::named,
    pool::Lease,
    sink::{Flow, Sink},
};
use crate::wire::{Command, DownloadRequest, FileId, Header, Status, WireError};

/// A connection that breaks after so many bytes costs none of the tries.
const PROGRESS: u64 = 4 << 20;

/// What is asked for: from `offset`, at most `length` bytes, 0 meaning to the end.
#[derive(Clone, Copy)]
pub(super) struct Range {
    pub(super) offset: u64,
    pub(super) length: u64,
}

impl Client {
    /// Downloads from `offset`: at most `length` bytes (0 means to the end), fewer where the file ends. More than `limit` is an
    /// error. A normal file that is empty by its name comes without asking anybody, whether or not it exists.
    pub async fn download(&self, file: &FileId, offset: u64, length: u64, limit: usize) -> Result<Bytes, ClientError> {
        let mut tries = self.tries();
        loop {
            match self.download_once(file, Range { offset, length }, limit).await {
                Err(error) if tries.again_for(file, &error).await => {}
                done => return done,
            }
        }
    }

    async fn download_once(&self, file: &FileId, range: Range, limit: usize) -> Result<Bytes, ClientError> {
        let call = Call::on(Operation::Download, file);
        let Some((mut lease, size)) = self.begin_range(call, file, range, None).await? else {
            return Ok(Bytes::new());
        };
        let address = lease.connection.address;
        let body = lease.connection.content(size, limit, &self.shared.buffers).await;
        let body = body.map_err(|fault| call.fault(address, fault))?;
        lease.keep();
        Ok(body)
    }

    /// Downloads from `offset` to a writer, which is flushed; how many bytes it was. Where the connection breaks, another one goes
    /// on behind what was written, so of an appender that changes meanwhile the parts may not fit. Else as [`Client::download`].
    pub async fn download_to_writer(
        &self,
        file: &FileId,
        offset: u64,
        length: u64,
        writer: &mut (dyn AsyncWrite + Unpin + Send),
    ) -> Result<u64, ClientError> {
        let mut flow = Flow::to(Sink::Writer { writer, what: "the writer".as_ref() });
        self.stream(file, Range { offset, length }, &[], &mut flow).await
    }

    /// Downloads from `offset` and hands over each piece as it comes, at most 256 KiB; how many bytes it was. The first error of
    /// `each` ends the download, as [`ClientError::Local`]. Else as [`Client::download_to_writer`].
    pub async fn download_each(
        &self,
        file: &FileId,
        offset: u64,
        length: u64,
        mut each: impl FnMut(Bytes) -> io::Result<()> + Send,
    ) -> Result<u64, ClientError> {
        let mut flow = Flow::to(Sink::Each(&mut each));
        self.stream(file, Range { offset, length }, &[], &mut flow).await
    }

    /// The CRC of a range that exists.
    pub(super) async fn range_crc32(&self, file: &FileId, offset: u64, length: u64) -> Result<u32, ClientError> {
        let mut flow = Flow::to(Sink::Nowhere);
        if length > 0 {
            self.stream(file, Range { offset, length }, &[], &mut flow).await?;
        }
        Ok(flow.crc32())
    }

    /// Streams a range; how many bytes it was. After a broken connection goes on from where it stopped, at the next of `storages`,
    /// or, where none are given, at the one that the tracker names.
    pub(super) async fn stream(
        &self,
        file: &FileId,
        range: Range,
        storages: &[SocketAddr],
        flow: &mut Flow<'_>,
    ) -> Result<u64, ClientError> {
        let mut tries = self.tries();
        let mut from = storages.iter().cycle();
        let mut counted = 0;
        loop {
            let error = match self.stream_once(file, range, from.next().copied(), flow).await {
                Ok(()) => break,
                Err(error) => error,
            };
            if flow.done - counted >= PROGRESS {
                counted = flow.done;
                tries.renew();
            }
            if !tries.again_for(file, &error).await {
                return Err(error);
            }
        }
        flow.end().await?;
        Ok(flow.done)
    }

    async fn stream_once(
        &self,
        file: &FileId,
        range: Range,
        at: Option<SocketAddr>,
        flow: &mut Flow<'_>,
    ) -> Result<(), ClientError> {
        let call = Call::on(Operation::Download, file);
        let rest = match flow.whole {
            Some(whole) if whole == flow.done => return Ok(()),
            Some(whole) => Range { offset: range.offset + flow.done, length: whole - flow.done },
            None => range,
        };
        let Some((mut lease, size)) = self.begin_range(call, file, rest, at).await? else { return Ok(()) };
        let address = lease.connection.address;
        if flow.whole.is_some_and(|whole| whole - flow.done != size) {
            return Err(call.wrong_length(address, size));
        }
        flow.whole = Some(flow.done + size);
        let mut left = size;
        while left > 0 {
            let piece = lease.connection.piece(left).await;
            let piece = piece.map_err(|fault| call.fault(address, fault))?;
            left -= piece.len() as u64;
            flow.take(piece).await?;
        }
        lease.keep();
        Ok(())
    }

    /// Asks for a range; the bytes that come, at least one, are still to be read. None where the file has none there.
    async fn begin_range(
        &self,
        call: Call<'_>,
        file: &FileId,
        range: Range,
        at: Option<SocketAddr>,
    ) -> Result<Option<(Lease<'_>, u64)>, ClientError> {
        let size = named(&file.name).map(|(size, _)| size);
        if size == Some(0) {
            return Ok(None);
        }
        let mut begun = self.ask_range(call, file, range, at).await;
        if matches!(&begun, Err(error) if error.status() == Some(Status::INVALID)) {
            let left = match size {
                Some(size) => size.saturating_sub(range.offset),
                None => match self.file_size(file).await {
                    Ok(size) => size.saturating_sub(range.offset),
                    // Why it was refused stays unknown: the refusal would be told as if it were final.
                    Err(error) if error.is_transient() => return Err(error),
                    Err(_) => u64::MAX,
                },
            };
            // Servers since 6.15.4 refuse to read at the end of a file; older ones refuse a range that goes past it.
            if left == 0 {
                return Ok(None);
            }
            if left < range.length {
                begun = self.ask_range(call, file, Range { length: left, ..range }, at).await;
            }
        }
        let (lease, header) = begun?;
        if !range.may_be(header.length, size) {
            return Err(call.wrong_length(lease.connection.address, header.length));
        }
        Ok(Some((lease, header.length)).filter(|(_, length)| *length > 0))
    }

    async fn ask_range(
        &self,
        call: Call<'_>,
        file: &FileId,
        range: Range,
        at: Option<SocketAddr>,
    ) -> Result<(Lease<'_>, Header), ClientError> {
        let Range { offset, length } = range;
        let body = DownloadRequest { offset, length, group: file.group, name: file.name.clone() }.encode();
        let request = Request::new(Command::DOWNLOAD, &body);
        match at {
            Some(address) => match self.begin(call, address, request).await {
                // The others are asked, as where none is given.
                Err(error) if error.is_missing_file() => self.begin_reading(call, file, request).await,
                begun => begun,
            },
            None => self.begin_reading(call, file, request).await,
        }
    }
}

impl Range {
    /// Whether an answer of `length` bytes can be right, of a file whose size is known or not.
    fn may_be(self, length: u64, size: Option<u64>) -> bool {
        match size.map(|size| size.saturating_sub(self.offset)) {
            Some(left) if self.length == 0 => length == left,
            Some(left) => length == left.min(self.length),
            None => self.length == 0 || length <= self.length,
        }
    }
}

impl Call<'_> {
    fn wrong_length(&self, address: SocketAddr, length: u64) -> ClientError {
        let source = WireError::Length { what: "this range of the file", length };
        ClientError::Answer { attempt: self.attempt(address), source }
    }
}
