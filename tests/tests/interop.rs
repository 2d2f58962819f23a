//! Devices that nobody here wrote: ThingsBoard's client for Python takes firmware from the codec `thingsboard`.

use packhorse_tests::world::number;
use packhorse_tests::{Child, World, count, files};
use std::path::{Path, PathBuf};
use std::process::Command;

/// As the topics of a ThingsBoard client are: no prefix, one device on the broker.
const WORKFLOW: &str = "kind: workflow/v1
name: thingsboard-client
inputs:
  image: { type: file }
codec: thingsboard
vars: { prefix: \"\" }
steps:
  - id: push
    uses: transfer.push
    with: { device: dev-1, file: \"${{ inputs.image }}\", meta: { title: thermo.bin, version: \"1.1\" } }
outputs:
  confirmed: \"${{ steps.push.outputs.confirmed }}\"
";

/// A virtual environment of its own: the client brings a fork of paho-mqtt that lies in the same files.
fn python() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let own = || home().join(".cache/packhorse-tests/venv-thingsboard/bin/python");
    let python = std::env::var_os("PACKHORSE_THINGSBOARD_PYTHON").map_or_else(own, PathBuf::from);
    assert!(
        python.is_file(),
        "there is no Python with tb-mqtt-client at {}: `tests/run` installs it; or python3 -m venv \
         ~/.cache/packhorse-tests/venv-thingsboard && ~/.cache/packhorse-tests/venv-thingsboard/bin/pip install -r \
         tests/clients/python/requirements.txt",
        python.display()
    );
    python
}

fn client(world: &World, broker: &str, chunk: usize) -> Child {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/python/thingsboard_device.py");
    let mut command = Command::new(python());
    command.arg(script).args(["--broker", broker, "--chunk", &chunk.to_string(), "--dir"]).arg(world.path("client"));
    Child::start(command, "ThingsBoard's client")
}

/// Builds the codec into a folder of this world.
fn built(world: &World) -> String {
    let plugins = world.path("plugins").display().to_string();
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut command = world.command(&["plugin", "build", "plugins/thingsboard", "--plugins", &plugins]);
    command.current_dir(home);
    Child::start(command, "packhorse plugin build").end().exits(0);
    plugins
}

fn takes(size: usize, chunk: usize) {
    let world = World::new();
    let plugins = built(&world);
    let services = world.services();
    let mut client = client(&world, &services.broker, chunk);
    client.line(|line| (line == "ready").then_some(()));
    let (image, bytes) = world.file("fw.bin", size, 5);
    let workflow = world.text("client.yaml", WORKFLOW);
    let image = format!("image={}", image.display());
    let run = world.run(&services, &workflow, &["-i", &image, "--plugins", &plugins]).end().exits(0).json();
    assert_eq!(run["outputs"]["confirmed"], "device_verdict", "{run:#}");
    assert_eq!(number(&run, "/traffic/payload_bytes"), size as u64, "{run:#}");
    for state in ["DOWNLOADING", "DOWNLOADED", "VERIFIED", "UPDATING", "UPDATED"] {
        client.line(|line| (line == format!("state {state}")).then_some(()));
    }
    let stored = std::fs::read(world.path("client/thermo.bin")).expect("the client stored it");
    assert!(stored == bytes, "the client has {} with another digest", files::sha256(&stored));
    println!("chunks of {chunk}: {}", run["traffic"]);
}

#[test]
fn the_client_of_thingsboard_takes_chunks_of_a_kibibyte() {
    takes(count(10_363, 300_000), 1024);
}

#[test]
fn the_client_of_thingsboard_takes_chunks_that_divide_the_file() {
    takes(8 * 1024, 1024);
}

#[test]
fn the_client_of_thingsboard_takes_the_whole_file_at_once() {
    takes(100_000, 0);
}
