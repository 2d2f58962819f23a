//! Builds the two reference codecs for `wasm32-unknown-unknown`, so that they travel inside the program, and gathers what
//! `packhorse plugin new` writes: the contract, the SDKs for Rust and C, and the first codec in either language.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const TARGET: &str = "wasm32-unknown-unknown";
const CODECS: [&str; 2] = ["json-base64", "acme-tlv"];

fn main() {
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    let root = here.parent().expect("the runner lies in the workspace");
    println!("cargo:rerun-if-changed=build.rs");
    // Not all of `sdk`: components are built into its examples.
    for part in ["Cargo.toml", "README.md", "src", "wit", "c", "templates"] {
        println!("cargo:rerun-if-changed={}", root.join("sdk").join(part).display());
    }
    for codec in CODECS {
        println!("cargo:rerun-if-changed={}", root.join("plugins").join(codec).display());
    }
    embed(&root.join("sdk"), &root.join("Cargo.toml"), &out);
    println!("cargo:rerun-if-changed={}", root.join("Cargo.toml").display());
    let mut built = cargo(root, &out);
    if !built.status.success() && String::from_utf8_lossy(&built.stderr).contains("can't find crate for `core`") {
        add_target(root);
        built = cargo(root, &out);
    }
    assert!(
        built.status.success(),
        "cannot build the embedded codecs for {TARGET} (`rustup target add {TARGET}` adds that target):\n{}",
        String::from_utf8_lossy(&built.stderr)
    );
    for codec in CODECS {
        let file = format!("{}.wasm", codec.replace('-', "_"));
        let from = out.join("codecs").join(TARGET).join("release").join(&file);
        std::fs::copy(&from, out.join(&file)).unwrap_or_else(|error| panic!("cannot copy {}: {error}", from.display()));
    }
}

/// Writes `kit_files.rs`: for each folder of the kit a list of names and texts.
fn embed(sdk: &Path, workspace: &Path, out: &Path) {
    let manifest = out.join("sdk-Cargo.toml");
    std::fs::write(&manifest, standalone(&sdk.join("Cargo.toml"), workspace)).expect("OUT_DIR can be written");
    let mut crate_files = vec![("Cargo.toml".to_owned(), manifest)];
    for part in ["README.md", "src", "wit/codec.wit"] {
        crate_files.extend(files(sdk, Path::new(part)));
    }
    let sets = [
        ("RUST_SDK", crate_files),
        ("RUST", files(&sdk.join("templates/rust"), Path::new(""))),
        ("C_SDK", files(&sdk.join("c"), Path::new(""))),
        ("C", files(&sdk.join("templates/c"), Path::new(""))),
        ("BOTH", files(&sdk.join("templates/both"), Path::new(""))),
    ];
    let mut text = String::new();
    for (name, mut files) in sets {
        files.sort();
        writeln!(text, "pub(super) static {name}: &[(&str, &str)] = &[").expect("a string takes everything");
        for (path, source) in files {
            writeln!(text, "    ({path:?}, include_str!({:?})),", source.display().to_string()).expect("as above");
        }
        text.push_str("];\n");
    }
    std::fs::write(out.join("kit_files.rs"), text).expect("OUT_DIR can be written");
}

/// All files at `part` of `base`, with their names from there.
fn files(base: &Path, part: &Path) -> Vec<(String, PathBuf)> {
    let whole = base.join(part);
    if whole.is_file() {
        return vec![(part.to_string_lossy().into_owned(), whole)];
    }
    let entries = std::fs::read_dir(&whole).unwrap_or_else(|error| panic!("cannot read {}: {error}", whole.display()));
    entries.flat_map(|entry| files(base, &part.join(entry.expect("a folder can be read").file_name()))).collect()
}

/// The SDK's manifest without its workspace: what it takes from there stands in it.
fn standalone(manifest: &Path, workspace: &Path) -> String {
    let read =
        |path: &Path| std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (manifest, workspace) = (read(manifest), read(workspace));
    let inherited = |key: &str| {
        let start = format!("{key} = ");
        let line = workspace.lines().find(|line| line.starts_with(&start));
        line.unwrap_or_else(|| panic!("the workspace says nothing of {key}"))[start.len()..].to_owned()
    };
    let mut text = String::new();
    for line in manifest.lines() {
        let (key, value) = line.split_once(" = ").unwrap_or((line, ""));
        let line = match key.strip_suffix(".workspace") {
            Some(key) => format!("{key} = {}", inherited(key)),
            // The lints of this house are no vendor's.
            None if line == "[lints]" || line == "workspace = true" => continue,
            None if value == "{ workspace = true }" => format!("{key} = {}", inherited(key)),
            None if value == "{ workspace = true, optional = true }" => {
                let rest = inherited(key).trim_end_matches(" }").to_owned();
                format!("{key} = {rest}, optional = true }}")
            }
            None => line.to_owned(),
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// In a target folder of its own: the cargo that runs this script holds the lock of the other.
fn cargo(root: &Path, out: &Path) -> Output {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).args(["build", "--release", "--locked", "--target", TARGET]);
    for codec in CODECS {
        cargo.args(["--package", codec]);
    }
    for setting in ["debug=false", "strip=true", "lto=true", "codegen-units=1", "opt-level=3", "panic=\"abort\""] {
        cargo.args(["--config", &format!("profile.release.{setting}")]);
    }
    clean(&mut cargo);
    cargo
        .env("CARGO_TARGET_DIR", out.join("codecs"))
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+simd128")
        .output()
        .unwrap_or_else(|error| panic!("cannot run cargo for the embedded codecs: {error}"))
}

/// What the outer cargo sets for this package and host must not reach the inner one.
fn clean(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let ours = ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "TARGET", "HOST", "RUSTC_WRAPPER"];
        let of_a_run = ["CARGO_FEATURE_", "CARGO_CFG_", "CARGO_PKG_", "CARGO_PROFILE_", "DEP_", "RUSTC_WORKSPACE_"];
        if ours.contains(&&*name) || of_a_run.iter().any(|start| name.starts_with(start)) {
            command.env_remove(&*name);
        }
    }
}

fn add_target(root: &Path) {
    println!("cargo:warning=adding the target {TARGET} with rustup");
    let added = Command::new("rustup").current_dir(root).args(["target", "add", TARGET]).status();
    if !added.is_ok_and(|status| status.success()) {
        println!("cargo:warning=rustup could not add {TARGET}");
    }
}
