//! FastDFS clients that nobody here wrote, each a process of its own, on the embedded server: everything once, then all of
//! them at once, and at the end everything that they kept is read back with our own client.

use packhorse_fastdfs::{Client, ClientOptions, FileId, Fsync, ServerHandle, ServerOptions};
use packhorse_tests::child::{Child, Ended};
use packhorse_tests::{count, files};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A client, and what it must have done in the loop.
struct Foreign {
    name: &'static str,
    loops: &'static [&'static str],
    command: fn() -> Command,
}

const CLIENTS: [Foreign; 4] = [
    Foreign {
        name: "crate fastdfs 0.1.1",
        loops: &["upload", "append", "truncate", "download", "range", "delete", "kept"],
        command: || Command::new(env!("CARGO_BIN_EXE_fastdfs-crate")),
    },
    Foreign {
        name: "npm fdfs 1.0.4",
        loops: &["upload", "append", "download", "range", "delete", "kept"],
        command: || node("fdfs"),
    },
    Foreign {
        name: "npm fdfs-client 0.5.4",
        loops: &["upload", "download", "range", "delete", "kept"],
        command: || node("fdfs-client"),
    },
    Foreign {
        name: "PyPI py3Fdfs 2.2.0",
        loops: &["upload", "append", "truncate", "download", "delete", "kept"],
        command: python,
    },
];

fn node(package: &str) -> Command {
    let modules = installed("PACKHORSE_NODE_MODULES", ".cache/packhorse-tests/node");
    assert!(modules.join("node_modules").join(package).is_dir(), "{package} is not in {}", modules.display());
    let mut command = Command::new("node");
    command.env("PACKHORSE_NODE_MODULES", modules).arg("--no-deprecation");
    command.arg(script("clients/node/client.js")).arg(package);
    command
}

fn python() -> Command {
    let mut command = Command::new(installed("PACKHORSE_PYTHON", ".cache/packhorse-tests/venv/bin/python"));
    command.arg(script("clients/python/fdfs.py"));
    command
}

fn script(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Where `tests/run` put it.
fn installed(variable: &str, own: &str) -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let path = std::env::var_os(variable).map_or_else(|| home().join(own), PathBuf::from);
    assert!(path.exists(), "there is no {}: `tests/run` installs what these tests need", path.display());
    path
}

async fn server(folder: &Path) -> ServerHandle {
    let options = ServerOptions { fsync: Fsync::Never, ..ServerOptions::new(folder).on_free_ports() };
    ServerHandle::start(options).await.unwrap()
}

fn start(foreign: &Foreign, server: &ServerHandle, arguments: &[&str]) -> Child {
    let mut command = (foreign.command)();
    command.arg(server.tracker_addr.to_string()).args(arguments);
    Child::start(command, foreign.name)
}

fn lines(ended: &Ended) -> Vec<Value> {
    ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text<'a>(line: &'a Value, field: &str) -> &'a str {
    line[field].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_client_does_what_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path()).await;
    for foreign in &CLIENTS {
        let ended = start(foreign, &server, &["tour"]).end().exits(0);
        let lines = lines(&ended);
        for line in &lines {
            let why = line["why"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
            println!("{:<22} {:<40} {}{why}", foreign.name, text(line, "operation"), text(line, "result"));
        }
        let worked = lines.iter().filter(|line| line["result"] == "ok").count();
        assert!(worked >= 11, "{} did {worked} things", foreign.name);
        let sizes = lines.iter().filter(|line| text(line, "operation").starts_with("upload, download")).count();
        assert_eq!(sizes, 7, "{}", foreign.name);
    }
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_all_clients_work_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path()).await;
    let seconds = count(6, 60).to_string();
    let running: Vec<Child> = CLIENTS.iter().map(|foreign| start(foreign, &server, &["loop", &seconds])).collect();
    let ours = Client::new(ClientOptions::new([server.tracker_addr.to_string()]));
    for (foreign, child) in CLIENTS.iter().zip(running) {
        let lines = lines(&child.end().exits(0));
        let counts = &lines.last().unwrap()["counts"];
        println!("{:<22} {counts}", foreign.name);
        for what in foreign.loops {
            assert!(counts[what].as_u64().is_some_and(|count| count > 0), "{} did no {what}: {counts}", foreign.name);
        }
        let kept = &lines[..lines.len() - 1];
        assert_eq!(Some(kept.len() as u64), counts["kept"].as_u64(), "{}", foreign.name);
        for line in kept {
            is_there(&ours, line).await;
        }
    }
    server.shutdown().await;
}

/// Reads a kept file with our own client.
async fn is_there(ours: &Client, line: &Value) {
    let file: FileId = text(line, "kept").parse().unwrap();
    let size = line["size"].as_u64().unwrap();
    assert_eq!(ours.file_size(&file).await.unwrap(), size, "{file}");
    let content = ours.download(&file, 0, 0, usize::MAX).await.unwrap();
    assert_eq!((content.len() as u64, files::sha256(&content).as_str()), (size, text(line, "sha256")), "{file}");
}
