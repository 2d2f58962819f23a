//! Changing files that exist: modify, truncate, regenerate, delete, metadata.

use super::{
    Client, ClientError, Operation,
    exchange::{Call, MAX_ANSWER, Request},
    inspect::named,
    send::{Content, Sending},
    tries::Doubt,
};
use crate::wire::{
    Command, FileId, Metadata, MetadataFlag, MetadataRequest, ModifyHead, TruncateRequest, WireError, file_request,
    parse_file_request,
};

impl Client {
    /// Overwrites from `offset`, which is at most the size of the file; content that goes past the end extends it. May be repeated
    /// without writing twice, and is.
    pub async fn modify(&self, file: &FileId, offset: u64, content: &[u8]) -> Result<(), ClientError> {
        let call = Call::on(Operation::Modify, file);
        let head = ModifyHead::encode(&file.name, offset, content.len() as u64);
        let sending = Sending { command: Command::MODIFY, head: &head };
        self.repeat(|| async {
            let address = self.route_to_change(file).await?.address;
            // An answer to a change of nothing echoes the request: its body means nothing.
            self.send(call, address, sending, &mut Content::bytes(content)).await.map(|_| ())
        })
        .await
    }

    /// Sets the size of an appender file; a larger one adds zeros.
    pub async fn truncate(&self, file: &FileId, size: u64) -> Result<(), ClientError> {
        let body = TruncateRequest { size, name: file.name.clone() }.encode();
        self.tell(file, Operation::Truncate, Request::new(Command::TRUNCATE, &body)).await
    }

    /// Makes a normal file of an appender. The old id is gone afterwards, and metadata set on it too. Needs servers since 6.02.
    ///
    /// Where the answer is lost, the storage is asked whether the old name is still there: if so it is repeated, if not the file
    /// has a name that nobody knows, which is [`ClientError::NameLost`].
    pub async fn regenerate(&self, file: &FileId) -> Result<FileId, ClientError> {
        let mut tries = self.tries();
        let mut doubt = Doubt::default();
        loop {
            let error = match self.regenerate_once(file).await {
                Err(error) => error,
                done => return done,
            };
            if doubt.exists() && error.is_missing_file() {
                return Err(error.into_name_lost());
            }
            if !error.is_passing() && !error.is_outcome_unknown() {
                return Err(doubt.or(error));
            }
            tries.pause().await;
            let mut may_be_at_work = false;
            if error.is_outcome_unknown() {
                match self.file_size(file).await {
                    // Silent, and the old name is there: most likely it still reads.
                    Ok(_) => may_be_at_work = matches!(error, ClientError::TimedOut { .. }),
                    Err(missing) if missing.is_missing_file() => return Err(error.into_name_lost()),
                    Err(_) => return Err(doubt.or(error)),
                }
            }
            if may_be_at_work || !tries.take() {
                return Err(doubt.or(error));
            }
            doubt.note(error);
        }
    }

    /// Deletes a file and its metadata. A file that is missing after a lost answer counts as deleted.
    pub async fn delete(&self, file: &FileId) -> Result<(), ClientError> {
        let body = file_request(&file.group, &file.name);
        let mut tries = self.tries();
        let mut doubtful = false;
        loop {
            match self.tell_once(file, Operation::Delete, Request::new(Command::DELETE, &body)).await {
                Err(error) if doubtful && error.is_missing_file() => return Ok(()),
                Err(error) if tries.again(&error).await => doubtful |= error.is_outcome_unknown(),
                done => return done,
            }
        }
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

    async fn regenerate_once(&self, file: &FileId) -> Result<FileId, ClientError> {
        let call = Call::on(Operation::Regenerate, file);
        let address = self.route_to_change(file).await?.address;
        // The storage reads all of it for its CRC.
        let patience = self.shared.options.reading_timeout;
        let request = Request { patience, ..Request::new(Command::REGENERATE, file.name.as_str().as_bytes()) };
        let answer = self.ask(call, address, request, MAX_ANSWER).await?;
        let normal = parse_file_request(&answer).and_then(|normal| match named(&normal.name) {
            Some(_) if normal.group == file.group => Ok(normal),
            _ => Err(WireError::Text { what: "the name of a regenerated file" }),
        });
        normal.map_err(|source| ClientError::Answer { attempt: call.attempt(address), source })
    }

    async fn tell(&self, file: &FileId, operation: Operation, request: Request<'_>) -> Result<(), ClientError> {
        self.repeat(|| self.tell_once(file, operation, request)).await
    }

    async fn tell_once(&self, file: &FileId, operation: Operation, request: Request<'_>) -> Result<(), ClientError> {
        let address = self.route_to_change(file).await?.address;
        self.ask(Call::on(operation, file), address, request, MAX_ANSWER).await.map(|_| ())
    }
}
