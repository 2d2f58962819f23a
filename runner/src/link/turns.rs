//! One transfer a device at a time: whoever comes later waits, the more urgent first, else in order of arrival. And each has a later epoch than every one before.

use crate::counts;
use crate::store::{KeyValue, steady};
use packhorse_core::admission::aged;
use packhorse_core::effect::KvRequest;
use packhorse_core::epoch;
use packhorse_core::failure::{Class, Failure, chain};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Keys of epochs begin with a byte that no workflow's key can begin with.
const KEY: &str = "\u{1}epoch:";
/// What a device's turn is called where it is counted.
const LEASE: &str = "device";
/// For how long a device's last epoch is kept; the clock is far beyond it then.
const KEPT: Duration = Duration::from_secs(400 * 86_400);

/// The epoch of a session that begins now: `wished`, or the one after the last that `epochs` knows of the device. Call it in the
/// device's turn. The journal's next commit makes it durable; should that not come about, clock and journal go on from where they
/// are, which is later unless the clock was set back at that very moment.
pub async fn session_epoch(epochs: &dyn KeyValue, device: &str, wished: u32) -> Result<u32, Failure> {
    let key = format!("{KEY}{device}");
    let last = epochs.operate(KvRequest::Get { key: key.clone() }, steady()).await;
    let last = match last.map_err(|error| Failure::new("PH7002", Class::Transient, chain(&error)))? {
        Value::String(text) => text.parse().unwrap_or(0),
        _ => 0,
    };
    let epoch = epoch::in_turn(wished, last);
    let set = KvRequest::Set { key, value: epoch.to_string(), expire: Some(KEPT) };
    epochs.operate(set, steady()).await.map_err(|error| Failure::new("PH7002", Class::Transient, chain(&error)))?;
    Ok(epoch)
}

/// The devices that are busy, with who waits for them.
#[derive(Debug, Default)]
pub(super) struct Turns(Arc<Mutex<HashMap<String, Line>>>);

/// Who waits for a device.
#[derive(Debug, Default)]
struct Line {
    /// In order of arrival.
    waiting: BTreeMap<u64, Waiting>,
    arrived: u64,
}

#[derive(Debug)]
struct Waiting {
    level: u8,
    since: Instant,
    given: oneshot::Sender<Turn>,
}

impl Line {
    /// Takes out whose turn is next: the more urgent first, where each hour of waiting makes it one level more urgent, then in order of
    /// arrival.
    fn next(&mut self, now: Instant) -> Option<oneshot::Sender<Turn>> {
        let rank = |waiting: &Waiting| aged(waiting.level, now.saturating_duration_since(waiting.since));
        let (first, _) = self.waiting.iter().min_by_key(|(arrived, waiting)| (rank(waiting), **arrived))?;
        let first = *first;
        self.waiting.remove(&first).map(|waiting| waiting.given)
    }
}

/// A device's turn; dropped, it goes to the next.
#[derive(Debug)]
pub(super) struct Turn {
    device: String,
    turns: Arc<Mutex<HashMap<String, Line>>>,
}

impl Turns {
    /// The device's turn, if nobody has it.
    pub(super) fn try_take(&self, device: &str) -> Option<Turn> {
        let turn = self.free(device)?;
        counts::lease_taken(LEASE, Duration::ZERO);
        Some(turn)
    }

    fn free(&self, device: &str) -> Option<Turn> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.contains_key(device) {
            return None;
        }
        turns.insert(device.to_owned(), Line::default());
        drop(turns);
        Some(Turn { device: device.to_owned(), turns: Arc::clone(&self.0) })
    }

    /// Waits for the device's turn; the more urgent come first.
    pub(super) async fn take(&self, device: &str, level: u8) -> Turn {
        let begun = Instant::now();
        let turn = self.wait(device, level).await;
        counts::lease_taken(LEASE, begun.elapsed());
        turn
    }

    async fn wait(&self, device: &str, level: u8) -> Turn {
        loop {
            if let Some(turn) = self.free(device) {
                return turn;
            }
            let (sender, receiver) = oneshot::channel();
            {
                let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                // Free since it was looked at: once more.
                let Some(line) = turns.get_mut(device) else { continue };
                line.arrived += 1;
                line.waiting.insert(line.arrived, Waiting { level, since: Instant::now(), given: sender });
            }
            if let Ok(turn) = receiver.await {
                return turn;
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // It came back to whoever gave it on, who holds the lock.
        if self.device.is_empty() {
            return;
        }
        counts::lease_left(LEASE);
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(line) = turns.get_mut(&self.device) else { return };
        while let Some(next) = line.next(Instant::now()) {
            let turn = Self { device: std::mem::take(&mut self.device), turns: Arc::clone(&self.turns) };
            match next.send(turn) {
                Ok(()) => return,
                // Who waited has gone: the next.
                Err(mut turn) => self.device = std::mem::take(&mut turn.device),
            }
        }
        turns.remove(&self.device);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryKeyValue;
    use tokio::sync::oneshot::error::TryRecvError::Closed;

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
        let first = turns.take("a", 3).await;
        assert!(turns.try_take("a").is_none());
        assert!(turns.try_take("b").is_some());
        drop(first);
        assert!(turns.try_take("a").is_some());
    }

    #[test]
    fn who_waits_for_hours_is_not_passed_for_ever() {
        let now = Instant::now() + Duration::from_secs(100 * 3_600);
        let mut line = Line::default();
        let mut receivers = Vec::new();
        for (arrived, level, hours) in [(1, 5, 1), (2, 5, 4), (3, 2, 0), (4, 1, 0), (5, 3, 99)] {
            let (given, receiver) = oneshot::channel();
            line.waiting.insert(arrived, Waiting { level, since: now - Duration::from_secs(hours * 3_600), given });
            receivers.push((arrived, receiver));
        }
        let mut order = Vec::new();
        while let Some(next) = line.next(now) {
            drop(next);
            let gone = receivers.iter_mut().position(|(_, turn)| matches!(turn.try_recv(), Err(Closed))).unwrap();
            order.push(receivers.remove(gone).0);
        }
        assert_eq!(order, [2, 4, 5, 3, 1], "bulk after 4 hours, critical, normal after 99, high, bulk after one");
    }

    #[tokio::test]
    async fn the_more_urgent_come_first_and_who_has_gone_is_passed_over() {
        let turns = Arc::new(Turns::default());
        let first = turns.take("a", 3).await;
        let (told, mut order) = tokio::sync::mpsc::unbounded_channel();
        let mut waiting = Vec::new();
        for (name, level) in [("normal", 3), ("gone", 1), ("critical", 1), ("later", 3)] {
            let (turns, told) = (Arc::clone(&turns), told.clone());
            waiting.push(tokio::spawn(async move {
                let turn = turns.take("a", level).await;
                let _ = told.send(name);
                drop(turn);
            }));
            tokio::task::yield_now().await;
        }
        waiting[1].abort();
        tokio::task::yield_now().await;
        drop(first);
        let mut came = Vec::new();
        while came.len() < 3 {
            came.extend(order.recv().await);
        }
        assert_eq!(came, ["critical", "normal", "later"]);
        for task in waiting {
            drop(task.await);
        }
        assert!(turns.try_take("a").is_some());
    }
}
