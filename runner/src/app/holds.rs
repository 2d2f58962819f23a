//! Holds: kept in the index beside the journal, durable before they count, and told to the engine.

use super::launch::with_large_stack;
use super::start::Ground;
use crate::engine::new_run_id;
use crate::store::{KeyValue, steady, wall};
use packhorse_core::admission::{Hold, Selector};
use packhorse_core::effect::KvRequest;
use packhorse_core::failure::{Class, Failure, chain};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Mutex;

/// A hash of all holds by id. Begins with a byte that no workflow's key can begin with.
const KEY: &str = "\u{1}holds";
/// Holds that stand at once: each is asked about each run.
const MOST: usize = 256;
/// One change at a time, so that the engine hears of them in their order.
static CHANGE: Mutex<()> = Mutex::const_new(());

/// Where holds are kept.
#[derive(Clone)]
pub struct Kept {
    /// Our own keys.
    pub index: Arc<dyn KeyValue>,
}

impl Kept {
    pub(super) fn of(ground: &Ground) -> Self {
        Self { index: Arc::clone(&ground.world.index) }
    }

    /// All that stand, the oldest first. What cannot be read was written by a later version, and is told.
    pub async fn all(&self) -> Result<Vec<Hold>, Failure> {
        let fields = self.ask(KvRequest::Hgetall { key: KEY.to_owned() }).await?;
        let read = |(id, text): (&String, &Value)| {
            let hold = text.as_str().and_then(|text| serde_json::from_str(text).ok());
            if hold.is_none() {
                tracing::error!(id, "a hold cannot be read and does not count");
            }
            hold
        };
        let mut holds: Vec<Hold> = fields.as_object().into_iter().flatten().filter_map(read).collect();
        holds.sort_by(|left, right| (left.since, &left.id).cmp(&(right.since, &right.id)));
        Ok(holds)
    }

    /// Keeps a new one.
    ///
    /// # Errors
    ///
    /// PH0307 for a selector that cannot be read, PH8041 where too many stand, PH7002 from the store.
    pub async fn add(&self, selector: String, reason: Option<String>, by: &str) -> Result<Hold, Failure> {
        let text = selector.clone();
        let read = with_large_stack(move || Selector::parse(&text).map(drop)).await;
        read.map_err(|stop| stop.failure)??;
        if self.all().await?.len() >= MOST {
            let message = format!("{MOST} holds stand already");
            return Err(Failure::new("PH8041", Class::Permanent, message).hint("`packhorse holds` lists them"));
        }
        self.keep(Hold { selector, reason, by: by.to_owned(), ..blank() }).await
    }

    /// Holds everything, clean-up included, as long as nobody releases it; one of its kind is enough.
    async fn still(&self) -> Result<Hold, Failure> {
        if let Some(stands) = self.all().await?.into_iter().find(|hold| hold.still) {
            return Ok(stands);
        }
        let reason = Some("serve --paused".to_owned());
        self.keep(Hold { selector: "all".to_owned(), reason, by: "serve".to_owned(), still: true, ..blank() }).await
    }

    async fn keep(&self, hold: Hold) -> Result<Hold, Failure> {
        let id = hold.id.clone();
        let value = serde_json::to_string(&hold).unwrap_or_default();
        self.ask(KvRequest::Hset { key: KEY.to_owned(), field: id, value }).await?;
        self.settle().await?;
        let Hold { id, selector, reason, by, .. } = &hold;
        tracing::warn!(hold = %id, %selector, %by, reason = reason.as_deref().unwrap_or(""), "audit: held");
        Ok(hold)
    }

    /// Ends some of them: that with this id, those with this selector, or all; gives them.
    pub async fn remove(&self, which: Option<&str>, by: &str) -> Result<Vec<Hold>, Failure> {
        let meant = |hold: &Hold| which.is_none_or(|which| which == hold.id || which.trim() == hold.selector.trim());
        let gone: Vec<Hold> = self.all().await?.into_iter().filter(meant).collect();
        if let (Some(which), true) = (which, gone.is_empty()) {
            return Err(Failure::new("PH8042", Class::Permanent, format!("there is no hold {which}"))
                .hint("`packhorse holds` lists them; `packhorse release --all` ends all"));
        }
        for hold in &gone {
            self.ask(KvRequest::Hdel { key: KEY.to_owned(), field: hold.id.clone() }).await?;
            tracing::warn!(hold = %hold.id, selector = %hold.selector, by, "audit: released");
        }
        self.settle().await?;
        Ok(gone)
    }

    async fn settle(&self) -> Result<(), Failure> {
        self.index.settle().await.map_err(|error| Failure::new("PH7002", Class::Operator, chain(&error)))
    }

    async fn ask(&self, request: KvRequest) -> Result<Value, Failure> {
        let done = self.index.operate(request, steady()).await;
        done.map_err(|error| Failure::new("PH7002", Class::Transient, chain(&error)))
    }
}

/// A new one that means nothing yet.
fn blank() -> Hold {
    let id = new_run_id().as_str().replacen("run_", "hold_", 1);
    Hold { id, selector: String::new(), reason: None, by: String::new(), since: wall(), still: false }
}

/// Everything is held from now on.
pub(super) async fn pause(ground: &Ground) -> Result<(), Failure> {
    let _one = CHANGE.lock().await;
    Kept::of(ground).still().await.map(drop)
}

/// A new hold, which counts when this returns.
pub(super) async fn hold(ground: &Ground, selector: String, reason: Option<String>, by: &str) -> Result<Hold, Failure> {
    let _one = CHANGE.lock().await;
    let hold = Kept::of(ground).add(selector, reason, by).await?;
    tell(ground).await?;
    Ok(hold)
}

/// Ends holds; what waited for them goes on.
pub(super) async fn release(ground: &Ground, which: Option<&str>, by: &str) -> Result<Vec<Hold>, Failure> {
    let _one = CHANGE.lock().await;
    let gone = Kept::of(ground).remove(which, by).await?;
    tell(ground).await?;
    Ok(gone)
}

/// Tells the engine which holds stand.
pub(super) async fn tell(ground: &Ground) -> Result<(), Failure> {
    let holds = Kept::of(ground).all().await?;
    let told = ground.engine.hold(holds).await;
    told.map_err(|error| Failure::new("PH7002", Class::Operator, chain(&error)))
}

/// Holds as an answer.
pub fn listed(holds: &[Hold]) -> Value {
    json!({ "items": holds })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryKeyValue;

    #[tokio::test]
    async fn holds_are_kept_and_released_by_id_selector_or_all() {
        let kept = Kept { index: Arc::new(MemoryKeyValue::default()) };
        assert_eq!(kept.add("device.id ==".to_owned(), None, "me").await.unwrap_err().code, "PH0307");
        let first = kept.add("all".to_owned(), Some("recall".to_owned()), "me").await.unwrap();
        let second = kept.add("workflow == 'a'".to_owned(), None, "me").await.unwrap();
        assert!(first.id.starts_with("hold_"), "{first:?}");
        assert_eq!(kept.all().await.unwrap(), [first.clone(), second.clone()]);
        assert_eq!(kept.remove(Some(&first.id), "me").await.unwrap(), [first]);
        assert_eq!(kept.remove(Some("all"), "me").await.unwrap_err().code, "PH8042");
        assert_eq!(kept.remove(Some("workflow == 'a'"), "me").await.unwrap(), [second]);
        assert!(kept.remove(None, "me").await.unwrap().is_empty());
        let still = kept.still().await.unwrap();
        assert!(still.still && still.selector == "all");
        assert_eq!(kept.still().await.unwrap(), still, "one is enough");
        assert_eq!(kept.remove(Some("all"), "me").await.unwrap(), [still]);
    }
}
