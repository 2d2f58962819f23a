//! Builds the two reference codecs for `wasm32-unknown-unknown`, so that they travel inside the program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const TARGET: &str = "wasm32-unknown-unknown";
const CODECS: [&str; 2] = ["json-base64", "acme-tlv"];

fn main() {
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    let root = here.parent().expect("the runner lies in the workspace");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={}", root.join("sdk").display());
    for codec in CODECS {
        println!("cargo:rerun-if-changed={}", root.join("plugins").join(codec).display());
    }
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
