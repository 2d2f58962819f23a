//! Our own keys on the server of the journal: under its prefix, away from the keys of workflows.

use super::key_value::RedisKeyValue;
use crate::store::StoreError;
use crate::store::key_value::{BoxFuture, KeyValue, KvError};
use packhorse_core::effect::KvRequest;
use packhorse_core::run::WallTime;
use serde_json::Value;

/// Keys under a prefix.
#[derive(Debug, Clone)]
pub struct RedisIndex {
    keys: RedisKeyValue,
    prefix: String,
}

impl RedisIndex {
    /// Beside the journal of this name.
    pub fn new(keys: RedisKeyValue, journal: &str) -> Self {
        Self { keys, prefix: format!("packhorse:{{{journal}}}:index:") }
    }

    fn moved(&self, mut request: KvRequest) -> KvRequest {
        match &mut request {
            KvRequest::Get { key }
            | KvRequest::Set { key, .. }
            | KvRequest::Del { key }
            | KvRequest::Incr { key, .. }
            | KvRequest::Hset { key, .. }
            | KvRequest::Hget { key, .. }
            | KvRequest::Hgetall { key }
            | KvRequest::Hdel { key, .. }
            | KvRequest::Expire { key, .. }
            | KvRequest::Xadd { key, .. } => key.insert_str(0, &self.prefix),
        }
        request
    }
}

impl KeyValue for RedisIndex {
    fn operate(&self, request: KvRequest, now: WallTime) -> BoxFuture<'_, Result<Value, KvError>> {
        self.keys.operate(self.moved(request), now)
    }

    fn operate_many(
        &self,
        requests: Vec<KvRequest>,
        now: WallTime,
    ) -> BoxFuture<'_, Result<Vec<Result<Value, KvError>>, StoreError>> {
        self.keys.operate_many(requests.into_iter().map(|request| self.moved(request)).collect(), now)
    }

    fn fields(&self, key: String, now: WallTime) -> BoxFuture<'_, Result<Vec<(String, String)>, KvError>> {
        self.keys.fields(format!("{}{key}", self.prefix), now)
    }
}
