//! `packhorse fastdfs` as its users type it: a server in a process of its own, clients that are killed, files on disk.

use std::path::{Path, PathBuf};

use packhorse_fastdfs::wire::GroupName;
use packhorse_fastdfs::{Client, ClientOptions};
use packhorse_tests::files::{self, sha256};
use packhorse_tests::{Child, World};
use rustix::process::Signal;
use serde_json::Value;

/// Long enough that a process can be killed in the middle.
const LARGE: usize = 192 << 20;

struct Store {
    world: World,
    server: Child,
    tracker: String,
}

impl Store {
    fn start() -> Self {
        let world = World::new();
        let path = world.path("store").display().to_string();
        let free = ["fastdfs", "serve", "--tracker", "127.0.0.1:0", "--storage", "127.0.0.1:0", "--path", &path];
        let mut server = world.start(&free);
        let tracker = server.line(|line| line.strip_prefix("tracker ").map(str::to_owned));
        server.line(|line| line.strip_prefix("storage ").map(str::to_owned));
        Self { world, server, tracker }
    }

    fn args<'a>(&'a self, args: &[&'a str]) -> Vec<&'a str> {
        [&["fastdfs"], args, &["--tracker", &self.tracker]].concat()
    }

    #[track_caller]
    fn json(&self, code: i32, args: &[&str]) -> Value {
        self.world.json(code, &self.args(args))
    }

    fn file(&self, name: &str, size: usize) -> (PathBuf, String) {
        let path = files::file(&self.world.path(""), name, size, size as u64);
        let text = path.display().to_string();
        (path, text)
    }

    #[track_caller]
    fn upload(&self, args: &[&str]) -> String {
        let told = self.json(0, &[&["upload"], args].concat());
        told["file"].as_str().unwrap().to_owned()
    }

    /// Bytes that the storage has sent in whole answers.
    fn sent(&self) -> u64 {
        let client = Client::new(ClientOptions::new([self.tracker.clone()]));
        let group: GroupName = "group1".parse().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(client.storages(&group)).unwrap()[0].statistics().download_bytes.success
    }
}

fn same(left: &Path, right: &Path) -> bool {
    sha256(&std::fs::read(left).unwrap()) == sha256(&std::fs::read(right).unwrap())
}

#[test]
fn a_file_is_uploaded_looked_at_downloaded_and_deleted() {
    let store = Store::start();
    let (path, text) = store.file("image.bin", 300_000);
    let id = store.upload(&[&text, "--meta", "version=1.2", "--meta", "model=x"]);
    assert!(id.ends_with(".bin"), "{id}");
    let info = store.json(0, &["info", &id]);
    assert_eq!((&info["size"], &info["kind"]), (&300_000.into(), &"normal".into()), "{info:#}");
    assert_eq!(info["metadata"]["version"], "1.2", "{info:#}");
    assert_eq!(store.json(0, &["info", &id, "--local"])["crc32"], info["crc32"]);
    let back = store.world.path("back");
    let told = store.json(0, &["download", &id, &back.display().to_string()]);
    assert_eq!(told["size"], 300_000);
    assert!(same(&path, &back));
    let part = store.world.path("part");
    store.json(0, &["download", &id, &part.display().to_string(), "--offset", "100000", "--length", "7"]);
    assert_eq!(std::fs::read(&part).unwrap(), std::fs::read(&path).unwrap()[100_000..100_007]);
    assert_eq!(store.json(0, &["delete", &id])["deleted"], serde_json::json!([id]));
    let gone = store.json(1, &["info", &id]);
    assert_eq!(gone["error"]["code"], "PH4101", "{gone:#}");
    store.server.signal(Signal::TERM);
    store.server.end().exits(0);
}

#[test]
fn appenders_grow_and_slaves_hang_on_their_masters() {
    let store = Store::start();
    let (_, head) = store.file("head.log", 10);
    let (_, more) = store.file("more.log", 5_000_000);
    let id = store.upload(&[&head, "--appender"]);
    assert_eq!(store.json(0, &["append", &id, &more])["size"], 5_000_010);
    let info = store.json(0, &["info", &id]);
    assert_eq!((&info["size"], &info["kind"]), (&5_000_010.into(), &"appender".into()), "{info:#}");
    let (_, image) = store.file("image.jpg", 1000);
    let master = store.upload(&[&image]);
    let slave = store.upload(&[&head, "--slave-of", &master, "--prefix", "_150x150", "--ext", "png"]);
    assert_eq!(slave, master.replace(".jpg", "_150x150.png"));
    let listed = store.json(0, &["ls"]);
    assert_eq!(listed["groups"][0]["storages"][0]["state"], "active", "{listed:#}");
    let placed = listed["groups"][0]["storages"][0]["address"].as_str().unwrap();
    store.upload(&[&head, "--storage", placed, "--store-path", "0"]);
    store.upload(&[&head, "--group", "group1"]);
}

#[test]
fn an_upload_that_was_killed_goes_on() {
    let store = Store::start();
    let (path, text) = store.file("large.bin", LARGE);
    let id = in_time(|| {
        let mut uploading = store.world.start(&store.args(&["upload", &text]));
        let id = begun(&mut uploading)?;
        uploading.kill().then_some(id)
    });
    let there = store.json(0, &["info", &id])["size"].as_u64().unwrap();
    assert!(there >= 4 << 20 && there < LARGE as u64, "{there}");
    let (_, other) = store.file("other.bin", LARGE + 1);
    let refused = store.json(1, &["upload", &other, "--resume", &id]);
    assert_eq!(refused["error"]["code"], "PH4107", "{refused:#}");
    let whole = store.upload(&[&text, "--resume", &id]);
    assert!(whole != id && store.json(1, &["info", &id])["error"]["code"] == "PH4101");
    let back = store.world.path("back");
    store.json(0, &["download", &whole, &back.display().to_string(), "--connections", "4"]);
    assert!(same(&path, &back));
}

#[test]
fn a_download_that_was_killed_goes_on_without_fetching_all_again() {
    let store = Store::start();
    let (path, text) = store.file("large.bin", LARGE);
    let id = store.upload(&[&text, "--whole"]);
    let back = store.world.path("back");
    let to = back.display().to_string();
    let download = ["download", &id, &to, "--resume", "--connections", "3"];
    in_time(|| {
        drop(std::fs::remove_file(&back));
        let mut downloading = store.world.start(&store.args(&download));
        while downloading.runs() && !downloading.err().contains('%') {
            std::thread::yield_now();
        }
        downloading.kill().then_some(())
    });
    assert!(!back.exists());
    let before = store.sent();
    store.json(0, &download);
    let fetched = store.sent() - before;
    assert!(fetched < LARGE as u64, "{fetched} bytes were fetched");
    assert!(same(&path, &back));
    let left: Vec<_> =
        std::fs::read_dir(store.world.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains(".part")), "{left:?}");
}

#[test]
fn a_server_that_is_gone_is_told_and_the_upload_goes_on_when_it_is_back() {
    let (world, id, text) = in_time(|| {
        let Store { world, server, tracker } = Store::start();
        let text = files::file(&world.path(""), "large.bin", LARGE, 1).display().to_string();
        let mut uploading = world.start(&["fastdfs", "upload", &text, "--tracker", &tracker]);
        let id = begun(&mut uploading)?;
        assert!(server.kill());
        let ended = uploading.end();
        (ended.code != Some(0)).then(|| {
            ended.exits(69).says(&["PH4102", &format!("--tracker {tracker} --resume {id}")]);
            (world, id, text)
        })
    });
    let store_path = world.path("store").display().to_string();
    let free = ["fastdfs", "serve", "--tracker", "127.0.0.1:0", "--storage", "127.0.0.1:0", "--path", &store_path];
    let mut server = world.start(&free);
    let tracker = server.line(|line| line.strip_prefix("tracker ").map(str::to_owned));
    let conf = world.path("client.conf");
    std::fs::write(&conf, format!("connect_timeout = 5\nnetwork_timeout = 30\ntracker_server = {tracker}\n")).unwrap();
    let conf = conf.display().to_string();
    let told = world.json(0, &["fastdfs", "upload", &text, "--resume", &id, "--config", &conf]);
    assert_eq!(told["size"], LARGE);
}

#[test]
fn what_cannot_be_done_is_told_with_its_code() {
    let store = Store::start();
    let (_, file) = store.file("a.txt", 10);
    let nowhere = World::new();
    for (args, code, word) in [
        (&["fastdfs", "info", "nonsense"][..], 2, "group1/M00"),
        (&["fastdfs", "upload", "/nonexistent/file"], 2, "PH4106"),
        (&["fastdfs", "upload", &file, "--group", "no group"], 2, "A-Z"),
        (&["fastdfs", "upload", &file, "--ext", "toolong"], 2, "at most 6"),
        (&["fastdfs", "upload", &file, "--prefix", "_s"], 2, "--slave-of"),
        (&["fastdfs", "ls", "--tracker", "127.0.0.1:1"], 69, "PH4102"),
        (&["fastdfs", "ls", "--tracker", "nonsense"], 2, "HOST:22122"),
        (&["fastdfs", "ls", "--config", "/nonexistent/client.conf"], 2, "client.conf"),
        (&["fastdfs", "ls", "nogroup", "--tracker", &store.tracker], 1, "PH4103"),
        (&["fastdfs", "download", "group1/M00/00/00/x", "-", "--resume"], 2, "stdout"),
    ] {
        nowhere.ask(args).exits(code).says(&[word]);
    }
}

/// Does something to a process before it ends by itself; none where it was too late.
fn in_time<T>(strike: impl Fn() -> Option<T>) -> T {
    let mut tries = (0..20).map(|_| strike());
    tries.find_map(|struck| struck).expect("a process was over before it could be killed, twenty times")
}

/// The id that an upload in steps tells; none where it ended before.
fn begun(uploading: &mut Child) -> Option<String> {
    loop {
        let runs = uploading.runs();
        let err = uploading.err();
        if let Some((_, rest)) = err.split_once("--resume ") {
            return Some(rest.split('`').next()?.to_owned());
        }
        if !runs {
            return None;
        }
        std::thread::yield_now();
    }
}

#[test]
fn stdout_and_folders_are_targets_too() {
    let store = Store::start();
    let (path, text) = store.file("a.bin", 100_000);
    let id = store.upload(&[&text]);
    let out = store.world.ask(&store.args(&["download", &id, "-", "-q", "--offset", "10", "--length", "5"])).exits(0);
    assert_eq!(out.out.len(), String::from_utf8_lossy(&std::fs::read(&path).unwrap()[10..15]).len());
    let folder = store.world.path("folder");
    std::fs::create_dir(&folder).unwrap();
    store.json(0, &["download", &id, &folder.display().to_string()]);
    assert!(same(&path, &folder.join(id.rsplit('/').next().unwrap())));
    let (_, empty) = store.file("empty.bin", 0);
    let nothing = store.upload(&[&empty]);
    let back = store.world.path("nothing").display().to_string();
    assert_eq!(store.json(0, &["download", &nothing, &back])["size"], 0);
    store.json(0, &["delete", &nothing]);
    store.json(1, &["download", &nothing, &back]);
    // A target stays as it is where there is nothing to come.
    let kept = store.world.path("kept");
    std::fs::write(&kept, b"kept").unwrap();
    store.json(0, &["delete", &id]);
    store.json(1, &["download", &id, &kept.display().to_string(), "--offset", "1"]);
    store.json(1, &["download", &id, &kept.display().to_string()]);
    assert_eq!(std::fs::read(&kept).unwrap(), b"kept");
}
