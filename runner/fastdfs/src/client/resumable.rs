//! A large file as one appender that grows in large steps: a broken connection costs one step, and a broken upload can go on.

use std::{io, path::Path, sync::Arc};

use tokio::{fs::File, io::AsyncReadExt as _};

use super::{Client, ClientError, Operation, Progress, exchange::Call, send::local};
use crate::wire::{Extension, FileId, FileKind};

/// One step. Larger ones gain nothing and lose more when they break.
const STEP: usize = 4 << 20;
/// What is read at once of a file whose beginning was uploaded before.
const READ: usize = 1 << 20;

/// Told an id, as soon as there is one.
pub type Begun = Arc<dyn Fn(&FileId) + Send + Sync>;

/// How an upload in steps begins and ends.
#[derive(Clone, Default)]
pub struct ResumableUpload {
    /// The appender that an earlier upload of the same file left: goes on behind it.
    pub resume: Option<FileId>,
    /// Leaves the appender as it is, for more to be appended, instead of making a normal file of it.
    pub keep_appender: bool,
    /// Told the id of the appender once it exists with its first 4 MiB, or at once when resuming: what to remember for
    /// [`ResumableUpload::resume`].
    pub begun: Option<Begun>,
    /// Told after every step, and first of all what was there already. The total is the size that the file had at the start.
    pub progress: Option<Progress>,
}

/// A local file of which a beginning is uploaded.
struct Growing<'a> {
    path: &'a Path,
    source: File,
    /// Bytes that are uploaded, and read from the source.
    size: u64,
    crc: crc32fast::Hasher,
    step: Vec<u8>,
}

impl Client {
    /// Uploads a local file in steps of 4 MiB and makes a normal file of it; needs servers since 6.02.
    ///
    /// The id before the last step is never shown, and what stands under it is deleted where a later step fails.
    pub async fn upload_file_in_appends(&self, path: &Path, extension: &Extension) -> Result<FileId, ClientError> {
        let mut growing = Growing::open(path).await?;
        growing.next_step().await?;
        let appender = self.begin_growing(&mut growing, extension).await?;
        if let Err(error) = self.grow(&appender, &mut growing, |_| {}).await {
            self.discard(&appender).await;
            return Err(error);
        }
        let settled = self.settle(&appender, &growing).await;
        if settled.as_ref().is_err_and(|error| error.status().is_some()) {
            self.discard(&appender).await;
        }
        settled
    }

    /// Uploads a local file in steps of 4 MiB so that another call can go on when this one fails: what was uploaded stays, under
    /// the id that [`ResumableUpload::begun`] was told. Makes a normal file of it in the end, for which servers since 6.02 are
    /// needed.
    ///
    /// When resuming, the storage computes the CRC of what it has; where the local file does not begin with just that, nothing is
    /// changed and [`ClientError::Differs`] comes back. Nobody else may write to the appender meanwhile.
    pub async fn upload_resumable(
        &self,
        path: &Path,
        extension: &Extension,
        upload: ResumableUpload,
    ) -> Result<FileId, ClientError> {
        let ResumableUpload { resume, keep_appender, begun, progress } = upload;
        let mut growing = Growing::open(path).await?;
        let total = growing.source.metadata().await.map_err(|source| local(path, source))?.len();
        let appender = match resume {
            Some(appender) => self.resume_growing(&mut growing, appender).await?,
            None => {
                growing.next_step().await?;
                self.begin_growing(&mut growing, extension).await?
            }
        };
        if let Some(begun) = begun {
            begun(&appender);
        }
        let tell = |size: u64| progress.iter().for_each(|progress| progress(size, total.max(size)));
        tell(growing.size);
        self.grow(&appender, &mut growing, tell).await?;
        if keep_appender {
            return self.check_appender(appender, &growing).await;
        }
        self.settle(&appender, &growing).await
    }

    /// Uploads the first step.
    async fn begin_growing(&self, growing: &mut Growing<'_>, extension: &Extension) -> Result<FileId, ClientError> {
        let appender = self.upload_appender(&growing.step, extension).await?;
        growing.uploaded();
        Ok(appender)
    }

    /// Makes sure that the local file begins with what the storage has.
    async fn resume_growing(&self, growing: &mut Growing<'_>, appender: FileId) -> Result<FileId, ClientError> {
        let there = self.file_info(&appender).await?;
        if appender.name.is_appender() && growing.skip(there.size).await? == Some(there.crc32) {
            return Ok(appender);
        }
        Err(ClientError::Differs { what: growing.path.to_owned(), file: appender.to_string() })
    }

    /// Adds what is left of the local file. Writing at an offset may be repeated without writing twice, which an append may not;
    /// nobody else writes to this file.
    async fn grow(
        &self,
        appender: &FileId,
        growing: &mut Growing<'_>,
        progress: impl Fn(u64),
    ) -> Result<(), ClientError> {
        while growing.next_step().await? > 0 {
            self.modify(appender, growing.size, &growing.step).await?;
            growing.uploaded();
            progress(growing.size);
        }
        Ok(())
    }

    /// Gives it its normal name and checks what the server made of it.
    async fn settle(&self, appender: &FileId, growing: &Growing<'_>) -> Result<FileId, ClientError> {
        let file = self.regenerate(appender).await?;
        let named = file.name.info().ok().map(|named| (named.kind, named.crc32));
        if named == Some((FileKind::Normal { size: growing.size }, growing.crc32())) {
            return Ok(file);
        }
        let error = self.damaged(&file).await;
        self.discard(&file).await;
        Err(error)
    }

    async fn check_appender(&self, appender: FileId, growing: &Growing<'_>) -> Result<FileId, ClientError> {
        let info = self.file_info(&appender).await?;
        let right = (info.size, info.crc32) == (growing.size, growing.crc32());
        if right { Ok(appender) } else { Err(self.damaged(&appender).await) }
    }

    async fn damaged(&self, file: &FileId) -> ClientError {
        match self.fetch_target(file).await {
            Ok(target) => ClientError::Mismatch { attempt: Call::on(Operation::Upload, file).attempt(target.address) },
            Err(error) => error,
        }
    }

    async fn discard(&self, file: &FileId) {
        if let Err(error) = self.delete(file).await {
            tracing::warn!(%file, %error, "an unfinished file stays in the file store");
        }
    }
}

impl<'a> Growing<'a> {
    async fn open(path: &'a Path) -> Result<Self, ClientError> {
        let opened = async {
            let source = File::open(path).await?;
            let is_file = source.metadata().await?.is_file();
            if is_file { Ok(source) } else { Err(io::ErrorKind::InvalidInput.into()) }
        };
        let mut source = opened.await.map_err(|source| local(path, source))?;
        source.set_max_buf_size(STEP);
        Ok(Self { path, source, size: 0, crc: crc32fast::Hasher::new(), step: Vec::new() })
    }

    /// Reads the next step, to less than its full size only at the end of the file; how many bytes it holds.
    async fn next_step(&mut self) -> Result<usize, ClientError> {
        self.step.clear();
        let read = (&mut self.source).take(STEP as u64).read_to_end(&mut self.step).await;
        read.map_err(|source| local(self.path, source))
    }

    /// The step that was read is uploaded.
    fn uploaded(&mut self) {
        self.crc.update(&self.step);
        self.size += self.step.len() as u64;
    }

    /// Goes past what was uploaded before; its CRC, or none where the file has less.
    async fn skip(&mut self, size: u64) -> Result<Option<u32>, ClientError> {
        let failed = |source| local(self.path, source);
        let mut piece = vec![0; READ];
        while self.size < size {
            let want = (size - self.size).min(READ as u64) as usize;
            let count = self.source.read(&mut piece[..want]).await.map_err(failed)?;
            if count == 0 {
                return Ok(None);
            }
            self.crc.update(&piece[..count]);
            self.size += count as u64;
        }
        Ok(Some(self.crc32()))
    }

    fn crc32(&self) -> u32 {
        self.crc.clone().finalize()
    }
}
