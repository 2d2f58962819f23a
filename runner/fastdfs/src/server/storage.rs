//! The storage's commands: which function answers which number, and what they share.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    ServerOptions,
    connections::Service,
    counters::{Counted, Counters},
    lanes::Lane,
    peer::{PIECE, Peer},
    reply::{Refusal, Reply},
    tree::Tree,
    writers::Writers,
};
use crate::wire::{
    AddressSize, Command, FileId, FileName, GroupName, Header, MAX_FILE_NAME, Source, Status, parse_file_request,
    parse_stored,
};

/// Commands that change a file take only whole names.
pub(super) const WHOLE_NAME: u64 = 44;
/// The storage chooses the store path.
const ANY_PATH: u8 = 0xFF;

/// A store path: its files, and the disk work on them.
pub(super) struct StorePath {
    pub(super) tree: Tree,
    pub(super) readers: Lane,
    pub(super) writers: Lane,
    reserved: u64,
}

impl StorePath {
    /// Whether so many more bytes leave free what is to stay free. Nothing is set aside for requests that run at the same time.
    pub(super) async fn check_room(self: &Arc<Self>, size: u64) -> Result<(), Refusal> {
        if self.reserved == 0 {
            return Ok(());
        }
        let at = Arc::clone(self);
        let (_, free) = self.readers.run(move || at.tree.space()).await;
        if free.saturating_sub(size) >= self.reserved { Ok(()) } else { Err(Refusal::Status(Status::NO_SPACE)) }
    }
}

pub(super) struct Storage {
    pub(super) group: GroupName,
    paths: Vec<Arc<StorePath>>,
    next_path: AtomicUsize,
    pub(super) writers: Arc<Writers>,
    pub(super) counters: Counters,
    pub(super) source: Source,
    /// As file info names it.
    pub(super) address: IpAddr,
    pub(super) address_size: AddressSize,
    pub(super) max_file_size: u64,
    pub(super) patience: Duration,
}

impl Storage {
    /// `trees` are the store paths in their order: at least one, at most 255.
    pub(super) fn new(options: &ServerOptions, listening: SocketAddr, trees: Vec<Tree>) -> Self {
        let address = match options.advertise.unwrap_or_else(|| listening.ip()) {
            any if any.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            address => address,
        };
        let source = match address {
            IpAddr::V4(address) => Source::Address(address),
            // Four bytes hold no IPv6 address; such servers go by a number.
            IpAddr::V6(_) => Source::Id(1),
        };
        let store_path = |tree| {
            let (readers, writers) = (Lane::new(options.disk_readers), Lane::new(options.disk_writers));
            Arc::new(StorePath { tree, readers, writers, reserved: options.reserved_space })
        };
        Self {
            group: options.group,
            paths: trees.into_iter().map(store_path).collect(),
            next_path: AtomicUsize::new(0),
            writers: Arc::default(),
            counters: Counters::new(),
            source,
            address,
            address_size: options.address_size(address),
            max_file_size: options.max_file_size,
            patience: options.io_timeout,
        }
    }

    /// The store path that a name lies in.
    pub(super) fn path_of(&self, name: &FileName) -> Result<Arc<StorePath>, Refusal> {
        self.path(name.path_index())
    }

    /// The store path that an upload asks for, and its index.
    pub(super) fn path_for_upload(&self, asked: u8) -> Result<(u8, Arc<StorePath>), Refusal> {
        let index = if asked == ANY_PATH { self.next_path() } else { asked };
        Ok((index, self.path(index)?))
    }

    /// The store paths take turns.
    pub(super) fn next_path(&self) -> u8 {
        (self.next_path.fetch_add(1, Ordering::Relaxed) % self.paths.len()) as u8
    }

    pub(super) fn path_count(&self) -> usize {
        self.paths.len()
    }

    /// What is to stay free on all store paths, in MiB.
    pub(super) fn reserved_mb(&self) -> u64 {
        self.paths.iter().map(|path| path.reserved >> 20).sum()
    }

    /// Size of all store paths, and what is free of it, in MiB.
    pub(super) async fn space_mb(&self) -> (u64, u64) {
        let (mut total, mut free) = (0, 0);
        for path in &self.paths {
            let at = Arc::clone(path);
            let space = path.readers.run(move || at.tree.space()).await;
            (total, free) = (total + (space.0 >> 20), free + (space.1 >> 20));
        }
        (total, free)
    }

    pub(super) fn check_group(&self, group: &GroupName) -> Result<(), Refusal> {
        if *group == self.group { Ok(()) } else { Err(Refusal::INVALID) }
    }

    pub(super) fn check_size(&self, have: u64, more: u64) -> Result<(), Refusal> {
        let size = have.checked_add(more).ok_or(Refusal::INVALID)?;
        if size > self.max_file_size { Err(Refusal::Status(Status::TOO_BIG)) } else { Ok(()) }
    }

    fn path(&self, index: u8) -> Result<Arc<StorePath>, Refusal> {
        self.paths.get(usize::from(index)).map(Arc::clone).ok_or(Refusal::INVALID)
    }
}

/// Disk work of a request: what the system refuses becomes a status.
pub(super) async fn on_disk<T: Send + 'static>(
    lane: &Lane,
    job: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Refusal> {
    lane.run(job).await.map_err(|error| Refusal::disk(&error))
}

/// The body of a request that names a file and nothing else. A name longer than any that we give is one of no file.
pub(super) fn file_of(body: &[u8]) -> Result<FileId, Refusal> {
    let no_name = body.len() > GroupName::WIDTH + MAX_FILE_NAME;
    parse_file_request(body).map_err(|_| if no_name { Refusal::NOT_FOUND } else { Refusal::INVALID })
}

/// A name of announced length, whole.
pub(super) async fn whole_name(peer: &mut Peer, length: u64) -> Result<FileName, Refusal> {
    if length < WHOLE_NAME {
        return Err(Refusal::INVALID);
    }
    short_name(peer, length).await
}

/// A name of announced length, of any form.
pub(super) async fn short_name(peer: &mut Peer, length: u64) -> Result<FileName, Refusal> {
    let length = usize::try_from(length).map_err(|_| Refusal::INVALID)?;
    Ok(parse_stored(peer.take(length).await?)?)
}

pub(super) fn now_unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Service for Storage {
    async fn serve(&self, header: Header, peer: &mut Peer) -> Result<Reply, Refusal> {
        if !carries_content(header.command) && header.length >= PIECE as u64 {
            return Err(Refusal::INVALID);
        }
        let count = &self.counters;
        match header.command {
            Command::UPLOAD => count.outcome(Counted::Upload, self.upload(peer).await),
            Command::UPLOAD_APPENDER => count.outcome(Counted::Upload, self.upload_appender(peer).await),
            Command::UPLOAD_SLAVE => count.outcome(Counted::Upload, self.upload_slave(peer).await),
            Command::APPEND => count.outcome(Counted::Append, self.append(peer).await),
            Command::MODIFY => count.outcome(Counted::Modify, self.modify(peer).await),
            Command::TRUNCATE => count.outcome(Counted::Truncate, self.truncate(peer).await),
            Command::REGENERATE => self.regenerate(peer).await,
            Command::DELETE => count.outcome(Counted::Delete, self.delete(peer).await),
            Command::DOWNLOAD => count.outcome(Counted::Download, self.download(peer).await),
            Command::FILE_INFO => self.file_info(peer, header.status).await,
            Command::SET_METADATA => count.outcome(Counted::SetMetadata, self.set_metadata(peer).await),
            Command::GET_METADATA => count.outcome(Counted::GetMetadata, self.get_metadata(peer).await),
            Command::ACTIVE_TEST if header.length == 0 => Ok(Reply::EMPTY),
            _ => Err(Refusal::INVALID),
        }
    }

    fn closes_after(&self, status: Status) -> bool {
        status == Status::INVALID
    }
}

fn carries_content(command: Command) -> bool {
    let with_content =
        [Command::UPLOAD, Command::UPLOAD_APPENDER, Command::UPLOAD_SLAVE, Command::APPEND, Command::MODIFY];
    with_content.contains(&command)
}
