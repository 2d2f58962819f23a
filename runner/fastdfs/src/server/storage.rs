//! The storage's commands: which function answers which number, and what they share.

use std::{
    fs::File,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    ServerOptions,
    connections::Service,
    counters::{Counted, Counters},
    peer::{PIECE, Peer},
    reply::{Refusal, Reply},
    tree::Tree,
    writers::{Writer, Writers},
};
use crate::wire::{Command, FileName, GroupName, Header, Source, Status, parse_stored};

/// Commands that change a file take only whole names.
const WHOLE_NAME: u64 = 44;

pub(super) struct Storage {
    pub(super) group: GroupName,
    pub(super) tree: Tree,
    pub(super) writers: Writers,
    pub(super) counters: Counters,
    pub(super) source: Source,
    /// As file info names it.
    pub(super) address: IpAddr,
    pub(super) max_file_size: u64,
    pub(super) patience: Duration,
}

/// A file that only its holder may change now.
pub(super) struct Changing<'a> {
    _writer: Writer<'a>,
    pub(super) file: File,
    pub(super) size: u64,
}

impl Storage {
    pub(super) fn new(options: &ServerOptions, listening: SocketAddr, tree: Tree) -> Self {
        let address = match options.advertise.unwrap_or_else(|| listening.ip()) {
            any if any.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            address => address,
        };
        let source = match address {
            IpAddr::V4(address) => Source::Address(address),
            // Four bytes hold no IPv6 address; such servers go by a number.
            IpAddr::V6(_) => Source::Id(1),
        };
        Self {
            group: options.group,
            tree,
            writers: Writers::default(),
            counters: Counters::new(),
            source,
            address,
            max_file_size: options.max_file_size,
            patience: options.io_timeout,
        }
    }

    /// Takes the right to change an appender file. A missing one is told before one of the wrong kind.
    pub(super) fn change<'a>(&'a self, name: &FileName) -> Result<Changing<'a>, Refusal> {
        let writer = self.writers.lock(name, self.patience).ok_or(Refusal::Status(Status::BUSY))?;
        let file = self.open(name, Tree::open_to_change)?;
        if !name.is_appender() {
            return Err(Refusal::INVALID);
        }
        let size = file.metadata().map_err(|error| Refusal::disk(&error))?.len();
        writer.show_only(size);
        Ok(Changing { _writer: writer, file, size })
    }

    pub(super) fn open(
        &self,
        name: &FileName,
        how: impl Fn(&Tree, &FileName) -> std::io::Result<File>,
    ) -> Result<File, Refusal> {
        self.check_path(name.path_index())?;
        how(&self.tree, name).map_err(|error| Refusal::disk(&error))
    }

    /// There is one store path.
    pub(super) fn check_path(&self, index: u8) -> Result<(), Refusal> {
        if index == 0 { Ok(()) } else { Err(Refusal::INVALID) }
    }

    pub(super) fn check_group(&self, group: &GroupName) -> Result<(), Refusal> {
        if *group == self.group { Ok(()) } else { Err(Refusal::INVALID) }
    }
}

/// A name of announced length, whole.
pub(super) fn whole_name(peer: &mut Peer, length: u64) -> Result<FileName, Refusal> {
    if length < WHOLE_NAME {
        return Err(Refusal::INVALID);
    }
    short_name(peer, length)
}

/// A name of announced length, of any form.
pub(super) fn short_name(peer: &mut Peer, length: u64) -> Result<FileName, Refusal> {
    let length = usize::try_from(length).map_err(|_| Refusal::INVALID)?;
    Ok(parse_stored(peer.take(length)?)?)
}

pub(super) fn now_unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Service for Storage {
    fn serve(&self, header: Header, peer: &mut Peer) -> Result<Reply, Refusal> {
        if !carries_content(header.command) && header.length >= PIECE as u64 {
            return Err(Refusal::INVALID);
        }
        let count = &self.counters;
        match header.command {
            Command::UPLOAD => count.outcome(Counted::Upload, self.upload(peer)),
            Command::UPLOAD_APPENDER => count.outcome(Counted::Upload, self.upload_appender(peer)),
            Command::UPLOAD_SLAVE => count.outcome(Counted::Upload, self.upload_slave(peer)),
            Command::APPEND => count.outcome(Counted::Append, self.append(peer)),
            Command::MODIFY => count.outcome(Counted::Modify, self.modify(peer)),
            Command::TRUNCATE => count.outcome(Counted::Truncate, self.truncate(peer)),
            Command::REGENERATE => self.regenerate(peer),
            Command::DELETE => count.outcome(Counted::Delete, self.delete(peer)),
            Command::DOWNLOAD => count.outcome(Counted::Download, self.download(peer)),
            Command::FILE_INFO => self.file_info(peer, header.status),
            Command::SET_METADATA => count.outcome(Counted::SetMetadata, self.set_metadata(peer)),
            Command::GET_METADATA => count.outcome(Counted::GetMetadata, self.get_metadata(peer)),
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
