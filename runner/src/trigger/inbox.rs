//! Messages that wait for their turn, durable: with them here the broker need not keep them, and others behind them do not wait.

use super::books::Name;
use super::mqtt::{self, Heard};
use super::shared::{Came, Shared};
use crate::store::steady;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use packhorse_core::effect::KvRequest;
use packhorse_core::failure::{Class, Failure, chain};
use packhorse_core::run::WallTime;
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// A message waits so long at the most.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);
/// Numbers that are looked at in one go.
const CHUNK: u64 = 100;
/// So far before the first one it is looked when messages are loaded: another process may have been about to fill a place that was empty
/// when it was passed over.
const BEFORE: u64 = 1_000;

/// A message as it lies in the store.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    topic: String,
    /// Base64.
    payload: String,
    retain: bool,
    at: WallTime,
    /// Its own key, the same in every copy where keeping it failed half-way and was done again.
    key: String,
}

/// What waits of one trigger, for all processes that have it on this store. A number grows with each message; what was dealt with is gone,
/// and all below `first` are.
pub(super) struct Inbox {
    shared: Arc<Shared>,
    prefix: String,
    /// What this process has not dealt with.
    open: BTreeSet<u64>,
    /// The store's `first`, or less.
    first: u64,
}

impl Inbox {
    pub(super) fn new(shared: Arc<Shared>, name: &Name) -> Self {
        let prefix = format!("\u{1}trigger-inbox:{}", mqtt::hash(&[&name.workflow, &name.id]));
        Self { shared, prefix, open: BTreeSet::new(), first: 1 }
    }

    /// What an earlier process left, oldest first.
    pub(super) async fn load(&mut self) -> Result<Vec<(u64, Came)>, Failure> {
        let read = async |name: &str| -> Result<u64, Failure> {
            let text = self.shared.read(&self.key(name)).await?;
            Ok(text.and_then(|text| text.parse().ok()).unwrap_or_default())
        };
        let (first, last) = (read("first").await?, read("last").await?);
        self.first = first.max(1);
        let numbers: Vec<u64> = (self.first.saturating_sub(BEFORE).max(1)..=last).collect();
        let mut found = Vec::new();
        for numbers in numbers.chunks(CHUNK as usize) {
            let asked = numbers.iter().map(|number| KvRequest::Get { key: self.place(*number) }).collect();
            let values = self.shared.index.operate_many(asked, steady()).await.map_err(|error| failed(&error))?;
            for (number, value) in numbers.iter().zip(values) {
                found.extend(value.ok().and_then(|value| read_back(&value)).map(|came| (*number, came)));
            }
        }
        self.open.extend(found.iter().map(|(number, _)| *number));
        Ok(found)
    }

    /// Keeps what came as messages; they are durable when this returns. Their own keys, with which they are known from now on, they have even
    /// where it fails.
    pub(super) async fn keep(&mut self, all: &mut [&mut Came]) -> Result<Vec<u64>, Failure> {
        let by = i64::try_from(all.len()).unwrap_or(i64::MAX);
        let key = self.key("last");
        let last = self.shared.ask(KvRequest::Incr { key, by }).await?.as_u64().unwrap_or_default();
        let numbers: Vec<u64> = (last + 1 - by.unsigned_abs()..=last).collect();
        for came in all.iter_mut() {
            // Not by its number: where a store loses the last ones, another message has it next.
            came.own_key.get_or_insert_with(|| format!("inbox {:032x}", rand::rng().random::<u128>()));
        }
        let set = |(number, came): (&u64, &&mut Came)| {
            let value = serde_json::to_string(&kept(came)?).ok()?;
            Some(KvRequest::Set { key: self.place(*number), value, expire: Some(LONGEST) })
        };
        let requests = numbers.iter().zip(all.iter()).filter_map(set).collect();
        let done = self.shared.index.operate_many(requests, steady()).await.map_err(|error| failed(&error))?;
        if let Some(error) = done.into_iter().find_map(Result::err) {
            return Err(failed(&error));
        }
        self.shared.index.settle().await.map_err(|error| failed(&error))?;
        for message in all.iter_mut().filter_map(|came| came.message.as_mut()) {
            message.receipt = None;
        }
        self.open.extend(&numbers);
        Ok(numbers)
    }

    /// One was dealt with. It is no harm where this is lost with the process: its key tells when it comes again.
    pub(super) async fn drop(&mut self, number: u64) {
        self.open.remove(&number);
        if let Err(error) = self.dropped(number).await {
            tracing::warn!("a message that was dealt with cannot be thrown away: {error}");
        }
    }

    async fn dropped(&mut self, number: u64) -> Result<(), Failure> {
        let place = self.place(number);
        self.shared.ask(KvRequest::Del { key: place }).await?;
        let end = self.open.first().copied().unwrap_or(number + 1);
        if end <= self.first {
            return Ok(());
        }
        // Other processes may have messages in between.
        let between: Vec<u64> = (self.first..end).take(CHUNK as usize).collect();
        let asked: Vec<u64> = between.iter().copied().filter(|place| *place != number).collect();
        let gets = asked.iter().map(|number| KvRequest::Get { key: self.place(*number) }).collect();
        let found = self.shared.index.operate_many(gets, steady()).await.map_err(|error| failed(&error))?;
        let full = |found: &Result<Value, _>| !matches!(found, Ok(Value::Null));
        let taken = asked.iter().zip(&found).find(|(_, found)| full(found)).map(|(number, _)| *number);
        self.first = taken.or_else(|| between.last().map(|last| last + 1)).unwrap_or(end);
        let (key, value) = (self.key("first"), self.first.to_string());
        self.shared.ask(KvRequest::Set { key, value, expire: None }).await.map(drop)
    }

    fn place(&self, number: u64) -> String {
        format!("{}:{number}", self.prefix)
    }

    pub(super) fn key(&self, name: &str) -> String {
        format!("{}:{name}", self.prefix)
    }
}

fn kept(came: &Came) -> Option<Kept> {
    let heard = came.message.as_ref()?;
    let (topic, payload) = (heard.topic.clone(), STANDARD.encode(&heard.payload));
    Some(Kept { topic, payload, retain: heard.retain, at: heard.at, key: came.own_key.clone()? })
}

fn read_back(value: &Value) -> Option<Came> {
    let kept: Kept = serde_json::from_str(value.as_str()?).ok()?;
    let payload = Bytes::from(STANDARD.decode(kept.payload).ok()?);
    let heard = Heard { topic: kept.topic, payload, retain: kept.retain, at: kept.at, receipt: None };
    Some(Came { own_key: Some(kept.key), ..heard.came() })
}

fn failed(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new("PH7002", Class::Transient, chain(error))
}
