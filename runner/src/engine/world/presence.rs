//! Whether devices are there: what is known of each, kept in the state store, and who is told when one is heard.

use crate::store::{BoxFuture, KeyValue, StoreError, steady, wall};
use packhorse_core::effect::KvRequest;
use packhorse_core::failure::{Failure, chain};
use packhorse_core::presence::{By, News, Observed, Presence, Seen, held_back, observe};
use packhorse_core::registry::{Pattern, Registry};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How long it is kept of a device of which nothing new is heard.
const KEPT: Duration = Duration::from_secs(90 * 86_400);
/// Devices at hand; beyond that all are read from the store again.
const MOST: usize = 100_000;

/// Where it is kept of a device, as JSON. It begins with a byte that no workflow's key can begin with.
fn key(device: &str) -> String {
    format!("\u{1}presence:{device}")
}

/// What is known of the presence of devices. Only a daemon has it: nobody else listens to what could end an absence.
pub struct Presences {
    index: Arc<dyn KeyValue>,
    known: Mutex<HashMap<String, Presence>>,
    /// Transfers that want to know when their device is heard by others.
    watched: Mutex<HashMap<String, watch::Sender<u64>>>,
    registry: Mutex<Arc<Registry>>,
    /// One change at a time, so that the store ends with the last.
    changing: tokio::sync::Mutex<()>,
    told: mpsc::UnboundedSender<String>,
    tells: Mutex<Option<mpsc::UnboundedReceiver<String>>>,
}

impl std::fmt::Debug for Presences {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Presences").field("known", &lock(&self.known).len()).finish_non_exhaustive()
    }
}

impl Presences {
    /// What `index` holds.
    pub fn new(index: Arc<dyn KeyValue>) -> Self {
        let (told, tells) = mpsc::unbounded_channel();
        Self {
            index,
            known: Mutex::default(),
            watched: Mutex::default(),
            registry: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            told,
            tells: Mutex::new(Some(tells)),
        }
    }

    /// Devices that were heard, each when it came, and at most once a minute while it goes on to be heard. Given once.
    pub fn heard_devices(&self) -> Option<mpsc::UnboundedReceiver<String>> {
        lock(&self.tells).take()
    }

    /// These entries count from now on: an absence that no status topic could end holds nothing back.
    pub fn follow(&self, registry: Arc<Registry>) {
        *lock(&self.registry) = registry;
    }

    /// What is known of a device.
    pub async fn known(&self, device: &str) -> Option<Presence> {
        let at_hand = lock(&self.known).get(device).copied();
        match at_hand {
            Some(known) => Some(known),
            None => self.kept(device).await,
        }
    }

    /// A message of a device came, whatever it says. Waits for nothing.
    pub fn heard(self: &Arc<Self>, device: &str) {
        let seen = Seen { online: true, by: By::Traffic, retained: false, at: wall() };
        let known = lock(&self.known).get(device).copied();
        let old = known.is_some_and(|known| !observe(Some(&known), seen).keep);
        // What comes over the wire may name anything.
        if old || !Pattern::parse(device).is_ok_and(|pattern| pattern.is_exact()) {
            return;
        }
        let (presences, device) = (Arc::clone(self), device.to_owned());
        tokio::spawn(async move { presences.observe(&device, seen).await });
    }

    /// Something tells of a device; what is new. It outlives the process after [`Presences::settle`].
    pub async fn observe(&self, device: &str, seen: Seen) -> News {
        let _alone = self.changing.lock().await;
        let before = self.known(device).await;
        let Observed { state, news, keep } = observe(before.as_ref(), seen);
        {
            let mut known = lock(&self.known);
            if known.len() >= MOST {
                known.clear();
            }
            known.insert(device.to_owned(), state);
        }
        if keep {
            self.keep(device, &state).await;
        }
        match news {
            News::CameBack => tracing::debug!(device, "the device is there again"),
            News::WentAway => tracing::debug!(device, "the device is gone, as its will message says"),
            News::Nothing => {}
        }
        if keep && state.online {
            self.tell(device);
        }
        news
    }

    /// Returns when what was observed so far outlives a process that is killed.
    pub fn settle(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.index.settle()
    }

    /// Why a transfer with the device must not begin; `before` is what its attempt before failed with.
    pub(super) async fn held_back(&self, device: &str, before: Option<&Failure>) -> Option<Failure> {
        let told = lock(&self.registry).rule(device).is_some();
        if !told {
            return None;
        }
        held_back(device, self.known(device).await.as_ref(), before)
    }

    /// Changes when the device is heard by others. To be given back by [`Presences::unwatch`].
    pub(super) fn watch(&self, device: &str) -> watch::Receiver<u64> {
        lock(&self.watched).entry(device.to_owned()).or_default().subscribe()
    }

    /// A transfer is over, and what it watched by is gone.
    pub(super) fn unwatch(&self, device: &str) {
        let mut watched = lock(&self.watched);
        if watched.get(device).is_some_and(|sender| sender.receiver_count() == 0) {
            watched.remove(device);
        }
    }

    fn tell(&self, device: &str) {
        if let Some(sender) = lock(&self.watched).get(device) {
            sender.send_modify(|times| *times += 1);
        }
        // Who wanted to know may be gone.
        drop(self.told.send(device.to_owned()));
    }

    async fn kept(&self, device: &str) -> Option<Presence> {
        match self.index.operate(KvRequest::Get { key: key(device) }, steady()).await {
            // What cannot be read was written by another version: as good as none.
            Ok(kept) => kept.as_str().and_then(|text| serde_json::from_str(text).ok()),
            Err(error) => {
                tracing::warn!(device, error = chain(&error), "what is known of the device's presence cannot be read");
                None
            }
        }
    }

    /// Nothing is lost with it but that a transfer tries in vain, so that one which cannot be kept disturbs nobody.
    async fn keep(&self, device: &str, state: &Presence) {
        let Ok(value) = serde_json::to_string(state) else { return };
        let request = KvRequest::Set { key: key(device), value, expire: Some(KEPT) };
        if let Err(error) = self.index.operate(request, steady()).await {
            tracing::warn!(device, error = chain(&error), "the device's presence cannot be kept");
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryKeyValue;

    fn seen(online: bool, by: By) -> Seen {
        Seen { online, by, retained: false, at: wall() }
    }

    fn registry(entries: &str) -> Arc<Registry> {
        let text = format!("kind: devices/v1\ndevices:\n{entries}");
        let read = move || packhorse_core::registry::read(text.as_bytes(), "x.yaml").expect("it is good");
        let thread = std::thread::Builder::new().stack_size(packhorse_core::workflow::expr::STACK).spawn(read);
        let devices = thread.expect("spawns").join().expect("does not panic");
        Arc::new(Registry::new([("x", &devices)]))
    }

    const GATEWAYS: &str = "  - { match: 'gw-*', presence: { topic: 's/{device}', online: \"payload == 'on'\" } }\n";

    #[tokio::test]
    async fn an_absence_holds_back_once_outlives_the_process_and_ends_with_the_entry() {
        let index: Arc<dyn KeyValue> = Arc::new(MemoryKeyValue::default());
        let presences = Presences::new(Arc::clone(&index));
        presences.follow(registry(GATEWAYS));
        assert_eq!(presences.held_back("gw-1", None).await, None, "nothing is known");
        assert_eq!(presences.observe("gw-1", seen(false, By::Will)).await, News::WentAway);
        let first = presences.held_back("gw-1", None).await.expect("it is gone");
        assert_eq!(presences.held_back("gw-1", Some(&first)).await, None, "it has waited for this absence");
        let again = Presences::new(index);
        assert_eq!(again.held_back("gw-1", None).await, None, "no entry says how it could end");
        again.follow(registry(GATEWAYS));
        assert_eq!(again.held_back("gw-1", None).await, Some(first));
        assert_eq!(again.observe("gw-1", seen(true, By::Will)).await, News::CameBack);
        assert_eq!(again.held_back("gw-1", None).await, None);
    }

    #[tokio::test]
    async fn who_waits_for_a_device_is_told_when_it_is_heard_and_not_each_time() {
        let presences = Arc::new(Presences::new(Arc::new(MemoryKeyValue::default())));
        let mut heard = presences.heard_devices().expect("the first who asks");
        assert!(presences.heard_devices().is_none());
        let mut watched = presences.watch("gw-1");
        presences.observe("gw-1", seen(false, By::Will)).await;
        assert!(!watched.has_changed().expect("somebody tells"));
        presences.heard("gw-1");
        watched.changed().await.expect("somebody tells");
        assert_eq!(heard.recv().await.as_deref(), Some("gw-1"));
        presences.heard("gw-1");
        presences.heard("no device");
        presences.observe("gw-1", seen(true, By::Traffic)).await;
        assert!(heard.try_recv().is_err(), "a minute has not passed");
        drop(watched);
        presences.unwatch("gw-1");
        assert!(lock(&presences.watched).is_empty());
    }
}
