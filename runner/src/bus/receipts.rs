//! Messages that came and are not acknowledged to the broker yet, where the settings leave that to the reader.
//!
//! They are acknowledged in the order in which they came, whatever the order in which they were dealt with: MQTT asks for it
//! (version 5, section 4.6), and a broker may end a session for others.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A message that is acknowledged when the last clone of this is dropped: hold it until what the message asks for is durable.
///
/// One that is held when its connection ends is acknowledged no more: the broker sends the message again.
#[derive(Debug, Clone)]
pub struct Receipt(Arc<Held>);

#[derive(Debug)]
struct Held {
    receipts: Arc<Receipts>,
    number: u64,
    kept: bool,
}

/// All of one bus.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    state: Mutex<State>,
    /// Woken when there may be something to acknowledge.
    pub(super) changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Number of the first of `open`; numbers are never used again.
    first: u64,
    open: VecDeque<Open>,
}

#[derive(Debug)]
struct Open {
    packet_id: u16,
    done: bool,
}

impl Receipt {
    /// Whether the broker may have kept the message while we were away.
    pub fn is_kept(&self) -> bool {
        self.0.kept
    }
}

/// Two are the same when they are of one message.
impl PartialEq for Receipt {
    fn eq(&self, other: &Self) -> bool {
        self.0.number == other.0.number && Arc::ptr_eq(&self.0.receipts, &other.0.receipts)
    }
}

impl Eq for Receipt {}

impl Drop for Held {
    fn drop(&mut self) {
        self.receipts.done(self.number);
    }
}

impl Receipts {
    /// A message came.
    pub(super) fn begin(self: &Arc<Self>, packet_id: u16, kept: bool) -> Receipt {
        let mut state = self.lock();
        let number = state.first + state.open.len() as u64;
        state.open.push_back(Open { packet_id, done: false });
        drop(state);
        Receipt(Arc::new(Held { receipts: Arc::clone(self), number, kept }))
    }

    /// The next packet id to acknowledge.
    pub(super) fn take(&self) -> Option<u16> {
        let mut state = self.lock();
        if !state.open.front()?.done {
            return None;
        }
        state.first += 1;
        state.open.pop_front().map(|open| open.packet_id)
    }

    /// A connection begins: what came on the one before cannot be acknowledged any more.
    pub(super) fn renew(&self) {
        let mut state = self.lock();
        state.first += state.open.len() as u64;
        state.open.clear();
    }

    /// Whether everything that was dealt with, and may be, is acknowledged.
    pub(super) fn is_idle(&self) -> bool {
        self.lock().open.front().is_none_or(|open| !open.done)
    }

    fn done(&self, number: u64) {
        let mut state = self.lock();
        let Some(index) = number.checked_sub(state.first) else { return };
        let Some(open) = usize::try_from(index).ok().and_then(|index| state.open.get_mut(index)) else { return };
        open.done = true;
        drop(state);
        if index == 0 {
            self.changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(receipts: &Receipts) -> Vec<u16> {
        std::iter::from_fn(|| receipts.take()).collect()
    }

    #[test]
    fn acknowledgements_go_out_in_the_order_of_arrival() {
        let receipts = Arc::new(Receipts::default());
        let [first, second, third] = [7, 8, 9].map(|packet_id| receipts.begin(packet_id, false));
        let again = second.clone();
        drop((second, third));
        assert!(all(&receipts).is_empty());
        drop(first);
        assert_eq!(all(&receipts), [7]);
        drop(again);
        assert_eq!(all(&receipts), [8, 9]);
    }

    #[test]
    fn what_came_on_an_earlier_connection_is_not_acknowledged() {
        let receipts = Arc::new(Receipts::default());
        let old = receipts.begin(7, false);
        receipts.renew();
        let new = receipts.begin(7, true);
        drop(old);
        assert!(all(&receipts).is_empty());
        assert!(new.is_kept() && receipts.is_idle());
        drop(new);
        assert!(!receipts.is_idle());
        assert_eq!(all(&receipts), [7]);
    }

    proptest! {
        #[test]
        fn whatever_is_dropped_each_is_acknowledged_once_and_in_order(order in Just((1..40u16).collect::<Vec<_>>()).prop_shuffle()) {
            let receipts = Arc::new(Receipts::default());
            let mut held: Vec<_> = (1..40u16).map(|packet_id| Some(receipts.begin(packet_id, false))).collect();
            let mut told = Vec::new();
            for packet_id in order {
                held[usize::from(packet_id) - 1] = None;
                told.extend(all(&receipts));
                let whole = held.iter().take_while(|held| held.is_none()).count();
                prop_assert_eq!(told.len(), whole);
            }
            prop_assert_eq!(told, (1..40u16).collect::<Vec<_>>());
        }
    }
}
