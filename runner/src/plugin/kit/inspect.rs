//! What a plugin is, for people and for JSON.

use packhorse_core::transfer::{Algorithm, Mode, Route, Var};
use serde::Serialize;

use super::super::{Limits, Plugin, PluginError, STEP_CONTRACT_VERSION, StepPlugin, contract};

/// Everything that can be said of a plugin without opening a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// As it calls itself.
    pub name: String,
    /// As it says.
    pub version: String,
    /// For people.
    pub about: String,
    /// `codec` or `codec-with-device`.
    pub world: &'static str,
    /// Version of the contract that it speaks.
    pub contract: &'static str,
    /// What it imports.
    pub imports: Vec<String>,
    /// What it exports.
    pub exports: Vec<String>,
    /// Topic templates, in the order of their indices.
    pub topics: Vec<Route>,
    /// Variables that it takes.
    pub vars: Vec<Var>,
    /// Drivers that it knows.
    pub modes: Vec<Mode>,
    /// Digests that its devices can tell.
    pub digests: Vec<Algorithm>,
    /// What one of its instances may use.
    pub limits: InspectedLimits,
    /// Bytes of the component.
    pub size: usize,
    /// SHA-256 of the component, in hex.
    pub digest: String,
}

/// The limits of an instance, with their units in their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct InspectedLimits {
    pub memory_bytes: usize,
    pub stack_bytes: usize,
    pub cpu_ms: u128,
    /// Absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_ms: Option<u128>,
}

impl From<Limits> for InspectedLimits {
    fn from(limits: Limits) -> Self {
        Self {
            memory_bytes: limits.memory,
            stack_bytes: limits.stack,
            cpu_ms: limits.cpu.as_millis(),
            wall_ms: Some(limits.wall.as_millis()),
        }
    }
}

/// Everything that can be said of a step plugin without running it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepInspection {
    /// As its file is called.
    pub name: String,
    /// `step`.
    pub world: &'static str,
    /// Version of the contract that it speaks.
    pub contract: &'static str,
    /// What it imports: each interface but types and diagnostics must be granted.
    pub imports: Vec<String>,
    /// What one of its runs may use.
    pub limits: InspectedLimits,
    /// Bytes of the component.
    pub size: usize,
    /// SHA-256 of the component, in hex.
    pub digest: String,
}

/// Looks at a step plugin.
pub fn inspect_step(plugin: &StepPlugin) -> StepInspection {
    StepInspection {
        name: plugin.name().to_owned(),
        world: "step",
        contract: STEP_CONTRACT_VERSION,
        imports: plugin.imports().to_vec(),
        limits: InspectedLimits { wall_ms: None, ..plugin.limits().into() },
        size: plugin.bytes().len(),
        digest: plugin.digest().to_owned(),
    }
}

/// Looks at a loaded plugin.
pub fn inspect(plugin: &Plugin) -> Result<Inspection, PluginError> {
    let bytes = plugin.bytes();
    let outside = contract::read(plugin.name(), &bytes)?;
    let described = plugin.description().clone();
    Ok(Inspection {
        name: described.name,
        version: described.version,
        about: described.about,
        world: if plugin.has_device_side() { "codec-with-device" } else { "codec" },
        contract: plugin.template.functions.contract().version(),
        imports: outside.imports,
        exports: outside.exports,
        topics: described.routes,
        vars: described.vars,
        modes: described.modes,
        digests: described.digests,
        limits: plugin.template.ceilings.limits.into(),
        size: bytes.len(),
        digest: plugin.digest().to_owned(),
    })
}
