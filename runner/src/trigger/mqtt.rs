//! Messages that start runs.
//!
//! A message is acknowledged to the broker when what it asks for is durable: a run, a dead letter, a place in the inbox, or nothing. What
//! comes twice starts no second run, as far as it bears a `dedupe_key`, is retained, or was in the inbox.

use super::books::Name;
use super::desk::Desk;
use super::judge::Definition;
use super::shared::{Came, Seen, Shared, now};
use crate::bus::{BusError, Delivery, Qos, Receipt, Subscription};
use bytes::Bytes;
use packhorse_core::effect::KvRequest;
use packhorse_core::failure::{Class, Failure, chain};
use packhorse_core::hex;
use packhorse_core::run::WallTime;
use packhorse_core::trigger::{self, Arrived, MAX_PAYLOAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Before a filter that the broker refused is asked for again.
const AGAIN: Duration = Duration::from_secs(5);
/// Messages that are judged before those that wait are made durable.
const BATCH: usize = 64;

/// How long a retained message is known after it came last.
const RETAINED: Duration = Duration::from_secs(90 * 86_400);
/// How long a live one is known, which may have been retained then.
const LIVE: Duration = Duration::from_secs(7 * 86_400);

/// A message as it was heard.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) retain: bool,
    pub(super) at: WallTime,
    pub(super) receipt: Option<Receipt>,
}

/// When a trigger listens no more.
struct Ends {
    /// Everything stops.
    stopping: watch::Receiver<bool>,
    /// Whoever could change it has let go of it.
    definition: watch::Receiver<Definition>,
}

impl Ends {
    async fn come(&mut self) {
        let Self { stopping, definition } = self;
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => {}
            () = async { while definition.changed().await.is_ok() {} } => {}
        }
    }

    fn are_for_all(&self) -> bool {
        *self.stopping.borrow()
    }
}

/// Listens until its definition is nobody's any more, or everything stops, and makes durable what waits then. Not before `earlier` has ended, which
/// listened in its place.
pub(super) async fn listen(
    shared: Arc<Shared>,
    name: Name,
    definition: watch::Receiver<Definition>,
    (topic, earlier): (String, Option<JoinHandle<()>>),
) {
    if let Some(earlier) = earlier {
        drop(earlier.await);
    }
    let mut ends = Ends { stopping: shared.stopping.subscribe(), definition: definition.clone() };
    let mut desk = Desk::with_inbox(Arc::clone(&shared), name.clone(), definition);
    while let Err(failure) = desk.load().await {
        shared.tell(&name, &topic, &failure);
        if meanwhile(&mut desk, &mut ends, tokio::time::sleep(AGAIN)).await.is_none() {
            return;
        }
    }
    loop {
        let Some(subscribed) = meanwhile(&mut desk, &mut ends, subscribe(&shared, &topic)).await else { break };
        if !matches!(subscribed, Err(BusError::Closed)) {
            shared.line.asked(&topic);
        }
        match subscribed {
            Ok(mut subscription) => {
                shared.books.listens(&name, None, true);
                if serve(&shared, &mut desk, &mut ends, &mut subscription).await.is_none() {
                    if ends.are_for_all() {
                        shared.leave(subscription);
                    }
                    break;
                }
                shared.books.listens(&name, None, false);
            }
            Err(BusError::Closed) => break,
            Err(error) => {
                tracing::warn!(workflow = %name.workflow, trigger = %name.id, %topic, "a trigger cannot listen: {}", chain(&error));
                shared.books.listens(&name, Some(chain(&error)), false);
            }
        }
        if meanwhile(&mut desk, &mut ends, tokio::time::sleep(AGAIN)).await.is_none() {
            break;
        }
    }
    desk.leave().await;
}

async fn subscribe(shared: &Shared, topic: &str) -> Result<Subscription, BusError> {
    shared.line.bus().await?.subscribe(topic, Qos::AtLeastOnce).await
}

/// Starts what waits until something else has happened; nothing where it ends first.
async fn meanwhile<T>(desk: &mut Desk, ends: &mut Ends, other: impl Future<Output = T>) -> Option<T> {
    tokio::pin!(other);
    loop {
        tokio::select! {
            () = ends.come() => return None,
            value = &mut other => return Some(value),
            () = desk.ready() => desk.begin().await,
        }
    }
}

/// Until the subscription ends; nothing where it ends first.
async fn serve(shared: &Arc<Shared>, desk: &mut Desk, ends: &mut Ends, subscription: &mut Subscription) -> Option<()> {
    let mut lost = 0;
    loop {
        let Some(delivery) = meanwhile(desk, ends, subscription.recv()).await? else { return Some(()) };
        arrived(shared, desk, delivery).await;
        for delivery in std::iter::from_fn(|| subscription.try_recv()).take(BATCH) {
            arrived(shared, desk, delivery).await;
        }
        desk.keep_late().await;
        let dropped = subscription.dropped();
        if dropped > lost {
            let message = format!("{} messages came faster than they could be read", dropped - lost);
            shared.books.note(desk.name(), |page| page.counts.dropped += dropped - lost);
            shared.tell(desk.name(), "the topic", &Failure::new("PH8502", Class::Operator, message));
            lost = dropped;
        }
    }
}

async fn arrived(shared: &Arc<Shared>, desk: &mut Desk, delivery: Delivery) {
    let Delivery { message, receipt, .. } = delivery;
    if message.payload.is_empty() && message.retain {
        return;
    }
    let heard = Heard {
        topic: message.topic.to_string(),
        payload: message.payload,
        retain: message.retain,
        at: now(),
        receipt,
    };
    let (mark, size) = (heard.mark(desk.name()), heard.payload.len());
    if heard.retain && matches!(shared.read(&mark.key).await, Ok(Some(seen)) if seen == mark.value) {
        // A broker sends it again with each connection.
        drop(shared.ask(KvRequest::Expire { key: mark.key, after: RETAINED }).await);
        return shared.books.note(desk.name(), |page| page.counts.replayed += 1);
    }
    let came = Came { mark: Some(mark), ..heard.came() };
    if size > MAX_PAYLOAD {
        let message = format!("a payload of {size} bytes is larger than {MAX_PAYLOAD}");
        let failure = Failure::new("PH8501", Class::Permanent, message);
        shared.books.note(desk.name(), |page| page.counts.received += 1);
        return desk.refuse(&came, &failure).await;
    }
    desk.take(came).await;
}

impl Heard {
    /// As something that came to a trigger.
    pub(super) fn came(self) -> Came {
        Came {
            source: self.topic.clone(),
            context: context(&self),
            own_key: self.retain.then(|| format!("retained:{}", digest(&self))),
            raw: Some(self.payload.clone()),
            message: Some(self),
            ..Came::default()
        }
    }

    /// Under which it is known when it comes again to this trigger.
    pub(super) fn mark(&self, name: &Name) -> Seen {
        let key = format!("\u{1}trigger-seen:{}", hash(&[&name.workflow, &name.id, &self.topic]));
        Seen { key, value: digest(self), expire: Some(if self.retain { RETAINED } else { LIVE }) }
    }
}

fn context(heard: &Heard) -> Value {
    if heard.payload.len() > MAX_PAYLOAD {
        return json!({ "kind": "mqtt", "topic": heard.topic });
    }
    trigger::mqtt(&Arrived { topic: &heard.topic, payload: &heard.payload, at: heard.at })
}

/// Topic and payload: what makes a retained message the same.
fn digest(heard: &Heard) -> String {
    let mut sha256 = Sha256::new();
    sha256.update(heard.topic.as_bytes());
    sha256.update([0]);
    sha256.update(&heard.payload);
    hex::encode(&sha256.finalize())
}

/// A short name for long ones.
pub(super) fn hash(parts: &[&str]) -> String {
    hex::encode(&Sha256::digest(parts.join("\0"))[..16])
}
