//! Compiling in a child process: its code is as good as ours, its limits hold, and where it fails nobody compiles instead.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::guest::Guest;
use packhorse::plugin::{CacheFolder, CompileLimits, Compiler, Host, HostSettings, PluginError, kit};

fn host(compiler: Compiler, compile: CompileLimits) -> Host {
    let settings = HostSettings { cache: CacheFolder::Off, slots: 4, compiler, compile, ..HostSettings::default() };
    Host::new(settings).unwrap()
}

fn child() -> Compiler {
    Compiler::Child(env!("CARGO_BIN_EXE_packhorse").into())
}

fn component(guest: Guest) -> Vec<u8> {
    kit::encode(&guest.name.clone(), &guest.module()).unwrap()
}

#[test]
fn what_the_child_compiles_runs_here() {
    let host = host(child(), CompileLimits::default());
    let plugin = host.load_bytes("honest", &component(Guest::named("honest"))).unwrap();
    assert_eq!(plugin.title(), "honest 0.1.0");
    let traps = Guest { describe: "(loop (br 0)) unreachable".to_owned(), ..Guest::named("loops") };
    let error = host.load_bytes("loops", &component(traps)).unwrap_err();
    assert_eq!(error.code(), "plugin_trap_cpu", "its code is interrupted as any other: {error}");
}

#[test]
fn a_child_that_may_take_little_memory_says_so() {
    let little = CompileLimits { memory: 1 << 20, ..CompileLimits::default() };
    let error = host(child(), little).load_bytes("honest", &component(Guest::named("honest"))).unwrap_err();
    assert_eq!(error.code(), "plugin_compile_limit", "{error}");
    assert!(error.to_string().contains("more than 1048576 bytes of memory"), "{error}");
}

#[test]
fn a_codec_of_another_version_is_refused_before_anybody_compiles_it() {
    let newer = component(Guest { contract: "1.1.0".to_owned(), ..Guest::named("newer") });
    let nobody = Compiler::Child("/nonexistent".into());
    let error = host(nobody, CompileLimits::default()).load_bytes("newer", &newer).unwrap_err();
    assert_eq!(error.code(), "plugin_wrong_contract", "{error}");
    let words = "speaks packhorse:codec 1.1.0, this runner speaks 1.0.0: it needs a newer packhorse";
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn a_program_that_is_no_compiler_is_an_error_and_nobody_compiles_instead() {
    let folder = tempfile::tempdir().unwrap();
    let honest = component(Guest::named("honest"));
    let refused = |program: &Path, wall: Duration| -> PluginError {
        let limits = CompileLimits { wall, ..CompileLimits::default() };
        host(Compiler::Child(program.to_owned()), limits).load_bytes("honest", &honest).unwrap_err()
    };
    let script = |name: &str, text: &str| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        path
    };
    let long = Duration::from_secs(60);
    for (program, words) in [
        (folder.path().join("absent"), "cannot be run"),
        (script("silent", "cat > /dev/null"), "no whole answer"),
        (script("forges", "cat > /dev/null; printf '%0200d' 0"), "no whole answer"),
        (script("echoes", "cat"), "no whole answer"),
        (script("fails", "echo 'no such thing' >&2; exit 1"), "no such thing"),
        (script("dies", "kill -SEGV $$"), "died of signal 11"),
    ] {
        let error = refused(&program, long);
        assert_eq!(error.code(), "plugin_compile", "{}: {error}", program.display());
        assert!(error.to_string().contains(words), "{}: {error}", program.display());
    }
    let error = refused(&script("sleeps", "exec sleep 1000"), Duration::from_millis(200));
    assert_eq!(error.code(), "plugin_compile_limit", "{error}");
    assert!(error.to_string().contains("more than 200ms"), "{error}");
}
