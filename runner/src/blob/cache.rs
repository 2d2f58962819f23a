//! Blocks of files in memory: found without waiting, loaded once however many want them, the longest unused ones dropped.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::watch;

use super::BlobError;

/// Size of a block; the last one of a file is shorter.
pub(super) const BLOCK: usize = 64 << 10;

type Loaded = Option<Result<Bytes, BlobError>>;

pub(super) struct Cache {
    state: Mutex<State>,
    capacity: usize,
}

#[derive(Default)]
struct State {
    files: HashMap<Box<str>, HashMap<u64, Slot>>,
    present: usize,
    clock: u64,
}

enum Slot {
    Present { bytes: Bytes, used: u64, followed: bool },
    Loading(watch::Receiver<Loaded>),
}

/// What a look into the cache found.
pub(super) enum Found {
    Present(Bytes),
    /// Somebody loads it: wait.
    Loading(watch::Receiver<Loaded>),
    /// Nobody does: the caller must load it and hand the outcome to [`Cache::loaded`].
    Missing(watch::Sender<Loaded>, watch::Receiver<Loaded>),
}

/// A slice of a block, and whether the next block should be loaded now.
pub(super) struct Hit {
    pub(super) bytes: Bytes,
    pub(super) follow: bool,
}

impl Cache {
    /// Holds `bytes` at most, rounded down to whole blocks.
    pub(super) fn new(bytes: usize) -> Self {
        Self { state: Mutex::default(), capacity: (bytes / BLOCK).max(1) }
    }

    /// The range, when one block that is present holds it all, or holds its beginning and the end of the file.
    pub(super) fn hit(&self, uri: &str, offset: u64, len: usize) -> Option<Hit> {
        let (block, start) = place(offset);
        let mut state = self.locked();
        state.clock += 1;
        let now = state.clock;
        let blocks = state.files.get_mut(uri)?;
        let Slot::Present { bytes, used, followed } = blocks.get_mut(&block)? else { return None };
        *used = now;
        let is_last = bytes.len() < BLOCK;
        let end = start.checked_add(len)?;
        if end > bytes.len() && !is_last {
            return None;
        }
        let hit = bytes.slice(start.min(bytes.len())..end.min(bytes.len()));
        let first_use = !std::mem::replace(followed, true);
        // Only who reads on from the start or from the block before is likely to want the next one.
        let in_order = block == 0 || blocks.contains_key(&(block - 1));
        let follow = first_use && in_order && !is_last && !blocks.contains_key(&(block + 1));
        Some(Hit { bytes: hit, follow })
    }

    /// A block, or who loads it.
    pub(super) fn find(&self, uri: &str, block: u64) -> Found {
        let mut state = self.locked();
        state.clock += 1;
        let now = state.clock;
        if !state.files.contains_key(uri) {
            state.files.insert(uri.into(), HashMap::new());
        }
        let blocks = state.files.get_mut(uri).expect("it was just put there");
        match blocks.get_mut(&block) {
            Some(Slot::Present { bytes, used, .. }) => {
                *used = now;
                Found::Present(bytes.clone())
            }
            Some(Slot::Loading(receiver)) => Found::Loading(receiver.clone()),
            None => {
                let (sender, receiver) = watch::channel(None);
                blocks.insert(block, Slot::Loading(receiver.clone()));
                Found::Missing(sender, receiver)
            }
        }
    }

    /// Ends a load. A failure is told to those who wait and forgotten, so that the next one tries again.
    pub(super) fn loaded(
        &self,
        uri: &str,
        block: u64,
        sender: &watch::Sender<Loaded>,
        outcome: Result<Bytes, BlobError>,
    ) {
        let mut state = self.locked();
        state.clock += 1;
        let used = state.clock;
        let ours = |slot: &Slot| matches!(slot, Slot::Loading(receiver) if receiver.same_channel(&sender.subscribe()));
        // Forgotten while it was loaded: those who wait get it, nobody else.
        let slot = state.files.get_mut(uri).and_then(|blocks| blocks.get_mut(&block)).filter(|slot| ours(slot));
        match (&outcome, slot) {
            (Ok(bytes), Some(slot)) => {
                *slot = Slot::Present { bytes: bytes.clone(), used, followed: false };
                state.present += 1;
                if state.present > self.capacity {
                    state.drop_longest_unused();
                }
            }
            (Err(_), Some(_)) => state.remove(uri, block),
            (_, None) => {}
        }
        drop(state);
        sender.send_replace(Some(outcome));
    }

    /// Drops all blocks of a file.
    pub(super) fn forget(&self, uri: &str) {
        let mut state = self.locked();
        let blocks = state.files.remove(uri).unwrap_or_default();
        state.present -= blocks.values().filter(|slot| matches!(slot, Slot::Present { .. })).count();
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn drop_longest_unused(&mut self) {
        let present = self.files.iter().flat_map(|(uri, blocks)| {
            blocks.iter().filter_map(move |(block, slot)| match slot {
                Slot::Present { used, .. } => Some((*used, uri, *block)),
                Slot::Loading(_) => None,
            })
        });
        if let Some((_, uri, block)) = present.min_by_key(|(used, ..)| *used) {
            let uri = uri.clone();
            self.remove(&uri, block);
            self.present -= 1;
        }
    }

    fn remove(&mut self, uri: &str, block: u64) {
        if let Some(blocks) = self.files.get_mut(uri) {
            blocks.remove(&block);
            if blocks.is_empty() {
                self.files.remove(uri);
            }
        }
    }
}

/// The block that an offset lies in, and where in it.
pub(super) fn place(offset: u64) -> (u64, usize) {
    (offset / BLOCK as u64, (offset % BLOCK as u64) as usize)
}
