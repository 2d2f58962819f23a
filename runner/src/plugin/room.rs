//! What all plugins of one profile share: an engine, what is linked into them, the ticker, and the compile cache.

use std::sync::Arc;

use packhorse_core::profile::Profile;
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::Linker;

use super::cache::Cache;
use super::engine::{self, Ticker};
use super::guest::{self, Beside};
use super::{Ceilings, HostSettings, PluginError};

/// Where plugins of a profile live.
pub(crate) struct Room {
    pub(crate) profile: Profile,
    pub(crate) ceilings: Ceilings,
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<Beside>,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) cache: Option<Cache>,
    /// Where the engine's allocator does not count instances.
    pub(crate) slots: Option<Arc<Semaphore>>,
}

impl Room {
    /// Starts an engine.
    pub(crate) fn new(settings: &HostSettings, profile: Profile) -> Result<Self, PluginError> {
        let ceilings = settings.ceilings(profile);
        let engine = engine::engine(&ceilings, profile)?;
        let linker = guest::linker(&engine).map_err(|error| PluginError::Engine { problem: format!("{error:#}") })?;
        let ticker = Arc::new(Ticker::start(&engine)?);
        let cache = Cache::open(&settings.cache, &engine, profile, ceilings.code);
        let slots = (profile == Profile::Large).then(|| Arc::new(Semaphore::new(ceilings.slots as usize)));
        Ok(Self { profile, ceilings, engine, linker, ticker, cache, slots })
    }
}

/// Says with a limit that was passed what would lift it, where something would.
pub(crate) fn hinted(mut error: PluginError, name: &str, profile: Profile) -> PluginError {
    if let (PluginError::TooLarge { hint, .. } | PluginError::CompileLimit { hint, .. }, Profile::Standard) =
        (&mut error, profile)
    {
        *hint = format!(
            "; one that brings the interpreter of its language needs `plugins.{name}.profile: large` in packhorse.yaml"
        );
    }
    error
}
