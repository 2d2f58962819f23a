//! The host: finds plugins, checks and compiles them, and keeps what all of them share.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use packhorse_core::transfer::Description;
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use super::cache::{Cache, Said};
use super::contract::{Contract, Functions};
use super::engine::{self, Ticker};
use super::guest::{self, Beside, Guest, NoGuest, Template};
use super::shelf::{self, Found, Reference};
use super::step;
use super::{
    Compiler, Function, HostSettings, Listed, MAX_COMPONENT_BYTES, Plugin, PluginError, compiler, contract, describe,
    vars,
};

/// Where plugins live. A handle: clones share one engine, one compile cache and one ticker.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    settings: HostSettings,
    engine: Engine,
    linker: Linker<Beside>,
    ticker: Arc<Ticker>,
    cache: Option<Cache>,
    step_threads: step::Threads,
    compiling: Mutex<()>,
    /// Plugins that someone still holds, by digest.
    loaded: Mutex<HashMap<[u8; 32], Weak<Plugin>>>,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

/// Where a component comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// From inside this program.
    Ours,
    /// From anywhere else, a run's journal included.
    Outside,
}

/// What a codec says of itself, and in which version of the contract.
#[derive(serde::Serialize, serde::Deserialize)]
struct Told {
    contract: Contract,
    description: Description,
}

impl Said for Told {
    const KIND: &str = "codec";
}

/// What a step plugin says of itself: nothing.
#[derive(serde::Serialize, serde::Deserialize)]
struct Stepped;

impl Said for Stepped {
    const KIND: &str = "step";
}

impl Host {
    /// Starts an engine. Everything here blocks (a first load compiles, for some 50 ms): call it off the async threads.
    pub fn new(settings: HostSettings) -> Result<Self, PluginError> {
        let engine = engine::engine(&settings)?;
        let linker = guest::linker(&engine).map_err(|error| PluginError::Engine { problem: format!("{error:#}") })?;
        let ticker = Arc::new(Ticker::start(&engine)?);
        let cache = Cache::open(&settings.cache, &engine);
        let step_threads = Self::threads();
        let (loaded, compiling) = (Mutex::default(), Mutex::default());
        Ok(Self(Arc::new(Inner { settings, engine, linker, ticker, cache, step_threads, compiling, loaded })))
    }

    /// How the host was set up.
    pub fn settings(&self) -> &HostSettings {
        &self.0.settings
    }

    /// Loads what `reference` names: `NAME`, `NAME@VERSION` (`1.3` takes the newest 1.3.x) or the path of a `.wasm` file.
    ///
    /// A name is looked for in the plugins folder first, then among the embedded codecs.
    pub fn load(&self, reference: &str) -> Result<Arc<Plugin>, PluginError> {
        let reference = Reference::parse(reference)?;
        let found = shelf::find(&reference, self.0.settings.plugins_dir.as_deref())?;
        let plugin = match found {
            Found::File(path) => self.load_file(&path)?,
            Found::Embedded(codec) => self.load_from(Origin::Ours, codec.name(), codec.component()?)?,
        };
        reference.check(&plugin)?;
        Ok(plugin)
    }

    /// Loads a component from memory; `name_hint` is what messages call it until it has told its name.
    pub fn load_bytes(&self, name_hint: &str, component: &[u8]) -> Result<Arc<Plugin>, PluginError> {
        self.load_from(Origin::Outside, name_hint, component)
    }

    /// SHA-256, in hex, of what `reference` names, without loading it.
    pub fn digest_of(&self, reference: &str) -> Result<String, PluginError> {
        let found = shelf::find(&Reference::parse(reference)?, self.0.settings.plugins_dir.as_deref())?;
        let digest = match found {
            Found::File(path) => Sha256::digest(shelf::read(&path)?),
            Found::Embedded(codec) => Sha256::digest(codec.component()?),
        };
        Ok(hex(&digest))
    }

    fn load_from(&self, origin: Origin, name_hint: &str, component: &[u8]) -> Result<Arc<Plugin>, PluginError> {
        if component.len() > MAX_COMPONENT_BYTES {
            return Err(too_large(name_hint, component.len() as u64));
        }
        let digest: [u8; 32] = Sha256::digest(component).into();
        if let Some(plugin) = self.held(&digest) {
            return Ok(plugin);
        }
        let plugin = Arc::new(self.make(origin, name_hint, component, &digest)?);
        let mut loaded = self.0.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|_, plugin| plugin.strong_count() > 0);
        // Whoever loaded the same bytes at the same time and was first counts.
        if let Some(first) = loaded.get(&digest).and_then(Weak::upgrade) {
            return Ok(first);
        }
        loaded.insert(digest, Arc::downgrade(&plugin));
        Ok(plugin)
    }

    /// What could be loaded by name: the files of the plugins folder, then the embedded codecs. Nothing is loaded.
    pub fn list(&self) -> Vec<Listed> {
        shelf::list(self.0.settings.plugins_dir.as_deref())
    }

    fn load_file(&self, path: &Path) -> Result<Arc<Plugin>, PluginError> {
        let bytes = shelf::read(path)?;
        let name = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy();
        self.load_bytes(&name, &bytes)
    }

    fn held(&self, digest: &[u8; 32]) -> Option<Arc<Plugin>> {
        let loaded = self.0.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.get(digest).and_then(Weak::upgrade)
    }

    fn make(&self, origin: Origin, name: &str, bytes: &[u8], digest: &[u8; 32]) -> Result<Plugin, PluginError> {
        let (mut template, description) = self.compiled(origin, name, bytes, digest)?;
        template.title = format!("{} {}", description.name, description.version).into();
        let slots = self.0.settings.bearable_slots();
        let patterns = vars::Patterns::default();
        Ok(Plugin { template, description, patterns, digest: hex(digest), bytes: bytes.into(), slots })
    }

    /// A cached entry is only ever written for bytes that passed every check, and bears our MAC.
    fn compiled(
        &self,
        origin: Origin,
        name: &str,
        bytes: &[u8],
        digest: &[u8; 32],
    ) -> Result<(Template, Description), PluginError> {
        let cache = self.0.cache.as_ref();
        if let Some((component, told)) = cache.and_then(|cache| cache.get::<Told>(&self.0.engine, digest)) {
            return Ok((self.template(name, told.contract, &component)?, told.description));
        }
        let contract = contract::check(name, bytes)?;
        let component = self.compile(origin, name, bytes)?;
        let template = self.template(name, contract, &component)?;
        let told = Told { contract, description: self.described(name, &template)? };
        if let Some(cache) = cache {
            cache.put(digest, &component, &told);
        }
        Ok((template, told.description))
    }

    /// The code of a step plugin whose bytes were checked.
    pub(crate) fn compiled_step(&self, name: &str, bytes: &[u8], digest: &[u8; 32]) -> Result<Component, PluginError> {
        let cache = self.0.cache.as_ref();
        if let Some((component, Stepped)) = cache.and_then(|cache| cache.get(&self.0.engine, digest)) {
            return Ok(component);
        }
        let component = self.compile(Origin::Outside, name, bytes)?;
        if let Some(cache) = cache {
            cache.put(digest, &component, &Stepped);
        }
        Ok(component)
    }

    /// One at a time: each may take as much memory as one compiler may.
    fn compile(&self, origin: Origin, name: &str, bytes: &[u8]) -> Result<Component, PluginError> {
        let _alone = self.0.compiling.lock().unwrap_or_else(PoisonError::into_inner);
        let compiler = match origin {
            Origin::Ours => &Compiler::Here,
            Origin::Outside => &self.0.settings.compiler,
        };
        compiler::compile(&self.0.engine, (&self.0.settings, compiler), name, bytes)
    }

    pub(crate) fn ticker(&self) -> Arc<Ticker> {
        Arc::clone(&self.0.ticker)
    }

    pub(crate) fn step_threads(&self) -> &step::Threads {
        &self.0.step_threads
    }

    fn template(&self, name: &str, contract: Contract, component: &Component) -> Result<Template, PluginError> {
        let refused =
            |error: wasmtime::Error| PluginError::Compile { name: name.to_owned(), problem: format!("{error:#}") };
        let pre = self.0.linker.instantiate_pre(component).map_err(refused)?;
        let functions = Functions::find(contract, &pre).map_err(refused)?;
        Ok(Template {
            title: name.into(),
            pre,
            functions,
            ticker: Arc::clone(&self.0.ticker),
            limits: self.0.settings.limits,
        })
    }

    fn described(&self, name: &str, template: &Template) -> Result<Description, PluginError> {
        let mut guest = Guest::new(template).map_err(|error| match error {
            NoGuest::NoSlot => PluginError::NoSlot { plugin: name.to_owned(), slots: self.0.settings.bearable_slots() },
            NoGuest::Failed(call) => PluginError::Call(call),
        })?;
        let exports = guest.platform()?;
        let description = guest.call(Function::Describe, |store| exports.describe(store))?;
        describe::check(&description).map_err(|problem| PluginError::Description { name: name.to_owned(), problem })?;
        Ok(description)
    }
}

pub(crate) fn too_large(name: &str, size: u64) -> PluginError {
    PluginError::TooLarge { name: name.to_owned(), size, limit: MAX_COMPONENT_BYTES as u64 }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
