//! A device in Python with paho-mqtt, written from the description of json-base64 alone: push, verify and pull through the
//! embedded broker.

use packhorse_tests::child::Child;
use packhorse_tests::world::{number, workflow};
use packhorse_tests::{World, count, files};
use std::path::{Path, PathBuf};
use std::process::Command;

fn device(world: &World, broker: &str, more: &[&str]) -> Child {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/device.py");
    let mut command = Command::new(python());
    command.arg(script).args(["--broker", broker.trim_start_matches("mqtt://"), "--id", "py-1", "--dir"]);
    command.arg(world.path("device")).args(more);
    Child::start(command, "the device in Python")
}

fn python() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let own = || home().join(".cache/packhorse-tests/venv/bin/python");
    let python = std::env::var_os("PACKHORSE_PYTHON").map_or_else(own, PathBuf::from);
    assert!(
        python.is_file(),
        "there is no Python with paho-mqtt at {}: `tests/run` installs it; or python3 -m venv ~/.cache/packhorse-tests/venv \
         && ~/.cache/packhorse-tests/venv/bin/pip install -r tests/requirements.txt",
        python.display()
    );
    python
}

fn talks(more: &[&str]) {
    let world = World::new();
    std::fs::create_dir_all(world.path("device")).unwrap();
    let (image, bytes) = world.file("fw.bin", count(300_000, 4 << 20), 1);
    let log = files::bytes(count(200_000, 2 << 20), 2);
    std::fs::write(world.path("device/syslog"), &log).unwrap();
    let image = format!("image={}", image.display());

    let mut run = world.embedded(&workflow("ota-push"), &["-i", "device=py-1", "-i", &image]);
    let broker = world.embedded_broker(&mut run);
    let mut python = device(&world, &broker, more);
    let pushed = run.end().exits(0).json();
    assert_eq!(number(&pushed, "/traffic/payload_bytes"), bytes.len() as u64, "{pushed:#}");
    assert!(std::fs::read(world.path("device/fw.bin")).unwrap() == bytes);
    python.line(|line| (line.contains("\"stored\"") && line.contains(&files::md5(&bytes))).then_some(()));
    drop(python);

    let mut run = world.embedded(&workflow("checksum-verify"), &["-i", "device=py-1", "-i", &image]);
    let broker = world.embedded_broker(&mut run);
    let python = device(&world, &broker, more);
    let verified = run.end().exits(0).json();
    let asked = &verified["steps"].as_array().unwrap()[1];
    assert_eq!((asked["id"].as_str(), &asked["outputs"]["same"]), (Some("asked"), &true.into()), "{verified:#}");
    assert_eq!(asked["outputs"]["device_md5"], files::md5(&bytes).as_str());
    drop(python);

    let mut run = world.embedded(&workflow("log-pull"), &["-i", "device=py-1", "-i", "log=syslog"]);
    let broker = world.embedded_broker(&mut run);
    let _python = device(&world, &broker, more);
    let pulled = run.end().exits(0).json();
    assert_eq!(pulled["outputs"]["file"]["sha256"], files::sha256(&log).as_str(), "{pulled:#}");
    assert_eq!(number(&pulled, "/traffic/payload_bytes"), log.len() as u64);
}

#[test]
fn a_device_by_somebody_else_is_pushed_to_verified_and_pulled_from() {
    talks(&[]);
}

#[test]
fn it_works_on_a_lossy_link_too() {
    talks(&["--loss", "0.15", "--seed", "4"]);
}
