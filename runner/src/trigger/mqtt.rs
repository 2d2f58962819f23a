//! Messages that start runs.
//!
//! The bus acknowledges a message before it comes here: one that lies in memory when the process dies is lost, unless it is retained or
//! sent again. From the moment at which its run is durable it starts no second one, as far as it bears a `dedupe_key` or is retained.

use super::books::Name;
use super::desk::Desk;
use super::judge::Definition;
use super::shared::{Came, Seen, Shared, now};
use crate::bus::{BusError, Message, Qos, Subscription};
use packhorse_core::effect::KvRequest;
use packhorse_core::failure::{Class, Failure, chain};
use packhorse_core::hex;
use packhorse_core::trigger::{self, Arrived, MAX_PAYLOAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Before a filter that the broker refused is asked for again.
const AGAIN: Duration = Duration::from_secs(5);

/// How long a retained message is known after it came last.
const RETAINED: Duration = Duration::from_secs(90 * 86_400);
/// How long a live one is known, which may have been retained then.
const LIVE: Duration = Duration::from_secs(7 * 86_400);

/// Listens until it is dropped.
pub(super) async fn listen(shared: Arc<Shared>, name: Name, definition: watch::Receiver<Definition>, topic: String) {
    let mut desk = Desk::new(Arc::clone(&shared), name.clone(), definition);
    loop {
        match shared.bus.subscribe(&topic, Qos::AtLeastOnce).await {
            Ok(mut subscription) => {
                shared.books.listens(&name, None, true);
                serve(&shared, &name, &mut desk, &mut subscription).await;
                shared.books.listens(&name, None, false);
            }
            Err(BusError::Closed) => return,
            Err(error) => {
                tracing::warn!(workflow = %name.workflow, trigger = %name.id, %topic, "a trigger cannot listen: {}", chain(&error));
                shared.books.listens(&name, Some(chain(&error)), false);
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Until the subscription ends.
async fn serve(shared: &Arc<Shared>, name: &Name, desk: &mut Desk, subscription: &mut Subscription) {
    let mut lost = 0;
    loop {
        tokio::select! {
            () = desk.ready() => desk.begin().await,
            delivery = subscription.recv() => match delivery {
                Some(delivery) => arrived(shared, name, desk, delivery.message).await,
                None => return,
            },
        }
        let dropped = subscription.dropped();
        if dropped > lost {
            let message = format!("{} messages came faster than they could be read", dropped - lost);
            shared.books.note(name, |page| page.counts.dropped += dropped - lost);
            shared.tell(name, "the topic", &Failure::new("PH8502", Class::Operator, message));
            lost = dropped;
        }
    }
}

async fn arrived(shared: &Arc<Shared>, name: &Name, desk: &mut Desk, message: Message) {
    if message.payload.is_empty() && message.retain {
        return;
    }
    let digest = digest(&message);
    let key = format!("\u{1}trigger-seen:{}", hash(&[&name.workflow, &name.id, &message.topic]));
    if message.retain && matches!(shared.read(&key).await, Ok(Some(seen)) if seen == digest) {
        // A broker sends it again with each connection.
        drop(shared.ask(KvRequest::Expire { key, after: RETAINED }).await);
        return shared.books.note(name, |page| page.counts.replayed += 1);
    }
    let large = message.payload.len() > MAX_PAYLOAD;
    let came = Came {
        source: message.topic.to_string(),
        context: context(&message, large),
        own_key: message.retain.then(|| format!("retained:{digest}")),
        raw: Some(message.payload),
        folder: None,
        mark: Some(Seen { key, value: digest, expire: Some(if message.retain { RETAINED } else { LIVE }) }),
    };
    if large {
        let size = came.raw.as_ref().map_or(0, bytes::Bytes::len);
        let message = format!("a payload of {size} bytes is larger than {MAX_PAYLOAD}");
        let failure = Failure::new("PH8501", Class::Permanent, message);
        shared.books.note(name, |page| page.counts.received += 1);
        return desk.refuse(&came, &failure).await;
    }
    desk.take(came).await;
}

fn context(message: &Message, large: bool) -> Value {
    if large {
        return json!({ "kind": "mqtt", "topic": &*message.topic });
    }
    trigger::mqtt(&Arrived { topic: &message.topic, payload: &message.payload, at: now() })
}

/// Topic and payload: what makes a retained message the same.
fn digest(message: &Message) -> String {
    let mut sha256 = Sha256::new();
    sha256.update(message.topic.as_bytes());
    sha256.update([0]);
    sha256.update(&message.payload);
    hex::encode(&sha256.finalize())
}

/// A short name for long ones.
pub(super) fn hash(parts: &[&str]) -> String {
    hex::encode(&Sha256::digest(parts.join("\0"))[..16])
}
