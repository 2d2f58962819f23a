//! The publish queue: one bounded place that outlives connections. While a connection is up, messages go straight into
//! the client's own channel; while it is down they are parked here.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::wire::{Client, packet_size};
use super::{BusError, Limits, Message, Reason, topic};

/// Messages that wait to be sent: sixteen of the largest windows, or a tenth of a second at full speed. Beyond it the
/// caller hears `Busy` and keeps its own pace.
pub(super) const QUEUE: usize = 4096;

/// Waiters for room are woken when the queue has fallen to this: once a batch, not once a message.
const LOW: usize = QUEUE / 2;

/// Largest MQTT packet, both ways, whatever the broker allows.
pub(super) const MAX_PACKET: usize = 1 << 20;

/// Shared by the bus (publishing) and its connection (taking).
#[derive(Debug)]
pub(super) struct Outbox {
    gate: Mutex<Gate>,
    queued: AtomicUsize,
    room: Notify,
    max_packet: AtomicUsize,
}

#[derive(Debug)]
enum Gate {
    Parked(VecDeque<Waiting>),
    Open(Open),
    Closed,
}

/// A connection's channel, and what lies in it.
#[derive(Debug)]
struct Open {
    client: Client,
    limits: Limits,
    queued: VecDeque<Queued>,
}

/// A message in the channel: where it goes, and since when its expiry runs.
#[derive(Debug, Clone)]
pub(super) struct Queued {
    pub(super) topic: Arc<str>,
    pub(super) since: Instant,
    /// Bytes of its payload.
    pub(super) size: usize,
}

/// A message with the moment since when its expiry runs.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) message: Message,
    pub(super) since: Instant,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self {
            gate: Mutex::new(Gate::Parked(VecDeque::new())),
            queued: AtomicUsize::new(0),
            room: Notify::new(),
            max_packet: AtomicUsize::new(MAX_PACKET),
        }
    }

    /// Queues a message, or says why not.
    pub(super) fn publish(&self, message: Message) -> Result<(), BusError> {
        topic::check_name(&message.topic)
            .map_err(|reason| BusError::InvalidTopic { topic: message.topic.to_string(), reason })?;
        self.check_size(&message)?;
        let mut gate = self.lock();
        if self.queued.load(Ordering::Relaxed) >= QUEUE && !matches!(*gate, Gate::Closed) {
            return Err(BusError::Busy);
        }
        // Counted first: the connection may take it before the next line here runs.
        self.queued.fetch_add(1, Ordering::Relaxed);
        let result = match &mut *gate {
            Gate::Open(open) => open.send(message, Instant::now()),
            Gate::Parked(parked) => {
                parked.push_back(Waiting { message, since: Instant::now() });
                Ok(())
            }
            Gate::Closed => Err(BusError::Closed),
        };
        if result.is_err() {
            self.queued.fetch_sub(1, Ordering::Relaxed);
        }
        result
    }

    /// Resolves when there is room or the bus is closed.
    pub(super) async fn ready(&self) {
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            room.as_mut().enable();
            if self.queued() < QUEUE || matches!(*self.lock(), Gate::Closed) {
                return;
            }
            room.await;
        }
    }

    /// Messages not yet taken by the connection.
    pub(super) fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// The connection has written one message: the oldest of those queued.
    pub(super) fn taken(&self) -> Option<Queued> {
        let queued = match &mut *self.lock() {
            Gate::Open(open) => open.queued.pop_front(),
            Gate::Parked(_) | Gate::Closed => None,
        };
        let before = self.queued.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > 0, "each message is taken once");
        if before == LOW + 1 {
            self.room.notify_waiters();
        }
        queued
    }

    /// A connection begins: what was parked goes first, except what has expired or this broker does not take. Gives
    /// how many were left out. The client's channel must hold [`QUEUE`] and everything that [`Outbox::park`] gave back.
    pub(super) fn open(&self, client: Client, limits: Limits) -> usize {
        let max_packet = limits.max_packet_size.map_or(MAX_PACKET, |limit| MAX_PACKET.min(limit as usize));
        self.max_packet.store(max_packet, Ordering::Relaxed);
        let mut gate = self.lock();
        let Gate::Parked(parked) = &mut *gate else { return 0 };
        let all = parked.len();
        let mut open = Open { client, limits, queued: VecDeque::new() };
        for waiting in std::mem::take(parked) {
            let Some(message) = shorten(waiting.message, waiting.since.elapsed()) else { continue };
            // What was shortened counts from now.
            if let Err(error) = self.check_size(&message).and_then(|()| open.send(message, Instant::now())) {
                tracing::debug!(%error, "a queued message was left out");
            }
        }
        let sent = open.queued.len();
        *gate = Gate::Open(open);
        self.queued.store(sent, Ordering::Relaxed);
        drop(gate);
        self.room.notify_waiters();
        all - sent
    }

    /// The connection is gone: from now on messages are parked. Gives what the channel held; call [`Outbox::restore`]
    /// with the messages themselves.
    pub(super) fn park(&self) -> VecDeque<Queued> {
        let mut gate = self.lock();
        let Gate::Open(open) = &mut *gate else { return VecDeque::new() };
        let queued = std::mem::take(&mut open.queued);
        *gate = Gate::Parked(VecDeque::new());
        self.queued.store(0, Ordering::Relaxed);
        queued
    }

    /// Puts what a lost connection had not delivered before all that was published since.
    pub(super) fn restore(&self, mut undelivered: VecDeque<Waiting>) {
        if let Gate::Parked(parked) = &mut *self.lock() {
            undelivered.append(parked);
            self.queued.store(undelivered.len(), Ordering::Relaxed);
            *parked = undelivered;
        }
        self.room.notify_waiters();
    }

    /// Refuses everything from now on; what the client's channel holds may still go out.
    pub(super) fn close(&self) {
        *self.lock() = Gate::Closed;
        self.room.notify_waiters();
    }

    fn check_size(&self, message: &Message) -> Result<(), BusError> {
        let (size, limit) = (packet_size(message), self.max_packet.load(Ordering::Relaxed));
        if size <= limit {
            return Ok(());
        }
        Err(BusError::TooLarge { topic: message.topic.clone(), size, limit })
    }

    fn lock(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn send(&mut self, mut message: Message, since: Instant) -> Result<(), BusError> {
        if message.retain && !self.limits.retain {
            return Err(BusError::PublishRefused { topic: message.topic, reason: Reason::RetainNotSupported });
        }
        message.qos = message.qos.min(self.limits.max_qos);
        self.client.send(&message)?;
        self.queued.push_back(Queued { size: message.payload.len(), topic: message.topic, since });
        Ok(())
    }
}

/// The message with the time that it waited taken off its expiry; `None` when that is used up.
fn shorten(mut message: Message, waited: Duration) -> Option<Message> {
    if let Some(expiry) = message.properties.as_mut().and_then(|properties| properties.expiry.as_mut()) {
        let waited = u32::try_from(waited.as_secs()).unwrap_or(u32::MAX);
        if waited > 0 && *expiry <= waited {
            return None;
        }
        *expiry -= waited;
    }
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::super::Properties;
    use super::*;

    fn expiring(seconds: u32) -> Message {
        Message::new("t", "x").with_properties(Properties { expiry: Some(seconds), ..Properties::default() })
    }

    #[test]
    fn waiting_uses_expiry_up() {
        for (expiry, waited, left) in
            [(10, 3, Some(7)), (10, 10, None), (10, 11, None), (1, 0, Some(1)), (0, 0, Some(0))]
        {
            let message = shorten(expiring(expiry), Duration::from_secs(waited));
            assert_eq!(message.and_then(|message| message.properties?.expiry), left, "{expiry} {waited}");
        }
        assert!(shorten(Message::new("t", "x"), Duration::from_secs(1 << 40)).is_some());
    }

    #[test]
    fn a_full_queue_is_busy_and_what_came_back_stays_first() {
        let outbox = Outbox::new();
        for index in 0..QUEUE {
            outbox.publish(Message::new("t", index.to_string())).unwrap();
        }
        assert!(matches!(outbox.publish(Message::new("t", "more")), Err(BusError::Busy)));
        outbox.restore([Waiting { message: Message::new("t", "old"), since: Instant::now() }].into());
        let gate = outbox.lock();
        let Gate::Parked(parked) = &*gate else { panic!("{gate:?}") };
        assert_eq!((parked.len(), parked[0].message.payload.as_ref()), (QUEUE + 1, &b"old"[..]));
    }

    #[test]
    fn bad_topics_and_large_messages_are_refused() {
        let outbox = Outbox::new();
        assert!(matches!(outbox.publish(Message::new("a/#", "")), Err(BusError::InvalidTopic { .. })));
        let large = Message::new("t", vec![0; MAX_PACKET]);
        assert!(matches!(outbox.publish(large), Err(BusError::TooLarge { limit: MAX_PACKET, .. })));
        outbox.close();
        assert!(matches!(outbox.publish(Message::new("t", "")), Err(BusError::Closed)));
    }
}
