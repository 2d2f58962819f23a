//! Fetching content: ranges to memory, to any writer, or to a file that appears only when it is whole.

use std::{
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use tokio::{
    fs::File,
    io::{AsyncWrite, AsyncWriteExt as _},
};

use super::{
    Client, ClientError, Operation,
    connection::PIECE,
    exchange::{Call, Request},
    upload::local,
};
use crate::wire::{Command, DownloadRequest, FileId, FileKind, Status};

impl Client {
    /// Downloads from `offset`: at most `length` bytes (0 means to the end), fewer where the file ends. More than `limit` is an error.
    pub async fn download(&self, file: &FileId, offset: u64, length: u64, limit: usize) -> Result<Bytes, ClientError> {
        let call = Call::on(Operation::Download, file);
        let mut body = request(file, offset, length);
        let mut answered = self.ask_reading(call, file, Request::new(Command::DOWNLOAD, &body), limit).await;
        if let Some(right) = self.range_left(&answered, file, offset, length).await {
            if right == 0 {
                return Ok(Bytes::new());
            }
            body = request(file, offset, right);
            answered = self.ask_reading(call, file, Request::new(Command::DOWNLOAD, &body), limit).await;
        }
        answered.map(|(_, body)| body)
    }

    /// Downloads from `offset` to a writer, which is flushed; how many bytes it was.
    pub async fn download_to_writer(
        &self,
        file: &FileId,
        offset: u64,
        length: u64,
        writer: &mut (dyn AsyncWrite + Unpin + Send),
    ) -> Result<u64, ClientError> {
        let (size, _) = self.stream(file, offset, length, writer, Path::new("the writer")).await?;
        Ok(size)
    }

    /// Downloads a whole file: under another name beside `to`, synced, checked against the CRC in the id where there is one,
    /// then renamed. `to` is replaced.
    pub async fn download_to_file(&self, file: &FileId, to: &Path) -> Result<u64, ClientError> {
        let mut part = Part { path: part_path(to), placed: false };
        let size = self.fetch_whole(file, &part.path).await?;
        place(&part.path, to).await.map_err(|source| local(to, source))?;
        part.placed = true;
        Ok(size)
    }

    async fn fetch_whole(&self, file: &FileId, part: &Path) -> Result<u64, ClientError> {
        let mut writer = File::create_new(part).await.map_err(|source| local(part, source))?;
        writer.set_max_buf_size(PIECE);
        let (size, crc32) = self.stream(file, 0, 0, &mut writer, part).await?;
        writer.sync_all().await.map_err(|source| local(part, source))?;
        let named = file.name.info().ok();
        let right = named.is_none_or(|named| match named.kind {
            FileKind::Normal { size: named_size } => named_size == size && named.crc32 == crc32,
            FileKind::Trunk { size: named_size, .. } => named_size == size && named.crc32 == crc32,
            FileKind::Appender | FileKind::Slave => true,
        });
        if right {
            return Ok(size);
        }
        let address = self.fetch_target(file).await?.address;
        Err(ClientError::Mismatch { attempt: Call::on(Operation::Download, file).attempt(address) })
    }

    /// Size and CRC of what went to the writer. Another storage is tried only while nothing was written.
    async fn stream(
        &self,
        file: &FileId,
        offset: u64,
        length: u64,
        writer: &mut (dyn AsyncWrite + Unpin + Send),
        what: &Path,
    ) -> Result<(u64, u32), ClientError> {
        let call = Call::on(Operation::Download, file);
        let mut body = request(file, offset, length);
        let mut begun = self.begin_reading(call, file, Request::new(Command::DOWNLOAD, &body)).await;
        if let Some(right) = self.range_left(&begun, file, offset, length).await {
            if right == 0 {
                return Ok((0, 0));
            }
            body = request(file, offset, right);
            begun = self.begin_reading(call, file, Request::new(Command::DOWNLOAD, &body)).await;
        }
        let (mut lease, header) = begun?;
        let address = lease.connection.address;
        let mut crc = crc32fast::Hasher::new();
        let mut left = header.length;
        while left > 0 {
            let piece = lease.connection.piece(left).await.map_err(|fault| call.fault(address, fault))?;
            crc.update(&piece);
            writer.write_all(&piece).await.map_err(|source| local(what, source))?;
            left -= piece.len() as u64;
        }
        lease.keep();
        writer.flush().await.map_err(|source| local(what, source))?;
        Ok((header.length, crc.finalize()))
    }

    /// How much of a refused range exists, where that is the reason. Servers since 6.15.4 refuse to read at the end of a file,
    /// so that an empty one cannot be downloaded at all; older ones refuse a range that goes past it.
    async fn range_left<T>(
        &self,
        answered: &Result<T, ClientError>,
        file: &FileId,
        offset: u64,
        length: u64,
    ) -> Option<u64> {
        let refused = matches!(answered, Err(error) if error.status() == Some(Status::INVALID));
        if !refused {
            return None;
        }
        let left = self.file_size(file).await.ok()?.saturating_sub(offset);
        (left == 0 || left < length).then_some(left)
    }
}

fn request(file: &FileId, offset: u64, length: u64) -> Vec<u8> {
    DownloadRequest { offset, length, group: file.group, name: file.name.clone() }.encode()
}

/// A file under construction: gone when the download fails, or is dropped in the middle.
struct Part {
    path: PathBuf,
    placed: bool,
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.placed {
            // There may be none yet.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn part_path(to: &Path) -> PathBuf {
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    to.with_file_name(format!(".{name}.{:016x}.part", rand::random::<u64>()))
}

async fn place(part: &Path, to: &Path) -> io::Result<()> {
    tokio::fs::rename(part, to).await?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(folder).await?.sync_all().await
}
