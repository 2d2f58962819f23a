//! Unfinished changes on disk: how each one is to be taken back, or brought to its end, when the server is killed within it.
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
const MAGIC: [u8; 4] = *b"PHI2";
/// Magic, CRC-32 of the rest, two numbers, kind, length of the name.
const HEAD: usize = 4 + 4 + 8 + 8 + 1 + 1;
/// Slots beyond this are not read back: far more than there are connections.
const MAX_SLOTS: u64 = 65_536;

const TAKE_BACK: u8 = 1;
const REPEAT: u8 = 2;

/// What makes a file right again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Remedy {
    /// Cut it to the size that was last answered for.
    TakeBack {
        /// That size.
        size: u64,
    },
    /// Copy the whole of an unnamed file over it once more.
    Repeat {
        /// Which unnamed file.
        temp: u64,
        /// Where it goes.
        offset: u64,
    },
}

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
    pub(super) fn open(path: &Path, durable: bool) -> io::Result<(Self, Vec<(FileName, Remedy)>)> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut left = Vec::new();
        (&file).take(MAX_SLOTS * SLOT as u64).read_to_end(&mut left)?;
        let left = left.chunks(SLOT).filter_map(decode).collect();
        let slots = Mutex::new(Slots { free: Vec::new(), next: 0 });
        Ok((Self { file, durable, slots }, left))
    }

    /// Forgets everything: the files are right.
    pub(super) fn settle(&self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.sync_all()
    }

    /// Notes that `name` is about to change. Each intent takes a slot of its own until it is finished. Fails with whether the note
    /// stands there all the same.
    pub(super) fn begin(&self, name: &FileName, remedy: Remedy) -> Result<Intent, (io::Error, bool)> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.free.pop().unwrap_or_else(|| {
                slots.next += 1;
                slots.next - 1
            })
        };
        let written = self.file.write_all_at(&encode(name, remedy), slot * SLOT as u64);
        let was_written = written.is_ok();
        match written.and_then(|()| self.sync()) {
            Ok(()) => Ok(Intent { slot }),
            Err(error) => {
                let stands = was_written && self.file.write_all_at(&[0; HEAD], slot * SLOT as u64).is_err();
                if !stands {
                    self.free(slot);
                }
                Err((error, stands))
            }
        }
    }

    /// The change is complete, or taken back.
    pub(super) fn finish(&self, intent: Intent) -> io::Result<()> {
        self.file.write_all_at(&[0; HEAD], intent.slot * SLOT as u64)?;
        self.sync()?;
        self.free(intent.slot);
        Ok(())
    }

    fn free(&self, slot: u64) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).free.push(slot);
    }

    fn sync(&self) -> io::Result<()> {
        if self.durable { self.file.sync_data() } else { Ok(()) }
    }
}

/// A slot that is taken. Dropped without [`Intents::finish`], it stays on disk for the next start.
#[must_use]
pub(super) struct Intent {
    slot: u64,
}

fn encode(name: &FileName, remedy: Remedy) -> [u8; SLOT] {
    let name = name.as_str().as_bytes();
    let (kind, first, second) = match remedy {
        Remedy::TakeBack { size } => (TAKE_BACK, size, 0),
        Remedy::Repeat { temp, offset } => (REPEAT, temp, offset),
    };
    let mut slot = [0; SLOT];
    slot[8..16].copy_from_slice(&first.to_be_bytes());
    slot[16..24].copy_from_slice(&second.to_be_bytes());
    slot[24] = kind;
    slot[25] = name.len() as u8;
    slot[HEAD..HEAD + name.len()].copy_from_slice(name);
    let crc = crc32fast::hash(&slot[8..]);
    slot[..4].copy_from_slice(&MAGIC);
    slot[4..8].copy_from_slice(&crc.to_be_bytes());
    slot
}

fn decode(slot: &[u8]) -> Option<(FileName, Remedy)> {
    let slot: &[u8; SLOT] = slot.try_into().ok()?;
    let number = |at: usize| Some(u64::from_be_bytes(slot[at..at + 8].try_into().ok()?));
    let crc = u32::from_be_bytes(slot[4..8].try_into().ok()?);
    let length = usize::from(slot[25]);
    if slot[..4] != MAGIC || crc32fast::hash(&slot[8..]) != crc || length > MAX_FILE_NAME {
        return None;
    }
    let remedy = match slot[24] {
        TAKE_BACK => Remedy::TakeBack { size: number(8)? },
        REPEAT => Remedy::Repeat { temp: number(8)?, offset: number(16)? },
        _ => return None,
    };
    let name = str::from_utf8(&slot[HEAD..HEAD + length]).ok()?.parse().ok()?;
    Some((name, remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKE_BACK_7: Remedy = Remedy::TakeBack { size: 7 };

    #[test]
    fn unfinished_changes_are_found_again_and_finished_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("intents");
        let name: FileName = "M00/00/00/fwAAA2sAAceEYEJuAAAAAMRYHyQ536.txt".parse().unwrap();
        let repeat = Remedy::Repeat { temp: 3, offset: u64::MAX };
        let (intents, left) = Intents::open(&path, false).unwrap();
        assert!(left.is_empty());
        let _unfinished = intents.begin(&name, TAKE_BACK_7).unwrap();
        let finished = intents.begin(&name, TAKE_BACK_7).unwrap();
        let _unfinished = intents.begin(&name, repeat).unwrap();
        intents.finish(finished).unwrap();
        let (intents, left) = Intents::open(&path, false).unwrap();
        assert_eq!(left, [(name.clone(), TAKE_BACK_7), (name, repeat)]);
        intents.settle().unwrap();
        assert!(Intents::open(&path, false).unwrap().1.is_empty());
    }

    #[test]
    fn a_damaged_slot_is_ignored() {
        let name: FileName = "M00/00/00/abc".parse().unwrap();
        let whole = encode(&name, TAKE_BACK_7);
        assert_eq!(decode(&whole), Some((name, TAKE_BACK_7)));
        assert_eq!(decode(&whole[..SLOT - 1]), None);
        for at in 0..SLOT {
            let mut slot = whole;
            slot[at] ^= 1;
            assert_eq!(decode(&slot), None, "byte {at}");
        }
    }
}
