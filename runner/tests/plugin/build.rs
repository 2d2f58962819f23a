//! `plugin build`: from a crate or a module to a file in the plugins folder, and what is said when that fails.

use std::path::{Path, PathBuf};

use crate::guest::Guest;
use packhorse::plugin::kit::{self, Built};
use packhorse::plugin::{CacheFolder, Host, HostSettings, PluginError};

fn host(dir: &Path) -> Host {
    let plugins_dir = Some(dir.to_owned());
    Host::new(HostSettings { plugins_dir, cache: CacheFolder::Off, slots: 8, ..HostSettings::default() }).unwrap()
}

fn build(path: &Path, dir: &Path) -> Result<Vec<Built>, PluginError> {
    kit::build(&host(dir), &[path.to_owned()], dir)
}

/// A crate of its own, with no dependency, in a folder.
fn a_crate(dir: &Path, manifest: &str, source: &str) -> PathBuf {
    std::fs::create_dir_all(dir.join("src")).unwrap();
    std::fs::write(dir.join("Cargo.toml"), format!("{manifest}\n[workspace]\n")).unwrap();
    std::fs::write(dir.join("src/lib.rs"), source).unwrap();
    dir.to_owned()
}

fn files(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_module_becomes_a_file_that_loads_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let (plugins, module) = (dir.path().join("plugins"), dir.path().join("anything.wasm"));
    std::fs::write(&module, Guest::named("bolt").module()).unwrap();
    let built = build(&module, &plugins).unwrap();
    assert_eq!(built[0].name, "bolt");
    assert_eq!(built[0].path, plugins.join("bolt.wasm"));
    assert_eq!(files(&plugins), ["bolt.wasm"], "nothing else is left there");
    let plugin = host(&plugins).load("bolt").unwrap();
    assert_eq!((plugin.digest(), plugin.bytes().len()), (&*built[0].digest, built[0].size));
    // What is a component already is taken as it is.
    let again = build(&built[0].path, &plugins).unwrap();
    assert_eq!(again, built);
}

#[test]
fn what_would_not_load_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let (plugins, module) = (dir.path().join("plugins"), dir.path().join("bad.wasm"));
    let endless = Guest { describe: "(loop (br 0)) unreachable".to_owned(), ..Guest::named("bad") };
    std::fs::write(&module, endless.module()).unwrap();
    assert_eq!(build(&module, &plugins).unwrap_err().code(), "plugin_trap_cpu");
    std::fs::write(&module, b"not wasm").unwrap();
    assert_eq!(build(&module, &plugins).unwrap_err().code(), "plugin_not_a_codec");
    assert!(!plugins.exists());
}

#[test]
fn a_crate_that_is_no_codec_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = "[package]\nname = \"empty\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
    let plain = a_crate(&dir.path().join("plain"), manifest, "//! Nothing.\n");
    let text = build(&plain, dir.path()).unwrap_err().to_string();
    assert!(text.contains("crate-type = [\"cdylib\"]"), "{text}");
    let manifest = format!("{manifest}[lib]\ncrate-type = [\"cdylib\"]\n");
    let mute = a_crate(&dir.path().join("mute"), &manifest, "//! Nothing.\n");
    let text = build(&mute, dir.path()).unwrap_err().to_string();
    assert!(text.contains("exports no packhorse:codec/platform"), "{text}");
    let broken = a_crate(&dir.path().join("broken"), &manifest, "fn broken( {\n");
    let error = build(&broken, dir.path()).unwrap_err();
    assert_eq!(error.code(), "plugin_build");
    assert!(error.to_string().contains("src/lib.rs:1"), "{error}");
}

#[test]
fn a_folder_without_plugins_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let text = kit::build(&host(dir.path()), &[], dir.path()).unwrap_err().to_string();
    assert!(text.contains("it holds no plugin: no folder with a Cargo.toml"), "{text}");
}

/// With cargo, in a target folder that the next run finds again.
#[test]
fn a_vendors_crate_is_built_from_its_source() {
    let dir = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/acme-tlv");
    let built = build(&source, dir.path()).unwrap();
    assert_eq!(files(dir.path()), ["acme-tlv.wasm"]);
    let (mine, embedded) =
        (host(dir.path()).load("acme-tlv").unwrap(), host(Path::new("/nowhere")).load("acme-tlv").unwrap());
    assert_eq!(mine.digest(), built[0].digest);
    assert_eq!(mine.description(), embedded.description());
}
