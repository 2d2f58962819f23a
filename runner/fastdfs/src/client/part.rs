//! A file under construction beside its target, and the map of what is there already. Blocking.
//!
//! The map is a header (magic, size, chunk size, file id, CRC of these) and one byte for each chunk, 1 once the chunk was written.
//! One that is not exactly as this download would make it is thrown away together with the part.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::{
    Progress,
    spans::{CHUNK, chunks},
};
use crate::wire::FileId;

const MAGIC: &[u8; 8] = b"fdfspart";
const READ: usize = 1 << 20;

pub(super) struct Part {
    pub(super) path: PathBuf,
    file: File,
    size: u64,
    map: Option<Map>,
    placed: bool,
    done: Mutex<u64>,
    progress: Option<Progress>,
}

/// What an earlier download left.
struct Map {
    path: PathBuf,
    file: File,
    header: u64,
}

impl Part {
    /// A part that nobody else finds; gone when it is dropped before it was placed.
    pub(super) fn alone(to: &Path, size: u64, progress: Option<Progress>) -> io::Result<Self> {
        let path = hidden(to, &format!(".{:016x}.part", rand::random::<u64>()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        let part = Self { path, file, size, map: None, placed: false, done: Mutex::new(0), progress };
        part.file.set_len(size)?;
        Ok(part)
    }

    /// The part that an earlier download of the same left, with the chunks that it lacks; where there is none that fits, a new one.
    /// Stays when it is dropped. Fails while another process or task works on it.
    pub(super) fn resumable(
        to: &Path,
        id: &FileId,
        size: u64,
        progress: Option<Progress>,
    ) -> io::Result<(Self, Vec<u64>)> {
        let path = hidden(to, ".part");
        let file = open_locked(&path)?;
        let fits = file.metadata()?.len() == size;
        // First, for it fails where there can be no such file; a map of it would be large too.
        file.set_len(size)?;
        let (map, written) = Map::open(hidden(to, ".part.map"), id, size, fits)?;
        if !written.contains(&true) {
            file.set_len(0)?;
            file.set_len(size)?;
        }
        let missing: Vec<u64> = (0..).zip(&written).filter(|(_, written)| !**written).map(|(chunk, _)| chunk).collect();
        let part = Self { path, file, size, map: Some(map), placed: false, done: Mutex::new(0), progress };
        let here = (0..).zip(&written).filter(|(_, written)| **written);
        part.advance(here.map(|(chunk, _)| size.min((chunk + 1) * CHUNK) - chunk * CHUNK).sum());
        Ok((part, missing))
    }

    /// Writes a piece that follows what was written before it in its span, and marks the chunks that are complete with it.
    pub(super) fn write(&self, at: u64, piece: &[u8]) -> io::Result<()> {
        self.file.write_all_at(piece, at)?;
        let end = at + piece.len() as u64;
        if let Some(map) = &self.map {
            let complete = if end == self.size { chunks(end) } else { end / CHUNK };
            for chunk in at / CHUNK..complete {
                map.file.write_all_at(&[1], map.header + chunk)?;
            }
        }
        self.advance(piece.len() as u64);
        Ok(())
    }

    /// Brings it to the disk, then reads it back.
    pub(super) fn synced_crc32(&self) -> io::Result<u32> {
        self.file.sync_all()?;
        crc32_of(&self.file, self.size)
    }

    /// Gives it its name.
    pub(super) fn place(&mut self, to: &Path) -> io::Result<()> {
        std::fs::rename(&self.path, to)?;
        self.placed = true;
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        File::open(folder)?.sync_all()?;
        // Without its part it means nothing, and is thrown away by whoever finds it.
        self.map.take().map_or(Ok(()), |map| std::fs::remove_file(map.path))
    }

    /// Removes what a later download could go on with.
    pub(super) fn throw_away(&mut self) {
        if let Some(map) = self.map.take() {
            // Dropping it removes the rest.
            let _ = std::fs::remove_file(map.path);
        }
    }

    fn advance(&self, count: u64) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        *done += count;
        if let Some(progress) = &self.progress {
            progress(*done, self.size);
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.placed && self.map.is_none() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Map {
    /// The map, and which chunks are written. `part_fits` says whether the part can hold what a map claims.
    fn open(path: PathBuf, id: &FileId, size: u64, part_fits: bool) -> io::Result<(Self, Vec<bool>)> {
        let header = header(id, size);
        let whole = header.len() as u64 + chunks(size);
        let file = options().open(&path)?;
        let mut found = Vec::new();
        if part_fits {
            (&file).take(whole + 1).read_to_end(&mut found)?;
        }
        let fits = found.len() as u64 == whole && found.starts_with(&header);
        let marks = found.get(header.len()..).filter(|marks| fits && marks.iter().all(|mark| *mark <= 1));
        let written = match marks {
            Some(marks) => marks.iter().map(|mark| *mark == 1).collect(),
            None => {
                file.set_len(0)?;
                file.write_all_at(&header, 0)?;
                file.set_len(whole)?;
                vec![false; chunks(size) as usize]
            }
        };
        Ok((Self { path, file, header: header.len() as u64 }, written))
    }
}

fn header(id: &FileId, size: u64) -> Vec<u8> {
    let id = id.to_string();
    let mut header = MAGIC.to_vec();
    for number in [size, CHUNK, id.len() as u64] {
        header.extend_from_slice(&number.to_be_bytes());
    }
    header.extend_from_slice(id.as_bytes());
    header.extend_from_slice(&crc32fast::hash(&header).to_be_bytes());
    header
}

/// CRC of the first `size` bytes.
pub(super) fn crc32_of(file: &File, size: u64) -> io::Result<u32> {
    let mut crc = crc32fast::Hasher::new();
    let mut piece = vec![0; READ.min(usize::try_from(size).unwrap_or(READ))];
    let mut at = 0;
    while at < size {
        let count = (size - at).min(piece.len() as u64) as usize;
        file.read_exact_at(&mut piece[..count], at)?;
        crc.update(&piece[..count]);
        at += count as u64;
    }
    Ok(crc.finalize())
}

/// Opens or makes a file that only one may hold; a link in its place is refused.
fn open_locked(path: &Path) -> io::Result<File> {
    loop {
        let file = options().open(path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        // Whoever held it may have placed it meanwhile: then it is no part any more.
        let here = file.metadata()?;
        match std::fs::symlink_metadata(path) {
            Ok(there) if (there.dev(), there.ino()) == (here.dev(), here.ino()) => return Ok(file),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    let no_link = i32::try_from(OFlags::NOFOLLOW.bits()).expect("open flags fit their type");
    options.read(true).write(true).create(true).truncate(false).custom_flags(no_link);
    options
}

/// `.NAME` and an ending, beside `to`.
pub(super) fn hidden(to: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(to.file_name().unwrap_or_default());
    name.push(ending);
    to.with_file_name(name)
}
