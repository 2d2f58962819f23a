//! What a step plugin's bytes say before any of it is compiled: its version, and whether it was granted what it imports.

use packhorse_core::grant::Grants;

use super::super::PluginError;
use super::super::contract::{self, Outside};

/// The contract of step plugins that this runner speaks.
pub const STEP_CONTRACT_VERSION: &str = "1.0.0";
const PACKAGE: &str = "packhorse:step/";
const ENTRY: &str = "packhorse:step/entry";

/// Whether a component is, or wants to be, a step plugin.
pub(crate) fn is_step(outside: &Outside) -> bool {
    outside.exports.iter().any(|export| export.starts_with(ENTRY))
}

/// Checks that `bytes` are a whole and valid step plugin of our version that imports nothing but host functions.
pub(super) fn check(name: &str, bytes: &[u8]) -> Result<Outside, PluginError> {
    let outside = contract::read(name, bytes)?;
    if !is_step(&outside) {
        let problem = format!("exports no {ENTRY}@{STEP_CONTRACT_VERSION}: it is no step plugin");
        return Err(PluginError::NotACodec { name: name.to_owned(), problem });
    }
    check_version(name, &outside)?;
    if let Some(import) = outside.imports.iter().find(|import| interface(import).is_none()) {
        let hint = "a step plugin may import the interfaces of packhorse:step, and nothing else";
        return Err(PluginError::ForbiddenImport { name: name.to_owned(), import: import.clone(), hint });
    }
    contract::validate(name, bytes)?;
    Ok(outside)
}

/// Refuses a plugin that imports what it was not granted. `named` is the name under which its grants stand.
pub(super) fn check_grants(named: &str, imports: &[String], grants: &Grants) -> Result<(), PluginError> {
    for import in imports {
        let (granted, wanted) = match interface(import) {
            Some(Interface::Mqtt) => (grants.mqtt.is_some(), "mqtt: { publish: […], receive: […] }"),
            Some(Interface::Redis) => (grants.redis.is_some(), "redis: { prefixes: […] }"),
            Some(Interface::Fastdfs) => (grants.fastdfs.is_some(), "fastdfs: { groups: […] }"),
            Some(Interface::Log) => (grants.log, "log: true"),
            Some(Interface::Always) | None => continue,
        };
        if !granted {
            let setting = format!("plugins: {{ {named}: {{ grants: {{ {wanted} }} }} }}");
            return Err(PluginError::NotGranted { name: named.to_owned(), import: import.clone(), setting });
        }
    }
    Ok(())
}

/// What can be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interface {
    Mqtt,
    Redis,
    Fastdfs,
    Log,
    /// Types, and last words.
    Always,
}

fn interface(import: &str) -> Option<Interface> {
    let (name, _) = import.strip_prefix(PACKAGE)?.split_once('@')?;
    match name {
        "mqtt" => Some(Interface::Mqtt),
        "redis" => Some(Interface::Redis),
        "fastdfs" => Some(Interface::Fastdfs),
        "log" => Some(Interface::Log),
        "types" | "diagnostics" => Some(Interface::Always),
        _ => None,
    }
}

fn check_version(name: &str, outside: &Outside) -> Result<(), PluginError> {
    let named = outside.imports.iter().chain(&outside.exports).filter(|item| item.starts_with(PACKAGE));
    for item in named {
        let found = item.split_once('@').map_or("without a version", |(_, version)| version);
        if found != STEP_CONTRACT_VERSION {
            let newer = contract::newer(found);
            let hint = if newer { "it needs a newer packhorse" } else { "build it with this version's SDK" };
            let (name, found, ours) = (name.to_owned(), found.to_owned(), STEP_CONTRACT_VERSION);
            return Err(PluginError::WrongContract { name, contract: "packhorse:step", found, ours, hint });
        }
    }
    Ok(())
}
