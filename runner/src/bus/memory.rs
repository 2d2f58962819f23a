//! [`MemoryBus`]: broker and clients in one process, for tests. Clones are clients of the same broker.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::registry::{Registry, Request};
use super::{
    BoxFuture, Bus, BusError, BusStatus, Delivery, Limits, Message, Protocol, Qos, Subscription, subscription, topic,
};

/// A bus without a network: a message is in the queues of its subscribers when `publish` returns. Nothing expires.
#[derive(Debug, Clone)]
pub struct MemoryBus {
    registry: Arc<Registry>,
    retained: Arc<Mutex<BTreeMap<Arc<str>, Message>>>,
    status: watch::Sender<BusStatus>,
}

impl MemoryBus {
    /// A new, empty broker, connected.
    pub fn new() -> Self {
        let connected = BusStatus::Connected {
            address: "memory".into(),
            protocol: Protocol::V5,
            limits: Limits::default(),
            session_present: false,
            generation: 1,
        };
        Self { registry: Arc::default(), retained: Arc::default(), status: watch::Sender::new(connected) }
    }

    fn retained(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Message>> {
        self.retained.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Plays the broker's part: grants whatever is asked.
    fn grant(&self) {
        while let Some(request) = self.registry.request() {
            match request {
                Request::Subscribe(filters) => self.registry.subscribed(filters.iter().map(|_| Ok(()))),
                Request::Unsubscribe(filters) => filters.iter().for_each(|_| self.registry.unsubscribed()),
            }
        }
    }
}

impl Default for MemoryBus {
    fn default() -> Self {
        Self::new()
    }
}

impl Bus for MemoryBus {
    fn publish(&self, mut message: Message) -> Result<(), BusError> {
        topic::check_name(&message.topic)
            .map_err(|reason| BusError::InvalidTopic { topic: message.topic.to_string(), reason })?;
        if !self.status.borrow().is_connected() {
            return Err(BusError::Closed);
        }
        let mut retained = self.retained();
        if message.retain && message.payload.is_empty() {
            retained.remove(&message.topic);
        } else if message.retain {
            retained.insert(message.topic.clone(), message.clone());
        }
        message.retain = false;
        let name = message.topic.clone();
        let _heard = self.registry.deliver(&name, None, |_| message);
        Ok(())
    }

    fn ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn subscribe_many(&self, filters: &[(&str, Qos)]) -> BoxFuture<'_, Result<Subscription, BusError>> {
        let filters: Vec<(Arc<str>, Qos)> = filters.iter().map(|(filter, qos)| (Arc::from(*filter), *qos)).collect();
        Box::pin(async move {
            let (inlet, open) = subscription::channel();
            // Held while both happen, so that no message is seen both as retained and as new.
            let retained = self.retained();
            let (hold, _granted) = self.registry.register(&filters, &inlet)?;
            self.grant();
            for message in retained.values() {
                if let Some(index) = filters.iter().position(|(filter, _)| topic::matches(filter, &message.topic)) {
                    let mut message = message.clone();
                    message.qos = message.qos.min(filters[index].1);
                    inlet.offer(Delivery { filter: index, message, receipt: None });
                }
            }
            Ok(open(Box::new(hold)))
        })
    }

    fn status(&self) -> watch::Receiver<BusStatus> {
        self.status.subscribe()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.registry.close();
        self.status.send_replace(BusStatus::Closed);
        Box::pin(std::future::ready(()))
    }
}
