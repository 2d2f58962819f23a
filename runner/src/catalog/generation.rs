//! Everything that counts at one time.

use crate::plugin::{self, Plugin, PluginError, StepPlugin};
use packhorse_core::catalog::{Catalog, Change, Live, Refused};
use packhorse_core::registry::{Devices, Registry};
use packhorse_core::run::WallTime;
use packhorse_core::workflow::Workflow;
use semver::Version;
use std::path::PathBuf;
use std::sync::Arc;

/// A workflow that runs can be started of.
#[derive(Debug)]
pub struct Definition {
    /// Checked.
    pub workflow: Arc<Workflow>,
    /// What it was made of; its SHA-256 is the workflow's digest.
    pub source: Arc<[u8]>,
    /// Its file.
    pub path: PathBuf,
}

/// What a file of the plugins folder is.
#[derive(Debug)]
pub enum Shelved {
    /// A vendor's packet format.
    Codec {
        /// Loaded, and its own vectors were right.
        plugin: Arc<Plugin>,
        /// How many sessions of its own vectors it passed; none of an embedded one, whose vectors were run when this program was built.
        vectors: Option<u64>,
    },
    /// A vendor's step.
    Step(Arc<StepPlugin>),
}

impl Shelved {
    /// Whether it came with this program; a file with the same bytes changes nothing.
    pub const fn is_embedded(&self) -> bool {
        matches!(self, Self::Codec { vectors: None, .. })
    }

    /// SHA-256 of its bytes, in hex.
    pub fn digest(&self) -> &str {
        match self {
            Self::Codec { plugin, .. } => plugin.digest(),
            Self::Step(plugin) => plugin.digest(),
        }
    }
}

/// What one look changed, by kind and name.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Told {
    /// `workflow`, `plugin`, `pin` or `devices`.
    pub kind: &'static str,
    /// Its file's name without extension.
    pub name: String,
    /// What became of it.
    pub change: Change,
}

/// All workflows, plugins and devices that count, together. Never changes.
#[derive(Debug, Default, Clone)]
pub struct Generation {
    /// Grows by one with each change; 0 before the first look.
    pub number: u64,
    /// When it was made.
    pub since: WallTime,
    /// By the names of their files.
    pub workflows: Catalog<Definition>,
    /// By the names of their files, `NAME` or `NAME@VERSION`; embedded codecs under their names where no file hides them.
    pub plugins: Catalog<Shelved>,
    /// Which version a name without one means, by name.
    pub pins: Catalog<Version>,
    /// Files of devices, by their names.
    pub devices: Catalog<Devices>,
    /// The entries of `devices` together.
    pub registry: Arc<Registry>,
}

impl Generation {
    /// Names whose newest content does not count.
    pub fn refused(&self) -> usize {
        self.workflows.refused() + self.plugins.refused() + self.pins.refused() + self.devices.refused()
    }

    /// They, with kind and name.
    pub fn problems(&self) -> impl Iterator<Item = (&'static str, &str, &Refused)> {
        of("workflow", &self.workflows)
            .chain(of("plugin", &self.plugins))
            .chain(of("pin", &self.pins))
            .chain(of("devices", &self.devices))
    }

    /// The plugin that `reference` (`NAME` or `NAME@VERSION`) means here.
    ///
    /// # Errors
    ///
    /// As for [`plugin::Host::load`]; a plugin whose only content was refused is [`PluginError::NotBuilt`], as one without a file.
    pub fn plugin(&self, reference: &str) -> Result<&Arc<Shelved>, PluginError> {
        let reference = &self.pinned(reference);
        let live = self.plugins.entries().filter_map(|(name, entry)| Some((name, entry.live.as_ref()?)));
        plugin::pick(reference, live).map(|live: &Live<Shelved>| &live.value)
    }

    /// A name as it is pinned here.
    pub fn pinned(&self, reference: &str) -> String {
        plugin::pin::pinned(reference, |name| Some((*self.pins.live(name)?.value).clone()))
    }

    /// A codec by reference.
    pub fn codec(&self, reference: &str) -> Result<Arc<Plugin>, PluginError> {
        match &**self.plugin(reference)? {
            Shelved::Codec { plugin, .. } => {
                // A file without a version in its name may be another one.
                plugin::check_reference(&self.pinned(reference), plugin)?;
                Ok(Arc::clone(plugin))
            }
            Shelved::Step(step) => Err(other(reference, step.name(), "a step plugin and no codec")),
        }
    }

    /// A step plugin by reference.
    pub fn step(&self, reference: &str) -> Result<Arc<StepPlugin>, PluginError> {
        match &**self.plugin(reference)? {
            Shelved::Step(step) => Ok(Arc::clone(step)),
            Shelved::Codec { plugin, .. } => Err(other(reference, plugin.name(), "a codec and no step plugin")),
        }
    }
}

fn of<'a, T>(
    kind: &'static str,
    catalog: &'a Catalog<T>,
) -> impl Iterator<Item = (&'static str, &'a str, &'a Refused)> {
    catalog.entries().filter_map(move |(name, entry)| Some((kind, name, entry.refused.as_ref()?)))
}

fn other(reference: &str, name: &str, problem: &str) -> PluginError {
    PluginError::Description { name: reference.to_owned(), problem: format!("`{name}` is {problem}") }
}
