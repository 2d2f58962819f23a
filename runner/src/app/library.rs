//! Where workflows, plugins and devices are taken from: the folders as they are now, or a generation of what was judged good.

use super::devices::read_devices;
use super::launch::{unreadable, with_large_stack};
use super::repin::{is_digest, only};
use crate::app::exit::Stop;
use crate::catalog::{Generation, Shelved};
use crate::plugin::{Host, Listed, Plugin, PluginError, StepPlugin, check_name, is_path};
use crate::settings::Settings;
use packhorse_core::failure::chain;
use packhorse_core::hex;
use packhorse_core::registry::Registry;
use packhorse_core::workflow::{self, Workflow};
use sha2::{Digest as _, Sha256};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a source that are read: well above what a workflow may have.
const SOURCE: u64 = 1 << 20;

/// Where workflows and plugins come from.
#[derive(Debug, Clone, Copy)]
pub enum Library<'a> {
    /// The folders of the settings, and files by their paths.
    Folders(&'a Host),
    /// What counts in a daemon; workflows by name alone.
    Generation(&'a Generation, &'a Host),
}

impl Library<'_> {
    /// A checked workflow, and the source that it was made of.
    pub(super) async fn workflow(&self, named: &str, settings: &Settings) -> Result<(Arc<Workflow>, Vec<u8>), Stop> {
        match self {
            Self::Folders(_) => {
                let path = find_workflow(named, &settings.workflows)?;
                let source = read_workflow(&path).map_err(|error| unreadable(&path, &error))?;
                let (text, name) = (source.clone(), path.display().to_string());
                let check = move || workflow::check(&text, &name).map_err(|problems| rendered(&problems));
                let workflow = with_large_stack(check).await??;
                Ok((Arc::new(workflow), source))
            }
            Self::Generation(generation, _) => {
                let live = generation.workflows.live(named).ok_or_else(|| unknown(generation, named))?;
                Ok((Arc::clone(&live.value.workflow), live.value.source.to_vec()))
            }
        }
    }

    /// What is registered of devices.
    pub(super) async fn registry(&self, settings: &Settings) -> Result<Arc<Registry>, Stop> {
        match self {
            Self::Generation(generation, _) => Ok(Arc::clone(&generation.registry)),
            Self::Folders(_) => {
                let folder = settings.devices.clone();
                with_large_stack(move || read_devices(&folder)).await?.map(Arc::new)
            }
        }
    }

    /// A codec by reference; a path means that file, wherever it lies.
    pub(super) async fn codec(&self, reference: String) -> Result<Arc<Plugin>, Stop> {
        let host = match self {
            Self::Generation(generation, _) if !is_path(&reference) => {
                return generation.codec(&reference).map_err(|error| unloaded("PH6006", &error));
            }
            Self::Folders(host) | Self::Generation(_, host) => (*host).clone(),
        };
        let loaded = tokio::task::spawn_blocking(move || host.load(&reference)).await;
        loaded.map_err(|error| Stop::bug(error.to_string()))?.map_err(|error| unloaded("PH6006", &error))
    }

    /// A codec that runs can be moved to: by its SHA-256 or the beginning of it, or by name; never by path.
    pub(super) async fn build(&self, text: &str) -> Result<Arc<Plugin>, Stop> {
        if is_path(text) {
            let message = format!("`{text}` is a path: a run is moved to a codec of the plugins folder");
            return Err(Stop::usage("PH6006", message).hint("put the file there, and name it by its SHA-256"));
        }
        if !is_digest(text) {
            return self.codec(text.to_owned()).await;
        }
        let text = text.to_ascii_lowercase();
        match self {
            Self::Generation(generation, _) => {
                let live = generation.plugins.entries().filter_map(|(_, entry)| Some(&*entry.live.as_ref()?.value));
                let codecs = live.filter_map(|shelved| match shelved {
                    Shelved::Codec { plugin, .. } => Some((plugin.digest(), Arc::clone(plugin))),
                    Shelved::Step(_) => None,
                });
                only(&text, codecs)
            }
            Self::Folders(host) => {
                let host = (*host).clone();
                let found = tokio::task::spawn_blocking(move || in_folder(&host, &text)).await;
                found.map_err(|error| Stop::bug(error.to_string()))?
            }
        }
    }

    /// A step plugin by reference.
    pub(super) async fn step(&self, reference: String) -> Result<Arc<StepPlugin>, Stop> {
        let host = match self {
            Self::Generation(generation, _) if !is_path(&reference) => {
                return generation.step(&reference).map_err(|error| unloaded("PH6103", &error));
            }
            Self::Folders(host) | Self::Generation(_, host) => (*host).clone(),
        };
        let loaded = tokio::task::spawn_blocking(move || host.load_step(&reference)).await;
        loaded.map_err(|error| Stop::bug(error.to_string()))?.map_err(|error| unloaded("PH6103", &error))
    }
}

fn unloaded(code: &'static str, error: &PluginError) -> Stop {
    Stop::usage(error.number(code), chain(error))
}

/// The codec of the plugins folder, or of this program, whose digest begins like this; blocks.
fn in_folder(host: &Host, text: &str) -> Result<Arc<Plugin>, Stop> {
    let bytes = |listed: &Listed| match &listed.path {
        Some(path) => host.read(path).ok(),
        None => host.load_embedded(&listed.reference).ok().map(|plugin| plugin.bytes().to_vec()),
    };
    let all: Vec<(String, (String, Vec<u8>))> = host
        .list()
        .into_iter()
        .filter_map(|listed| bytes(&listed).map(|bytes| (listed.reference, bytes)))
        .filter(|(_, bytes)| !Host::is_step(bytes))
        .map(|(name, bytes)| (hex::encode(&Sha256::digest(&bytes)), (name, bytes)))
        .collect();
    let (name, bytes) = only(text, all.iter().map(|(digest, found)| (digest.as_str(), found)))?;
    let plugin = host.load_bytes(name, bytes).map_err(|error| unloaded("PH6006", &error))?;
    check_name(name, &plugin).map_err(|error| unloaded("PH6006", &error))?;
    Ok(plugin)
}

fn unknown(generation: &Generation, named: &str) -> Stop {
    if let Some(refused) = generation.workflows.entry(named).and_then(|entry| entry.refused.as_ref()) {
        let message = format!("workflow {named} is not loaded: {}", refused.failure.message);
        return Stop::usage("PH2002", message).hint("mend its file: it is loaded as soon as it is saved");
    }
    let live = generation.workflows.entries().filter(|(_, entry)| entry.live.is_some());
    let names: Vec<&str> = live.map(|(name, _)| name).collect();
    let known = if names.is_empty() { "there are none".to_owned() } else { format!("there are: {}", names.join(", ")) };
    Stop::usage("PH2002", format!("there is no workflow {named}; {known}"))
        .hint("a running daemon knows the workflows of its folder, by name")
}

/// Reads a workflow's source: a regular file, and no more of it than shows that it is too big.
pub fn read_workflow(path: &Path) -> std::io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut source = Vec::new();
    std::fs::File::open(path)?.take(SOURCE).read_to_end(&mut source)?;
    Ok(source)
}

/// A workflow by path, or by name in the workflows folder.
pub fn find_workflow(text: &str, folder: &Path) -> Result<PathBuf, Stop> {
    let path = PathBuf::from(text);
    if text.contains('/') || path.extension().is_some() || path.is_file() {
        return if path.is_file() { Ok(path) } else { Err(missing(text)) };
    }
    let named = folder.join(format!("{text}.yaml"));
    if named.is_file() {
        return Ok(named);
    }
    let names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".yaml").map(ToOwned::to_owned))
        .collect();
    let known = if names.is_empty() { "there are none".to_owned() } else { format!("there are: {}", names.join(", ")) };
    let message = format!("there is no workflow {text} in {}; {known}", folder.display());
    Err(Stop::usage("PH2002", message).hint("give the path of a file, or another folder with --workflows"))
}

fn missing(text: &str) -> Stop {
    Stop::usage("PH2002", format!("there is no workflow file {text}"))
        .hint("check the path; a bare name is looked for in the workflows folder")
}

fn rendered(problems: &workflow::Problems) -> Stop {
    let mut stop = Stop::usage("PH2001", format!("{} has {} problem(s)", problems.file(), problems.count()));
    stop.rendered = Some(problems.to_string().into());
    stop
}
