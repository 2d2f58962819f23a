//! Makes one file of a finished transfer's pieces, reading each byte once for copy and digests.

use super::index::Extent;
use super::replay::path;
use super::writer::io;
use super::{SpoolError, record};
use md5::Md5;
use packhorse_core::digest::Digester;
use packhorse_core::transfer::{Algorithm, Digest};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// A file made of pieces, with what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assembled {
    /// In bytes.
    pub size: u64,
    /// MD5 of the bytes.
    pub md5: [u8; 16],
    /// SHA-256 of the bytes.
    pub sha256: [u8; 32],
    /// What the codec wanted beside them.
    pub beside: Vec<Digest>,
}

impl Assembled {
    /// All digests in the words of transfers.
    pub fn digests(&self) -> Vec<Digest> {
        let md5 = Digest { algorithm: Algorithm::Md5, value: self.md5.to_vec() };
        let sha256 = Digest { algorithm: Algorithm::Sha256, value: self.sha256.to_vec() };
        [md5, sha256].into_iter().chain(self.beside.iter().cloned()).collect()
    }
}

/// Extents with the segments in which they lie: once open, a segment may be removed.
pub(super) struct Pieces {
    extents: Vec<Extent>,
    segments: HashMap<u64, File>,
}

impl Pieces {
    /// Opens all segments.
    pub(super) fn open(folder: &Path, extents: Vec<Extent>) -> Result<Self, SpoolError> {
        let mut segments: HashMap<u64, File> = HashMap::new();
        for extent in &extents {
            if let Entry::Vacant(vacant) = segments.entry(extent.place.segment) {
                let name = path(folder, extent.place.segment);
                vacant.insert(File::open(&name).map_err(io("open", &name))?);
            }
        }
        Ok(Self { extents, segments })
    }
}

/// Copies `[0, size)` from the pieces to `to`. Each extent's bytes are read at their place.
pub(super) fn assemble(
    pieces: &Pieces,
    size: u64,
    (to, beside): (&Path, &[Algorithm]),
) -> Result<Assembled, SpoolError> {
    let mut sink = Sink::create(to, beside)?;
    let mut at = 0_u64;
    let mut buffer = Vec::new();
    for extent in pieces.extents.iter().take_while(|extent| extent.span.start < size) {
        if extent.span.start != at {
            return Err(SpoolError::Hole { offset: at });
        }
        let length = extent.span.end.min(size) - at;
        buffer.resize(usize::try_from(length).unwrap_or(record::MAX_DATA as usize), 0);
        pieces.segments[&extent.place.segment]
            .read_exact_at(&mut buffer, extent.place.position)
            .map_err(|_| SpoolError::Damaged { offset: at })?;
        sink.write(&buffer, to)?;
        at += length;
    }
    if at == size { sink.finish(size, to) } else { Err(SpoolError::Hole { offset: at }) }
}

struct Sink {
    file: BufWriter<File>,
    md5: Md5,
    sha256: Sha256,
    beside: Digester,
}

impl Sink {
    fn create(to: &Path, beside: &[Algorithm]) -> Result<Self, SpoolError> {
        let file = File::create(to).map_err(io("create", to))?;
        let file = BufWriter::with_capacity(1 << 20, file);
        Ok(Self { file, md5: Md5::new(), sha256: Sha256::new(), beside: Digester::new(beside) })
    }

    fn write(&mut self, bytes: &[u8], to: &Path) -> Result<(), SpoolError> {
        self.md5.update(bytes);
        self.sha256.update(bytes);
        self.beside.update(bytes);
        self.file.write_all(bytes).map_err(io("write", to))
    }

    fn finish(self, size: u64, to: &Path) -> Result<Assembled, SpoolError> {
        let file = self.file.into_inner().map_err(|error| io("write", to)(error.into_error()))?;
        file.sync_all().map_err(io("sync", to))?;
        let (md5, sha256) = (self.md5.finalize().into(), self.sha256.finalize().into());
        Ok(Assembled { size, md5, sha256, beside: self.beside.finish() })
    }
}
