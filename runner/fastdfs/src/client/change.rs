//! Changing files that exist: append, modify, truncate, regenerate, delete, metadata.

use tokio::io::AsyncRead;

use std::path::Path;

use super::{
    Client, ClientError, Operation,
    exchange::{Call, MAX_ANSWER, Request},
    upload::{Content, Sending},
};
use crate::wire::{
    AppendHead, Command, FileId, Metadata, MetadataFlag, MetadataRequest, ModifyHead, TruncateRequest, file_request,
    parse_file_request,
};

impl Client {
    /// Appends to an appender file. After [`ClientError::Broken`] or [`ClientError::TimedOut`] ask for the size before repeating;
    /// [`Client::modify`] at the known size does the same and may be repeated blindly.
    pub async fn append(&self, file: &FileId, content: &[u8]) -> Result<(), ClientError> {
        self.append_content(file, Content::Bytes(content)).await
    }

    /// Appends exactly `size` bytes of a reader.
    pub async fn append_reader(
        &self,
        file: &FileId,
        reader: &mut (dyn AsyncRead + Unpin + Send),
        size: u64,
    ) -> Result<(), ClientError> {
        self.append_content(file, Content::Reader { reader, size, what: Path::new("the reader") }).await
    }

    /// Overwrites from `offset`, which is at most the size of the file; content that goes past the end extends it.
    pub async fn modify(&self, file: &FileId, offset: u64, content: &[u8]) -> Result<(), ClientError> {
        let head = ModifyHead::encode(&file.name, offset, content.len() as u64);
        let content = Content::Bytes(content);
        self.change(file, Operation::Modify, Sending { command: Command::MODIFY, head, content }).await
    }

    /// Sets the size of an appender file; a larger one adds zeros.
    pub async fn truncate(&self, file: &FileId, size: u64) -> Result<(), ClientError> {
        let body = TruncateRequest { size, name: file.name.clone() }.encode();
        self.tell(file, Operation::Truncate, Request::new(Command::TRUNCATE, &body)).await
    }

    /// Makes a normal file of an appender. The old id is gone afterwards, and metadata set on it too.
    pub async fn regenerate(&self, file: &FileId) -> Result<FileId, ClientError> {
        let call = Call::on(Operation::Regenerate, file);
        let address = self.update_target(file).await?.address;
        let request = Request::new(Command::REGENERATE, file.name.as_str().as_bytes());
        let answer = self.ask(call, address, request, MAX_ANSWER).await?;
        parse_file_request(&answer).map_err(|source| ClientError::Answer { attempt: call.attempt(address), source })
    }

    /// Deletes a file and its metadata.
    pub async fn delete(&self, file: &FileId) -> Result<(), ClientError> {
        let body = file_request(&file.group, &file.name);
        self.tell(file, Operation::Delete, Request::new(Command::DELETE, &body)).await
    }

    /// Sets metadata; overwriting with none removes it.
    pub async fn set_metadata(
        &self,
        file: &FileId,
        metadata: &Metadata,
        flag: MetadataFlag,
    ) -> Result<(), ClientError> {
        let body = MetadataRequest { flag, file: file.clone(), metadata: metadata.clone() }.encode();
        self.tell(file, Operation::SetMetadata, Request::new(Command::SET_METADATA, &body)).await
    }

    async fn append_content(&self, file: &FileId, content: Content<'_>) -> Result<(), ClientError> {
        let head = AppendHead::encode(&file.name, content.size());
        self.change(file, Operation::Append, Sending { command: Command::APPEND, head, content }).await
    }

    /// Sends a change with content. Answers to changes of nothing echo the request: their bodies mean nothing.
    async fn change(&self, file: &FileId, operation: Operation, sending: Sending<'_>) -> Result<(), ClientError> {
        let address = self.update_target(file).await?.address;
        self.send(Call::on(operation, file), address, sending).await.map(|_| ())
    }

    async fn tell(&self, file: &FileId, operation: Operation, request: Request<'_>) -> Result<(), ClientError> {
        let address = self.update_target(file).await?.address;
        self.ask(Call::on(operation, file), address, request, MAX_ANSWER).await.map(|_| ())
    }
}
