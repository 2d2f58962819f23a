//! Asking about files: size, time, CRC, metadata.

use std::{net::IpAddr, time::Duration};

use super::{
    Client, ClientError, Operation,
    exchange::{Call, MAX_ANSWER, Request},
};
use crate::wire::{Command, FileId, FileInfo, FileKind, FileName, Metadata, NameInfo, Source, Status, file_request};

/// Flags of a file info request: no CRC, and no complaint in the server's log about a missing file. Older servers know only
/// the second meaning.
const QUIETLY_WITHOUT_CRC: Status = Status(3);

/// `.ext` of a whole name, filled up with digits on its left.
const TAIL: usize = 7;
/// Leaves of whole names, on their own and packed with others.
const LEAVES: [usize; 2] = [34, 50];

impl Client {
    /// Size, time and CRC, without asking anybody where the name tells them: that is so for normal files and for those packed with
    /// others, whose content never changes. The time is then that of the upload, and nothing says that the file exists.
    ///
    /// A slave whose name looks just like one of a normal file is taken for its master; give slaves an extension and a prefix with
    /// other characters than digits.
    pub async fn info(&self, file: &FileId) -> Result<FileInfo, ClientError> {
        let Some((size, named)) = named(&file.name) else { return self.file_info(file).await };
        let source = match named.source {
            Source::Address(address) => Some(IpAddr::V4(address)),
            Source::Id(_) => None,
        };
        Ok(FileInfo { size, modified_unix: i64::from(named.created_unix), crc32: named.crc32, source })
    }

    /// Size, time and CRC as the storage has them now. For appenders and slaves the storage reads the whole file.
    pub async fn file_info(&self, file: &FileId) -> Result<FileInfo, ClientError> {
        let reads = named(&file.name).is_none();
        self.ask_info(file, Status::OK, if reads { self.shared.options.reading_timeout } else { Duration::ZERO }).await
    }

    /// The size as the storage has it now; cheap for appenders too.
    pub async fn file_size(&self, file: &FileId) -> Result<u64, ClientError> {
        self.ask_info(file, QUIETLY_WITHOUT_CRC, Duration::ZERO).await.map(|info| info.size)
    }

    /// Metadata; none set is no error.
    pub async fn metadata(&self, file: &FileId) -> Result<Metadata, ClientError> {
        let call = Call::on(Operation::GetMetadata, file);
        let body = file_request(&file.group, &file.name);
        let request = Request::new(Command::GET_METADATA, &body);
        match self.repeat(|| self.ask_reading(call, file, request, MAX_ANSWER)).await {
            Ok((_, records)) => Ok(Metadata::decode(&records)),
            // The same answer as for a missing file: ask which it is.
            Err(error) if error.status() == Some(Status::NOT_FOUND) => {
                self.file_size(file).await.map(|_| Metadata::default())
            }
            Err(error) => Err(error),
        }
    }

    async fn ask_info(&self, file: &FileId, flags: Status, patience: Duration) -> Result<FileInfo, ClientError> {
        let call = Call::on(Operation::FileInfo, file);
        let body = file_request(&file.group, &file.name);
        let request = Request { flags, patience, ..Request::new(Command::FILE_INFO, &body) };
        let (address, answer) = self.repeat(|| self.ask_reading(call, file, request, MAX_ANSWER)).await?;
        FileInfo::decode(&answer).map_err(|source| ClientError::Answer { attempt: call.attempt(address), source })
    }
}

/// The size that a name tells, and what else it tells, where that is the file's own: of a normal file or one packed with others.
///
/// Most slaves with names as short as a normal one are recognised, for they seldom have its length and seldom its digits.
pub(super) fn named(name: &FileName) -> Option<(u64, NameInfo)> {
    let info = name.info().ok()?;
    match info.kind {
        _ if !is_whole(name) => None,
        FileKind::Normal { size } | FileKind::Trunk { size, .. } => Some((size, info)),
        FileKind::Appender | FileKind::Slave => None,
    }
}

/// Whether a name has the form that an upload gets, of any kind but a slave.
pub(super) fn is_whole(name: &FileName) -> bool {
    let leaf = name.leaf();
    let tail = &leaf[leaf.len().saturating_sub(TAIL)..];
    let fill = tail.split_once('.').map_or(tail, |(fill, _)| fill);
    LEAVES.contains(&leaf.len()) && fill.bytes().all(|byte| byte.is_ascii_digit())
}
