//! What every key-value store can do: a few Redis commands; and their semantics over whatever keeps keys and fields.

use super::StoreError;
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

/// Text and hashes by key, with expiry.
pub trait KeyValue: Send + Sync + 'static {
    /// Does one operation; expiry is judged by `now`. `get`, `hget` give text or null; `set` null; `del` 1 or 0; `incr` the new number;
    /// `hset` 1 for a new field, else 0; `hgetall` a map of text, empty where there is no key. `set` without `expire` clears an
    /// earlier expiry; `incr`, `hset` keep it.
    fn operate(&self, request: KvRequest, now: WallTime) -> BoxFuture<'_, Result<Value, KvError>>;
}

/// What lies at a key.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Head {
    /// UTC in milliseconds.
    pub(super) expires: Option<u64>,
    /// Absent for a hash, whose fields are kept apart.
    pub(super) text: Option<String>,
}

/// Looks at keys and fields.
pub(super) trait Look {
    fn head(&self, key: &str) -> Result<Option<Head>, StoreError>;
    fn field(&self, key: &str, field: &str) -> Result<Option<String>, StoreError>;
    fn fields(&self, key: &str) -> Result<Vec<(String, String)>, StoreError>;
}

/// Changes them.
pub(super) trait Touch: Look {
    fn put_head(&mut self, key: &str, head: &Head) -> Result<(), StoreError>;
    fn put_field(&mut self, key: &str, field: &str, text: &str) -> Result<(), StoreError>;
    /// With all fields.
    fn remove(&mut self, key: &str) -> Result<(), StoreError>;
}

/// Does an operation that changes nothing; `None` for one that does.
pub(super) fn look(store: &impl Look, request: &KvRequest, now: WallTime) -> Option<Result<Value, KvError>> {
    match request {
        KvRequest::Get { key } => Some(text_at(store, key, now).map(optional)),
        KvRequest::Hget { key, field } => Some(is_hash(store, key, now).and_then(|hash| {
            let text = if hash { store.field(key, field)? } else { None };
            Ok(optional(text))
        })),
        KvRequest::Hgetall { key } => Some(is_hash(store, key, now).and_then(|hash| {
            let fields = if hash { store.fields(key)? } else { Vec::new() };
            Ok(Value::Object(fields.into_iter().map(|(name, text)| (name, Value::String(text))).collect::<Map<_, _>>()))
        })),
        KvRequest::Set { .. } | KvRequest::Del { .. } | KvRequest::Incr { .. } | KvRequest::Hset { .. } => None,
    }
}

/// Does any operation.
pub(super) fn touch(store: &mut impl Touch, request: &KvRequest, now: WallTime) -> Result<Value, KvError> {
    if let Some(looked) = look(store, request, now) {
        return looked;
    }
    match request {
        KvRequest::Set { key, value, expire } => {
            let expires = expire.map(|wait| now.after(wait).0);
            store.remove(key)?;
            store.put_head(key, &Head { expires, text: Some(value.clone()) })?;
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
                store.put_head(key, &Head { expires: None, text: None })?;
            }
            let new = store.field(key, field)?.is_none();
            store.put_field(key, field, value)?;
            Ok(Value::from(i64::from(new)))
        }
        KvRequest::Get { .. } | KvRequest::Hget { .. } | KvRequest::Hgetall { .. } => Ok(Value::Null),
    }
}

fn increment(store: &mut impl Touch, key: &str, by: i64, now: WallTime) -> Result<Value, KvError> {
    let wrong = || KvError::NotAnInteger { key: key.to_owned() };
    let before = match text_at(store, key, now)? {
        Some(text) => text.parse::<i64>().map_err(|_| wrong())?,
        None => 0,
    };
    let number = before.checked_add(by).ok_or_else(wrong)?;
    let expires = head_at(store, key, now)?.and_then(|head| head.expires);
    store.put_head(key, &Head { expires, text: Some(number.to_string()) })?;
    Ok(Value::from(number))
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
        Some(Head { text: None, .. }) => Ok(true),
        Some(Head { text: Some(_), .. }) => Err(KvError::WrongType { key: key.to_owned() }),
    }
}

fn optional(text: Option<String>) -> Value {
    text.map_or(Value::Null, Value::String)
}
