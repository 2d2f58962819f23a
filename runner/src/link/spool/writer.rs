//! The thread that owns the spool's files: appends what has gathered, one fdatasync, then tells everyone.

use super::index::Index;
use super::record::{HEADER, Key, Kind, MAGIC, MAX_DATA, Record};
use super::{SpoolError, SpoolNote, lock};
use crate::failpoint::Point;
use packhorse_core::transfer::Span;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use tokio::sync::mpsc;

/// Pieces under one fdatasync at most.
const GROUP: usize = 256;
/// A segment that has grown past this is closed.
const SEGMENT: u64 = 64 << 20;

/// One thing to write.
pub(super) struct Request {
    pub(super) kind: Kind,
    pub(super) key: Key,
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) notes: Option<mpsc::UnboundedSender<SpoolNote>>,
}

/// Reads the folder into `index`, then starts the thread. It ends when the last sender is dropped.
pub(super) fn start(
    folder: &Path,
    index: Arc<Mutex<Index>>,
    why: Arc<OnceLock<String>>,
) -> Result<mpsc::Sender<Request>, SpoolError> {
    std::fs::create_dir_all(folder).map_err(io("create", folder))?;
    let mut numbers = segments(folder)?;
    numbers.sort_unstable();
    for number in &numbers {
        replay(&path(folder, *number), *number, &mut lock(&index))?;
    }
    let next = numbers.last().map_or(0, |last| last + 1);
    let (sender, receiver) = mpsc::channel(super::QUEUE);
    let writer = Writer { folder: folder.to_owned(), index, number: next, file: None, length: 0, buffer: Vec::new() };
    writer.collect();
    std::thread::Builder::new()
        .name("spool".to_owned())
        .spawn(move || writer.run(receiver, &why))
        .map_err(io("start the writer of", folder))?;
    Ok(sender)
}

struct Writer {
    folder: PathBuf,
    index: Arc<Mutex<Index>>,
    number: u64,
    file: Option<File>,
    length: u64,
    buffer: Vec<u8>,
}

impl Writer {
    fn run(mut self, mut requests: mpsc::Receiver<Request>, why: &OnceLock<String>) {
        let mut group = Vec::with_capacity(GROUP);
        while requests.blocking_recv_many(&mut group, GROUP) > 0 {
            if let Err(error) = self.commit(&mut group) {
                let words = format!(
                    "{error}: {}",
                    std::error::Error::source(&error).map_or_else(String::new, ToString::to_string)
                );
                drop(why.set(words.clone()));
                tracing::error!(error = %words, "the spool cannot be written; pulls stop");
                group.drain(..).filter_map(|request| request.notes).for_each(|notes| {
                    drop(notes.send(SpoolNote::Failed(words.clone())));
                });
                return;
            }
        }
    }

    /// Writes and syncs a group, then indexes and announces it.
    fn commit(&mut self, group: &mut Vec<Request>) -> Result<(), SpoolError> {
        let target = path(&self.folder, self.number);
        let records = self.append(group, &target)?;
        let mut index = lock(&self.index);
        for (record, position) in records {
            index.apply(record, self.number, position);
        }
        drop(index);
        for request in group.drain(..) {
            if let Some(notes) = request.notes {
                let span = Span::new(request.offset, request.offset + request.bytes.len() as u64);
                drop(notes.send(SpoolNote::Durable(span)));
            }
        }
        if self.length >= SEGMENT {
            (self.file, self.number) = (None, self.number + 1);
            self.collect();
        }
        Ok(())
    }

    fn append(&mut self, group: &[Request], target: &Path) -> Result<Vec<(Record, u64)>, SpoolError> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.create(target)?,
        };
        self.buffer.clear();
        let mut records = Vec::with_capacity(group.len());
        for request in group {
            for (offset, bytes) in split(request) {
                let length = u32::try_from(bytes.len()).unwrap_or(MAX_DATA);
                let record = Record { kind: request.kind, key: request.key, offset, length };
                records.push((record, self.length + self.buffer.len() as u64));
                record.write(bytes, &mut self.buffer);
            }
        }
        Point::SpoolWrite.attempt().map_err(io("write", target))?;
        file.write_all(&self.buffer).map_err(io("write", target))?;
        Point::SpoolSync.attempt().map_err(io("sync", target))?;
        file.sync_data().map_err(io("sync", target))?;
        Point::SpoolSynced.pass();
        self.length += self.buffer.len() as u64;
        self.file = Some(file);
        Ok(records)
    }

    fn create(&mut self, target: &Path) -> Result<File, SpoolError> {
        let mut file = OpenOptions::new().append(true).create_new(true).open(target).map_err(io("create", target))?;
        file.write_all(MAGIC).map_err(io("write", target))?;
        let folder = File::open(&self.folder).map_err(io("open", &self.folder))?;
        folder.sync_all().map_err(io("sync", &self.folder))?;
        self.length = MAGIC.len() as u64;
        Ok(file)
    }

    /// Removes closed segments that hold nothing any more, oldest first: a segment with a mark that voids bytes of an
    /// older one must not go before it.
    fn collect(&self) {
        let live = lock(&self.index).segments();
        let Ok(mut numbers) = segments(&self.folder) else { return };
        numbers.sort_unstable();
        for number in numbers.into_iter().take_while(|number| !live.contains(number) && *number < self.number) {
            if let Err(error) = std::fs::remove_file(path(&self.folder, number)) {
                tracing::warn!(%error, number, "cannot remove an empty spool segment");
                return;
            }
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

/// Takes a segment's records into the index, as far as they hold, and cuts off what follows.
fn replay(path: &Path, number: u64, index: &mut Index) -> Result<(), SpoolError> {
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(io("open", path))?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut magic = [0; MAGIC.len()];
    let mut position = 0;
    if reader.read_exact(&mut magic).is_ok() && &magic == MAGIC {
        position = MAGIC.len() as u64;
        let mut data = Vec::new();
        while let Some(record) = next(&mut reader, &mut data) {
            index.apply(record, number, position);
            position += HEADER as u64 + u64::from(record.length);
        }
    }
    let mut file = reader.into_inner();
    let end = file.seek(SeekFrom::End(0)).map_err(io("read", path))?;
    if end > position {
        tracing::warn!(path = %path.display(), bytes = end - position, "cut off an unfinished end of a spool segment");
        file.set_len(position).map_err(io("cut", path))?;
    }
    Ok(())
}

fn next(reader: &mut impl std::io::Read, data: &mut Vec<u8>) -> Option<Record> {
    let mut header = [0; HEADER];
    reader.read_exact(&mut header).ok()?;
    let (sum, record) = Record::parse(&header)?;
    data.resize(record.length as usize, 0);
    reader.read_exact(data).ok()?;
    (Record::sum(&header, data) == sum).then_some(record)
}

fn segments(folder: &Path) -> Result<Vec<u64>, SpoolError> {
    let entries = std::fs::read_dir(folder).map_err(io("list", folder))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter_map(|name| u64::from_str_radix(name.strip_suffix(".log")?, 16).ok()).collect())
}

/// The file of a segment.
pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016x}.log"))
}

/// Makes an error of a failed call.
pub(in crate::link) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> SpoolError {
    let path = path.to_owned();
    move |source| SpoolError::Io { action, path, source }
}
