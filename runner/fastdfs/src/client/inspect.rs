//! Asking about files: size, time, CRC, metadata.

use super::{
    Client, ClientError, Operation,
    exchange::{Call, MAX_ANSWER, Request},
};
use crate::wire::{Command, FileId, FileInfo, Metadata, Status, file_request};

/// Flags of a file info request: no CRC, and no complaint in the server's log about a missing file. Older servers know only
/// the second meaning.
const QUIETLY_WITHOUT_CRC: Status = Status(3);

impl Client {
    /// Size, time and CRC as the storage has them now. For appenders and slaves the storage reads the whole file.
    pub async fn file_info(&self, file: &FileId) -> Result<FileInfo, ClientError> {
        self.info(file, Status::OK).await
    }

    /// The size as the storage has it now; cheap for appenders too.
    pub async fn file_size(&self, file: &FileId) -> Result<u64, ClientError> {
        self.info(file, QUIETLY_WITHOUT_CRC).await.map(|info| info.size)
    }

    /// Metadata; none set is no error.
    pub async fn metadata(&self, file: &FileId) -> Result<Metadata, ClientError> {
        let call = Call::on(Operation::GetMetadata, file);
        let body = file_request(&file.group, &file.name);
        match self.ask_reading(call, file, Request::new(Command::GET_METADATA, &body), MAX_ANSWER).await {
            Ok((_, records)) => Ok(Metadata::decode(&records)),
            // The same answer as for a missing file: ask which it is.
            Err(error) if error.status() == Some(Status::NOT_FOUND) => {
                self.file_size(file).await.map(|_| Metadata::default())
            }
            Err(error) => Err(error),
        }
    }

    async fn info(&self, file: &FileId, flags: Status) -> Result<FileInfo, ClientError> {
        let call = Call::on(Operation::FileInfo, file);
        let body = file_request(&file.group, &file.name);
        let request = Request { command: Command::FILE_INFO, flags, body: &body };
        let (address, answer) = self.ask_reading(call, file, request, MAX_ANSWER).await?;
        FileInfo::decode(&answer).map_err(|source| ClientError::Answer { attempt: call.attempt(address), source })
    }
}
