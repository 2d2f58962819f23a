//! One run for all requests with one key, whoever of them is first, and whenever a process dies in between.
//!
//! The first to draw a ticket writes down the run's id before the run exists. Who comes later finds the id: the run, or, where whoever was
//! first died before creating it, the id under which to create it.

use super::launch::TAKEN;
use crate::engine::new_run_id;
use crate::serve::http::Once;
use crate::store::{KeyValue, KvError, steady};
use packhorse_core::effect::KvRequest;
use packhorse_core::failure::{Class, Failure, chain};
use packhorse_core::hex;
use packhorse_core::run::RunId;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// How long a key is kept.
const KEPT: Duration = Duration::from_secs(7 * 86_400);
/// How long the id of whoever was first is waited for before the next ticket is drawn.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between looks.
const LOOK: Duration = Duration::from_millis(20);
/// Tickets that are drawn at the most.
const TICKETS: u32 = 4;

/// The id that requests with this key come to.
///
/// # Errors
///
/// PH8409 where the key was used for another request, [`TAKEN`] where nobody wrote an id down, PH7002 from the store.
pub(super) async fn run_of(index: &dyn KeyValue, once: &Once) -> Result<RunId, Failure> {
    let key = format!("\u{1}once:{}", hex::encode(&Sha256::digest(&once.key)));
    for number in 0..TICKETS {
        let ticket = format!("{key}:{number}");
        let drawn = ask(index, KvRequest::Incr { key: ticket.clone(), by: 1 }).await?;
        if drawn == 1 {
            ask(index, KvRequest::Expire { key: ticket, after: KEPT }).await?;
            // Somebody with an earlier ticket may only have been slow.
            return match written(index, &key, once).await? {
                Some(run) => Ok(run),
                None => write(index, &key, once).await,
            };
        }
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(run) = written(index, &key, once).await? {
                return Ok(run);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    Err(Failure::new(TAKEN, Class::Transient, "a request with this key is under way"))
}

async fn write(index: &dyn KeyValue, key: &str, once: &Once) -> Result<RunId, Failure> {
    let run = new_run_id();
    let value = format!("{} {run}", once.request);
    ask(index, KvRequest::Set { key: key.to_owned(), value, expire: Some(KEPT) }).await?;
    Ok(run)
}

async fn written(index: &dyn KeyValue, key: &str, once: &Once) -> Result<Option<RunId>, Failure> {
    let value = ask(index, KvRequest::Get { key: key.to_owned() }).await?;
    let Some((request, run)) = value.as_str().and_then(|text| text.split_once(' ')) else { return Ok(None) };
    if request != once.request {
        return Err(Failure::new("PH8409", Class::Permanent, "this idempotency key was used for another request")
            .hint("a new request needs a new key"));
    }
    let run = run.parse().map_err(|_| Failure::new("PH9001", Class::Bug, format!("{run} is no run's id")))?;
    Ok(Some(run))
}

async fn ask(index: &dyn KeyValue, request: KvRequest) -> Result<Value, Failure> {
    let failed = |error: KvError| Failure::new("PH7002", Class::Transient, chain(&error));
    index.operate(request, steady()).await.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryKeyValue;
    use std::collections::HashSet;
    use std::sync::Arc;

    fn once(key: &str, request: &str) -> Once {
        Once { key: key.into(), request: request.into() }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_hundred_requests_come_to_one_run() {
        let index = Arc::new(MemoryKeyValue::default());
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let index = Arc::clone(&index);
            all.spawn(async move { run_of(&*index, &once("a", "1")).await.unwrap() });
        }
        let runs: HashSet<RunId> = all.join_all().await.into_iter().collect();
        assert_eq!(runs.len(), 1);
        assert_ne!(run_of(&*index, &once("b", "1")).await.unwrap(), runs.into_iter().next().unwrap());
        assert_eq!(run_of(&*index, &once("a", "2")).await.unwrap_err().code, "PH8409");
    }

    #[tokio::test]
    async fn who_died_with_the_first_ticket_holds_nobody_up_for_ever() {
        let index = MemoryKeyValue::default();
        let key = format!("\u{1}once:{}:0", hex::encode(&Sha256::digest("a")));
        ask(&index, KvRequest::Incr { key, by: 1 }).await.unwrap();
        let run = run_of(&index, &once("a", "1")).await.unwrap();
        assert_eq!(run_of(&index, &once("a", "1")).await.unwrap(), run);
    }
}
