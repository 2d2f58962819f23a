//! The plugins that a run is pinned to now, from the journal's objects, whatever lies in the plugins folder by now.

use super::World;
use crate::plugin::{Host, Plugin, PluginError, StepPlugin};
use packhorse_core::failure::{Class, Failure, chain};
use packhorse_core::run::CodecPin;
use std::sync::Arc;

impl World {
    /// The codec that the run is pinned to.
    pub(super) async fn pinned(&self, pin: Option<&CodecPin>) -> Result<Arc<Plugin>, Failure> {
        let pin = pin.ok_or_else(|| {
            Failure::new("PH6004", Class::Permanent, "the workflow names no codec, which a transfer needs")
                .hint("write `codec: NAME` in the workflow, or run it with --codec NAME")
        })?;
        let (name, title) = (pin.name.clone(), format!("codec {} {}", pin.name, pin.version));
        let load = move |host: &Host, bytes: &[u8]| {
            let loaded = host.load_bytes(&name, bytes);
            loaded.map_err(|error| Failure::new("PH6002", Class::Permanent, chain(&error)))
        };
        self.object(pin.digest.clone(), ("PH6005", title), load).await
    }

    /// The step plugin of this name that the run was created with.
    pub(super) async fn pinned_step(&self, name: &str, digest: Option<&String>) -> Result<Arc<StepPlugin>, Failure> {
        let gone = || Failure::new("PH6104", Class::Permanent, format!("the run is pinned to no plugin {name}"));
        let digest = digest.ok_or_else(gone)?.clone();
        let title = format!("plugin {name}");
        let name = name.split('@').next().unwrap_or_default().to_owned();
        let load =
            move |host: &Host, bytes: &[u8]| host.load_step_bytes(&name, bytes).map_err(|error| unloaded(&error));
        self.object(digest, ("PH6104", title), load).await
    }

    async fn object<T: Send + 'static>(
        &self,
        digest: String,
        (code, title): (&'static str, String),
        load: impl FnOnce(&Host, &[u8]) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let (journal, host) = (Arc::clone(&self.journal), self.host.clone());
        let loaded = tokio::task::spawn_blocking(move || {
            let bytes =
                journal.get_object(&digest).map_err(|error| Failure::new("PH7002", Class::Transient, chain(&error)))?;
            let gone = || Failure::new(code, Class::Permanent, format!("{title} is not in the journal any more"));
            load(&host, &bytes.ok_or_else(gone)?)
        });
        loaded
            .await
            .map_err(|error| Failure::new("PH9002", Class::Bug, format!("loading a plugin stopped: {error}")))?
    }
}

/// Why a step plugin cannot be begun: a person can mend grants and file, and the run waits for it.
pub(super) fn unloaded(error: &PluginError) -> Failure {
    let class = match error {
        PluginError::NoSlot { .. } | PluginError::Engine { .. } => Class::Transient,
        _ => Class::Operator,
    };
    Failure::new("PH6103", class, chain(error))
}
