//! A device with the crate `aiot`, which nobody here wrote, uploads a file to the workflow `aliyun-upload`: one of its blocks is spoilt
//! on the way, its connection breaks in the middle, it begins again and goes on where the platform says, and an empty block ends it.

mod relay;

use packhorse_tests::child::{Child, PATIENCE};
use packhorse_tests::client::Stranger;
use packhorse_tests::world::{number, workflow};
use packhorse_tests::{World, count, files};
use relay::{Block, Faults, Relay};
use std::path::{Path, PathBuf};
use std::process::Command;

const PRODUCT: &str = "a1B2c3D4e5F";
const DEVICE: &str = "gw-0001";
/// What the crate sends at once.
const BLOCK: u64 = 4096;
/// The crate's queue of answers that nobody reads while it uploads has room for 64.
const BLOCKS: u64 = 40;

/// The codec, built from source into the world's own folder.
fn codec(world: &World) -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/aliyun-mqtt-file");
    let plugins = world.path("plugins").display().to_string();
    world.ask(&["plugin", "build", &source.display().to_string(), "--plugins", &plugins]).exits(0);
    plugins
}

fn client() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let own = || home().join(".cache/packhorse-tests/aiot/release/aiot-client");
    let client = std::env::var_os("PACKHORSE_AIOT").map_or_else(own, PathBuf::from);
    assert!(
        client.is_file(),
        "there is no client at {}: `tests/run` builds it; or cargo build --release --manifest-path tests/clients/aiot/Cargo.toml \
         --target-dir ~/.cache/packhorse-tests/aiot, which needs the headers of OpenSSL",
        client.display()
    );
    client
}

fn upload(relay: &Relay, file: &Path) -> Child {
    let mut command = Command::new(client());
    command.arg(relay.address.to_string()).args([PRODUCT, DEVICE]).arg(file);
    Child::start(command, "the client of the crate aiot")
}

#[test]
fn an_upload_goes_on_after_a_spoilt_block_and_a_broken_connection_and_ends_with_an_empty_one() {
    for seed in 0..count(1, 10) as u64 {
        // Spoilt and cut at other blocks each time.
        let (spoil, cut) = (3 + seed as usize, 14 + 2 * seed as usize);
        uploads(seed, Faults { spoil, cut });
    }
}

fn uploads(seed: u64, faults: Faults) {
    let world = World::new();
    let plugins = codec(&world);
    let (file, bytes) = world.file("trace.log", (BLOCK * BLOCKS) as usize, seed);
    let inputs = [format!("product_key={PRODUCT}"), format!("device={DEVICE}"), "file=trace.log".to_owned()];
    let [product, device, wanted] = &inputs;
    let more = ["--plugins", &plugins, "-i", product, "-i", device, "-i", wanted];
    let mut run = world.embedded(&workflow("aliyun-upload"), &more);
    let broker = world.embedded_broker(&mut run);

    // The run hears uploads before it calls for one. The crate would wait for ever for an answer to what nobody heard.
    let called = Stranger::connect(&broker, &[&format!("/sys/{PRODUCT}/{DEVICE}/thing/service/upload_file")]);
    called.hear(PATIENCE).expect("the run calls the device's service");
    let relay = Relay::before(&broker, faults);
    upload(&relay, &file).end().exits(1);
    let before = relay.blocks();
    upload(&relay, &file).end().exits(0).says(&["uploaded trace.log"]);
    let all = relay.blocks();

    let ended = run.end().exits(0).json();
    let stored = &ended["outputs"]["file"];
    assert_eq!(stored["md5"], files::md5(&bytes).as_str(), "{ended:#}");
    assert_eq!((number(stored, "/size"), stored["name"].as_str()), (bytes.len() as u64, Some("trace.log")));

    let whole = |index: u64| Block { offset: index * BLOCK, size: BLOCK, complete: false };
    let spoilt = faults.spoil as u64;
    let first: Vec<Block> = (0..=spoilt).chain(spoilt..).map(whole).take(faults.cut + 1).collect();
    assert_eq!(before, first, "the spoilt block comes twice, the last one never arrives");
    let resumed = faults.cut as u64 - 1;
    let end = Block { offset: BLOCK * BLOCKS, size: 0, complete: true };
    let rest: Vec<Block> = (resumed..BLOCKS).map(whole).chain([end]).collect();
    assert_eq!(all[before.len()..], rest, "it goes on at the first byte that is not here");
}
