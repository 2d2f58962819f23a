//! One writer a file: who changes what now, and how much of it readers may see.

use std::{
    collections::HashMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::wire::FileName;

#[derive(Default)]
pub(super) struct Writers {
    /// Per file being changed, the size that was last answered for.
    acknowledged: Mutex<HashMap<FileName, u64>>,
    freed: Condvar,
}

impl Writers {
    /// Waits for its turn; None when that takes longer than `limit`.
    pub(super) fn lock(&self, name: &FileName, limit: Duration) -> Option<Writer<'_>> {
        let taken = |map: &mut HashMap<FileName, u64>| map.contains_key(name);
        let waited = self.freed.wait_timeout_while(self.locked(), limit, taken);
        let (mut map, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return None;
        }
        map.insert(name.clone(), u64::MAX);
        Some(Writer { of: self, name: name.clone() })
    }

    /// The size that a reader may see at most.
    pub(super) fn visible(&self, name: &FileName) -> u64 {
        self.locked().get(name).copied().unwrap_or(u64::MAX)
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<FileName, u64>> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to change a file, until dropped.
pub(super) struct Writer<'a> {
    of: &'a Writers,
    name: FileName,
}

impl Writer<'_> {
    /// Hides what is written behind `size` from readers until the change ends.
    pub(super) fn show_only(&self, size: u64) {
        self.of.locked().insert(self.name.clone(), size);
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        self.of.locked().remove(&self.name);
        self.of.freed.notify_all();
    }
}
