//! Builds plugins: cargo or clang for the core module, `wit-component` in process for the rest, a checked load before anything is kept.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::super::shelf::{self, Found, Reference};
use super::super::{Host, PluginError, step};
use super::{clang, encode};

const TARGET: &str = "wasm32-unknown-unknown";
/// Of what a failed compiler said, the end.
const SHOWN_LINES: usize = 40;

/// A plugin that was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Built {
    /// As it calls itself.
    pub name: String,
    /// As it says; empty for a step plugin, which says none.
    pub version: String,
    /// Where it was put.
    pub path: PathBuf,
    /// Its bytes.
    pub size: usize,
    /// SHA-256 of the component, in hex.
    pub digest: String,
}

/// Builds each of `paths`, or every codec of `plugins_dir` where there is none, and puts it there as `NAME.wasm`.
///
/// A path is the folder of a Rust crate, or of a `codec.c`, or a `.wasm` file: a core module that carries the contract, or a component. Nothing
/// is written that could not be loaded. Blocks for as long as the compiler takes.
pub fn build(host: &Host, paths: &[PathBuf], plugins_dir: &Path) -> Result<Vec<Built>, PluginError> {
    let all = if paths.is_empty() { codecs(plugins_dir)? } else { paths.to_vec() };
    all.iter().map(|path| build_one(host, path, plugins_dir)).collect()
}

/// Builds the codec called `name` where its folder in `plugins_dir` has changed since it was built, or where there is no other codec of
/// that name; gives what it built.
pub fn refresh(host: &Host, name: &str, plugins_dir: &Path) -> Result<Option<Built>, PluginError> {
    let Ok(Reference::Name { name, version: None }) = Reference::parse(name) else { return Ok(None) };
    let folder = plugins_dir.join(&name);
    if !is_source(&folder) {
        return Ok(None);
    }
    let reference = Reference::Name { name, version: None };
    let stale = match shelf::find(&reference, Some(plugins_dir)) {
        Err(_) => true,
        Ok(Found::Embedded(_)) => false,
        Ok(Found::File(path)) => {
            changed(&path).is_none_or(|built| newest(&folder).is_some_and(|source| source > built))
        }
    };
    if stale { build_one(host, &folder, plugins_dir).map(Some) } else { Ok(None) }
}

fn changed(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|about| about.modified()).ok()
}

/// When the youngest source changed. What compilers leave behind, and what is hidden, is none.
fn newest(folder: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(folder).ok()?;
    let times = entries.flatten().filter_map(|entry| {
        let name = entry.file_name();
        let other =
            name == "target" || name == "vectors" || name == "Cargo.lock" || name.to_string_lossy().starts_with('.');
        match entry.file_type().ok()? {
            _ if other => None,
            kind if kind.is_dir() => newest(&entry.path()),
            _ => changed(&entry.path()),
        }
    });
    times.max()
}

/// Whether a folder holds a codec that can be built.
pub(in crate::plugin) fn is_source(folder: &Path) -> bool {
    folder.join("Cargo.toml").is_file() || folder.join(clang::SOURCE).is_file()
}

/// The core module or component of a path, and what messages call it.
fn module(host: &Host, path: &Path) -> Result<(String, Vec<u8>), PluginError> {
    let name = |path: &Path| path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    if path.is_dir() && path.join(clang::SOURCE).is_file() {
        return Ok((name(path), clang::module(path)?));
    }
    let file = if path.is_dir() { cargo(path)? } else { path.to_owned() };
    Ok((name(&file), host.read(&file)?))
}

fn build_one(host: &Host, path: &Path, plugins_dir: &Path) -> Result<Built, PluginError> {
    let (name, bytes) = module(host, path)?;
    let component = if is_component(&bytes) { bytes } else { encode(&name, &bytes)? };
    if Host::is_step(&component) {
        return build_step(host, Path::new(&name), &component, plugins_dir);
    }
    let plugin = host.load_bytes(&name, &component)?;
    let kept = plugins_dir.join(format!("{}.wasm", plugin.name()));
    keep(&kept, &component).map_err(|source| PluginError::File { verb: "write", path: kept.clone(), source })?;
    Ok(Built {
        name: plugin.name().to_owned(),
        version: plugin.version().to_owned(),
        path: kept,
        size: component.len(),
        digest: plugin.digest().to_owned(),
    })
}

/// A step plugin does not say its name: that of its crate is taken.
fn build_step(host: &Host, module: &Path, component: &[u8], plugins_dir: &Path) -> Result<Built, PluginError> {
    let plugin = host.load_step_bytes(&step::name_of(module), component)?;
    let path = plugins_dir.join(format!("{}.wasm", plugin.name()));
    keep(&path, component).map_err(|source| PluginError::File { verb: "write", path: path.clone(), source })?;
    let (name, digest) = (plugin.name().to_owned(), plugin.digest().to_owned());
    Ok(Built { name, version: String::new(), path, size: component.len(), digest })
}

/// Whoever watches the folder sees the old file or the new one, and never a part.
fn keep(path: &Path, component: &[u8]) -> std::io::Result<()> {
    let dir = path.parent().unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(dir)?;
    let temporary = path.with_extension(format!("wasm.{}.tmp", std::process::id()));
    let written = std::fs::write(&temporary, component).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // It may never have been there.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

fn is_component(bytes: &[u8]) -> bool {
    wasmparser::Parser::is_component(bytes)
}

fn codecs(dir: &Path) -> Result<Vec<PathBuf>, PluginError> {
    let failed = |source| PluginError::File { verb: "read", path: dir.to_owned(), source };
    let entries = std::fs::read_dir(dir).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let mut found: Vec<_> = entries.into_iter().map(|entry| entry.path()).filter(|path| is_source(path)).collect();
    found.sort();
    if found.is_empty() {
        let problem = "it holds no plugin: no folder with a Cargo.toml or a codec.c".to_owned();
        return Err(PluginError::Build { path: dir.to_owned(), problem });
    }
    Ok(found)
}

/// Runs cargo in the crate's folder and finds the module that it made.
fn cargo(folder: &Path) -> Result<PathBuf, PluginError> {
    let failed = |problem: String| PluginError::Build { path: folder.to_owned(), problem };
    let mut cargo = Command::new("cargo");
    cargo.current_dir(folder).args(["build", "--release", "--target", TARGET]);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    cargo.args(["--config", "target.wasm32-unknown-unknown.rustflags=[\"-Ctarget-feature=+simd128\"]"]);
    for setting in ["debug=false", "strip=true", "lto=true", "codegen-units=1", "opt-level=3", "panic=\"abort\""] {
        cargo.args(["--config", &format!("profile.release.{setting}")]);
    }
    // Flags that were meant for this program would replace those above.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    let ran = cargo.stdin(Stdio::null()).output();
    let ran =
        ran.map_err(|error| failed(format!("cargo does not run ({error}); install Rust from https://rustup.rs")))?;
    if !ran.status.success() {
        return Err(failed(explained(&String::from_utf8_lossy(&ran.stderr))));
    }
    let said = String::from_utf8_lossy(&ran.stdout);
    module_of(folder, &said)
        .ok_or_else(|| failed("cargo made no .wasm: its [lib] needs crate-type = [\"cdylib\"]".to_owned()))
}

/// The last lines of what a compiler said.
pub(super) fn end_of(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}

fn explained(stderr: &str) -> String {
    let missing = stderr.contains("can't find crate for `core`") || stderr.contains("target may not be installed");
    let end = end_of(stderr);
    if missing { format!("`rustup target add {TARGET}` adds the target that is missing\n{end}") } else { end }
}

/// A line of cargo's messages.
#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

fn module_of(folder: &Path, said: &str) -> Option<PathBuf> {
    let manifest = folder.join("Cargo.toml").canonicalize().ok()?;
    said.lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.reason == "compiler-artifact")
        .filter(|message| {
            message.manifest_path.as_ref().and_then(|path| path.canonicalize().ok()) == Some(manifest.clone())
        })
        .flat_map(|message| message.filenames)
        .find(|file| file.extension().is_some_and(|extension| extension == "wasm"))
}
