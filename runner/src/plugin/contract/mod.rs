//! What a component's bytes say before any of it is compiled: which contract it speaks, what it wants and offers.
//!
//! * `adapter`: one face for all versions of the contract; `v1`: the adapter for 1.0.0. A version that is released gets a folder
//!   beside it, and a case of [`Contract`]: the compiler names every place that has to choose.

mod adapter;
mod v1;

use serde::{Deserialize, Serialize};
use wasmparser::{Encoding, Parser, Payload, Validator, WasmFeatures};

use super::PluginError;

pub(crate) use self::adapter::{Device, Functions, Platform, link};

/// The newest contract that this runner speaks: what its SDKs build for.
pub const CONTRACT_VERSION: &str = v1::VERSION;
const PACKAGE: &str = "packhorse:codec/";
const DIAGNOSTICS: &str = "packhorse:codec/diagnostics";
const PLATFORM: &str = "packhorse:codec/platform";
/// More of either is no codec.
const MAX_NAMES: usize = 256;

/// A released version of the contract, for which there is an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Contract {
    /// 1.0.0.
    V1,
}

impl Contract {
    pub(crate) const ALL: [Self; 1] = [Self::V1];

    /// As it stands in the names of imports and exports.
    pub(crate) const fn version(self) -> &'static str {
        match self {
            Self::V1 => v1::VERSION,
        }
    }
}

/// A component's outside.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Outside {
    /// Names of what it imports, with versions.
    pub imports: Vec<String>,
    /// Names of what it exports, with versions.
    pub exports: Vec<String>,
}

/// Checks that `bytes` are a whole and valid component, of a version of the contract that we speak, that imports nothing but
/// diagnostics.
pub(crate) fn check(name: &str, bytes: &[u8]) -> Result<Contract, PluginError> {
    let outside = read(name, bytes)?;
    if super::step::is_step(&outside) {
        let problem = "is a step plugin, and no codec: `uses: plugin.run` runs it".to_owned();
        return Err(PluginError::NotACodec { name: name.to_owned(), problem });
    }
    let contract = version(name, &outside)?;
    for import in &outside.imports {
        let (interface, _) = import.split_once('@').unwrap_or((import, ""));
        if interface != DIAGNOSTICS {
            let (name, import) = (name.to_owned(), import.clone());
            return Err(PluginError::ForbiddenImport { name, hint: hint(&import), import });
        }
    }
    let exports_it = outside.exports.iter().any(|export| export.starts_with(PLATFORM));
    let Some(contract) = contract.filter(|_| exports_it) else {
        return Err(PluginError::NotACodec {
            name: name.to_owned(),
            problem: format!("exports no {PLATFORM}@{CONTRACT_VERSION}: it is a component, and no codec"),
        });
    };
    validate(name, bytes)?;
    Ok(contract)
}

/// The version of our package in all of the names: one, and one that we speak. Nothing where no name is of our package.
fn version(name: &str, outside: &Outside) -> Result<Option<Contract>, PluginError> {
    let named = outside.imports.iter().chain(&outside.exports).filter(|item| item.starts_with(PACKAGE));
    let mut spoken: Option<Contract> = None;
    for item in named {
        let found = item.split_once('@').map_or("without a version", |(_, version)| version);
        let known = Contract::ALL.into_iter().find(|contract| contract.version() == found);
        match known.filter(|known| spoken.is_none_or(|spoken| spoken == *known)) {
            Some(known) => spoken = Some(known),
            None => return Err(foreign(name, found)),
        }
    }
    Ok(spoken)
}

fn foreign(name: &str, found: &str) -> PluginError {
    let hint = if newer(found) { "it needs a newer packhorse" } else { "build it with this version's SDK" };
    let (name, found) = (name.to_owned(), found.to_owned());
    PluginError::WrongContract { name, contract: "packhorse:codec", found, ours: CONTRACT_VERSION, hint }
}

pub(crate) fn newer(found: &str) -> bool {
    let ours = semver::Version::parse(CONTRACT_VERSION).expect("our own version is one");
    semver::Version::parse(found).is_ok_and(|found| found > ours)
}

fn hint(import: &str) -> &'static str {
    if import.starts_with("wasi:") || import.starts_with("wasi_") {
        return "build it for wasm32-unknown-unknown, which has no WASI";
    }
    if import.starts_with(PACKAGE) {
        return "the contract has no such import";
    }
    "a codec translates, and asks nothing of the outside"
}

/// Reads the outermost imports and exports.
pub(crate) fn read(name: &str, bytes: &[u8]) -> Result<Outside, PluginError> {
    let not = |problem: String| PluginError::NotACodec { name: name.to_owned(), problem };
    if !bytes.starts_with(b"\0asm") {
        return Err(not(kind_of_text(bytes).to_owned()));
    }
    let mut outside = Outside::default();
    let mut depth = 0usize;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| not(format!("is damaged or cut short: {error}")))?;
        match payload {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err(not(
                    "is a core module, not a component: `packhorse plugin build` makes one of it".to_owned()
                ));
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let import = import.map_err(|error| not(format!("is damaged: {error}")))?;
                    outside.imports.push(import.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    let export = export.map_err(|error| not(format!("is damaged: {error}")))?;
                    outside.exports.push(export.name.name.to_owned());
                }
            }
            _ => {}
        }
        if outside.imports.len().max(outside.exports.len()) > MAX_NAMES {
            return Err(not(format!("imports or exports more than {MAX_NAMES} things")));
        }
    }
    Ok(outside)
}

fn kind_of_text(bytes: &[u8]) -> &'static str {
    if bytes.is_empty() {
        return "is an empty file";
    }
    if bytes.trim_ascii_start().starts_with(b"(") {
        return "is WebAssembly text: only the binary form is taken";
    }
    "is no WebAssembly file"
}

/// The engine validates too; here a broken file gets its message before any compiler sees it.
pub(crate) fn validate(name: &str, bytes: &[u8]) -> Result<(), PluginError> {
    let not = |error: wasmparser::BinaryReaderError| PluginError::NotACodec {
        name: name.to_owned(),
        problem: format!("is not valid: {error}"),
    };
    Validator::new_with_features(features()).validate_all(bytes).map(|_| ()).map_err(not)
}

/// As the engine is set up: WebAssembly 2 with vectors, and components without async.
fn features() -> WasmFeatures {
    WasmFeatures::WASM2 | WasmFeatures::EXTENDED_CONST | WasmFeatures::COMPONENT_MODEL
}
