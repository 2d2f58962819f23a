//! Unfinished changes on disk: the size that each file had before, so that a restart can take back what was not answered for.
//!
//! One file of fixed slots. A slot is written before a change begins and cleared before its answer goes out.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::FileExt as _,
    path::Path,
    sync::{Mutex, PoisonError},
};

use crate::wire::{FileName, MAX_FILE_NAME};

const SLOT: usize = 256;
const MAGIC: [u8; 4] = *b"PHI1";
/// Magic, CRC-32 of the rest, size, length of the name.
const HEAD: usize = 4 + 4 + 8 + 1;
/// Slots beyond this are not read back: far more than there are connections.
const MAX_SLOTS: u64 = 65_536;

pub(super) struct Intents {
    file: File,
    durable: bool,
    slots: Mutex<Slots>,
}

struct Slots {
    free: Vec<u64>,
    next: u64,
}

impl Intents {
    /// Reads what a killed server left and starts anew; the caller puts the files right before it lets anybody in.
    pub(super) fn open(path: &Path, durable: bool) -> io::Result<(Self, Vec<(FileName, u64)>)> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut left = Vec::new();
        (&file).take(MAX_SLOTS * SLOT as u64).read_to_end(&mut left)?;
        let left = left.chunks_exact(SLOT).filter_map(decode).collect();
        let slots = Mutex::new(Slots { free: Vec::new(), next: 0 });
        Ok((Self { file, durable, slots }, left))
    }

    /// Forgets everything: the files are right.
    pub(super) fn settle(&self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.sync_all()
    }

    /// Notes that `name` is about to change and has `size` bytes now.
    pub(super) fn begin(&self, name: &FileName, size: u64) -> io::Result<Intent<'_>> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.free.pop().unwrap_or_else(|| {
                slots.next += 1;
                slots.next - 1
            })
        };
        let intent = Intent { of: self, slot };
        intent.write(&encode(name, size))?;
        Ok(intent)
    }
}

/// A slot that is taken. Dropped without [`Intent::finish`], it stays on disk for the next start.
pub(super) struct Intent<'a> {
    of: &'a Intents,
    slot: u64,
}

impl Intent<'_> {
    /// The change is complete, or taken back.
    pub(super) fn finish(self) -> io::Result<()> {
        self.write(&[0; HEAD])?;
        self.of.slots.lock().unwrap_or_else(PoisonError::into_inner).free.push(self.slot);
        Ok(())
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.of.file.write_all_at(bytes, self.slot * SLOT as u64)?;
        if self.of.durable { self.of.file.sync_data() } else { Ok(()) }
    }
}

fn encode(name: &FileName, size: u64) -> [u8; SLOT] {
    let name = name.as_str().as_bytes();
    let mut slot = [0; SLOT];
    slot[8..16].copy_from_slice(&size.to_be_bytes());
    slot[16] = name.len() as u8;
    slot[HEAD..HEAD + name.len()].copy_from_slice(name);
    let crc = crc32fast::hash(&slot[8..]);
    slot[..4].copy_from_slice(&MAGIC);
    slot[4..8].copy_from_slice(&crc.to_be_bytes());
    slot
}

fn decode(slot: &[u8]) -> Option<(FileName, u64)> {
    let crc = u32::from_be_bytes(slot[4..8].try_into().ok()?);
    let length = usize::from(slot[16]);
    if slot[..4] != MAGIC || crc32fast::hash(&slot[8..]) != crc || length > MAX_FILE_NAME {
        return None;
    }
    let name = str::from_utf8(&slot[HEAD..HEAD + length]).ok()?.parse().ok()?;
    Some((name, u64::from_be_bytes(slot[8..16].try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_changes_are_found_again_and_finished_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("intents");
        let name: FileName = "M00/00/00/fwAAA2sAAceEYEJuAAAAAMRYHyQ536.txt".parse().unwrap();
        let (intents, left) = Intents::open(&path, false).unwrap();
        assert!(left.is_empty());
        let _unfinished = intents.begin(&name, 7).unwrap();
        intents.begin(&name, 9).unwrap().finish().unwrap();
        let (intents, left) = Intents::open(&path, false).unwrap();
        assert_eq!(left, [(name, 7)]);
        intents.settle().unwrap();
        assert!(Intents::open(&path, false).unwrap().1.is_empty());
    }

    #[test]
    fn a_damaged_slot_is_ignored() {
        let name: FileName = "M00/00/00/abc".parse().unwrap();
        let whole = encode(&name, 7);
        assert_eq!(decode(&whole), Some((name, 7)));
        for at in 0..SLOT {
            let mut slot = whole;
            slot[at] ^= 1;
            assert_eq!(decode(&slot), None, "byte {at}");
        }
    }
}
