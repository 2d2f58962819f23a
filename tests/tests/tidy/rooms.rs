//! The import rules: which crate and which room may know which.

use crate::source;
use crate::tree::File;

/// A room of the runner: the rooms it may name beside itself, and the rooms of the core.
struct Room {
    name: &'static str,
    knows: &'static [&'static str],
    core: Core,
    fastdfs: bool,
}

/// What of the core a room may name.
enum Core {
    All,
    But(&'static [&'static str]),
}

const fn room(name: &'static str, knows: &'static [&'static str], core: Core, fastdfs: bool) -> Room {
    Room { name, knows, core, fastdfs }
}

/// Adapters know none of their kind; each room above knows those below.
const ROOMS: [Room; 17] = [
    room("bus", &[], Core::All, false),
    room("store", &[], Core::All, false),
    room("blob", &[], Core::All, true),
    room("plugin", &[], Core::All, false),
    room("link", &["bus", "store", "blob", "plugin"], Core::But(&["run", "step", "workflow"]), false),
    room("engine", &["link", "bus", "store", "blob", "plugin"], Core::All, false),
    room("catalog", &["plugin"], Core::All, false),
    room("trigger", &["bus", "store", "catalog"], Core::All, false),
    room("presence", &["engine", "trigger", "catalog", "bus", "store"], Core::All, false),
    room("serve", &["engine", "catalog", "trigger"], Core::All, false),
    room("device", &["link", "bus", "plugin"], Core::But(&["run", "step", "workflow"]), false),
    room("settings", &[], Core::All, false),
    room("allocator", &[], Core::But(&["run", "step", "workflow", "transfer"]), false),
    room("counts", &[], Core::But(&["run", "step", "workflow", "transfer"]), false),
    room("failpoint", &[], Core::But(&["run", "step", "workflow", "transfer"]), false),
    room(
        "app",
        &[
            "settings", "serve", "presence", "trigger", "catalog", "engine", "link", "bus", "store", "blob", "plugin",
            "device",
        ],
        Core::All,
        true,
    ),
    room(
        "cli",
        &["app", "settings", "serve", "trigger", "catalog", "engine", "bus", "store", "plugin", "device"],
        Core::All,
        true,
    ),
];

/// Ways that are open although the table closes them: room, path, why.
const OPEN: [(&str, &str, &str); 0] = [];

/// Crates of ours that another one may name; itself under its own name counts as another.
const CRATES: [(&str, &[&str]); 9] = [
    ("runner/core/", &["packhorse_core"]),
    ("runner/fastdfs/", &["packhorse_fastdfs"]),
    ("runner/", &["packhorse", "packhorse_core", "packhorse_fastdfs"]),
    ("sdk/step/", &["packhorse_step"]),
    ("sdk/", &["packhorse_codec"]),
    ("plugins/", &["packhorse_codec", "packhorse_step"]),
    ("tests/liar/", &["packhorse_codec"]),
    ("tests/probe/", &["packhorse_step"]),
    ("tests/", &["packhorse", "packhorse_core", "packhorse_fastdfs", "packhorse_codec"]),
];

const OURS: [&str; 5] = ["packhorse", "packhorse_core", "packhorse_fastdfs", "packhorse_codec", "packhorse_step"];

/// What the deciding core never touches: clock, files, sockets, processes, threads, randomness, and who would.
const WORLD: [&str; 17] = [
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "std::os",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
    "wasmtime",
    "rand",
    "rumqttc",
    "redb",
    "rustix",
];

/// Types that reach the outside when they are made; only `app`, their own room and tests name them.
const ADAPTERS: [&str; 5] = ["RumqttcBus", "EmbeddedBroker", "EmbeddedStore", "FastdfsBlobs", "ServerHandle"];

/// Imports of one file that its place forbids.
pub(crate) fn imports(file: &File) -> Vec<String> {
    let module = module(&file.path);
    let paths = source::paths(&file.text, &module);
    let mut problems: Vec<String> = paths.iter().filter_map(|path| forbidden(&file.path, path)).collect();
    if file.path.starts_with("runner/core/src/") && !is_test(&file.path) {
        let paths = source::paths(untested(&file.text), &module);
        problems.extend(paths.iter().filter_map(|path| doing(path)));
    }
    problems.sort();
    problems.dedup();
    problems
}

fn forbidden(file: &str, path: &[String]) -> Option<String> {
    let text = path.join("::");
    let (home, crates) = CRATES.iter().find(|(home, _)| file.starts_with(home))?;
    if OURS.contains(&path[0].as_str()) && !crates.contains(&path[0].as_str()) {
        return Some(format!("{home} may not know {text}"));
    }
    let room = ROOMS.iter().find(|room| Some(room.name) == room_of(file))?;
    let open = OPEN.iter().any(|(name, way, _)| *name == room.name && begins(&text, way));
    (!open && !room.may(path)).then(|| format!("{} may not know {text}", room.name))
}

fn doing(path: &[String]) -> Option<String> {
    let text = path.join("::");
    WORLD.iter().any(|outside| begins(&text, outside)).then(|| format!("the core decides and does not do: {text}"))
}

/// A file without the tests at its end.
fn untested(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
}

impl Room {
    fn may(&self, path: &[String]) -> bool {
        let second = path[1].as_str();
        match path[0].as_str() {
            // Places where tests strike, and what is counted, are in every room.
            "crate" if second == "failpoint" || second == "counts" => true,
            "crate" if ROOMS.iter().any(|room| room.name == second) => {
                second == self.name || self.knows.contains(&second)
            }
            "packhorse_core" => match self.core {
                Core::All => true,
                Core::But(rooms) => !rooms.contains(&second),
            },
            "packhorse_fastdfs" => self.fastdfs,
            "packhorse" => false,
            _ => true,
        }
    }
}

fn begins(text: &str, start: &str) -> bool {
    text.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The room of the runner that a file belongs to.
fn room_of(file: &str) -> Option<&str> {
    let rest = file.strip_prefix("runner/src/")?;
    let name = rest.split('/').next()?;
    let name = name.strip_suffix(".rs").unwrap_or(name);
    (!matches!(name, "lib" | "main")).then_some(name)
}

fn is_test(file: &str) -> bool {
    file.split('/').any(|part| matches!(part, "tests" | "tests.rs"))
}

/// Where a file stands in its crate: `runner/src/link/spool/mod.rs` is `link::spool`.
fn module(path: &str) -> Vec<&str> {
    let Some((_, inside)) = path.split_once("src/") else { return Vec::new() };
    let mut parts: Vec<&str> = inside.trim_end_matches(".rs").split('/').collect();
    if matches!(parts.last(), Some(&("mod" | "lib" | "main"))) {
        parts.pop();
    }
    parts
}

/// Rooms that are in the runner and not in the table.
pub(crate) fn unknown<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut rooms: Vec<&str> =
        paths.filter_map(room_of).filter(|name| ROOMS.iter().all(|room| room.name != *name)).collect();
    rooms.sort_unstable();
    rooms.dedup();
    rooms
}

/// Adapters that are named outside of their own room, of `app`, and of tests.
pub(crate) fn adapters(file: &File) -> Vec<String> {
    let Some(room) = room_of(&file.path) else { return Vec::new() };
    if matches!(room, "app" | "bus" | "store" | "blob") || is_test(&file.path) {
        return Vec::new();
    }
    let code = source::code(untested(&file.text));
    let words: Vec<&str> = code.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
    let found = ADAPTERS.iter().filter(|name| words.contains(name));
    found.map(|name| format!("{name} is built by app alone")).collect()
}

/// Dependencies of ours that a crate's manifest lists and its place forbids.
pub(crate) fn manifest(file: &File) -> Vec<String> {
    let Some((home, crates)) = CRATES.iter().find(|(home, _)| file.path.starts_with(home)) else { return Vec::new() };
    let named = |line: &str| line.split(['=', '.', ' ']).next().unwrap_or_default().replace('-', "_");
    let mut section = "";
    let mut problems = Vec::new();
    for line in file.text.lines() {
        if line.starts_with('[') {
            section = line;
        } else if section.contains("dependencies") {
            let name = named(line);
            if OURS.contains(&name.as_str()) && !crates.contains(&name.as_str()) {
                problems.push(format!("{home} may not depend on {name}"));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    fn check(path: &str, text: &str, expected: &[&str]) {
        assert_eq!(imports(&file(path, text)), expected, "{path}: {text}");
    }

    #[test]
    fn an_adapter_that_knows_another_is_found() {
        let bad = ["bus may not know crate::store::Journal"];
        check("runner/src/bus/mod.rs", "use crate::store::Journal;", &bad);
        check("runner/src/bus/client.rs", "use super::super::store::Journal;", &bad);
        check("runner/src/bus/client.rs", "use crate::{bus::Bus, store::{Journal}};", &bad);
        check("runner/src/bus/client.rs", "fn f(journal: &dyn crate::store::Journal) {}", &bad);
        check("runner/src/bus/client.rs", "mod tests { use super::super::super::store::Journal; }", &bad);
        check("runner/src/bus/client.rs", "// crate::store::Journal\nuse super::Bus;", &[]);
    }

    #[test]
    fn rooms_may_look_down_and_not_up() {
        check("runner/src/link/drive.rs", "use crate::bus::Bus; use packhorse_core::transfer::Time;", &[]);
        check(
            "runner/src/link/drive.rs",
            "use packhorse_core::run::Fact;",
            &["link may not know packhorse_core::run::Fact"],
        );
        check("runner/src/link/drive.rs", "use crate::engine::Job;", &["link may not know crate::engine::Job"]);
        check("runner/src/engine/mod.rs", "use crate::app::App;", &["engine may not know crate::app::App"]);
        check(
            "runner/src/engine/mod.rs",
            "use packhorse_fastdfs::Client;",
            &["engine may not know packhorse_fastdfs::Client"],
        );
        check("runner/src/app/start.rs", "use crate::cli::print::run;", &["app may not know crate::cli::print::run"]);
    }

    #[test]
    fn crates_below_know_none_above() {
        check(
            "runner/core/src/lib.rs",
            "use packhorse_fastdfs::wire;",
            &["runner/core/ may not know packhorse_fastdfs::wire"],
        );
        check(
            "runner/fastdfs/src/lib.rs",
            "use packhorse_core::hex;",
            &["runner/fastdfs/ may not know packhorse_core::hex"],
        );
        check("sdk/src/lib.rs", "use packhorse_core::hex;", &["sdk/ may not know packhorse_core::hex"]);
        check("plugins/x/src/lib.rs", "use packhorse::bus::Bus;", &["plugins/ may not know packhorse::bus::Bus"]);
    }

    #[test]
    fn a_core_that_does_is_found() {
        check(
            "runner/core/src/run/x.rs",
            "use std::time::{Duration, Instant};",
            &["the core decides and does not do: std::time::Instant"],
        );
        check(
            "runner/core/src/run/x.rs",
            "fn f() { std::fs::read(\"x\"); }",
            &["the core decides and does not do: std::fs::read"],
        );
        check("runner/core/src/run/tests/x.rs", "use std::fs;", &[]);
        check("runner/core/src/run/x.rs", "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n", &[]);
        let first = "#[cfg(test)]\nmod tests;\nuse std::fs;\n";
        check("runner/core/src/run/x.rs", first, &["the core decides and does not do: std::fs"]);
    }

    #[test]
    fn an_adapter_built_elsewhere_is_found() {
        assert_eq!(adapters(&file("runner/src/cli/x.rs", "let bus = RumqttcBus::connect(s);")).len(), 1);
        assert!(adapters(&file("runner/src/app/x.rs", "let bus = RumqttcBus::connect(s);")).is_empty());
    }

    #[test]
    fn a_new_room_needs_a_rule() {
        let paths = ["runner/src/lib.rs", "runner/src/bus/mod.rs", "runner/src/attic/mod.rs"];
        assert_eq!(unknown(paths.into_iter()), ["attic"]);
    }

    #[test]
    fn a_manifest_that_looks_up_is_found() {
        let bad = "[dependencies]\npackhorse-core = { workspace = true }\n";
        assert_eq!(manifest(&file("sdk/Cargo.toml", bad)), ["sdk/ may not depend on packhorse_core"]);
        assert!(manifest(&file("runner/Cargo.toml", bad)).is_empty());
    }
}
