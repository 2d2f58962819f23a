//! The embedded codecs: found, loaded, described, tested, built and cached as a vendor's would be.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use packhorse::plugin::kit::{self, test::TestOptions};
use packhorse::plugin::{CacheFolder, Host, HostSettings};
use packhorse_core::transfer::{Chunk, Command, Direction, Driver, Event, FileInfo, Flow, Incoming, Opening};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn host() -> Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    let settings = || HostSettings { cache: CacheFolder::Off, slots: 64, ..HostSettings::default() };
    HOST.get_or_init(|| Host::new(settings()).unwrap()).clone()
}

fn passes_every_check(name: &str) {
    let plugin = host().load(name).unwrap();
    let vectors = root().join("plugins").join(name).join("vectors");
    let options = TestOptions { random_inputs: 4_000, ..TestOptions::default() };
    let report = kit::test::test(&plugin, &kit::test::Folder::Own(&vectors), options).unwrap();
    assert!(report.passed, "{}", serde_json::to_string_pretty(&report).unwrap());
}

#[test]
fn json_base64_passes_every_check() {
    passes_every_check("json-base64");
}

/// Both sides of one codec, opened on one transfer.
fn opening(driver: Driver, bytes: &[u8]) -> Opening {
    use md5::Digest as _;
    let md5 = packhorse_core::transfer::Digest {
        algorithm: packhorse_core::transfer::Algorithm::Md5,
        value: md5::Md5::digest(bytes).to_vec(),
    };
    Opening {
        direction: driver.direction(),
        driver,
        device: "dev-1".to_owned(),
        file: FileInfo { name: "fw.bin".to_owned(), size: Some(bytes.len() as u64), digests: vec![md5], meta: vec![] },
        packet_size: 640,
        epoch: 1,
        attempt: 1,
        started_at: 0,
        done: Vec::new(),
        vars: Vec::new(),
        saved: Vec::new(),
    }
}

fn chunk(bytes: &[u8]) -> Command {
    Command::Chunk(Chunk { tag: 0, offset: 0, bytes: bytes.to_vec(), last: true })
}

#[test]
fn a_piece_goes_over_and_is_acknowledged() {
    let plugin = host().load("json-base64").unwrap();
    let opening = opening(Driver::PlatformPush, b"hello");
    let (mut platform, mut device) = (plugin.open(&opening).unwrap(), plugin.open_device(&opening).unwrap());
    let sent = platform.encode(vec![chunk(b"hello")]).unwrap();
    let [message] = &sent.messages[..] else { panic!("{sent:?}") };
    assert_eq!(platform.routes().topic(message.route, &[]).as_deref(), Ok("packhorse/dev-1/down"));
    let arrived = Incoming { route: message.route, payload: message.payload.clone(), more: None };
    let got = device.decode(vec![arrived]).unwrap();
    assert!(
        matches!(got.commands.last(), Some(Command::Chunk(chunk)) if chunk.bytes == b"hello" && chunk.last),
        "{got:?}"
    );
    let back = device.encode(vec![Event::Ack(packhorse_core::transfer::Span::new(0, 5))]).unwrap();
    let arrived = Incoming { route: back.messages[0].route, payload: back.messages[0].payload.clone(), more: None };
    let heard = platform.decode(vec![arrived]).unwrap();
    assert!(heard.events.contains(&Event::Ack(packhorse_core::transfer::Span::new(0, 5))), "{heard:?}");
}

#[test]
fn a_device_that_overdoes_its_id_or_vars_is_refused_before_anything_runs() {
    let plugin = host().load("json-base64").unwrap();
    let mut hostile = opening(Driver::PlatformPush, b"x");
    hostile.device = "a/+".to_owned();
    assert_eq!(plugin.open(&hostile).unwrap_err().code(), "plugin_route");
    let mut hostile = opening(Driver::PlatformPush, b"x");
    hostile.vars = vec![("prefix".to_owned(), "other/#".to_owned())];
    assert_eq!(plugin.open(&hostile).unwrap_err().code(), "plugin_route");
    hostile.vars = vec![("prefiks".to_owned(), "other".to_owned())];
    let text = plugin.open(&hostile).unwrap_err().to_string();
    assert!(text.contains("variable `prefiks` is not one of this codec's: it takes prefix"), "{text}");
}

#[test]
fn what_is_named_but_not_built_says_how_to_build_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("bolt")).unwrap();
    std::fs::write(dir.path().join("bolt/Cargo.toml"), "").unwrap();
    let host = with_folder(dir.path());
    let text = host.load("bolt").unwrap_err().to_string();
    assert!(text.starts_with("codec `bolt` is not built"), "{text}");
    assert!(text.contains("packhorse plugin build ") && text.contains("/bolt`"), "{text}");
    assert!(host.load("none").unwrap_err().to_string().contains("`packhorse plugin build`"));
}

fn with_folder(dir: &Path) -> Host {
    let settings =
        HostSettings { plugins_dir: Some(dir.to_owned()), cache: CacheFolder::Off, slots: 16, ..Default::default() };
    Host::new(settings).unwrap()
}

#[test]
fn a_file_hides_the_embedded_codec_and_must_be_named_after_what_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let host = with_folder(dir.path());
    let embedded = host.load("json-base64").unwrap();
    assert_eq!(host.list().iter().map(|listed| &*listed.reference).collect::<Vec<_>>(), ["acme-tlv", "json-base64"]);
    std::fs::write(dir.path().join("json-base64@9.9.9.wasm"), b"garbage").unwrap();
    assert_eq!(host.load("json-base64@9").unwrap_err().code(), "plugin_not_a_codec");
    std::fs::write(dir.path().join("acme-tlv.wasm"), embedded.bytes()).unwrap();
    let text = host.load("acme-tlv").unwrap_err().to_string();
    assert!(text.contains("calls itself `json-base64`"), "{text}");
    let listed = host.list();
    assert!(listed.iter().all(|listed| listed.path.is_some()), "{listed:?}");
}

#[test]
fn the_same_bytes_are_the_same_plugin() {
    let first = host().load("json-base64").unwrap();
    let second = host().load("json-base64").unwrap();
    assert!(std::sync::Arc::ptr_eq(&first, &second));
    assert_eq!(first.digest().len(), 64);
}

#[test]
fn inspection_tells_everything() {
    let plugin = host().load("json-base64").unwrap();
    let told = kit::inspect(&plugin).unwrap();
    assert_eq!(told.world, "codec-with-device");
    assert_eq!(told.contract, "1.0.0");
    assert!(told.imports.iter().all(|import| import == "packhorse:codec/diagnostics@1.0.0"), "{:?}", told.imports);
    assert!(told.exports.iter().any(|export| export == "packhorse:codec/platform@1.0.0"));
    assert_eq!(told.topics.iter().filter(|route| route.flow == Flow::ToDevice).count(), 2);
    assert_eq!(told.modes[0].driver.direction(), Direction::Push);
    assert_eq!(told.size, plugin.bytes().len());
    assert!(serde_json::to_value(&told).unwrap()["limits"]["cpu_ms"] == 10);
}

#[test]
fn acme_tlv_passes_every_check() {
    passes_every_check("acme-tlv");
}
