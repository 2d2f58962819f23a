//! Workflows and codecs that are swapped while transfers are under way: each run keeps what it began with, and memory stays as it is.

use crate::client::{ended, get, journal, started};
use crate::daemon::{Daemon, resident, status};
use packhorse::plugin::{CacheFolder, Host, HostSettings};
use packhorse_tests::child::PATIENCE;
use packhorse_tests::{count, files};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A push of several seconds.
const PUSH: &str = "kind: workflow/v1
name: push
inputs: { device: { type: string }, image: { type: file } }
codec: json-base64
steps:
  - id: push
    uses: transfer.push
    with: { device: \"${{ inputs.device }}\", file: \"${{ inputs.image }}\", window: 8, rate: 8KiB/s }
";
/// Bytes a second of each push, as written there.
const RATE: usize = 8 << 10;
/// Of so many swaps one is of the codec: compiling it takes a child process for about a second, and memory is as much in question as time.
const CODECS: usize = 10;

/// A file whose content is swapped, and the digests of its contents.
struct Swapped {
    path: PathBuf,
    /// Where the API tells the digest that counts.
    route: &'static str,
    saved: Mutex<Vec<String>>,
    /// How many of `saved` are known to have counted.
    counted: AtomicUsize,
}

impl Swapped {
    fn new(path: PathBuf, route: &'static str) -> Self {
        Self { path, route, saved: Mutex::default(), counted: AtomicUsize::new(0) }
    }

    /// Saves a content as editors do, and waits until it counts.
    fn swap(&self, at: &str, content: &[u8]) {
        let digest = files::sha256(content);
        let number = {
            let mut saved = self.saved.lock().unwrap();
            saved.push(digest.clone());
            saved.len()
        };
        let beside = self.path.with_extension("new");
        std::fs::write(&beside, content).unwrap();
        std::fs::rename(&beside, &self.path).unwrap();
        let begun = Instant::now();
        loop {
            let shown = get(at, self.route).json();
            if shown["digest"] == digest.as_str() {
                break;
            }
            assert!(begun.elapsed() < PATIENCE && shown["load_error"].is_null(), "{shown:#}");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.counted.store(number, Ordering::SeqCst);
    }

    fn counted(&self) -> usize {
        self.counted.load(Ordering::SeqCst)
    }

    fn saved(&self) -> usize {
        self.saved.lock().unwrap().len()
    }

    /// The number of a content, from 1.
    fn number(&self, digest: &str) -> usize {
        let saved = self.saved.lock().unwrap();
        saved.iter().position(|saved| saved == digest).map_or_else(|| panic!("{digest} was never saved"), |at| at + 1)
    }
}

/// Lets the pushes end, whatever becomes of the swaps.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// What is swapped, and who pushes meanwhile.
struct Load<'a> {
    at: String,
    image: String,
    workflow: &'a Swapped,
    codec: &'a Swapped,
    over: AtomicBool,
    /// The content of the codec that each device's run holds.
    held: Mutex<BTreeMap<String, usize>>,
    /// Runs, and the most swaps that one of them saw.
    seen: Mutex<(usize, usize)>,
}

impl Load<'_> {
    /// Pushes to a device, again and again; each run must have what counted when it was asked for, to its end.
    fn pushes(&self, device: &str) {
        let all = [self.workflow, self.codec];
        let mut rounds = 0;
        while rounds == 0 || !self.over.load(Ordering::SeqCst) {
            let before = all.map(Swapped::counted);
            let run = started(&self.at, "push", &json!({ "device": device, "image": self.image }));
            let after = all.map(Swapped::saved);
            let first = &journal(&self.at, &run)[0];
            let holds = self.codec.number(first["codec"]["digest"].as_str().expect("it is pinned"));
            self.held.lock().unwrap().insert(device.to_owned(), holds);
            let view = ended(&self.at, &run);
            assert_eq!(status(&view), "succeeded", "{view:#}");
            let first = &journal(&self.at, &run)[0];
            let pins = [&first["digest"], &first["codec"]["digest"]];
            for ((of, pin), (before, after)) in all.iter().zip(pins).zip(before.into_iter().zip(after)) {
                let number = of.number(pin.as_str().expect("it is pinned"));
                assert!((before..=after).contains(&number), "{run} has content {number}, of {before} to {after}");
            }
            let swaps: usize = all.iter().map(|of| of.saved()).sum::<usize>() - after.iter().sum::<usize>();
            let mut seen = self.seen.lock().unwrap();
            *seen = (seen.0 + 1, seen.1.max(swaps));
            rounds += 1;
        }
    }
}

impl Load<'_> {
    /// How many contents of the codec are held.
    fn codecs(&self) -> u64 {
        self.held.lock().unwrap().values().collect::<BTreeSet<_>>().len() as u64
    }
}

/// The codec that came with the program, with a custom section at its end: another digest, the same behaviour.
pub(crate) fn codec(component: &[u8], number: usize) -> Vec<u8> {
    let (name, data) = (b"swap", format!("{number:08}"));
    let mut section = vec![0, (1 + name.len() + data.len()) as u8, name.len() as u8];
    section.extend(name);
    section.extend(data.bytes());
    [component, &section].concat()
}

pub(crate) fn component() -> Arc<[u8]> {
    let host = Host::new(HostSettings { cache: CacheFolder::Off, slots: 1, ..HostSettings::default() }).unwrap();
    host.load_embedded("json-base64").unwrap().bytes()
}

/// The vectors that each content of the codec is held to before it counts.
fn vectors(daemon: &Daemon) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/json-base64/vectors");
    let to = daemon.world.path("plugins/json-base64/vectors");
    std::fs::create_dir_all(&to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn median(of: &[u64]) -> u64 {
    let mut sorted = of.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

#[test]
fn swaps_under_running_transfers_change_nothing_for_them() {
    let (devices, swaps) = (count(8, 50), count(60, 2_000));
    let mut daemon = Daemon::apart();
    let bytes = files::bytes(count(24, 96) * 1024, 71);
    let (image, component) = (daemon.upload("image", &bytes), component());
    vectors(&daemon);
    let workflow = Swapped::new(daemon.world.path("workflows/push.yaml"), "/v1/workflows/push");
    let plugin = Swapped::new(daemon.world.path("plugins/json-base64.wasm"), "/v1/plugins/json-base64");
    let (at, pid) = (daemon.http(), daemon.process().pid());
    plugin.swap(&at, &codec(&component, 0));
    workflow.swap(&at, PUSH.as_bytes());
    let _devices = daemon.devices("json-base64", "dev", devices, &["--loss", "0.1", "--seed", "5"]);
    let (over, held, seen) = (AtomicBool::new(false), Mutex::default(), Mutex::default());
    let load = Load { at: at.clone(), image: image.clone(), workflow: &workflow, codec: &plugin, over, held, seen };
    // They begin one after another, so that from the first round on as many codecs are held at once as there will be.
    let apart = Duration::from_millis((1000 * bytes.len() / RATE / devices) as u64);
    let begun = Instant::now();
    let all: Vec<(u64, u64)> = std::thread::scope(|scope| {
        for index in 1..=devices {
            let load = &load;
            scope.spawn(move || {
                std::thread::sleep(apart * index as u32);
                load.pushes(&format!("dev-{index}"));
            });
        }
        let swap = |number: usize| {
            match number % CODECS {
                0 => plugin.swap(&at, &codec(&component, number)),
                _ => workflow.swap(&at, format!("{PUSH}# {number}\n").as_bytes()),
            }
            (resident(pid), load.codecs())
        };
        let _over = Over(&load.over);
        (1..=swaps).map(swap).collect()
    });
    let took = begun.elapsed();
    let after = started(&at, "push", &json!({ "device": "dev-1", "image": image }));
    let first = &journal(&at, &after)[0];
    let newest = |of: &Swapped| of.saved.lock().unwrap().last().unwrap().clone();
    assert_eq!((&first["digest"], &first["codec"]["digest"]), (&json!(newest(&workflow)), &json!(newest(&plugin))));
    for index in 1..=devices {
        assert!(daemon.has(&format!("dev-{index}"), &bytes), "dev-{index} has the image");
    }
    let (runs, most) = *load.seen.lock().unwrap();
    let (memory, codecs): (Vec<u64>, Vec<u64>) = all.into_iter().unzip();
    let [tenths, codecs] = [memory, codecs].map(|all| all.chunks(swaps / 10).map(median).collect::<Vec<_>>());
    println!(
        "{swaps} swaps in {took:.1?}, {} of them of the codec, under {devices} pushes at a time, {runs} in all: each kept what it began with, \
         though up to {most} swaps went by; memory in each tenth, KiB: {tenths:?}, and codecs held at once: {codecs:?}",
        swaps / CODECS
    );
    // Quick counts end before there are as many codecs as there will be.
    let (early, late) = (tenths[4], tenths[9]);
    assert!(runs < 4 * devices || late <= early + early / 20, "memory grew from {early} KiB to {late} KiB");
    daemon.stop();
}
