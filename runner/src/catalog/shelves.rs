//! Plugins under a keeper: beside those that came with the program, with vectors that change, saved faster than they compile; and files that
//! are written without end.

use super::faults::{as_version, count};
use super::tests::{Folders, PATIENCE, host, is, options, text};
use super::{Catalogs, Generation, Options};
use crate::plugin::{CacheFolder, Host, HostSettings};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const NAME: &str = "acme-tlv";

fn version(generation: &Generation) -> Option<String> {
    generation.codec(NAME).ok().map(|codec| codec.version().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_takes_the_place_of_what_came_with_the_program_when_it_counts_and_no_sooner() {
    let folders = Folders::new().await;
    let embedded = host().load_embedded(NAME).unwrap().version().to_owned();
    let (file, good) = (folders.plugin("acme-tlv@0.9.0"), as_version("0.9.0"));
    let reload = async || folders.catalogs.reload().await.unwrap().generation;
    for broken in [&good[..good.len() / 2], b"", b"junk"] {
        std::fs::write(&file, broken).unwrap();
        let looked = reload().await;
        assert_eq!((version(&looked).as_ref(), looked.refused()), (Some(&embedded), 1), "{} bytes", broken.len());
    }
    std::fs::write(&file, &good).unwrap();
    let looked = reload().await;
    assert_eq!((version(&looked).as_deref(), looked.refused()), (Some("0.9.0"), 0));
    assert!(looked.plugins.entry(NAME).is_none(), "it hides the other one");
    std::fs::write(&file, "junk").unwrap();
    assert_eq!(version(&*reload().await).as_deref(), Some("0.9.0"), "the last good one stays");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(version(&*reload().await), Some(embedded));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_broken_before_the_start_hides_nothing() {
    let embedded = host().load_embedded(NAME).unwrap().version().to_owned();
    for name in ["acme-tlv", "acme-tlv@0.9.0"] {
        let mut folders = Folders::new().await;
        std::fs::write(folders.plugin(name), "junk").unwrap();
        folders.catalogs = Catalogs::start(options(folders.folder.path())).await.unwrap();
        let begun = folders.catalogs.current();
        assert_eq!((version(&begun).as_ref(), begun.refused()), (Some(&embedded), 1), "{name}");
        std::fs::write(folders.plugin(name), as_version("0.9.0")).unwrap();
        let mended = folders.catalogs.reload().await.unwrap().generation;
        assert_eq!((version(&mended).as_deref(), mended.refused()), (Some("0.9.0"), 0), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_judged_again_when_its_vectors_change() {
    let folders = Folders::new().await;
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/acme-tlv/vectors/sessions.yaml");
    let sessions = std::fs::read_to_string(home).unwrap();
    let mut bytes = host().load_embedded(NAME).unwrap().bytes().to_vec();
    bytes.extend([0, 2, 1, b'v']);
    std::fs::write(folders.plugin(NAME), bytes).unwrap();
    assert_eq!(folders.catalogs.reload().await.unwrap().generation.refused(), 0);
    let vectors = folders.plugin(NAME).with_extension("").join("vectors");
    std::fs::create_dir_all(&vectors).unwrap();
    std::fs::write(vectors.join("sessions.yaml"), "codec: acme-tlv\ncases: [{ no: case }]\n").unwrap();
    let stale = folders.until(|generation| generation.plugins.refused() == 1).await;
    let entry = stale.plugins.entry(NAME).unwrap();
    assert_eq!(entry.refused.as_ref().unwrap().failure.code, "PH6009");
    assert!(entry.live.is_some(), "the last good one stays");
    std::fs::write(vectors.join("sessions.yaml"), &sessions).unwrap();
    folders.until(|generation| generation.plugins.refused() == 0).await;
    std::fs::write(vectors.join("more.yaml"), "junk").unwrap();
    folders.until(|generation| generation.plugins.refused() == 1).await;
    std::fs::remove_dir_all(&vectors).unwrap();
    folders.until(|generation| generation.plugins.refused() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn saves_faster_than_they_compile_are_passed_over_and_the_newest_counts() {
    let folders = Folders::new().await;
    let cache = folders.folder.path().join("cache");
    let settings = HostSettings { slots: 20, cache: CacheFolder::At(cache.clone()), ..HostSettings::default() };
    let host = tokio::task::spawn_blocking(|| Host::new(settings).unwrap()).await.unwrap();
    let catalogs = Catalogs::start(Options { host, ..options(folders.folder.path()) }).await.unwrap();
    let compiled = || {
        let entries = std::fs::read_dir(&cache).unwrap().flatten();
        entries.filter(|entry| entry.path().extension().is_some_and(|kind| kind == "cwasm")).count()
    };
    let (before, rounds) = (compiled(), count(100, 1_000));
    let bytes = as_version("0.9.0");
    let file = folders.plugin(NAME);
    let mut last = Vec::new();
    for round in 0..rounds {
        // Another content of the same plugin: a custom section says which.
        last = [&bytes[..], &[0, 5, 1, b'r'], &round.to_be_bytes()[1..]].concat();
        std::fs::write(&file, &last).unwrap();
        // As fast as a look follows them.
        tokio::time::sleep(Duration::from_millis(35)).await;
    }
    let reload = catalogs.reload().await.unwrap();
    assert_eq!((reload.generation.refused(), reload.unsettled.len()), (0, 0));
    let live = reload.generation.plugins.live(NAME).unwrap().value.digest().to_owned();
    assert_eq!(live, super::scan::digest(&last), "the newest counts");
    let compiled = compiled() - before;
    println!("{rounds} saves of a codec, {compiled} compiled");
    assert!(compiled < rounds as usize / 2, "{compiled} of {rounds} were compiled");
}

/// Writes a file again and again until it is dropped.
struct Scribbler {
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Scribbler {
    fn start(path: std::path::PathBuf) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ending = Arc::clone(&over);
        let (said, written) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            for round in 1.. {
                if ending.load(Ordering::Relaxed) {
                    return;
                }
                std::fs::write(&path, text("b", round)).unwrap();
                said.send(()).ok();
                std::thread::sleep(Duration::from_micros(500));
            }
        });
        written.recv().unwrap();
        Self { over, thread: Some(thread) }
    }
}

impl Drop for Scribbler {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().into_iter().for_each(|thread| drop(thread.join()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_written_without_end_keeps_nobody_waiting() {
    let folders = Folders::new().await;
    std::fs::write(folders.workflow("a"), text("a", 1)).unwrap();
    // Several, so that a look finds one of them changed also where the machine lets none of them write for a while.
    let scribblers: Vec<_> = ["b", "c", "d"].map(|name| Scribbler::start(folders.workflow(name))).into();
    let started = tokio::time::timeout(PATIENCE, Catalogs::start(options(folders.folder.path()))).await;
    let catalogs = started.expect("it starts").unwrap();
    assert!(is("a", 1)(&catalogs.current()));
    std::fs::write(folders.workflow("a"), text("a", 2)).unwrap();
    // All who ask at one time are answered by one look.
    let asked = (0..20).map(|_| {
        tokio::spawn({
            let catalogs = catalogs.clone();
            async move { catalogs.reload().await }
        })
    });
    for reload in asked.collect::<Vec<_>>() {
        let reload = tokio::time::timeout(PATIENCE, reload).await.expect("it is answered").unwrap().unwrap();
        assert!(is("a", 2)(&reload.generation));
        let known = |name: &str| reload.generation.workflows.entry(name).is_some();
        let named = |name: &str| reload.unsettled.contains(&("workflow", name.to_owned()));
        assert!(["b", "c", "d"].iter().all(|name| known(name) || named(name)), "{:?}", reload.unsettled);
    }
    drop(scribblers);
    let reload = catalogs.reload().await.unwrap();
    assert!(reload.unsettled.is_empty() && reload.generation.workflows.entry("b").is_some());
}
