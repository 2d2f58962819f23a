//! One transfer a device at a time: whoever comes later waits, in order of arrival.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// The devices that are busy; a turn holds the last epoch that a transfer to the device had, while others wait.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<String, Weak<Turn<u32>>>>);

impl Turns {
    /// The device's turn, if nobody has it.
    pub(super) fn try_take(&self, device: &str) -> Option<OwnedMutexGuard<u32>> {
        self.turn(device).try_lock_owned().ok()
    }

    /// Waits for the device's turn.
    pub(super) async fn take(&self, device: &str) -> OwnedMutexGuard<u32> {
        self.turn(device).lock_owned().await
    }

    fn turn(&self, device: &str) -> Arc<Turn<u32>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(device).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(Turn::new(0));
        turns.insert(device.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn devices_do_not_wait_for_each_other() {
        let turns = Turns::default();
        let first = turns.take("a").await;
        assert!(turns.try_take("a").is_none());
        assert!(turns.try_take("b").is_some());
        drop(first);
        assert!(turns.try_take("a").is_some());
    }
}
