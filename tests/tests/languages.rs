//! The JSON codec in other languages than Rust, `sdk/examples`: each is built by its own tool, is held to the vectors of `json-base64`, and moves a
//! file. Those that bring an interpreter are refused until the operator grants `profile: large`.

use packhorse_tests::world::workflow;
use packhorse_tests::{Child, World, count};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

fn repository(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path).display().to_string()
}

/// A world in whose plugins folder lies one component.
fn world_with(name: &str, component: &Path) -> World {
    let world = World::new();
    std::fs::create_dir_all(world.path("plugins")).expect("the folder can be made");
    std::fs::copy(component, world.path(&format!("plugins/{name}.wasm"))).expect("it was built");
    world
}

/// The operator's word.
fn grant(world: &World, name: &str) {
    world.text("packhorse.yaml", &format!("plugins_dir: plugins\nplugins:\n  {name}: {{ profile: large }}\n"));
}

/// The report of `plugin test` with the vectors of `json-base64`, whose device side answers where the codec has none.
fn tested(world: &World, name: &str, random: usize) -> Value {
    let (vectors, random) = (repository("plugins/json-base64/vectors"), random.to_string());
    let all = ["plugin", "test", name, "--plugins", "plugins", "--vectors", &vectors, "--device", "json-base64"];
    world.ask(&[&all[..], &["--random", &random, "--json"]].concat()).exits(0).json()
}

#[track_caller]
fn passed(report: &Value, random: usize) {
    let checks = report["items"][0]["checks"].as_array().expect("checks are a list");
    let skipped: Vec<_> = checks.iter().filter(|check| check["status"] != "passed").collect();
    assert!(report["passed"] == true && skipped.is_empty(), "{report:#}");
    let cases = |name: &str| {
        let found =
            checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name}: {report:#}"));
        found["cases"].as_u64().expect("a number")
    };
    assert!(cases("vectors/sessions.yaml") >= 38, "{report:#}");
    assert!(cases("random packets, platform") >= random as u64, "{report:#}");
    assert!(cases("push over a lossy link") > 0 && cases("pull over a lossy link") > 0, "{report:#}");
}

/// Pushes a file to a device that speaks by the codec `json-base64`.
fn pushes(world: &World, name: &str) {
    let (image, bytes) = world.file("fw.bin", count(40_000, 400_000), 7);
    std::fs::create_dir_all(world.path("device")).expect("the folder can be made");
    let image = format!("image={}", image.display());
    let plugins = world.path("plugins").display().to_string();
    let inputs = ["--plugins", &plugins, "--codec", name, "-i", "device=dev-1", "-i", &image];
    let mut run = world.embedded(&workflow("ota-push"), &inputs);
    let broker = world.embedded_broker(&mut run);
    let _device = world.device(&broker, "json-base64", "dev-1", &["--loss", "0.05", "--seed", "3"]);
    let run = run.end().exits(0).json();
    assert_eq!(run["status"], "succeeded", "{run:#}");
    assert!(std::fs::read(world.path("device/fw.bin")).expect("it arrived") == bytes, "the file differs");
}

#[test]
fn json_in_c_passes_the_vectors_of_json_in_rust() {
    let world = World::new();
    world.ask(&["plugin", "build", &repository("sdk/examples/json-c"), "--plugins", "plugins"]).exits(0);
    let random = count(20_000, 1_000_000);
    let report = tested(&world, "json-c", random);
    passed(&report, random);
    let size = std::fs::metadata(world.path("plugins/json-c.wasm")).expect("it was built").len();
    assert!(size < 200_000, "{size} bytes");
    pushes(&world, "json-c");
}

/// A codec that brings the interpreter of its language.
struct Interpreted {
    name: &'static str,
    component: PathBuf,
}

impl Interpreted {
    /// Refused by the name of the limit and of the setting; granted, it stands everything that any codec must stand.
    fn needs_the_large_profile_and_passes(&self) {
        let Self { name, component } = self;
        let world = world_with(name, component);
        let refused = world.ask(&["plugin", "inspect", name, "--plugins", "plugins"]).exits(2);
        let size = std::fs::metadata(component).expect("it was built").len();
        refused.says(&[
            &format!("has {size} bytes, more than the 2097152 that a plugin may have"),
            &format!("plugins.{name}.profile: large"),
        ]);
        grant(&world, name);
        let seen = world.json(0, &["plugin", "inspect", name, "--plugins", "plugins"]);
        assert_eq!(seen["world"], "codec");
        assert_eq!(seen["imports"], serde_json::json!(["packhorse:codec/diagnostics@1.0.0"]), "no WASI");
        let random = count(200, 20_000);
        let report = tested(&world, name, random);
        passed(&report, random);
        pushes(&world, name);
    }
}

/// Runs a build script to a good end.
fn built(name: &str, extension: &str, script: impl Fn(&Path) -> Command) -> PathBuf {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().expect("a temporary folder")).path();
    let component = folder.join(name).with_extension(extension);
    Child::start(script(&component), &format!("the build of {name}")).end().exits(0);
    component
}

/// Where `tests/run` puts what it downloads, or where a variable says.
fn installed(variable: &str, below_cache: &str) -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let own = || home().join(".cache/packhorse-tests").join(below_cache);
    let path = std::env::var_os(variable).map_or_else(own, PathBuf::from);
    assert!(path.exists(), "there is no {}: `tests/run` installs it, or {variable} names it", path.display());
    path
}

#[test]
fn json_in_python_needs_the_large_profile_and_passes() {
    let tool = installed("PACKHORSE_COMPONENTIZE_PY", "venv-componentize/bin/componentize-py");
    let component = built("json-py", "wasm", |to| {
        let mut command = Command::new(repository("sdk/examples/json-py/build"));
        command.arg(to).env("COMPONENTIZE_PY", &tool).env_remove("VIRTUAL_ENV");
        command
    });
    Interpreted { name: "json-py", component }.needs_the_large_profile_and_passes();
}

#[test]
fn json_in_javascript_needs_the_large_profile_and_passes() {
    let modules = installed("PACKHORSE_COMPONENTIZE_JS", "componentize-js");
    let component = built("json-js", "wasm", |to| {
        let mut command = Command::new("node");
        command.arg(repository("sdk/examples/json-js/build.mjs")).arg(to).env("JSON_JS_MODULES", &modules);
        command
    });
    Interpreted { name: "json-js", component }.needs_the_large_profile_and_passes();
}
