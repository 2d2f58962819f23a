//! The host: finds plugins, checks and compiles them, and keeps what all of them share.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use crate::counts::Calls;
use packhorse_core::profile::Profile;
use packhorse_core::transfer::Description;
use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;

use super::cache::Said;
use super::contract::{Contract, Functions};
use super::engine::Ticker;
use super::guest::{Guest, NoGuest, Template};
use super::room::{Room, hinted};
use super::shelf::{self, Found, Reference};
use super::{
    Compiler, Function, HostSettings, Listed, Plugin, PluginError, compiler, contract, describe, step, vars, weight,
};

/// Where plugins live. A handle: clones share one engine, one compile cache and one ticker.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    settings: HostSettings,
    standard: Room,
    /// Made when the first large plugin is loaded: most hosts never see one.
    large: OnceLock<Room>,
    step_threads: step::Threads,
    compiling: Mutex<()>,
    /// Plugins that someone still holds.
    loaded: Mutex<HashMap<Key, Weak<Plugin>>>,
}

/// Digest and profile: the same bytes may have one name that was granted more, and another that was not.
type Key = ([u8; 32], Profile);

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
        let standard = Room::new(&settings, Profile::Standard)?;
        let step_threads = Self::threads();
        let (loaded, compiling, large) = (Mutex::default(), Mutex::default(), OnceLock::new());
        Ok(Self(Arc::new(Inner { settings, standard, large, step_threads, compiling, loaded })))
    }

    /// Where step plugins live.
    pub(crate) fn room(&self) -> &Room {
        &self.0.standard
    }

    fn room_of(&self, profile: Profile) -> Result<&Room, PluginError> {
        if profile == Profile::Standard {
            return Ok(&self.0.standard);
        }
        if self.0.large.get().is_none() {
            // Of two that come at one time, the first counts.
            drop(self.0.large.set(Room::new(&self.0.settings, profile)?));
        }
        self.0.large.get().ok_or_else(|| PluginError::Engine { problem: "there is none for large plugins".to_owned() })
    }

    /// How the host was set up.
    pub fn settings(&self) -> &HostSettings {
        &self.0.settings
    }

    /// Loads what `reference` names: `NAME` (as it is pinned, else the newest), `NAME@VERSION` (`1.3` takes the newest 1.3.x) or the path of a `.wasm` file.
    ///
    /// A name is looked for in the plugins folder first, then among the embedded codecs.
    pub fn load(&self, reference: &str) -> Result<Arc<Plugin>, PluginError> {
        let reference = self.reference(reference)?;
        let found = shelf::find(&reference, self.0.settings.plugins_dir.as_deref())?;
        let plugin = match found {
            Found::File(path) => self.load_file(&path)?,
            Found::Embedded(codec) => self.load_from(Origin::Ours, codec.name(), codec.component()?)?,
        };
        reference.check(&plugin)?;
        Ok(plugin)
    }

    /// What a reference means here: a name without a version may be pinned.
    pub(crate) fn reference(&self, reference: &str) -> Result<Reference, PluginError> {
        Reference::in_folder(reference, self.0.settings.plugins_dir.as_deref())
    }

    /// Names of the codecs that came with this program.
    pub fn embedded() -> impl Iterator<Item = &'static str> {
        super::embedded::CODECS.iter().map(|codec| codec.name())
    }

    /// Loads a codec that came with this program, whatever lies in the plugins folder.
    pub fn load_embedded(&self, name: &str) -> Result<Arc<Plugin>, PluginError> {
        let codec = super::embedded::find(name).ok_or_else(|| PluginError::NotBuilt {
            name: name.to_owned(),
            looked: String::new(),
            hint: String::new(),
        })?;
        self.load_from(Origin::Ours, codec.name(), codec.component()?)
    }

    /// Loads a component from memory; `name_hint` is what messages call it until it has told its name.
    pub fn load_bytes(&self, name_hint: &str, component: &[u8]) -> Result<Arc<Plugin>, PluginError> {
        self.load_from(Origin::Outside, name_hint, component)
    }

    /// SHA-256, in hex, of what `reference` names, without loading it.
    pub fn digest_of(&self, reference: &str) -> Result<String, PluginError> {
        let found = shelf::find(&self.reference(reference)?, self.0.settings.plugins_dir.as_deref())?;
        let digest = match found {
            Found::File(path) => Sha256::digest(self.read(&path)?),
            Found::Embedded(codec) => Sha256::digest(codec.component()?),
        };
        Ok(hex(&digest))
    }

    /// Whether a file's bytes bear the signature that this host wants, where it wants one.
    ///
    /// # Errors
    /// [`PluginError::Unsigned`].
    pub fn check_signature(&self, file: &Path, bytes: &[u8]) -> Result<(), PluginError> {
        self.0.settings.trust.check(file, bytes)
    }

    /// A component's file, never more of it than a plugin of that name may have, and signed where that is wanted.
    pub(crate) fn read(&self, path: &Path) -> Result<Vec<u8>, PluginError> {
        let name = shelf::name_of(path);
        let profile = self.0.settings.profiles.of(&name);
        let read = shelf::read(path, self.0.settings.ceilings(profile).component);
        let bytes = read.map_err(|error| hinted(error, &name, profile))?;
        self.check_signature(path, &bytes)?;
        Ok(bytes)
    }

    fn load_from(&self, origin: Origin, name_hint: &str, component: &[u8]) -> Result<Arc<Plugin>, PluginError> {
        let profile = self.0.settings.profiles.of(name_hint);
        let loaded = self.load_in(self.room_of(profile)?, origin, name_hint, component);
        loaded.map_err(|error| hinted(error, name_hint.split('@').next().unwrap_or_default(), profile))
    }

    fn load_in(
        &self,
        room: &Room,
        origin: Origin,
        name_hint: &str,
        component: &[u8],
    ) -> Result<Arc<Plugin>, PluginError> {
        if component.len() > room.ceilings.component {
            return Err(too_large(name_hint, component.len() as u64, room.ceilings.component));
        }
        let digest = (Sha256::digest(component).into(), room.profile);
        if let Some(plugin) = self.held(&digest) {
            return Ok(plugin);
        }
        let plugin = Arc::new(self.make(room, origin, name_hint, component, &digest.0)?);
        self.granted(room.profile, &plugin)?;
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
        let bytes = self.read(path)?;
        let name = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy();
        self.load_bytes(&name, &bytes)
    }

    /// A plugin has what was granted to its name, and not to that of its file.
    fn granted(&self, profile: Profile, plugin: &Plugin) -> Result<(), PluginError> {
        if profile == Profile::Standard || self.0.settings.profiles.of(plugin.name()) == profile {
            return Ok(());
        }
        let problem = format!("it calls itself `{0}`, and plugins.{0}.profile is not large", plugin.name());
        Err(PluginError::Description { name: plugin.name().to_owned(), problem })
    }

    fn held(&self, digest: &Key) -> Option<Arc<Plugin>> {
        let loaded = self.0.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.get(digest).and_then(Weak::upgrade)
    }

    fn make(
        &self,
        room: &Room,
        origin: Origin,
        name: &str,
        bytes: &[u8],
        digest: &[u8; 32],
    ) -> Result<Plugin, PluginError> {
        let (mut template, description) = self.compiled(room, origin, name, bytes, digest)?;
        template.title = format!("{} {}", description.name, description.version).into();
        let slots = room.ceilings.slots;
        let patterns = vars::Patterns::default();
        let (digest, bytes) = (hex(digest), bytes.into());
        let calls = Arc::new(Calls::new(&description.name, &description.version));
        Ok(Plugin { template, description, patterns, digest, bytes, slots, calls, partner: None })
    }

    /// A cached entry is only ever written for bytes that passed every check, and bears our MAC.
    fn compiled(
        &self,
        room: &Room,
        origin: Origin,
        name: &str,
        bytes: &[u8],
        digest: &[u8; 32],
    ) -> Result<(Template, Description), PluginError> {
        if let Some((component, told)) = room.cache.as_ref().and_then(|cache| cache.get::<Told>(&room.engine, digest)) {
            return Ok((template(room, name, told.contract, &component)?, told.description));
        }
        let contract = contract::check(name, bytes)?;
        weight::check(name, bytes, &room.ceilings)?;
        let component = self.compile(room, origin, name, bytes)?;
        let template = template(room, name, contract, &component)?;
        let told = Told { contract, description: described(room, name, &template)? };
        if let Some(cache) = &room.cache {
            cache.put(digest, &component, &told);
        }
        Ok((template, told.description))
    }

    /// The code of a step plugin whose bytes were checked.
    pub(crate) fn compiled_step(&self, name: &str, bytes: &[u8], digest: &[u8; 32]) -> Result<Component, PluginError> {
        let room = self.room();
        let cache = room.cache.as_ref();
        if let Some((component, Stepped)) = cache.and_then(|cache| cache.get(&room.engine, digest)) {
            return Ok(component);
        }
        let component = self.compile(room, Origin::Outside, name, bytes)?;
        if let Some(cache) = cache {
            cache.put(digest, &component, &Stepped);
        }
        Ok(component)
    }

    /// One at a time: each may take as much memory as one compiler may.
    fn compile(&self, room: &Room, origin: Origin, name: &str, bytes: &[u8]) -> Result<Component, PluginError> {
        let _alone = self.0.compiling.lock().unwrap_or_else(PoisonError::into_inner);
        let compiler = match origin {
            Origin::Ours => &Compiler::Here,
            Origin::Outside => &self.0.settings.compiler,
        };
        compiler::compile((room, compiler), name, bytes)
    }

    pub(crate) fn ticker(&self) -> Arc<Ticker> {
        Arc::clone(&self.room().ticker)
    }

    pub(crate) fn step_threads(&self) -> &step::Threads {
        &self.0.step_threads
    }
}

fn template(room: &Room, name: &str, contract: Contract, component: &Component) -> Result<Template, PluginError> {
    let refused =
        |error: wasmtime::Error| PluginError::Compile { name: name.to_owned(), problem: format!("{error:#}") };
    let pre = room.linker.instantiate_pre(component).map_err(refused)?;
    let functions = Functions::find(contract, &pre).map_err(refused)?;
    Ok(Template {
        title: name.into(),
        pre,
        functions,
        ticker: Arc::clone(&room.ticker),
        ceilings: room.ceilings,
        slots: room.slots.clone(),
    })
}

fn described(room: &Room, name: &str, template: &Template) -> Result<Description, PluginError> {
    let mut guest = Guest::new(template).map_err(|error| match error {
        NoGuest::NoSlot => PluginError::NoSlot { plugin: name.to_owned(), slots: room.ceilings.slots },
        NoGuest::Failed(call) => PluginError::Call(call),
    })?;
    let exports = guest.platform()?;
    let description = guest.call(Function::Describe, |store| exports.describe(store))?;
    describe::check(&description).map_err(|problem| PluginError::Description { name: name.to_owned(), problem })?;
    Ok(description)
}

pub(crate) fn too_large(name: &str, size: u64, limit: usize) -> PluginError {
    PluginError::TooLarge {
        name: name.to_owned(),
        found: format!("{size} bytes"),
        limit: limit.to_string(),
        hint: String::new(),
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
