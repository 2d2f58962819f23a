//! Codecs in C: clang for the core module, without a C library or any other tool than clang and lld; the contract is put in here.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use wit_component::StringEncoding;
use wit_parser::Resolve;

use super::super::PluginError;
use super::files;

/// What a folder of C is known by.
pub(super) const SOURCE: &str = "codec.c";
/// Its device side.
const DEVICE: &str = "device.c";
/// Where the folder keeps the SDK that it was begun with.
const SDK: &str = "packhorse";
const FLAGS: [&str; 16] = [
    "--target=wasm32-unknown-unknown",
    "-std=c11",
    "-O3",
    "-Wall",
    "-Wextra",
    "-ffreestanding",
    "-nostdlib",
    "-msimd128",
    "-mbulk-memory",
    "-msign-ext",
    "-mnontrapping-fptoint",
    "-mmutable-globals",
    "-Wl,--no-entry",
    "-Wl,--gc-sections",
    "-Wl,--strip-all",
    // The stack lies below everything else, so that one that overflows traps and spoils nothing.
    "-Wl,--stack-first,-z,stack-size=131072",
];

/// The core module of a folder, with its contract in it.
pub(super) fn module(folder: &Path) -> Result<Vec<u8>, PluginError> {
    let absolute = std::path::absolute(folder);
    let whole = absolute.map_err(|source| PluginError::File { verb: "read", path: folder.to_owned(), source })?;
    let folder = whole.as_path();
    let made = tempfile::tempdir();
    let made = made.map_err(|source| PluginError::File { verb: "write", path: std::env::temp_dir(), source })?;
    let sdk = sdk(folder, made.path())?;
    let has_device = folder.join(DEVICE).is_file();
    let module = made.path().join("codec.wasm");
    compile(folder, &sdk, has_device, &module)?;
    let mut bytes =
        std::fs::read(&module).map_err(|source| PluginError::File { verb: "read", path: module, source })?;
    let world = if has_device { "codec-with-device" } else { "codec" };
    describe(&mut bytes, &sdk, world).map_err(|problem| PluginError::Build { path: folder.to_owned(), problem })?;
    Ok(bytes)
}

/// The folder's own SDK, or the one of this program.
fn sdk(folder: &Path, made: &Path) -> Result<PathBuf, PluginError> {
    let own = folder.join(SDK);
    if own.join("packhorse.h").is_file() {
        return Ok(own);
    }
    let sdk = made.join(SDK);
    let wit = ("codec.wit", files::WIT);
    for (file, text) in files::C_SDK.iter().copied().chain([wit]) {
        let path = sdk.join(file);
        let parent = path.parent().unwrap_or(&sdk);
        let written = std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&path, text));
        written.map_err(|source| PluginError::File { verb: "write", path, source })?;
    }
    Ok(sdk)
}

fn compile(folder: &Path, sdk: &Path, has_device: bool, module: &Path) -> Result<(), PluginError> {
    let failed = |problem: String| PluginError::Build { path: folder.to_owned(), problem };
    let own = ["packhorse.c", "contract.c", "libc/libc.c"].map(|file| sdk.join(file));
    let mut clang = Command::new("clang");
    // In the folder, so that messages and panics name files as the vendor does.
    clang.current_dir(folder).args(FLAGS).arg("-I").arg(folder).arg("-I").arg(sdk).arg("-I").arg(sdk.join("libc"));
    if !has_device {
        clang.arg("-DPH_NO_DEVICE");
    }
    clang.args(sources(folder)?).args(own).arg("-o").arg(module);
    let ran = clang.stdin(Stdio::null()).output();
    let install = "install clang and lld (Debian, Ubuntu: `apt-get install clang lld`)";
    let ran = ran.map_err(|error| failed(format!("clang does not run ({error}); {install}")))?;
    let said = String::from_utf8_lossy(&ran.stderr);
    if !ran.status.success() {
        let linker = said.contains("wasm-ld") && (said.contains("No such file") || said.contains("unable to execute"));
        let hint = if linker { format!("the linker wasm-ld is missing; {install}\n") } else { String::new() };
        return Err(failed(format!("{hint}{}", super::build::end_of(&said))));
    }
    if !said.trim().is_empty() {
        tracing::warn!("{}", said.trim());
    }
    Ok(())
}

/// All C files at the top of the folder, by their names.
fn sources(folder: &Path) -> Result<Vec<PathBuf>, PluginError> {
    let failed = |source| PluginError::File { verb: "read", path: folder.to_owned(), source };
    let entries = std::fs::read_dir(folder).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let paths = entries.into_iter().map(|entry| PathBuf::from(entry.file_name()));
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|extension| extension == "c")).collect();
    paths.sort();
    Ok(paths)
}

/// Puts the contract's world into a section of the module, where the encoder looks for it.
fn describe(module: &mut Vec<u8>, sdk: &Path, world: &str) -> Result<(), String> {
    let path = sdk.join("codec.wit");
    let wit = std::fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let mut resolve = Resolve::default();
    let package = resolve.push_str("codec.wit", &wit).map_err(|error| format!("{error:#}"))?;
    let world = resolve.select_world(&[package], Some(world)).map_err(|error| format!("{error:#}"))?;
    wit_component::embed_component_metadata(module, &resolve, world, StringEncoding::UTF8, false)
        .map_err(|error| format!("{error:#}"))
}
