//! The thread that owns the spool's files: appends what has gathered, one fdatasync, then tells everyone. A write that failed fails those who
//! asked for it, and is not tried again; what comes later goes into a new segment, so that nothing hangs on what a file of a failed fdatasync says.

use super::index::Index;
use super::record::{HEADER, Key, Kind, MAGIC, MAX_DATA, Record};
use super::replay::{self, path};
use super::{SpoolError, SpoolNote, lock};
use crate::failpoint::Point;
use packhorse_core::failure::chain;
use packhorse_core::transfer::Span;
use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, oneshot};

/// Pieces under one fdatasync at most.
const GROUP: usize = 256;

/// One thing to write.
pub(super) struct Request {
    pub(super) kind: Kind,
    pub(super) key: Key,
    /// Of the transfer.
    pub(super) name: Arc<str>,
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) told: ToBeTold,
}

/// Who hears what became of a request.
pub(super) enum ToBeTold {
    Nobody,
    Notes(mpsc::UnboundedSender<SpoolNote>),
    Once(oneshot::Sender<Result<(), String>>),
}

/// Reads the folder into `index`, then starts the thread. It ends when the last sender is dropped. A segment of `limit` bytes is closed.
pub(super) fn start(folder: &Path, index: Arc<Mutex<Index>>, limit: u64) -> Result<mpsc::Sender<Request>, SpoolError> {
    std::fs::create_dir_all(folder).map_err(io("create", folder))?;
    let closed = replay::all(folder, &index)?;
    let number = closed.last_key_value().map_or(0, |(last, _)| last + 1);
    let (sender, receiver) = mpsc::channel(super::QUEUE);
    let mut writer = Writer {
        folder: folder.to_owned(),
        index,
        limit,
        closed,
        number,
        file: None,
        length: 0,
        buffer: Vec::new(),
        owed: Vec::new(),
        unreadable: None,
    };
    writer.collect();
    std::thread::Builder::new()
        .name("spool".to_owned())
        .spawn(move || writer.run(receiver))
        .map_err(io("start the writer of", folder))?;
    Ok(sender)
}

pub(super) struct Writer {
    pub(super) folder: PathBuf,
    pub(super) index: Arc<Mutex<Index>>,
    pub(super) limit: u64,
    /// Lengths of the segments that are not written to any more.
    pub(super) closed: BTreeMap<u64, u64>,
    /// Of the segment that is written to.
    pub(super) number: u64,
    pub(super) file: Option<File>,
    /// How much of it is durable.
    pub(super) length: u64,
    pub(super) buffer: Vec<u8>,
    /// Marks that could not be written: they hold already, and come before all else.
    owed: Vec<Record>,
    /// A segment that does not read back as written.
    pub(super) unreadable: Option<u64>,
}

/// A record that was written, and where; its transfer's name where it is one.
struct Written {
    record: Record,
    position: u64,
    name: Option<Arc<str>>,
}

impl Writer {
    fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut group = Vec::with_capacity(GROUP);
        while requests.blocking_recv_many(&mut group, GROUP) > 0 {
            if let Err(error) = self.commit(&mut group) {
                self.fail(&mut group, &error);
            }
        }
    }

    /// Writes and syncs a group, then indexes and announces it.
    fn commit(&mut self, group: &mut Vec<Request>) -> Result<(), SpoolError> {
        let written = self.append(group)?;
        let mut index = lock(&self.index);
        for Written { record, position, name } in written {
            match name {
                Some(name) => index.name(record.key, name, self.number),
                None => index.apply(record, self.number, position),
            }
        }
        drop(index);
        let voids = !self.owed.is_empty() || group.iter().any(|request| request.kind != Kind::Data);
        self.owed.clear();
        for request in group.drain(..) {
            let span = Span::new(request.offset, request.offset + request.bytes.len() as u64);
            request.told.tell(Ok(span));
        }
        let full = self.length >= self.limit;
        if full {
            self.close();
        }
        if full || voids {
            self.collect();
        }
        Ok(())
    }

    /// What is to be done with a group that could not be written: nobody counts on its bytes, and its marks hold all the same.
    fn fail(&mut self, group: &mut Vec<Request>, error: &SpoolError) {
        let words = chain(error);
        tracing::error!(error = words, "the spool cannot be written; these pulls stop");
        self.leave();
        for request in group.drain(..) {
            if request.kind != Kind::Data {
                lock(&self.index).remove(request.key);
                self.owed.push(Record { kind: request.kind, key: request.key, offset: 0, length: 0 });
            }
            request.told.tell(Err(words.clone()));
        }
    }

    fn append(&mut self, group: &[Request]) -> Result<Vec<Written>, SpoolError> {
        let target = path(&self.folder, self.number);
        self.open()?;
        let written = self.encode(group);
        Point::SpoolWrite.attempt().map_err(io("write", &target))?;
        self.write(&target)?;
        Point::SpoolSync.attempt().map_err(io("sync", &target))?;
        self.sync(&target)?;
        Point::SpoolSynced.pass();
        self.length += self.buffer.len() as u64;
        Ok(written)
    }

    /// Puts what is owed and a group into the buffer; before the first bytes of a transfer its name.
    fn encode(&mut self, group: &[Request]) -> Vec<Written> {
        self.buffer.clear();
        let mut written = Vec::with_capacity(group.len());
        let mut named: HashMap<Key, bool> = HashMap::new();
        for record in std::mem::take(&mut self.owed) {
            self.push(record, &[], None, &mut written);
            self.owed.push(record);
        }
        for request in group {
            let key = request.key;
            let known = named.entry(key).or_insert_with(|| lock(&self.index).is_named(key));
            let is_data = request.kind == Kind::Data;
            if is_data && !*known {
                let name = Some(Arc::clone(&request.name));
                let length = u32::try_from(request.name.len()).unwrap_or(0).min(MAX_DATA);
                let record = Record { kind: Kind::Name, key, offset: 0, length };
                self.push(record, &request.name.as_bytes()[..length as usize], name, &mut written);
            }
            *known = is_data;
            for (offset, bytes) in split(request) {
                let length = u32::try_from(bytes.len()).unwrap_or(MAX_DATA);
                self.push(Record { kind: request.kind, key, offset, length }, bytes, None, &mut written);
            }
        }
        written
    }

    fn push(&mut self, record: Record, data: &[u8], name: Option<Arc<str>>, written: &mut Vec<Written>) {
        written.push(Written { record, position: self.length + self.buffer.len() as u64, name });
        record.write(data, &mut self.buffer);
    }

    /// Sees to it that there is a segment to write to.
    pub(super) fn open(&mut self) -> Result<(), SpoolError> {
        if self.file.is_some() {
            return Ok(());
        }
        let target = path(&self.folder, self.number);
        let file = OpenOptions::new().append(true).create_new(true).open(&target).map_err(io("create", &target))?;
        self.length = 0;
        self.file.insert(file).write_all(MAGIC).map_err(io("write", &target))?;
        self.sync_folder()?;
        self.length = MAGIC.len() as u64;
        Ok(())
    }

    /// Writes the buffer.
    pub(super) fn write(&mut self, target: &Path) -> Result<(), SpoolError> {
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(&self.buffer)).map_err(io("write", target))
    }

    pub(super) fn sync(&mut self, target: &Path) -> Result<(), SpoolError> {
        self.file.as_mut().map_or(Ok(()), |file| file.sync_data()).map_err(io("sync", target))
    }

    pub(super) fn sync_folder(&self) -> Result<(), SpoolError> {
        let folder = File::open(&self.folder).map_err(io("open", &self.folder))?;
        folder.sync_all().map_err(io("sync", &self.folder))
    }

    fn close(&mut self) {
        self.file = None;
        self.closed.insert(self.number, self.length);
        (self.number, self.length) = (self.number + 1, 0);
    }

    /// Leaves a segment after a failed write: cuts off what is not durable, as far as that still works. What was durable before stays.
    pub(super) fn leave(&mut self) {
        let target = path(&self.folder, self.number);
        let kept = if self.length > MAGIC.len() as u64 { self.length } else { 0 };
        if let Some(file) = self.file.take()
            && let Err(error) = file.set_len(kept).and_then(|()| file.sync_data())
        {
            tracing::warn!(%error, path = %target.display(), "cannot cut off what was not written whole");
        }
        // One that holds nothing is dead, and goes with the next collection.
        if kept > 0 || target.exists() {
            self.closed.insert(self.number, kept);
        }
        (self.number, self.length) = (self.number + 1, 0);
    }
}

impl ToBeTold {
    fn tell(self, what: Result<Span, String>) {
        match self {
            Self::Nobody => {}
            Self::Notes(notes) => drop(notes.send(what.map_or_else(SpoolNote::Failed, SpoolNote::Durable))),
            Self::Once(once) => drop(once.send(what.map(drop))),
        }
    }
}

/// The pieces of a request, none longer than a record may be; a mark is one empty piece.
fn split(request: &Request) -> Vec<(u64, &[u8])> {
    if request.bytes.is_empty() {
        return vec![(request.offset, &[])];
    }
    let chunks = request.bytes.chunks(MAX_DATA as usize);
    chunks.enumerate().map(|(index, bytes)| (request.offset + index as u64 * u64::from(MAX_DATA), bytes)).collect()
}

/// Makes an error of a failed call.
pub(in crate::link) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> SpoolError {
    let path = path.to_owned();
    move |source| SpoolError::Io { action, path, source }
}

/// Where the data of a record begins that is written at `position`.
pub(super) const fn data_at(position: u64) -> u64 {
    position + HEADER as u64
}
