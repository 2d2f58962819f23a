//! Uploads of slaves. Their names follow from their masters', so that the outcome of a lost answer can be asked for.

use super::{
    Client, ClientError, Operation,
    exchange::Call,
    send::{Content, Sending},
    tries::Doubt,
};
use crate::wire::{
    Command, Extension, FileId, FileKind, SlaveHead, SlavePrefix, Status, WireError, parse_file_request,
};

impl Client {
    /// Uploads bytes as a slave of `master`: its name is the master's without extension, then `prefix`, then the slave's extension.
    ///
    /// Where an answer is lost, the storage is asked whether the slave is there: the upload is done, or is repeated, or fails with
    /// [`ClientError::Taken`] because something else has the name.
    pub async fn upload_slave(
        &self,
        master: &FileId,
        prefix: &SlavePrefix,
        extension: &Extension,
        content: &[u8],
    ) -> Result<FileId, ClientError> {
        let head = SlaveHead::encode(&master.name, content.len() as u64, prefix, extension);
        let name = master.name.slave(prefix, extension).ok();
        let slave = name.map(|name| FileId { group: master.group, name });
        let mut tries = self.tries();
        let mut doubt = Doubt::default();
        loop {
            let error = match self.upload_slave_once(master, slave.as_ref(), &head, content).await {
                Err(error) => error,
                done => return done,
            };
            let exists = doubt.exists() && error.status() == Some(Status::EXISTS);
            if !exists && !error.is_passing() && !error.is_outcome_unknown() {
                return Err(doubt.or(error));
            }
            tries.pause().await;
            if exists || error.is_outcome_unknown() {
                let Some(slave) = &slave else { return Err(doubt.or(error)) };
                match self.holds(slave, content).await {
                    Ok(true) => return Ok(slave.clone()),
                    Ok(false) => return Err(error.into_taken(slave)),
                    Err(missing) if missing.is_missing_file() => {}
                    Err(_) => return Err(doubt.or(error)),
                }
            }
            if !tries.take() {
                return Err(doubt.or(error));
            }
            doubt.note(error);
        }
    }

    /// `expected` is none where the name would be too long: the storage then refuses.
    async fn upload_slave_once(
        &self,
        master: &FileId,
        expected: Option<&FileId>,
        head: &[u8],
        content: &[u8],
    ) -> Result<FileId, ClientError> {
        let call = Call::on(Operation::Upload, master);
        let address = self.route_to_change(master).await?.address;
        let sending = Sending { command: Command::UPLOAD_SLAVE, head };
        let answer = self.send(call, address, sending, &mut Content::bytes(content)).await?;
        let stored = parse_file_request(&answer).and_then(|slave| match Some(&slave) == expected {
            true => Ok(slave),
            false => Err(WireError::Text { what: "the name of a slave" }),
        });
        stored.map_err(|source| ClientError::Answer { attempt: call.attempt(address), source })
    }

    /// Whether a file that exists has this content.
    async fn holds(&self, file: &FileId, content: &[u8]) -> Result<bool, ClientError> {
        let size = content.len() as u64;
        if self.file_size(file).await? != size {
            return Ok(false);
        }
        let kind = file.name.info().map(|named| named.kind);
        let crc32 = match kind {
            Ok(FileKind::Slave) => self.file_info(file).await?.crc32,
            // With so short a name, the storage answers with the master's CRC.
            _ => self.range_crc32(file, 0, size).await?,
        };
        Ok(crc32 == crc32fast::hash(content))
    }
}
