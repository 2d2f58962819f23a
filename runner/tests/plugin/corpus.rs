//! The hostile corpus: one file a guest in `corpus`, each with what must become of it; and guests that `wasm-smith` makes up.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::guest::Guest;
use arbitrary::Arbitrary as _;
use packhorse::plugin::{CacheFolder, Host, HostSettings, Plugin, PluginError, kit};
use packhorse_core::transfer::{Command, Direction, Driver, FileInfo, Incoming, Opening};
use rand::{RngCore as _, SeedableRng as _};
use serde::Deserialize;

/// As few as these, and the corpus is not there.
const LEAST: usize = 60;

fn host() -> Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    let settings = || HostSettings { cache: CacheFolder::Off, slots: 16, ..HostSettings::default() };
    HOST.get_or_init(|| Host::new(settings()).unwrap()).clone()
}

/// A file of the corpus.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    about: String,
    /// Where it is caught.
    at: Stage,
    /// The stable code that it is caught with.
    code: String,
    /// Words of the message.
    #[serde(default)]
    says: String,
    /// The whole file, as text of a component or module.
    wat: Option<String>,
    /// The whole file, as bytes.
    hex: Option<String>,
    // Otherwise an honest codec, with something of its own:
    name: Option<String>,
    version: Option<String>,
    /// The template of its route to the device.
    down: Option<String>,
    pages: Option<u32>,
    fields: Option<String>,
    describe: Option<String>,
    open: Option<String>,
    decode: Option<String>,
    encode: Option<String>,
    save: Option<String>,
    /// Text at addresses of its memory.
    #[serde(default)]
    lay: Vec<(usize, String)>,
    /// Words of 32 bits at addresses of its memory.
    #[serde(default)]
    words: Vec<(usize, Vec<u32>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    Load,
    Open,
    Decode,
    Encode,
    Save,
}

impl Case {
    fn component(&self, stem: &str) -> Vec<u8> {
        if let Some(hex) = &self.hex {
            return packhorse_core::hex::decode(hex).unwrap();
        }
        if let Some(wat) = &self.wat {
            return wat::parse_str(wat).unwrap();
        }
        kit::encode(stem, &self.guest(stem).module()).unwrap()
    }

    fn guest(&self, stem: &str) -> Guest {
        let mut guest = Guest::named(self.name.as_deref().unwrap_or(stem));
        let own = [
            (&self.version, &mut guest.version),
            (&self.down, &mut guest.routes[0]),
            (&self.fields, &mut guest.fields),
            (&self.describe, &mut guest.describe),
            (&self.open, &mut guest.open),
            (&self.decode, &mut guest.decode),
            (&self.encode, &mut guest.encode),
            (&self.save, &mut guest.save),
        ];
        for (own, place) in own {
            if let Some(own) = own {
                place.clone_from(own);
            }
        }
        guest.pages = self.pages.unwrap_or(guest.pages);
        let guest = self.lay.iter().fold(guest, |guest, (at, text)| guest.lay(*at, text.as_bytes()));
        self.words.iter().fold(guest, |guest, (at, words)| guest.words(*at, words))
    }
}

/// What became of a guest: where it was caught, with which code and words.
fn caught(name: &str, component: &[u8]) -> Option<(Stage, &'static str, String)> {
    let told = |stage: Stage, error: PluginError| Some((stage, error.code(), error.to_string()));
    let plugin: Arc<Plugin> = match host().load_bytes(name, component) {
        Ok(plugin) => plugin,
        Err(error) => return told(Stage::Load, error),
    };
    let session = || plugin.open(&opening());
    let mut deciding = match session() {
        Ok(session) => session,
        Err(error) => return told(Stage::Open, error),
    };
    if let Err(error) = deciding.decode(vec![Incoming { route: 1, payload: b"hello".to_vec(), more: None }]) {
        return told(Stage::Decode, error.into());
    }
    if let Err(error) = session().unwrap().encode(vec![Command::Query(1)]) {
        return told(Stage::Encode, error.into());
    }
    session().unwrap().save().err().and_then(|error| told(Stage::Save, error.into()))
}

fn opening() -> Opening {
    Opening {
        direction: Direction::Push,
        driver: Driver::PlatformPush,
        device: "dev-1".to_owned(),
        file: FileInfo::default(),
        packet_size: 512,
        epoch: 1,
        attempt: 1,
        started_at: 0,
        done: Vec::new(),
        vars: Vec::new(),
        saved: Vec::new(),
    }
}

fn another_is_served() {
    let honest = kit::encode("honest", &Guest::named("honest").module()).unwrap();
    assert_eq!(caught("honest", &honest), None, "the host is unharmed");
}

fn corpus() -> Vec<(String, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plugin/corpus");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), path))
        .collect();
    files.sort();
    files
}

#[test]
fn every_guest_of_the_corpus_is_caught_where_it_must_be() {
    let files = corpus();
    assert!(files.len() >= LEAST, "{}", files.len());
    let mut wrong = Vec::new();
    for (stem, path) in &files {
        let case: Case = serde_yaml::from_str(&std::fs::read_to_string(path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(!case.about.is_empty(), "{stem}");
        match caught(stem, &case.component(stem)) {
            Some((at, code, words)) if (at, code) == (case.at, &case.code) && words.contains(&case.says) => {}
            other => wrong
                .push(format!("{stem}: {:?} {} {:?} was wanted, and it is {other:?}", case.at, case.code, case.says)),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), files.len(), wrong.join("\n"));
    another_is_served();
    println!("{} guests of the corpus are contained", files.len());
}

/// An honest codec with another core module beside it, which is instantiated with it: its memory, tables, segments and start function all
/// come to life when the codec is loaded.
fn with_stowaway(honest: &[u8], module: &[u8]) -> Vec<u8> {
    let mut depth = 0_usize;
    let mut modules = 0_u32;
    for payload in wasmparser::Parser::new(0).parse_all(honest) {
        match payload.unwrap() {
            wasmparser::Payload::ModuleSection { .. } => {
                modules += u32::from(depth == 0);
                depth += 1;
            }
            wasmparser::Payload::ComponentSection { .. } => depth += 1,
            wasmparser::Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    // Sections of a component: 1 is a core module, 2 are core instances, here one, of that module, without arguments.
    let instances = [&[1, 0][..], &leb(modules), &[0]].concat();
    let section = |id: u8, body: &[u8]| [&[id][..], &leb(u32::try_from(body.len()).unwrap()), body].concat();
    [honest, &section(1, module), &section(2, &instances)].concat()
}

fn leb(mut number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}

/// A module that nobody wrote. Every fourth may use what this engine does not know, every second has no memory of its own.
fn invented(seed: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0_u8; 2048];
    rand::rngs::SmallRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    let mut from = arbitrary::Unstructured::new(&bytes);
    let mut config = wasm_smith::Config::arbitrary(&mut from).ok()?;
    (config.min_imports, config.max_imports) = (0, 0);
    config.allow_start_export = true;
    config.min_memories = 0;
    config.max_memories = usize::from(!seed.is_multiple_of(2));
    if !seed.is_multiple_of(4) {
        config.gc_enabled = false;
        config.threads_enabled = false;
        config.exceptions_enabled = false;
        config.memory64_enabled = false;
        config.tail_call_enabled = false;
        config.relaxed_simd_enabled = false;
        config.wide_arithmetic_enabled = false;
        config.custom_page_sizes_enabled = false;
        config.shared_everything_threads_enabled = false;
        config.compact_imports_enabled = false;
        config.custom_descriptors_enabled = false;
        (config.min_tables, config.max_tables) = (0, 1);
    }
    Some(wasm_smith::Module::new(config, &mut from).ok()?.to_bytes())
}

#[test]
fn guests_that_nobody_wrote_are_contained() {
    let full = std::env::var("PACKHORSE_FULL").is_ok_and(|value| value == "1");
    let wanted: u32 = if full { 10_000 } else { 200 };
    let honest = kit::encode("carrier", &Guest::named("carrier").module()).unwrap();
    let mut outcomes = std::collections::BTreeMap::<String, u32>::new();
    let (mut made, mut seed) = (0, 0);
    while made < wanted {
        seed += 1;
        let Some(module) = invented(seed) else { continue };
        made += 1;
        // Alone it is no component, and beside an honest codec it is a part of one.
        assert_eq!(caught("alone", &module).map(|caught| caught.1), Some("plugin_not_a_codec"), "seed {seed}");
        let outcome = match caught("carrier", &with_stowaway(&honest, &module)) {
            None => "loaded, and the codec in it works".to_owned(),
            Some((stage, code, words)) => {
                assert_eq!(stage, Stage::Load, "seed {seed}: what is instantiated is caught then: {words}");
                assert!(
                    code.starts_with("plugin_") && code != "plugin_engine" && !words.is_empty(),
                    "seed {seed}: {words}"
                );
                code.to_owned()
            }
        };
        *outcomes.entry(outcome).or_default() += 1;
    }
    another_is_served();
    println!("{made} modules up to seed {seed}: {outcomes:#?}");
    assert!(outcomes.len() >= 3, "some work, some are refused and some trap: {outcomes:?}");
}
