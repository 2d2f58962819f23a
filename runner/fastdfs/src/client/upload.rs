//! Uploads of normal files and appenders, from memory, a file or any reader.
//!
//! An upload is repeated while nothing came of it: where no connection was made, where the server refused for now, where the
//! request did not go out whole. Where it did and no answer came, a file may lie at the storage whose name nobody knows; it is not
//! repeated, and [`ClientError::is_outcome_unknown`] tells.

use std::{net::SocketAddr, path::Path};

use tokio::io::AsyncRead;

use super::{
    Client, ClientError, Operation, Place,
    exchange::Call,
    inspect::{is_whole, named},
    send::{Content, Sending},
};
use crate::wire::{Command, Extension, FileId, FileKind, UploadHead, WireError, parse_file_request};

/// Lets the storage choose among its store paths.
const ANY_PATH: u8 = 0xFF;

impl Client {
    /// Uploads bytes as a normal file.
    pub async fn upload(&self, content: &[u8], extension: &Extension) -> Result<FileId, ClientError> {
        self.upload_content(Command::UPLOAD, Content::bytes(content), extension).await
    }

    /// Uploads a local file as a normal file, with the size that it has now.
    pub async fn upload_file(&self, path: &Path, extension: &Extension) -> Result<FileId, ClientError> {
        self.upload_content(Command::UPLOAD, Content::file(path).await?, extension).await
    }

    /// Uploads exactly `size` bytes of a reader as a normal file; a reader that ends before fails the upload. Not repeated once
    /// something was taken from the reader.
    pub async fn upload_reader(
        &self,
        reader: &mut (dyn AsyncRead + Unpin + Send),
        size: u64,
        extension: &Extension,
    ) -> Result<FileId, ClientError> {
        self.upload_content(Command::UPLOAD, Content::reader(reader, size), extension).await
    }

    /// Uploads bytes as the beginning of an appender file.
    pub async fn upload_appender(&self, content: &[u8], extension: &Extension) -> Result<FileId, ClientError> {
        self.upload_content(Command::UPLOAD_APPENDER, Content::bytes(content), extension).await
    }

    /// Uploads a local file as the beginning of an appender file.
    pub async fn upload_appender_file(&self, path: &Path, extension: &Extension) -> Result<FileId, ClientError> {
        self.upload_content(Command::UPLOAD_APPENDER, Content::file(path).await?, extension).await
    }

    /// Uploads exactly `size` bytes of a reader as the beginning of an appender file; else as [`Client::upload_reader`].
    pub async fn upload_appender_reader(
        &self,
        reader: &mut (dyn AsyncRead + Unpin + Send),
        size: u64,
        extension: &Extension,
    ) -> Result<FileId, ClientError> {
        self.upload_content(Command::UPLOAD_APPENDER, Content::reader(reader, size), extension).await
    }

    async fn upload_content(
        &self,
        command: Command,
        mut content: Content<'_>,
        extension: &Extension,
    ) -> Result<FileId, ClientError> {
        let mut tries = self.tries();
        loop {
            let error = match self.upload_somewhere(command, &mut content, extension).await {
                Ok(file) => return Ok(file),
                Err(error) => error,
            };
            if !content.is_whole() || !tries.again(&error).await {
                return Err(error);
            }
        }
    }

    /// At the storage of the place; where that cannot be reached, at another one that the tracker names.
    async fn upload_somewhere(
        &self,
        command: Command,
        content: &mut Content<'_>,
        extension: &Extension,
    ) -> Result<FileId, ClientError> {
        if let Place::Storage { address, path_index } = self.place {
            return self.upload_to((address, path_index.unwrap_or(ANY_PATH)), command, content, extension).await;
        }
        let first = self.route_to_store().await?;
        let unreachable = match self.upload_to((first.address, first.path_index), command, content, extension).await {
            Err(error @ ClientError::Connect { .. }) => error,
            done => return done,
        };
        for other in self.route_to_store_all().await?.into_iter().filter(|other| other.address != first.address) {
            match self.upload_to((other.address, other.path_index), command, content, extension).await {
                Err(ClientError::Connect { .. }) => {}
                done => return done,
            }
        }
        Err(unreachable)
    }

    async fn upload_to(
        &self,
        (address, path_index): (SocketAddr, u8),
        command: Command,
        content: &mut Content<'_>,
        extension: &Extension,
    ) -> Result<FileId, ClientError> {
        let call = Call::new(Operation::Upload);
        let head = UploadHead { path_index, size: content.size(), extension: *extension }.encode();
        let answer = self.send(call, address, Sending { command, head: &head }, content).await?;
        let stored = parse_file_request(&answer).and_then(|file| whole(&file, command).map(|whole| (file, whole)));
        let wrong = |source| ClientError::Answer { attempt: call.attempt(address), source };
        let (file, (size, crc32)) = stored.map_err(wrong)?;
        if size.is_some_and(|size| size != content.size()) || content.crc32() != Some(crc32) {
            let call = Call::on(Operation::Upload, &file);
            return Err(ClientError::Mismatch { attempt: call.attempt(address) });
        }
        Ok(file)
    }
}

/// Size, unless it is that of an appender, and CRC as the answered name tells them; fails for names of other kinds of files.
fn whole(file: &FileId, command: Command) -> Result<(Option<u64>, u32), WireError> {
    let wrong = WireError::Text { what: "the name of an upload" };
    if command != Command::UPLOAD_APPENDER {
        return named(&file.name).map(|(size, named)| (Some(size), named.crc32)).ok_or(wrong);
    }
    let info = file.name.info()?;
    if info.kind == FileKind::Appender && is_whole(&file.name) { Ok((None, info.crc32)) } else { Err(wrong) }
}
