//! Operations on keys as commands of Redis, and its answers as values.

use crate::store::{KvError, StoreError, limits};
use packhorse_core::effect::KvRequest;
use redis::{Cmd, RedisError, ServerError, cmd};
use serde_json::{Map, Value};
use std::time::Duration;

/// Fields with their bytes.
type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Fields that a large hash is asked for at a time, about.
const AT_ONCE: usize = 1_024;
/// A thousand years: what Redis can add to its clock without an overflow.
const LONGEST_MS: u128 = 1_000 * 366 * 86_400_000;

/// The command of an operation.
pub(super) fn command(request: &KvRequest) -> Cmd {
    let mut command = cmd(name(request));
    command.arg(key(request));
    match request {
        KvRequest::Set { value, expire, .. } => match expire.map(millis) {
            // Gone at once; Redis takes no expiry of nothing.
            Some(0) => cmd("DEL").arg(key(request)).clone(),
            Some(ms) => command.arg(value).arg("PX").arg(ms).clone(),
            None => command.arg(value).clone(),
        },
        KvRequest::Incr { by, .. } => command.arg(by).clone(),
        KvRequest::Hset { field, value, .. } => command.arg(field).arg(value).clone(),
        KvRequest::Hget { field, .. } | KvRequest::Hdel { field, .. } => command.arg(field).clone(),
        KvRequest::Expire { after, .. } => command.arg(millis(*after)).clone(),
        KvRequest::Xadd { fields, maxlen, .. } => {
            if let Some(most) = maxlen {
                command.arg("MAXLEN").arg("=").arg(most);
            }
            command.arg("*");
            for (name, value) in fields {
                command.arg(name).arg(value);
            }
            command
        }
        KvRequest::Get { .. } | KvRequest::Del { .. } | KvRequest::Hgetall { .. } => command,
    }
}

/// Refuses a key with so many bytes or fields where they are too many.
pub(super) type Limit = fn(&str, usize) -> Result<(), KvError>;

/// Asks how large an answer will be, and judges that; `None` where it cannot be large.
pub(super) fn guard(request: &KvRequest) -> Option<(Cmd, Limit)> {
    match request {
        KvRequest::Get { key } => Some((cmd("STRLEN").arg(key).clone(), limits::bytes)),
        KvRequest::Hget { key, field } => Some((cmd("HSTRLEN").arg(key).arg(field).clone(), limits::bytes)),
        KvRequest::Hgetall { key } => Some((cmd("HLEN").arg(key).clone(), limits::fields)),
        KvRequest::Set { .. }
        | KvRequest::Del { .. }
        | KvRequest::Incr { .. }
        | KvRequest::Hset { .. }
        | KvRequest::Hdel { .. }
        | KvRequest::Expire { .. }
        | KvRequest::Xadd { .. } => None,
    }
}

/// Whether doing it twice leaves the same as doing it once.
pub(super) const fn may_be_repeated(request: &KvRequest) -> bool {
    !matches!(request, KvRequest::Incr { .. } | KvRequest::Xadd { .. })
}

/// The value of an answer.
pub(super) fn value(request: &KvRequest, answer: redis::Value) -> Result<Value, KvError> {
    if let redis::Value::ServerError(error) = &answer {
        return Err(refused(request, error));
    }
    match request {
        KvRequest::Set { .. } => Ok(Value::Null),
        KvRequest::Get { .. } | KvRequest::Hget { .. } | KvRequest::Xadd { .. } => {
            let bytes: Option<Vec<u8>> = read(request, answer)?;
            bytes.map_or(Ok(Value::Null), |bytes| text(request, bytes).map(Value::String))
        }
        KvRequest::Del { .. }
        | KvRequest::Incr { .. }
        | KvRequest::Hset { .. }
        | KvRequest::Hdel { .. }
        | KvRequest::Expire { .. } => read::<i64>(request, answer).map(Value::from),
        KvRequest::Hgetall { .. } => {
            let mut pairs: Pairs = read(request, answer)?;
            limits::bytes(key(request), pairs.iter().map(|(name, value)| name.len() + value.len()).sum())?;
            pairs.sort();
            let pair = |(name, value)| Ok((text(request, name)?, Value::String(text(request, value)?)));
            pairs.into_iter().map(pair).collect::<Result<Map<_, _>, KvError>>().map(Value::Object)
        }
    }
}

/// Asks for some fields of a hash and for where more are.
pub(super) fn scan(key: &str, cursor: &str) -> Cmd {
    cmd("HSCAN").arg(key).arg(cursor).arg("COUNT").arg(AT_ONCE).clone()
}

/// The answer to [`scan`]: where to go on, and fields with their text.
pub(super) fn scanned(request: &KvRequest, answer: redis::Value) -> Result<(String, Vec<(String, String)>), KvError> {
    if let redis::Value::ServerError(error) = &answer {
        return Err(refused(request, error));
    }
    let (cursor, pairs): (String, Pairs) = read(request, answer)?;
    let pair = |(name, value)| Ok((text(request, name)?, text(request, value)?));
    Ok((cursor, pairs.into_iter().map(pair).collect::<Result<_, KvError>>()?))
}

fn read<T: redis::FromRedisValue>(request: &KvRequest, answer: redis::Value) -> Result<T, KvError> {
    T::from_redis_value(answer).map_err(|error| StoreError::failed(doing(request), error).into())
}

fn text(request: &KvRequest, bytes: Vec<u8>) -> Result<String, KvError> {
    let unfit = |_| KvError::Unfit { key: key(request).to_owned(), what: "bytes that are no UTF-8 text".to_owned() };
    limits::bytes(key(request), bytes.len())?;
    String::from_utf8(bytes).map_err(unfit)
}

fn refused(request: &KvRequest, error: &ServerError) -> KvError {
    let details = error.details().unwrap_or_default();
    let key = key(request).to_owned();
    match error.code() {
        "WRONGTYPE" => KvError::WrongType { key },
        "ERR" if details.contains("not an integer") || details.contains("would overflow") => {
            KvError::NotAnInteger { key }
        }
        code => KvError::Refused { operation: name(request), key, why: format!("{code} {details}") },
    }
}

/// An error of the client, in our words.
pub(super) fn failed(request: &KvRequest, error: RedisError) -> KvError {
    StoreError::failed(doing(request), error).into()
}

fn doing(request: &KvRequest) -> String {
    format!("do {} of key {:?} on the Redis server", name(request), key(request))
}

pub(super) fn key(request: &KvRequest) -> &str {
    match request {
        KvRequest::Get { key }
        | KvRequest::Set { key, .. }
        | KvRequest::Del { key }
        | KvRequest::Incr { key, .. }
        | KvRequest::Hset { key, .. }
        | KvRequest::Hget { key, .. }
        | KvRequest::Hgetall { key }
        | KvRequest::Hdel { key, .. }
        | KvRequest::Expire { key, .. }
        | KvRequest::Xadd { key, .. } => key,
    }
}

pub(super) const fn name(request: &KvRequest) -> &'static str {
    match request {
        KvRequest::Get { .. } => "GET",
        KvRequest::Set { .. } => "SET",
        KvRequest::Del { .. } => "DEL",
        KvRequest::Incr { .. } => "INCRBY",
        KvRequest::Hset { .. } => "HSET",
        KvRequest::Hget { .. } => "HGET",
        KvRequest::Hgetall { .. } => "HGETALL",
        KvRequest::Hdel { .. } => "HDEL",
        KvRequest::Expire { .. } => "PEXPIRE",
        KvRequest::Xadd { .. } => "XADD",
    }
}

/// In whole milliseconds, rounded up: an expiry of a microsecond is none of nothing.
fn millis(time: Duration) -> u64 {
    let ms = time.as_nanos().div_ceil(1_000_000).min(LONGEST_MS);
    u64::try_from(ms).unwrap_or(u64::MAX)
}
