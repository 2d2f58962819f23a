//! What the profile `large` lifts, for whom, and what it does not.

use crate::guest::Guest;
use packhorse::plugin::{CacheFolder, CompileLimits, Compiler, Host, HostSettings, kit};
use packhorse_core::profile::{Profile, Profiles};
use packhorse_core::transfer::{Direction, Driver, FileInfo, Opening};
use std::path::Path;

/// 62.5 MiB, of which it uses nothing.
const PAGES: u32 = 1000;

fn vast(name: &str) -> Vec<u8> {
    kit::encode(name, &Guest { pages: PAGES, ..Guest::named(name) }.module()).unwrap()
}

fn granted(names: &[&str]) -> Profiles {
    let named = names.iter().map(|name| ((*name).to_owned(), Profile::Large));
    Profiles { named: named.collect(), ..Profiles::default() }
}

fn host(names: &[&str], cache: CacheFolder) -> Host {
    Host::new(HostSettings { cache, slots: 2, profiles: granted(names), ..HostSettings::default() }).unwrap()
}

fn opening() -> Opening {
    Opening {
        direction: Direction::Push,
        driver: Driver::PlatformPush,
        device: "dev-1".to_owned(),
        file: FileInfo::default(),
        packet_size: 64,
        epoch: 1,
        attempt: 1,
        started_at: 0,
        done: Vec::new(),
        vars: Vec::new(),
        saved: Vec::new(),
    }
}

#[test]
fn what_is_refused_names_the_limit_and_the_setting_that_lifts_it() {
    let error = host(&["other"], CacheFolder::Off).load_bytes("vast", &vast("vast")).unwrap_err();
    assert_eq!(error.code(), "plugin_too_large", "{error}");
    let words = "plugin vast has 65536000 bytes of memory from the start, more than the 8388608 that a plugin may have; one that \
                 brings the interpreter of its language needs `plugins.vast.profile: large` in packhorse.yaml";
    assert_eq!(error.to_string(), words);
    let tables = Guest { fields: "(table 1 funcref) (table 1 funcref)".to_owned(), ..Guest::named("tables") };
    let tables = kit::encode("tables", &tables.module()).unwrap();
    let error = host(&[], CacheFolder::Off).load_bytes("tables", &tables).unwrap_err();
    assert!(error.to_string().contains("tables, more than the 2 that"), "{error}");
    assert!(error.to_string().contains("plugins.tables.profile: large"), "{error}");
    assert_eq!(host(&["tables"], CacheFolder::Off).load_bytes("tables", &tables).unwrap().name(), "tables");
}

#[test]
fn a_file_and_a_compile_that_take_too_much_say_so_too() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fat@1.0.0.wasm");
    std::fs::write(&file, vec![0; (2 << 20) + 1]).unwrap();
    let load =
        |names: &[&str]| host(names, CacheFolder::Off).load(&file.display().to_string()).unwrap_err().to_string();
    assert!(
        load(&[]).contains("has 2097153 bytes, more than the 2097152 that a plugin may have; one that"),
        "{}",
        load(&[])
    );
    assert!(load(&[]).contains("plugins.fat.profile: large"), "{}", load(&[]));
    assert!(load(&["fat"]).contains("is no WebAssembly file"), "its size is good now: {}", load(&["fat"]));
    let compiler = Compiler::Child(env!("CARGO_BIN_EXE_packhorse").into());
    let compile = CompileLimits { memory: 1 << 20, ..CompileLimits::default() };
    let settings = HostSettings { cache: CacheFolder::Off, slots: 2, compiler, compile, ..HostSettings::default() };
    let small = kit::encode("small", &Guest::named("small").module()).unwrap();
    let error = Host::new(settings.clone()).unwrap().load_bytes("small", &small).unwrap_err().to_string();
    assert!(error.contains("1048576 bytes of memory; one that") && error.contains("plugins.small.profile"), "{error}");
    let large = Host::new(HostSettings { profiles: granted(&["small"]), ..settings }).unwrap();
    assert_eq!(large.load_bytes("small", &small).unwrap().name(), "small");
}

#[test]
fn a_large_plugin_serves_and_its_instances_are_counted() {
    let host = host(&["vast"], CacheFolder::Off);
    let plugin = host.load_bytes("vast", &vast("vast")).unwrap();
    let first = plugin.open(&opening()).unwrap();
    let mut second = plugin.open(&opening()).unwrap();
    assert_eq!(second.encode(Vec::new()).unwrap(), Default::default());
    let error = plugin.open(&opening()).unwrap_err();
    assert_eq!(error.to_string(), "no room for another session of plugin vast 0.1.0: all 2 slots are taken");
    drop(first);
    assert!(plugin.open(&opening()).is_ok());
}

#[test]
fn a_large_plugin_has_limits_as_well() {
    let host = host(&["greedy", "loops"], CacheFolder::Off);
    let bomb = "(loop (drop (memory.grow (i32.const 16))) (br 0)) unreachable".to_owned();
    let greedy = kit::encode("greedy", &Guest { open: bomb, ..Guest::named("greedy") }.module()).unwrap();
    let error = host.load_bytes("greedy", &greedy).unwrap().open(&opening()).unwrap_err();
    assert!(error.to_string().contains("wanted more than 134217728 bytes of memory"), "{error}");
    let endless = Guest { open: "(loop (br 0)) unreachable".to_owned(), ..Guest::named("loops") };
    let endless = kit::encode("loops", &endless.module()).unwrap();
    let error = host.load_bytes("loops", &endless).unwrap().open(&opening()).unwrap_err();
    assert!(error.to_string().contains("more than 500 ms of processor time"), "{error}");
}

#[test]
fn a_grant_is_for_the_name_that_a_plugin_gives_itself() {
    let error = host(&["friend"], CacheFolder::Off).load_bytes("friend", &vast("stranger")).unwrap_err();
    assert!(error.to_string().contains("it calls itself `stranger`"), "{error}");
}

#[test]
fn what_was_compiled_for_the_large_profile_is_not_found_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let cache = |dir: &Path| CacheFolder::At(dir.join("cache"));
    let bytes = vast("vast");
    assert_eq!(host(&["vast"], cache(dir.path())).load_bytes("vast", &bytes).unwrap().name(), "vast");
    assert_eq!(
        host(&["vast"], cache(dir.path())).load_bytes("vast", &bytes).unwrap().name(),
        "vast",
        "out of the cache"
    );
    let error = host(&[], cache(dir.path())).load_bytes("vast", &bytes).unwrap_err();
    assert_eq!(error.code(), "plugin_too_large", "{error}");
    let names = std::fs::read_dir(dir.path().join("cache")).unwrap().map(|entry| entry.unwrap().file_name());
    let entries: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    assert_eq!(entries.iter().filter(|name| name.contains("-large.codec.cwasm")).count(), 1, "{entries:?}");
}
