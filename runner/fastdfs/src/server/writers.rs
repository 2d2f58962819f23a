//! One writer a file: who changes what now, and how much of it readers may see.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

use crate::wire::FileName;

#[derive(Default)]
pub(super) struct Writers {
    /// Per file being changed, the size that was last answered for.
    acknowledged: Mutex<HashMap<FileName, u64>>,
    freed: Notify,
}

impl Writers {
    /// Waits for its turn; None when that takes longer than `limit`.
    pub(super) async fn lock(self: &Arc<Self>, name: &FileName, limit: Duration) -> Option<Writer> {
        timeout(limit, self.turn(name)).await.ok()
    }

    async fn turn(self: &Arc<Self>, name: &FileName) -> Writer {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // Listening before looking: otherwise the end of the other's change could be missed.
            freed.as_mut().enable();
            if let Some(writer) = self.try_lock(name) {
                return writer;
            }
            freed.await;
        }
    }

    fn try_lock(self: &Arc<Self>, name: &FileName) -> Option<Writer> {
        let mut changing = self.locked();
        if changing.contains_key(name) {
            return None;
        }
        changing.insert(name.clone(), u64::MAX);
        Some(Writer { of: Arc::clone(self), name: name.clone(), given_up: AtomicBool::new(false) })
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
pub(super) struct Writer {
    of: Arc<Writers>,
    name: FileName,
    given_up: AtomicBool,
}

impl Writer {
    /// Hides what is written behind `size` from readers until the change ends.
    pub(super) fn show_only(&self, size: u64) {
        self.of.locked().insert(self.name.clone(), size);
    }

    /// Lets nobody change the file any more until the server starts anew: only then can it be put right.
    pub(super) fn give_up(&self) {
        tracing::error!(name = %self.name, "a change could not be taken back: the file is closed until the next start");
        self.given_up.store(true, Ordering::Relaxed);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.given_up.load(Ordering::Relaxed) {
            return;
        }
        self.of.locked().remove(&self.name);
        self.of.freed.notify_waiters();
    }
}
