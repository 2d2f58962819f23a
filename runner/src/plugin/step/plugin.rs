//! A loaded step plugin: compiled and checked. What it may ask for is said when it is run.

use std::path::Path;
use std::sync::Arc;

use packhorse_core::grant::Grants;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use wasmtime::component::Component;

use super::super::host::{hex, too_large};
use super::super::shelf::{self, Found, Reference};
use super::super::{Host, MAX_COMPONENT_BYTES, PluginError};
use super::contract;

/// Step plugins that are at work at one time; others wait. Each holds a thread, of which it uses few pages.
const THREADS: usize = 256;

/// Bounds the threads of a host's step plugins.
pub(crate) type Threads = Arc<Semaphore>;

/// A step plugin that may be run.
#[derive(Debug)]
pub struct StepPlugin {
    pub(super) name: String,
    pub(super) digest: String,
    pub(super) component: Component,
    pub(super) host: Host,
    imports: Vec<String>,
    bytes: Arc<[u8]>,
}

impl StepPlugin {
    /// As its file is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of the component's bytes, in hex.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The component itself, as a run keeps it.
    pub fn bytes(&self) -> Arc<[u8]> {
        Arc::clone(&self.bytes)
    }

    /// Interfaces that it imports, with versions.
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// Whether these grants let it be linked.
    ///
    /// # Errors
    /// [`PluginError::NotGranted`] names the first interface that they lack.
    pub fn check_grants(&self, grants: &Grants) -> Result<(), PluginError> {
        contract::check_grants(&self.name, &self.imports, grants)
    }
}

impl Host {
    /// Loads the step plugin that `NAME` or `NAME@VERSION` names, from the plugins folder. Blocks; a first load compiles.
    pub fn load_step(&self, reference: &str) -> Result<Arc<StepPlugin>, PluginError> {
        let parsed = self.reference(reference)?;
        let path = match shelf::find(&parsed, self.settings().plugins_dir.as_deref())? {
            Found::File(path) => path,
            Found::Embedded(codec) => {
                let problem = "is a codec inside the program, and no step plugin".to_owned();
                return Err(PluginError::NotACodec { name: codec.name().to_owned(), problem });
            }
        };
        if let Reference::Name { name, version: Some(wanted) } = &parsed
            && !stem(&path).contains('@')
        {
            // A step plugin does not say its version: only its file's name does.
            let found = format!("a file without a version, {}", path.display());
            return Err(PluginError::NoSuchVersion { name: name.clone(), wanted: wanted.clone(), found });
        }
        let bytes = shelf::read(&path, MAX_COMPONENT_BYTES)?;
        self.check_signature(&path, &bytes)?;
        self.load_step_bytes(&name_of(&path), &bytes)
    }

    /// Loads a step plugin from memory.
    pub fn load_step_bytes(&self, name: &str, bytes: &[u8]) -> Result<Arc<StepPlugin>, PluginError> {
        if bytes.len() > MAX_COMPONENT_BYTES {
            return Err(too_large(name, bytes.len() as u64, MAX_COMPONENT_BYTES));
        }
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        // Also of what is cached: the imports are read anew, and it is cheap beside a compile.
        let outside = contract::check(name, bytes)?;
        let component = self.compiled_step(name, bytes, &digest)?;
        Ok(Arc::new(StepPlugin {
            name: name.to_owned(),
            digest: hex(&digest),
            component,
            host: self.clone(),
            imports: outside.imports,
            bytes: bytes.into(),
        }))
    }

    /// Whether these bytes are, or want to be, a step plugin.
    pub fn is_step(bytes: &[u8]) -> bool {
        super::super::contract::read("it", bytes).is_ok_and(|outside| contract::is_step(&outside))
    }

    pub(crate) fn threads() -> Threads {
        Arc::new(Semaphore::new(THREADS))
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// The name in a file's name: what stands before `@`, and hyphens where a compiler writes `_`.
pub(crate) fn name_of(path: &Path) -> String {
    let stem = stem(path);
    stem.split('@').next().unwrap_or_default().replace('_', "-")
}
