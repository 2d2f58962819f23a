//! What devices say of themselves: the last greeting of each is kept in the state store, for runs to come.

use super::World;
use crate::store::{KeyValue, wall};
use packhorse_core::effect::KvRequest;
use packhorse_core::failure::chain;
use packhorse_core::registry;
use packhorse_core::transfer::Hello;
use std::sync::Arc;

/// Where the last greeting of a device is kept, as JSON `{title, version, meta, at}`. It begins with a byte that no workflow's key can
/// begin with.
pub fn hello_key(device: &str) -> String {
    format!("\u{1}hello:{device}")
}

/// Greetings of one attempt: the first is kept at once and the last at its end, so that a device that greets without end costs two
/// writes.
#[derive(Debug, Default)]
pub(super) struct Greetings {
    first: Option<Hello>,
    last: Option<Hello>,
}

impl World {
    /// A device has said something of itself. The transfer does not wait for the store.
    pub(super) fn greeted(&self, greetings: &mut Greetings, device: &str, hello: &Hello) {
        if greetings.first.is_none() {
            greetings.first = Some(hello.clone());
            let (index, device, hello) = (Arc::clone(&self.index), device.to_owned(), hello.clone());
            tokio::spawn(async move { keep(&*index, &device, &hello).await });
        } else {
            greetings.last = Some(hello.clone());
        }
    }

    /// The attempt is over.
    pub(super) async fn parted(&self, greetings: Greetings, device: &str) {
        if let Some(last) = greetings.last.filter(|last| greetings.first.as_ref() != Some(last)) {
            keep(&*self.index, device, &last).await;
        }
    }
}

/// Nothing depends on a greeting but later runs, so that one which cannot be kept disturbs no transfer.
async fn keep(index: &dyn KeyValue, device: &str, hello: &Hello) {
    let at = wall();
    let Some(greeting) = registry::greeting(hello, at) else { return };
    let request = KvRequest::Set { key: hello_key(device), value: greeting.to_string(), expire: None };
    if let Err(error) = index.operate(request, at).await {
        tracing::warn!(device, error = chain(&error), "what the device says of itself cannot be kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryKeyValue;
    use serde_json::Value;

    #[tokio::test]
    async fn a_greeting_is_kept_under_its_key_and_one_that_says_nothing_is_not() {
        let index = MemoryKeyValue::default();
        let hello =
            |version: &str| Hello { tag: 0, title: String::new(), version: version.to_owned(), meta: Vec::new() };
        keep(&index, "dev-1", &hello("1.2")).await;
        keep(&index, "dev-1", &hello("")).await;
        let kept = index.operate(KvRequest::Get { key: hello_key("dev-1") }, wall()).await.expect("it is there");
        let kept: Value = serde_json::from_str(kept.as_str().expect("text")).expect("JSON");
        assert_eq!(
            (kept["version"].as_str(), kept["meta"].as_object().map(serde_json::Map::len)),
            (Some("1.2"), Some(0))
        );
    }
}
