//! One status topic: subscribes, finds whom a message is of, has it judged, and tells what it says.

use super::inbox::Inbox;
use crate::bus::{Bus, BusError, Delivery, Message, Qos, Subscription};
use crate::catalog::Generation;
use crate::engine::Presences;
use crate::store::wall;
use crate::trigger::{Judge, Told};
use packhorse_core::failure::{Failure, chain};
use packhorse_core::presence::{By, Seen, Topic};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Before a filter that the broker refused is asked for again.
const AGAIN: Duration = Duration::from_secs(5);
/// Messages that are taken off the subscription at once.
const BATCH: usize = 256;
/// Messages that are judged before what they say is made durable, where more wait.
const UNSETTLED: usize = 64;

/// What all topics share.
pub(super) struct Ear {
    pub(super) bus: Arc<dyn Bus>,
    pub(super) presences: Arc<Presences>,
    pub(super) judge: Judge,
    pub(super) generations: watch::Receiver<Arc<Generation>>,
    pub(super) told: Mutex<Told>,
}

/// Listens until it is dropped.
pub(super) async fn listen(ear: Arc<Ear>, topic: Topic) {
    let filter = topic.filter();
    loop {
        match ear.bus.subscribe(&filter, Qos::AtLeastOnce).await {
            Ok(subscription) => serve(&ear, &topic, subscription).await,
            Err(BusError::Closed) => return,
            Err(error) => {
                tracing::warn!(topic = topic.as_str(), "presence cannot be listened to: {}", chain(&error));
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Until the subscription ends. It is emptied while others are judged: a broker sends what it has kept of all devices at once.
async fn serve(ear: &Ear, topic: &Topic, mut subscription: Subscription) {
    let (mut inbox, mut batch, mut lost) = (Inbox::default(), Vec::with_capacity(BATCH), 0);
    loop {
        if subscription.recv_many(&mut batch, BATCH).await == 0 {
            return;
        }
        gather(ear, topic, &mut inbox, &mut batch);
        let mut unsettled = 0;
        while let Some(message) = inbox.take() {
            let judged = heard(ear, topic, message);
            tokio::pin!(judged);
            loop {
                tokio::select! {
                    () = &mut judged => break,
                    count = subscription.recv_many(&mut batch, BATCH) => {
                        if count == 0 {
                            return judged.await;
                        }
                        gather(ear, topic, &mut inbox, &mut batch);
                    }
                }
            }
            unsettled += 1;
            if unsettled % UNSETTLED == 0 {
                settle(ear).await;
            }
        }
        settle(ear).await;
        let dropped = subscription.dropped();
        if dropped > lost {
            tracing::warn!(topic = topic.as_str(), "{} statuses came faster than they could be read", dropped - lost);
            lost = dropped;
        }
    }
}

fn gather(ear: &Ear, topic: &Topic, inbox: &mut Inbox, batch: &mut Vec<Delivery>) {
    for delivery in batch.drain(..) {
        let generation = Arc::clone(&ear.generations.borrow());
        // What is of no device of an entry with this topic takes no room.
        let ours = !generation.registry.told_by(topic, &delivery.message.topic).is_empty();
        if ours && !inbox.put(delivery.message) {
            tracing::warn!(topic = topic.as_str(), "more devices tell of themselves than can be kept at hand");
        }
    }
}

async fn settle(ear: &Ear) {
    if let Err(error) = ear.presences.settle().await {
        tracing::warn!(error = chain(&error), "what is known of the presence of devices may be lost");
    }
}

async fn heard(ear: &Ear, topic: &Topic, message: Message) {
    let generation = Arc::clone(&ear.generations.borrow());
    for (device, rule) in generation.registry.told_by(topic, &message.topic) {
        let (name, payload) = (Arc::clone(&message.topic), message.payload.clone());
        match ear.judge.ask(move || rule.judge(&name, &payload)).await {
            Ok(Ok(Some(online))) => {
                let seen = Seen { online, by: By::Will, retained: message.retain, at: wall() };
                ear.presences.observe(&device, seen).await;
            }
            Ok(Ok(None)) => {}
            Ok(Err(failure)) | Err(failure) => tell(ear, topic, &device, &failure),
        }
    }
}

/// Says that a status says nothing, once a minute for each topic of entries and each code.
fn tell(ear: &Ear, topic: &Topic, device: &str, failure: &Failure) {
    let mut told = ear.told.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(untold) = told.tell(topic.as_str(), &failure.code, wall()) {
        let (topic, code) = (topic.as_str(), &failure.code);
        tracing::warn!(%topic, device, %code, untold, "a status cannot be judged: {}", failure.message);
    }
}
