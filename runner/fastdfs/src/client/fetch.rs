//! Whole files to disk: under another name beside the target, synced, checked, then renamed.

use std::{io, net::SocketAddr, ops::Range as Bounds, path::Path, sync::Arc};

use bytes::Bytes;
use tokio::{
    sync::mpsc::{Receiver, channel},
    task::{JoinHandle, JoinSet, spawn_blocking},
};

use super::{
    Client, ClientError, Operation, Progress,
    connection::PIECE,
    download::Range,
    exchange::Call,
    inspect::named,
    part::Part,
    send::local,
    sink::{Flow, Sink},
    spans::{chunks, shares},
};
use crate::wire::{FileId, FileKind};

/// Larger files are not taken on: what an id or a storage says of a size is no reason to make room for any.
const LARGEST: u64 = 16 << 40;
/// Pieces that wait for the disk, for each connection.
const WAITING: usize = 8;

/// How a whole file is fetched; by default over one connection, from its beginning.
#[derive(Clone)]
pub struct DownloadOptions {
    /// Connections at once, spread over the storages that hold the file; 1 or more. A file gets at most one for each 4 MiB.
    pub connections: usize,
    /// Goes on with what an earlier download of the same file to the same target left, and leaves what it has when it fails:
    /// `.NAME.part` and `.NAME.part.map` beside the target.
    pub resume: bool,
    /// Told after every piece that was written, and first of all what was there already.
    pub progress: Option<Progress>,
}

impl Default for DownloadOptions {
    fn default() -> Self {
        Self { connections: 1, resume: false, progress: None }
    }
}

impl Client {
    /// Downloads a whole file over one connection: under another name beside `to`, synced, checked against the CRC in the id where
    /// there is one, then renamed. `to` is replaced. An appender is taken as it comes, in whatever state.
    pub async fn download_to_file(&self, file: &FileId, to: &Path) -> Result<u64, ClientError> {
        let path = to.to_owned();
        let part = blocking(to, move || Part::alone(&path, 0, None)).await?;
        let mut writer = tokio::fs::OpenOptions::new()
            .write(true)
            .open(&part.path)
            .await
            .map_err(|source| local(&part.path, source))?;
        writer.set_max_buf_size(PIECE);
        let mut flow = Flow::to(Sink::Writer { writer: &mut writer, what: &part.path });
        let size = self.stream(file, Range { offset: 0, length: 0 }, &[], &mut flow).await?;
        let crc32 = flow.crc32();
        writer.sync_all().await.map_err(|source| local(&part.path, source))?;
        if named(&file.name).is_some_and(|(named_size, named)| (named_size, named.crc32) != (size, crc32)) {
            return Err(self.mismatch(file, self.fetch_target(file).await?.address));
        }
        place(part, to).await.map(|()| size)
    }

    /// Downloads a whole file over several connections, able to go on where an earlier download stopped; how many bytes it has.
    ///
    /// Once all is there it is synced, read back and checked against size and CRC of the name; for appenders and slaves against
    /// those that the storage computes then, so of an appender that changed meanwhile comes [`ClientError::Mismatch`] and not a
    /// mixture. After a mismatch nothing is left to go on with. Only then `to` is replaced.
    pub async fn download_to_file_with(
        &self,
        file: &FileId,
        to: &Path,
        options: &DownloadOptions,
    ) -> Result<u64, ClientError> {
        let size = match named(&file.name) {
            Some((size, _)) => size,
            None => self.file_size(file).await?,
        };
        let storages = match size {
            0 => Vec::new(),
            _ => self.fetch_targets(file).await?.into_iter().map(|target| target.address).collect(),
        };
        if size > LARGEST {
            let attempt = Call::on(Operation::Download, file).attempt(storages[0]);
            return Err(ClientError::TooLarge { attempt, size, limit: LARGEST });
        }
        let (path, id, DownloadOptions { connections, resume, progress }) =
            (to.to_owned(), file.clone(), options.clone());
        let opening = move || match resume {
            true => Part::resumable(&path, &id, size, progress),
            false => Ok((Part::alone(&path, size, progress)?, (0..chunks(size)).collect())),
        };
        let (part, missing) = blocking(to, opening).await?;
        let part = Arc::new(part);
        self.fetch_spans(file, &part, &storages, shares(&missing, connections, size)).await?;
        let mut part = Arc::into_inner(part).expect("all who wrote have ended");
        let (part_back, crc32) = blocking(to, move || part.synced_crc32().map(|crc32| (part, crc32))).await?;
        part = part_back;
        let right = match named(&file.name) {
            Some((_, named)) => named.crc32 == crc32,
            None => {
                self.file_info(file).await.map(|info| info.size == size && (!tells_crc(file) || info.crc32 == crc32))?
            }
        };
        if !right {
            part.throw_away();
            let address = storages.first().copied().unwrap_or_else(|| SocketAddr::from(([0; 4], 0)));
            return Err(self.mismatch(file, address));
        }
        place(part, to).await.map(|()| size)
    }

    /// Fetches all spans, each share over its own connection. When this returns, nobody writes any more.
    async fn fetch_spans(
        &self,
        file: &FileId,
        part: &Arc<Part>,
        storages: &[SocketAddr],
        shares: Vec<Vec<Bounds<u64>>>,
    ) -> Result<(), ClientError> {
        let mut fetching = JoinSet::new();
        let mut writing: Vec<JoinHandle<io::Result<()>>> = Vec::new();
        for (worker, spans) in shares.into_iter().enumerate() {
            let (sender, receiver) = channel(WAITING);
            let (client, file, mut storages, part, written) =
                (self.clone(), file.clone(), storages.to_vec(), Arc::clone(part), spans.clone());
            writing.push(spawn_blocking(move || write(&part, written, receiver)));
            let count = storages.len();
            storages.rotate_left(worker % count);
            fetching.spawn(async move {
                for span in spans {
                    let mut flow = Flow::to(Sink::Queue(&sender));
                    let range = Range { offset: span.start, length: span.end - span.start };
                    if client.stream(&file, range, &storages, &mut flow).await? != range.length {
                        return Err(client.mismatch(&file, storages[0]));
                    }
                }
                Ok(())
            });
        }
        let mut fetched = Ok(());
        while let Some(ended) = fetching.join_next().await {
            match ended {
                Ok(Err(error)) if fetched.is_ok() => {
                    fetched = Err(error);
                    fetching.abort_all();
                }
                Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
                Ok(_) | Err(_) => {}
            }
        }
        let mut on_disk = Ok(());
        for written in writing {
            on_disk = on_disk.and(written.await.unwrap_or_else(|panic| Err(io::Error::other(panic))));
        }
        // What the disk says explains why the queue to it was closed.
        on_disk.map_err(|source| local(&part.path, source)).and(fetched)
    }

    fn mismatch(&self, file: &FileId, address: SocketAddr) -> ClientError {
        ClientError::Mismatch { attempt: Call::on(Operation::Download, file).attempt(address) }
    }
}

/// Whether the storage computes a CRC for the file. A slave with so short a name that it looks like another file's gets its master's
/// CRC as answer.
fn tells_crc(file: &FileId) -> bool {
    file.name.info().is_ok_and(|named| matches!(named.kind, FileKind::Appender | FileKind::Slave))
}

/// Writes what comes to where it belongs; ends early when nothing comes any more.
fn write(part: &Part, spans: Vec<Bounds<u64>>, mut pieces: Receiver<Bytes>) -> io::Result<()> {
    for Bounds { start: mut at, end } in spans {
        while at < end {
            let Some(piece) = pieces.blocking_recv() else { return Ok(()) };
            part.write(at, &piece)?;
            at += piece.len() as u64;
        }
    }
    Ok(())
}

async fn place(mut part: Part, to: &Path) -> Result<(), ClientError> {
    let path = to.to_owned();
    blocking(to, move || part.place(&path)).await
}

/// Does what blocks elsewhere; `what` is for errors.
pub(super) async fn blocking<T: Send + 'static>(
    what: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ClientError> {
    let done = spawn_blocking(work).await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
    done.map_err(|source| local(what, source))
}
