//! One transfer a device at a time: whoever comes later waits, in order of arrival. And each has a later epoch than every one before.

use crate::store::{KeyValue, wall};
use packhorse_core::effect::KvRequest;
use packhorse_core::epoch;
use packhorse_core::failure::{Class, Failure, chain};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// Keys of epochs begin with a byte that no workflow's key can begin with.
const KEY: &str = "\u{1}epoch:";
/// For how long a device's last epoch is kept; the clock is far beyond it then.
const KEPT: Duration = Duration::from_secs(400 * 86_400);

/// The epoch of a session that begins now: `wished`, or the one after the last that `epochs` knows of the device. Call it in the
/// device's turn. The journal's next commit makes it durable; should that not come about, clock and journal go on from where they
/// are, which is later unless the clock was set back at that very moment.
pub async fn session_epoch(epochs: &dyn KeyValue, device: &str, wished: u32) -> Result<u32, Failure> {
    let key = format!("{KEY}{device}");
    let last = epochs.operate(KvRequest::Get { key: key.clone() }, wall()).await;
    let last = match last.map_err(|error| Failure::new("PH7002", Class::Transient, chain(&error)))? {
        Value::String(text) => text.parse().unwrap_or(0),
        _ => 0,
    };
    let epoch = epoch::in_turn(wished, last);
    let set = KvRequest::Set { key, value: epoch.to_string(), expire: Some(KEPT) };
    epochs.operate(set, wall()).await.map_err(|error| Failure::new("PH7002", Class::Transient, chain(&error)))?;
    Ok(epoch)
}

/// The devices that are busy.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<String, Weak<Turn<()>>>>);

impl Turns {
    /// The device's turn, if nobody has it.
    pub(super) fn try_take(&self, device: &str) -> Option<OwnedMutexGuard<()>> {
        self.turn(device).try_lock_owned().ok()
    }

    /// Waits for the device's turn.
    pub(super) async fn take(&self, device: &str) -> OwnedMutexGuard<()> {
        self.turn(device).lock_owned().await
    }

    fn turn(&self, device: &str) -> Arc<Turn<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(device).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(Turn::new(()));
        turns.insert(device.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryKeyValue;

    #[tokio::test]
    async fn epochs_of_a_device_grow_whatever_clock_and_runs_say() {
        let epochs = MemoryKeyValue::default();
        let mut given = Vec::new();
        for wished in [100, 100, 40, 500, 499, u32::MAX] {
            given.push(session_epoch(&epochs, "a", wished).await.expect("memory"));
        }
        assert_eq!(given, [100, 101, 102, 500, 501, 502], "the last is earlier than 501: they go round");
        assert_eq!(session_epoch(&epochs, "b", 7).await.expect("memory"), 7);
    }

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
