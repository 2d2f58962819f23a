//! A large file as one appender that grows in large steps: a broken connection costs one step, not the file.

use std::{io, path::Path};

use tokio::{fs::File, io::AsyncReadExt as _};

use super::{
    Client, ClientError, Operation,
    exchange::Call,
    upload::{local, open},
};
use crate::wire::{Extension, FileId, FileKind};

/// One step. Larger ones gain nothing and lose more when they break.
const STEP: usize = 4 << 20;
/// How often one step is tried before the whole file has failed.
const TRIES: usize = 3;

impl Client {
    /// Uploads a local file in steps of 4 MiB and makes a normal file of it; needs servers since 6.02.
    ///
    /// The id before the last step is never shown, and what stands under it is deleted where a later step fails.
    pub async fn upload_file_in_appends(&self, path: &Path, extension: &Extension) -> Result<FileId, ClientError> {
        let failed = |source| local(path, source);
        let (mut source, _) = open(path).await.map_err(failed)?;
        source.set_max_buf_size(STEP);
        let mut step = Vec::new();
        next_step(&mut source, &mut step).await.map_err(failed)?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&step);
        let appender = self.upload_appender(&step, extension).await?;
        let mut size = step.len() as u64;
        loop {
            let grown = match next_step(&mut source, &mut step).await {
                Ok(0) => break,
                Ok(_) => self.extend(&appender, size, &step).await,
                Err(source) => Err(local(path, source)),
            };
            if let Err(error) = grown {
                self.discard(&appender).await;
                return Err(error);
            }
            crc.update(&step);
            size += step.len() as u64;
        }
        self.settle(&appender, size, crc.finalize()).await
    }

    /// Gives it its normal name and checks what the server made of it.
    async fn settle(&self, appender: &FileId, size: u64, crc32: u32) -> Result<FileId, ClientError> {
        // Not repeated: when its answer is lost, the new name is lost with it, and the file must be uploaded anew.
        let file = self.regenerate(appender).await?;
        let named = file.name.info().ok().map(|named| (named.kind, named.crc32));
        if named == Some((FileKind::Normal { size }, crc32)) {
            return Ok(file);
        }
        let address = self.fetch_target(&file).await?.address;
        self.discard(&file).await;
        Err(ClientError::Mismatch { attempt: Call::on(Operation::Upload, &file).attempt(address) })
    }

    /// Adds a step at a known size. Writing at an offset may be repeated without writing twice, which an append may not.
    async fn extend(&self, appender: &FileId, size: u64, step: &[u8]) -> Result<(), ClientError> {
        let mut tries = TRIES;
        loop {
            tries -= 1;
            match self.modify(appender, size, step).await {
                Err(error) if tries > 0 && error.is_transient() => {
                    tracing::warn!(file = %appender, %error, "a step of an upload is repeated");
                }
                done => return done,
            }
        }
    }

    async fn discard(&self, file: &FileId) {
        if let Err(error) = self.delete(file).await {
            tracing::warn!(%file, %error, "an unfinished file stays in the file store");
        }
    }
}

/// Fills `step`, to less than its full size only at the end of the file; how many bytes it holds.
async fn next_step(source: &mut File, step: &mut Vec<u8>) -> io::Result<usize> {
    step.clear();
    source.take(STEP as u64).read_to_end(step).await
}
