//! What devices say of themselves: the last greeting of each is kept in the state store, for runs to come.

use super::World;
use crate::store::wall;
use packhorse_core::effect::KvRequest;
use packhorse_core::failure::chain;
use packhorse_core::registry;
use packhorse_core::transfer::Hello;

/// Where the last greeting of a device is kept, as JSON `{title, version, meta, at}`. It begins with a byte that no workflow's key can
/// begin with.
pub fn hello_key(device: &str) -> String {
    format!("\u{1}hello:{device}")
}

impl World {
    /// Keeps a greeting. Nothing depends on it but later runs, so that one which cannot be kept disturbs no transfer.
    pub(super) async fn greeted(&self, device: &str, hello: &Hello) {
        let at = wall();
        let Some(greeting) = registry::greeting(hello, at) else { return };
        let request = KvRequest::Set { key: hello_key(device), value: greeting.to_string(), expire: None };
        if let Err(error) = self.index.operate(request, at).await {
            tracing::warn!(device, error = chain(&error), "what the device says of itself cannot be kept");
        }
    }
}
