//! What every key-value store can do: a few Redis commands; and their semantics over whatever keeps keys and fields.

use super::{StoreError, limits};
use packhorse_core::effect::KvRequest;
use packhorse_core::run::WallTime;
use serde_json::{Map, Value};
use std::future::Future;
use std::pin::Pin;

/// A future that owns what it needs.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why an operation was not done.
#[derive(Debug, thiserror::Error)]
pub enum KvError {
    /// The key holds text where a hash is needed, or the other way round.
    #[error("key {key:?} holds the wrong kind of value")]
    WrongType {
        /// The key.
        key: String,
    },
    /// What lies there is no text that a workflow can hold.
    #[error("key {key:?} holds {what}")]
    Unfit {
        /// The key.
        key: String,
        /// What it holds instead.
        what: String,
    },
    /// The connection was lost before the answer came, and the operation is none that may be repeated.
    #[error(
        "unknown outcome: {operation} of key {key:?} may or may not have been done: the connection was lost before the answer"
    )]
    UnknownOutcome {
        /// The operation.
        operation: &'static str,
        /// The key.
        key: String,
    },
    /// The server will not do it.
    #[error("the Redis server refuses {operation} of key {key:?}: {why}")]
    Refused {
        /// The operation.
        operation: &'static str,
        /// The key.
        key: String,
        /// Its words.
        why: String,
    },
    /// The text at the key is no 64-bit integer, or would leave that range.
    #[error("key {key:?} does not hold an integer, or it would overflow")]
    NotAnInteger {
        /// The key.
        key: String,
    },
    /// The store itself.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Text, hashes and streams by key, with expiry.
pub trait KeyValue: Send + Sync + 'static {
    /// Does one operation; expiry is judged by `now`, on a Redis server by its own clock. `get`, `hget` give text or null; `set` null; `del`,
    /// `hdel` 1 or 0; `incr` the new number; `hset` 1 for a new field, else 0; `hgetall` a map of text, empty where there is no key; `expire` 1
    /// where there is the key, else 0; `xadd` the entry's id, which grows. `set` without `expire` clears an earlier expiry; `incr`, `hset`,
    /// `hdel`, `xadd` keep it. A hash goes with its last field.
    fn operate(&self, request: KvRequest, now: WallTime) -> BoxFuture<'_, Result<Value, KvError>>;

    /// Does many, in their order, each by itself; where there is a network, in one round trip. An `Err` of the whole tells nothing of any.
    fn operate_many(
        &self,
        requests: Vec<KvRequest>,
        now: WallTime,
    ) -> BoxFuture<'_, Result<Vec<Result<Value, KvError>>, StoreError>> {
        Box::pin(async move {
            let mut done = Vec::with_capacity(requests.len());
            for request in requests {
                done.push(self.operate(request, now).await);
            }
            Ok(done)
        })
    }

    /// All fields of a hash in the order of their names, however many there are: for our own keys. What steps ask for has limits.
    fn fields(&self, key: String, now: WallTime) -> BoxFuture<'_, Result<Vec<(String, String)>, KvError>>;

    /// Returns when all changes so far outlive a process that is killed. Without it they do with the journal's next commit, which is enough
    /// for what a step asks for: the step is not done before.
    fn settle(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// What lies at a key.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Head {
    /// UTC in milliseconds.
    pub(super) expires: Option<u64>,
    /// Absent for a hash or a stream, whose fields or entries are kept apart.
    pub(super) text: Option<String>,
    /// Only of a stream, whose entries lie in fields that are named by their ids in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<EntryId>,
}

/// Id of a stream's entry: milliseconds, and a number within them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct EntryId(u64, u64);

/// Looks at keys and fields.
pub(super) trait Look {
    fn head(&self, key: &str) -> Result<Option<Head>, StoreError>;
    fn field(&self, key: &str, field: &str) -> Result<Option<String>, StoreError>;
    /// In the order of their names, at most so many.
    fn fields(&self, key: &str, most: usize) -> Result<Vec<(String, String)>, StoreError>;
}

/// Changes them.
pub(super) trait Touch: Look {
    fn put_head(&mut self, key: &str, head: &Head) -> Result<(), StoreError>;
    fn put_field(&mut self, key: &str, field: &str, text: &str) -> Result<(), StoreError>;
    fn remove_field(&mut self, key: &str, field: &str) -> Result<(), StoreError>;
    /// With all fields.
    fn remove(&mut self, key: &str) -> Result<(), StoreError>;
}

/// Does an operation that changes nothing; `None` for one that does.
pub(super) fn look(store: &impl Look, request: &KvRequest, now: WallTime) -> Option<Result<Value, KvError>> {
    match request {
        KvRequest::Get { key } => Some(text_at(store, key, now).and_then(|text| optional(key, text))),
        KvRequest::Hget { key, field } => Some(is_hash(store, key, now).and_then(|hash| {
            let text = if hash { store.field(key, field)? } else { None };
            optional(key, text)
        })),
        KvRequest::Hgetall { key } => Some(fields(store, key, now, limits::MOST_FIELDS + 1).and_then(|fields| {
            limits::fields(key, fields.len())?;
            limits::bytes(key, fields.iter().map(|(name, text)| name.len() + text.len()).sum())?;
            Ok(Value::Object(fields.into_iter().map(|(name, text)| (name, Value::String(text))).collect::<Map<_, _>>()))
        })),
        KvRequest::Set { .. }
        | KvRequest::Del { .. }
        | KvRequest::Incr { .. }
        | KvRequest::Hset { .. }
        | KvRequest::Hdel { .. }
        | KvRequest::Expire { .. }
        | KvRequest::Xadd { .. } => None,
    }
}

/// Does any operation.
pub(super) fn touch(store: &mut impl Touch, request: &KvRequest, now: WallTime) -> Result<Value, KvError> {
    if let Some(looked) = look(store, request, now) {
        return looked;
    }
    limits::fits(request)?;
    match request {
        KvRequest::Set { key, value, expire } => {
            let expires = expire.map(|wait| now.after(wait).0);
            store.remove(key)?;
            store.put_head(key, &Head { expires, text: Some(value.clone()), last: None })?;
            Ok(Value::Null)
        }
        KvRequest::Del { key } => {
            let was = head_at(store, key, now)?.is_some();
            store.remove(key)?;
            Ok(Value::from(i64::from(was)))
        }
        KvRequest::Incr { key, by } => increment(store, key, *by, now),
        KvRequest::Hset { key, field, value } => {
            if !is_hash(store, key, now)? {
                store.remove(key)?;
                store.put_head(key, &Head { expires: None, text: None, last: None })?;
            }
            let new = store.field(key, field)?.is_none();
            store.put_field(key, field, value)?;
            Ok(Value::from(i64::from(new)))
        }
        KvRequest::Hdel { key, field } => {
            let was = is_hash(store, key, now)? && store.field(key, field)?.is_some();
            if was {
                store.remove_field(key, field)?;
                if store.fields(key, 1)?.is_empty() {
                    store.remove(key)?;
                }
            }
            Ok(Value::from(i64::from(was)))
        }
        KvRequest::Expire { key, after } => {
            let Some(head) = head_at(store, key, now)? else { return Ok(Value::from(0)) };
            store.put_head(key, &Head { expires: Some(now.after(*after).0), ..head })?;
            Ok(Value::from(1))
        }
        KvRequest::Xadd { key, fields, maxlen } => add_entry(store, key, fields, *maxlen, now),
        KvRequest::Get { .. } | KvRequest::Hget { .. } | KvRequest::Hgetall { .. } => Ok(Value::Null),
    }
}

fn increment(store: &mut impl Touch, key: &str, by: i64, now: WallTime) -> Result<Value, KvError> {
    let wrong = || KvError::NotAnInteger { key: key.to_owned() };
    let before = match text_at(store, key, now)? {
        // As Redis reads numbers: no plus, no leading zeros.
        Some(text) => text.parse::<i64>().ok().filter(|number| number.to_string() == text).ok_or_else(wrong)?,
        None => 0,
    };
    let number = before.checked_add(by).ok_or_else(wrong)?;
    let expires = head_at(store, key, now)?.and_then(|head| head.expires);
    store.remove(key)?;
    store.put_head(key, &Head { expires, text: Some(number.to_string()), last: None })?;
    Ok(Value::from(number))
}

fn add_entry(
    store: &mut impl Touch,
    key: &str,
    fields: &[(String, String)],
    maxlen: Option<u64>,
    now: WallTime,
) -> Result<Value, KvError> {
    let head = match head_at(store, key, now)? {
        Some(Head { last: None, .. }) => return Err(KvError::WrongType { key: key.to_owned() }),
        Some(head) => head,
        None => {
            store.remove(key)?;
            Head { expires: None, text: None, last: None }
        }
    };
    let id = match head.last {
        Some(EntryId(ms, number)) if ms >= now.0 => EntryId(ms, number + 1),
        _ => EntryId(now.0, 0),
    };
    store.put_head(key, &Head { last: Some(id), ..head })?;
    let entry = serde_json::to_string(fields).map_err(|error| StoreError::failed("write a stream entry", error))?;
    store.put_field(key, &format!("{:020}-{:020}", id.0, id.1), &entry)?;
    if let Some(most) = maxlen {
        let entries = store.fields(key, usize::MAX)?;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        for (name, _) in entries.iter().take(entries.len().saturating_sub(most)) {
            store.remove_field(key, name)?;
        }
    }
    Ok(Value::String(format!("{}-{}", id.0, id.1)))
}

fn head_at(store: &impl Look, key: &str, now: WallTime) -> Result<Option<Head>, KvError> {
    Ok(store.head(key)?.filter(|head| head.expires.is_none_or(|expires| expires > now.0)))
}

fn text_at(store: &impl Look, key: &str, now: WallTime) -> Result<Option<String>, KvError> {
    match head_at(store, key, now)? {
        None => Ok(None),
        Some(Head { text: Some(text), .. }) => Ok(Some(text)),
        Some(Head { text: None, .. }) => Err(KvError::WrongType { key: key.to_owned() }),
    }
}

/// Whether there is a hash at a key; nothing there is no error.
fn is_hash(store: &impl Look, key: &str, now: WallTime) -> Result<bool, KvError> {
    match head_at(store, key, now)? {
        None => Ok(false),
        Some(Head { text: None, last: None, .. }) => Ok(true),
        Some(Head { .. }) => Err(KvError::WrongType { key: key.to_owned() }),
    }
}

/// Fields of a hash, at most so many; none where there is nothing.
pub(super) fn fields(
    store: &impl Look,
    key: &str,
    now: WallTime,
    most: usize,
) -> Result<Vec<(String, String)>, KvError> {
    Ok(if is_hash(store, key, now)? { store.fields(key, most)? } else { Vec::new() })
}

fn optional(key: &str, text: Option<String>) -> Result<Value, KvError> {
    limits::bytes(key, text.as_ref().map_or(0, String::len))?;
    Ok(text.map_or(Value::Null, Value::String))
}
