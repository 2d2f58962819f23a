//! The receiving end of a subscription: a bounded queue which never holds up the connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::{Message, Receipt};

/// Messages that one subscription may hold unread. Four times the largest window of a transfer: a reader which comes
/// later than that finds it cheaper to have them sent again.
pub const QUEUE_MESSAGES: usize = 1024;

/// Payload bytes that one subscription may hold unread.
pub const QUEUE_BYTES: usize = 8 << 20;

/// A message as it arrived at a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Index into the filters given to `subscribe_many`: the first that matches.
    pub filter: usize,
    /// The message itself.
    pub message: Message,
    /// Where the bus leaves it to its reader when the message is acknowledged.
    pub receipt: Option<Receipt>,
}

/// Messages of the filters that were subscribed to, in arrival order. Dropping it unsubscribes.
///
/// The queue holds [`QUEUE_MESSAGES`] and [`QUEUE_BYTES`]; what arrives beyond that is dropped and counted.
#[derive(Debug)]
pub struct Subscription {
    queue: mpsc::Receiver<Delivery>,
    gauge: Arc<Gauge>,
    // Dropped with the subscription; its own Drop takes the filters back.
    _registration: Registration,
}

/// Whatever must be dropped when a subscription ends.
pub(crate) type Registration = Box<dyn Send + Sync + std::fmt::Debug>;

/// The sending end: held by whoever routes messages.
#[derive(Debug, Clone)]
pub(crate) struct Inlet {
    queue: mpsc::Sender<Delivery>,
    gauge: Arc<Gauge>,
}

#[derive(Debug, Default)]
struct Gauge {
    bytes: AtomicUsize,
    dropped: AtomicU64,
}

impl Subscription {
    /// The next message; `None` when the subscription has ended: the bus was closed, or the broker refused to renew it
    /// after a reconnect (subscribe again to learn why). Safe to cancel.
    pub async fn recv(&mut self) -> Option<Delivery> {
        let delivery = self.queue.recv().await?;
        self.gauge.taken(&delivery);
        Some(delivery)
    }

    /// A message that is already here, or `None`.
    pub fn try_recv(&mut self) -> Option<Delivery> {
        let delivery = self.queue.try_recv().ok()?;
        self.gauge.taken(&delivery);
        Some(delivery)
    }

    /// Waits for a message and appends all that are here, at most `limit` (above 0), to `batch`. Gives how many; 0 when
    /// the subscription has ended. Safe to cancel.
    pub async fn recv_many(&mut self, batch: &mut Vec<Delivery>, limit: usize) -> usize {
        let before = batch.len();
        let count = self.queue.recv_many(batch, limit).await;
        batch[before..].iter().for_each(|delivery| self.gauge.taken(delivery));
        count
    }

    /// How many messages were dropped so far because they came faster than they were read.
    pub fn dropped(&self) -> u64 {
        self.gauge.dropped.load(Ordering::Relaxed)
    }
}

/// A new queue: the sending end and, once the broker has agreed, the receiving one.
pub(crate) fn channel() -> (Inlet, impl FnOnce(Registration) -> Subscription) {
    let (sender, queue) = mpsc::channel(QUEUE_MESSAGES);
    let gauge = Arc::new(Gauge::default());
    let inlet = Inlet { queue: sender, gauge: gauge.clone() };
    (inlet, move |registration| Subscription { queue, gauge, _registration: registration })
}

impl Inlet {
    /// Queues a message, or drops and counts it when there is no room.
    pub(crate) fn offer(&self, delivery: Delivery) {
        let size = delivery.message.payload.len();
        let before = self.gauge.bytes.fetch_add(size, Ordering::Relaxed);
        if before + size > QUEUE_BYTES || self.queue.try_send(delivery).is_err() {
            self.gauge.bytes.fetch_sub(size, Ordering::Relaxed);
            self.gauge.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Gauge {
    fn taken(&self, delivery: &Delivery) {
        self.bytes.fetch_sub(delivery.message.payload.len(), Ordering::Relaxed);
    }
}
