//! Reads segments: into the index at the start, and record by record.

use super::index::Index;
use super::record::{HEADER, Kind, MAGIC, Record};
use super::writer::io;
use super::{SpoolError, lock};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Takes every segment of a folder into the index; gives their lengths by number.
pub(super) fn all(folder: &Path, index: &Mutex<Index>) -> Result<BTreeMap<u64, u64>, SpoolError> {
    let mut numbers = segments(folder)?;
    numbers.sort_unstable();
    let read = |number| Ok((number, segment(&path(folder, number), number, &mut lock(index))?));
    numbers.into_iter().map(read).collect()
}

/// Takes a segment's records into the index, as far as they hold, and cuts off what follows; gives what is left of it.
fn segment(path: &Path, number: u64, index: &mut Index) -> Result<u64, SpoolError> {
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(io("open", path))?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut magic = [0; MAGIC.len()];
    let mut position = 0;
    if reader.read_exact(&mut magic).is_ok() {
        if &magic != MAGIC && magic.starts_with(&MAGIC[..MAGIC.len() - 1]) {
            return Err(SpoolError::Format { path: path.to_owned() });
        }
        position = if &magic == MAGIC { MAGIC.len() as u64 } else { 0 };
    }
    let mut data = Vec::new();
    while position > 0
        && let Some(record) = next(&mut reader, &mut data)
    {
        match record.kind {
            Kind::Name => index.name(record.key, String::from_utf8_lossy(&data).into(), number),
            Kind::Data | Kind::Truncate | Kind::Forget => index.apply(record, number, position),
        }
        position += HEADER as u64 + u64::from(record.length);
    }
    let mut file = reader.into_inner();
    let end = file.seek(SeekFrom::End(0)).map_err(io("read", path))?;
    if end > position {
        tracing::warn!(path = %path.display(), bytes = end - position, "cut off an unfinished end of a spool segment");
        file.set_len(position).map_err(io("cut", path))?;
    }
    Ok(position)
}

/// The next record that holds, its data in `data`.
pub(super) fn next(reader: &mut impl Read, data: &mut Vec<u8>) -> Option<Record> {
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
