//! [`RumqttcBus`]: the bus over rumqttc, MQTT 5 or 3.1.1. The connection itself lives in a task of its own, in `connection`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::outbox::Outbox;
use super::receipts::Receipts;
use super::refusals::Refusals;
use super::registry::Registry;
use super::tls::Transports;
use super::{
    BoxFuture, Bus, BusError, BusStatus, Message, Password, Qos, Session, Settings, Subscription, connection, secret,
    subscription,
};

/// One supervised connection. Dropping it cuts the connection; [`Bus::close`] ends it politely.
#[derive(Debug)]
pub struct RumqttcBus {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// What was lost or left aside since the bus began; a sign of trouble when it grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BusCounts {
    /// Messages that came for a topic nobody listens to any more.
    pub unrouted: u64,
    /// Messages whose topic is no UTF-8.
    pub malformed: u64,
    /// Publishes that the broker acknowledged with a refusal.
    pub refused: u64,
    /// Publishes that expired, or proved too large for the next broker, while there was no connection.
    pub left_out: u64,
}

/// What the bus, its task and its subscriptions share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) outbox: Outbox,
    pub(super) registry: Arc<Registry>,
    pub(super) status: watch::Sender<BusStatus>,
    /// Set once, by `close`.
    pub(super) closing: watch::Sender<bool>,
    pub(super) refusals: Refusals,
    pub(super) receipts: Arc<Receipts>,
    pub(super) counters: Counters,
    /// It was said that an older version is spoken.
    pub(super) told_older: AtomicBool,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) unrouted: AtomicU64,
    pub(super) malformed: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) left_out: AtomicU64,
}

impl RumqttcBus {
    /// Starts the connection and waits for a broker's first CONNACK, at most `settings.connect_timeout`.
    ///
    /// Attempts are repeated until then, quickly at first, as services may start at the same time. When every broker
    /// refuses in a way that no repetition will change, such as a wrong password, the wait ends at once with that
    /// refusal; otherwise [`BusError::Unreachable`] names the addresses, the attempts and the last cause. Needs a tokio
    /// runtime.
    pub async fn connect(settings: Settings) -> Result<Self, BusError> {
        settings.check()?;
        if let Password::File(path) = &settings.password {
            secret::warn_if_open(path, "the MQTT password file");
        }
        if settings.session == Session::Keep && settings.client_id.starts_with("packhorse-") {
            tracing::warn!(
                client_id = settings.client_id,
                "a session is kept under a client id that looks random: set mqtt.client_id"
            );
        }
        let transports = Transports::new(&settings)?;
        let begun = Instant::now();
        let bus = Self::start(settings, transports);
        let mut status = bus.status();
        let settings = &bus.shared.settings;
        let decided = status.wait_for(|status| match status {
            BusStatus::Connecting { hopeless, last_error, .. } => *hopeless || is_final(last_error.as_deref()),
            BusStatus::Connected { .. } | BusStatus::GivenUp(_) | BusStatus::Closed => true,
        });
        let _ = timeout(settings.connect_timeout, decided).await;
        let status = bus.shared.status.borrow().clone();
        match status {
            BusStatus::Connected { .. } => Ok(bus),
            BusStatus::Closed => Err(BusError::Closed),
            BusStatus::GivenUp(error) => Err((*error).clone()),
            BusStatus::Connecting { hopeless, last_error: Some(error), .. } if hopeless || is_final(Some(&*error)) => {
                Err((*error).clone())
            }
            BusStatus::Connecting { attempts, last_error, .. } => Err(BusError::Unreachable {
                address: settings.addresses(),
                attempts: attempts.max(1),
                waited: begun.elapsed(),
                source: last_error,
            }),
        }
    }

    /// What was lost or left aside so far.
    pub fn counts(&self) -> BusCounts {
        let counters = &self.shared.counters;
        BusCounts {
            unrouted: counters.unrouted.load(Ordering::Relaxed),
            malformed: counters.malformed.load(Ordering::Relaxed),
            refused: counters.refused.load(Ordering::Relaxed),
            left_out: counters.left_out.load(Ordering::Relaxed),
        }
    }

    fn start(settings: Settings, transports: Transports) -> Self {
        let connecting =
            BusStatus::Connecting { since: Instant::now(), attempts: 0, last_error: None, hopeless: false };
        let shared = Arc::new(Shared {
            settings,
            outbox: Outbox::new(),
            registry: Arc::default(),
            status: watch::Sender::new(connecting),
            closing: watch::Sender::new(false),
            refusals: Refusals::default(),
            receipts: Arc::default(),
            counters: Counters::default(),
            told_older: AtomicBool::new(false),
        });
        let task = tokio::spawn(connection::supervise(shared.clone(), transports));
        Self { shared, task }
    }
}

/// Waiting would take over the other client's session in turn.
fn is_final(error: Option<&BusError>) -> bool {
    matches!(error, Some(BusError::TakenOver { .. }))
}

impl Bus for RumqttcBus {
    fn publish(&self, message: Message) -> Result<(), BusError> {
        if *self.shared.closing.borrow() {
            return Err(BusError::Closed);
        }
        self.shared.outbox.publish(message).map_err(|error| self.shared.why_closed(error))
    }

    fn ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.shared.outbox.ready())
    }

    fn subscribe_many(&self, filters: &[(&str, Qos)]) -> BoxFuture<'_, Result<Subscription, BusError>> {
        let filters: Vec<_> = filters.iter().map(|(filter, qos)| (Arc::from(*filter), *qos)).collect();
        Box::pin(async move {
            let (inlet, open) = subscription::channel();
            let registered = self.shared.registry.register(&filters, &inlet);
            let (hold, answers) = registered.map_err(|error| self.shared.why_closed(error))?;
            drop(inlet);
            let mut ended = false;
            for answer in answers {
                match answer.await {
                    Ok(result) => result?,
                    Err(_) => ended = true,
                }
            }
            if ended { Err(self.shared.why_closed(BusError::Closed)) } else { Ok(open(Box::new(hold))) }
        })
    }

    fn status(&self) -> watch::Receiver<BusStatus> {
        self.shared.status.subscribe()
    }

    fn refusal(&self, topic: &str, since: Instant) -> Option<BusError> {
        let reason = self.shared.refusals.since(topic, since)?;
        Some(BusError::PublishRefused { topic: topic.into(), reason })
    }

    fn complete(&self, left: &[String]) {
        let left: Vec<Arc<str>> = left.iter().map(|filter| Arc::from(filter.as_str())).collect();
        self.shared.unrouted(self.shared.registry.complete(&left));
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.shared.closing.send_replace(true);
            let closed = async |mut status: watch::Receiver<BusStatus>| {
                let _ = status.wait_for(|status| matches!(status, BusStatus::Closed | BusStatus::GivenUp(_))).await;
            };
            if timeout(2 * connection::GOODBYE, closed(self.status())).await.is_err() {
                self.task.abort();
                closed(self.status()).await;
            }
        })
    }
}

impl Shared {
    /// Messages that the broker had kept, and nobody has subscribed to.
    pub(super) fn unrouted(&self, count: usize) {
        if count > 0 {
            tracing::info!(unrouted = count, "messages that the broker had kept are for nobody any more");
            self.counters.unrouted.fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    /// `Closed` in better words, where the bus closed itself.
    fn why_closed(&self, error: BusError) -> BusError {
        match (&*self.status.borrow(), error) {
            (BusStatus::GivenUp(why), BusError::Closed) => (**why).clone(),
            (_, error) => error,
        }
    }
}

impl Drop for RumqttcBus {
    fn drop(&mut self) {
        self.task.abort();
    }
}
