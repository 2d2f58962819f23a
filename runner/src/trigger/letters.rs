//! Dead letters: what came to a trigger and no run could be made of, the newest 1000, durable among the keys of the journal.
//!
//! A number grows with each letter; letter N lies in the place N modulo 1000, so that a new one takes the place of the oldest.

use crate::store::{KeyValue, steady};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use packhorse_core::effect::KvRequest;
use packhorse_core::failure::{Class, Failure, chain};
use packhorse_core::trigger::MAX_PAYLOAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// Letters that are kept.
pub const KEPT: u64 = 1_000;
/// For so long at the most.
const LONGEST: Duration = Duration::from_secs(90 * 86_400);
/// Number of the last letter.
const NUMBER: &str = "\u{1}dead-letters";

/// Why no run could be made of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Stable code.
    pub code: String,
    /// In words.
    pub message: String,
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Grows with each.
    pub id: u64,
    /// When it came, RFC 3339.
    pub at: String,
    /// Name of the workflow.
    pub workflow: String,
    /// Id of the trigger.
    pub trigger: String,
    /// Kind of the trigger.
    pub kind: String,
    /// Topic, path or nominal time.
    pub source: String,
    /// Why no run could be made of it.
    pub reason: Reason,
    /// Bytes of the payload as it came.
    pub size: u64,
    /// The payload in Base64; its first 64 KiB where it was larger. Left out of lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// The root `trigger` where it was not made of a payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Value>,
    /// The key under which it came, where it had one beside its `dedupe_key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl Letter {
    /// With as much of a payload as is kept.
    pub(super) fn with_payload(mut self, bytes: &[u8]) -> Self {
        self.size = bytes.len() as u64;
        self.payload = Some(STANDARD.encode(&bytes[..bytes.len().min(MAX_PAYLOAD)]));
        self
    }

    /// The payload, where all of it was kept.
    pub(super) fn whole(&self) -> Option<Vec<u8>> {
        let bytes = STANDARD.decode(self.payload.as_ref()?).ok()?;
        (bytes.len() as u64 == self.size).then_some(bytes)
    }
}

/// The list.
#[derive(Clone)]
pub struct Letters {
    index: Arc<dyn KeyValue>,
}

impl std::fmt::Debug for Letters {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Letters").finish_non_exhaustive()
    }
}

impl Letters {
    pub(super) fn new(index: Arc<dyn KeyValue>) -> Self {
        Self { index }
    }

    /// Keeps a letter; its id is given here. Durable with [`KeyValue::settle`].
    pub(super) async fn keep(&self, mut letter: Letter) -> Result<u64, Failure> {
        let number = self.ask(KvRequest::Incr { key: NUMBER.to_owned(), by: 1 }).await?;
        letter.id = number.as_u64().unwrap_or_default();
        let value = serde_json::to_string(&letter).unwrap_or_default();
        self.ask(KvRequest::Set { key: place(letter.id), value, expire: Some(LONGEST) }).await?;
        Ok(letter.id)
    }

    /// All that are kept, newest first, without what they hold.
    ///
    /// # Errors
    ///
    /// PH7002 from the store.
    pub async fn list(&self) -> Result<Vec<Letter>, Failure> {
        let last = self.ask(KvRequest::Get { key: NUMBER.to_owned() }).await?;
        let last: u64 = last.as_str().and_then(|text| text.parse().ok()).unwrap_or_default();
        let ids: Vec<u64> = (last.saturating_sub(KEPT) + 1..=last).rev().collect();
        let mut letters = Vec::new();
        for ids in ids.chunks(100) {
            let asked = ids.iter().map(|id| KvRequest::Get { key: place(*id) }).collect();
            let found = self.index.operate_many(asked, steady()).await.map_err(|error| failed(&error))?;
            let found = ids.iter().zip(found).filter_map(|(id, value)| read(*id, &value.ok()?));
            letters.extend(found.map(|letter| Letter { payload: None, context: None, ..letter }));
        }
        Ok(letters)
    }

    /// One of them, whole.
    ///
    /// # Errors
    ///
    /// PH8505 where there is none of this id, PH7002 from the store.
    pub async fn show(&self, id: u64) -> Result<Letter, Failure> {
        let value = self.ask(KvRequest::Get { key: place(id) }).await?;
        read(id, &value).ok_or_else(|| {
            Failure::new("PH8505", Class::Permanent, format!("there is no dead letter {id}"))
                .hint("`packhorse dead-letters` lists them")
        })
    }

    /// Throws one away.
    ///
    /// # Errors
    ///
    /// As [`Letters::show`].
    pub async fn drop(&self, id: u64) -> Result<Letter, Failure> {
        let letter = self.show(id).await?;
        self.ask(KvRequest::Del { key: place(id) }).await?;
        self.index.settle().await.map_err(|error| failed(&error))?;
        Ok(letter)
    }

    async fn ask(&self, request: KvRequest) -> Result<Value, Failure> {
        self.index.operate(request, steady()).await.map_err(|error| failed(&error))
    }
}

fn place(id: u64) -> String {
    format!("\u{1}dead-letter:{}", id % KEPT)
}

/// The letter of this id; nothing where another one took its place.
fn read(id: u64, value: &Value) -> Option<Letter> {
    let letter: Letter = serde_json::from_str(value.as_str()?).ok()?;
    (letter.id == id).then_some(letter)
}

fn failed(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new("PH7002", Class::Transient, chain(error))
}
