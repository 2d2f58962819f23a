//! Files that are edited while a keeper looks.

use super::{Catalogs, Generation, Options};
use crate::plugin::{Host, HostSettings};
use packhorse_core::run::WallTime;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// For what must come.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn host() -> Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    let new = || Host::new(HostSettings { slots: 20, ..HostSettings::default() }).expect("a host");
    HOST.get_or_init(new).clone()
}

pub(super) struct Folders {
    pub(super) folder: tempfile::TempDir,
    pub(super) catalogs: Catalogs,
}

impl Folders {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["workflows", "plugins", "devices"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let catalogs = Catalogs::start(options(folder.path())).await.unwrap();
        Self { folder, catalogs }
    }

    /// Looks once more from the start, with this plugin allowed to go back.
    pub(super) async fn allow_downgrade(&mut self, name: &str) {
        let options = Options { downgrades: [name.to_owned()].into(), ..options(self.folder.path()) };
        self.catalogs = Catalogs::start(options).await.unwrap();
    }

    pub(super) fn workflow(&self, name: &str) -> PathBuf {
        self.folder.path().join("workflows").join(format!("{name}.yaml"))
    }

    pub(super) fn plugin(&self, name: &str) -> PathBuf {
        self.folder.path().join("plugins").join(format!("{name}.wasm"))
    }

    /// Waits for a generation of which `wanted` is true.
    pub(super) async fn until(&self, wanted: impl Fn(&Generation) -> bool) -> Arc<Generation> {
        let mut generations = self.catalogs.subscribe();
        let found = tokio::time::timeout(PATIENCE, generations.wait_for(|generation| wanted(generation)));
        let found = found.await.map(|found| Arc::clone(&found.expect("the keeper works")));
        found.unwrap_or_else(|_| panic!("it never came; now: {:?}", self.catalogs.current().workflows))
    }
}

pub(super) fn options(folder: &Path) -> Options {
    let clock = || WallTime(1);
    Options {
        workflows: folder.join("workflows"),
        plugins: folder.join("plugins"),
        devices: folder.join("devices"),
        host: host(),
        downgrades: std::collections::BTreeSet::new(),
        clock,
        told: Arc::new(|_| {}),
    }
}

/// A workflow that says so many seconds.
pub(super) fn text(name: &str, seconds: u32) -> String {
    format!("kind: workflow/v1\nname: {name}\nsteps:\n  - uses: sleep\n    with: {{ duration: {seconds}s }}\n")
}

pub(super) fn digest(generation: &Generation, name: &str) -> Option<String> {
    generation.workflows.live(name).map(|live| live.digest.clone())
}

pub(super) fn sha256(text: &str) -> String {
    use sha2::Digest as _;
    packhorse_core::hex::encode(&sha2::Sha256::digest(text))
}

pub(super) fn is(name: &str, seconds: u32) -> impl Fn(&Generation) -> bool {
    let (name, wanted) = (name.to_owned(), sha256(&text(name, seconds)));
    move |generation| digest(generation, &name).as_ref() == Some(&wanted)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_added_changed_broken_mended_and_removed() {
    let folders = Folders::new().await;
    let file = folders.workflow("a");
    std::fs::write(&file, text("a", 1)).unwrap();
    folders.until(is("a", 1)).await;
    std::fs::write(&file, text("a", 2)).unwrap();
    folders.until(is("a", 2)).await;
    std::fs::write(&file, "kind: workflow/v1\nname: a\nsteps: [{ uses: nothing }]\n").unwrap();
    let stale = folders.until(|generation| generation.workflows.refused() == 1).await;
    assert!(is("a", 2)(&stale) && stale.workflows.entry("a").unwrap().is_stale(), "the last good one stays");
    let failure = &stale.workflows.entry("a").unwrap().refused.as_ref().unwrap().failure;
    assert!(failure.code == "PH2001" && failure.message.contains("a.yaml:3"), "{failure:?}");
    std::fs::write(&file, text("a", 3)).unwrap();
    assert_eq!(folders.until(is("a", 3)).await.workflows.refused(), 0);
    std::fs::remove_file(&file).unwrap();
    folders.until(|generation| generation.workflows.live("a").is_none()).await;
    std::fs::write(&file, text("a", 3)).unwrap();
    folders.until(is("a", 3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_written_byte_by_byte_is_never_half_loaded() {
    let folders = Folders::new().await;
    let file = folders.workflow("a");
    std::fs::write(&file, text("a", 1)).unwrap();
    folders.until(is("a", 1)).await;
    let mut generations = folders.catalogs.subscribe();
    let watcher = tokio::spawn(async move {
        let mut digests = Vec::new();
        while generations.changed().await.is_ok() {
            digests.extend(digest(&generations.borrow_and_update(), "a"));
        }
        digests
    });
    let (path, whole) = (file.clone(), text("a", 2));
    let writing = tokio::task::spawn_blocking(move || {
        use std::io::Write as _;
        let mut file = std::fs::File::create(path).unwrap();
        for byte in whole.bytes() {
            file.write_all(&[byte]).unwrap();
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    writing.await.unwrap();
    folders.until(is("a", 2)).await;
    drop(folders);
    let digests = watcher.await.unwrap();
    assert!(
        digests.iter().all(|digest| *digest == sha256(&text("a", 1)) || *digest == sha256(&text("a", 2))),
        "{digests:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn renames_over_swapped_links_and_replaced_folders_are_seen() {
    let folders = Folders::new().await;
    let (file, beside) = (folders.workflow("a"), folders.folder.path().join("beside"));
    for round in 1..=20 {
        std::fs::write(&beside, text("a", round)).unwrap();
        std::fs::rename(&beside, &file).unwrap();
        folders.until(is("a", round)).await;
    }
    // As Kubernetes does it: files are links into a folder that is a link.
    let home = folders.folder.path().join("workflows");
    std::fs::remove_file(&file).unwrap();
    let data = |round: u32| home.join(format!("..2026_{round}"));
    for round in 21..=30 {
        std::fs::create_dir(data(round)).unwrap();
        std::fs::write(data(round).join("a.yaml"), text("a", round)).unwrap();
        std::os::unix::fs::symlink(data(round), home.join("..data_tmp")).unwrap();
        std::fs::rename(home.join("..data_tmp"), home.join("..data")).unwrap();
        if round == 21 {
            std::os::unix::fs::symlink("..data/a.yaml", &file).unwrap();
        }
        folders.until(is("a", round)).await;
    }
    // The whole folder is another one.
    let other = folders.folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("a.yaml"), text("a", 31)).unwrap();
    std::fs::rename(&home, folders.folder.path().join("old")).unwrap();
    std::fs::rename(&other, &home).unwrap();
    folders.until(is("a", 31)).await;
    std::fs::write(&file, text("a", 32)).unwrap();
    folders.until(is("a", 32)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_folder_changes_nothing_until_it_is_back() {
    let folders = Folders::new().await;
    std::fs::write(folders.workflow("a"), text("a", 1)).unwrap();
    folders.until(is("a", 1)).await;
    let home = folders.folder.path().join("workflows");
    std::fs::rename(&home, folders.folder.path().join("away")).unwrap();
    let reload = folders.catalogs.reload().await.unwrap();
    assert!(reload.changes.is_empty() && is("a", 1)(&reload.generation), "{:?}", reload.changes);
    std::fs::create_dir(&home).unwrap();
    folders.until(|generation| generation.workflows.live("a").is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_tells_what_it_found() {
    let folders = Folders::new().await;
    std::fs::write(folders.workflow("good"), text("good", 1)).unwrap();
    std::fs::write(folders.workflow("other"), text("good", 1)).unwrap();
    std::fs::write(folders.workflow("empty"), "").unwrap();
    std::fs::write(folders.plugin("junk"), "junk").unwrap();
    folders.catalogs.reload().await.unwrap();
    let generation = folders.catalogs.current();
    let refused = |name: &str| generation.workflows.entry(name).unwrap().refused.as_ref().unwrap().failure.code.clone();
    assert!(is("good", 1)(&generation));
    assert_eq!((refused("other").as_str(), refused("empty").as_str()), ("PH2010", "PH2001"));
    let junk = generation.plugins.entry("junk").unwrap();
    assert_eq!(junk.refused.as_ref().unwrap().failure.code, "PH6006");
    let again = folders.catalogs.reload().await.unwrap();
    assert!(again.changes.is_empty(), "told once per content: {:?}", again.changes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_waits_for_its_codec_and_a_plugin_is_swapped() {
    let folders = Folders::new().await;
    let text = "kind: workflow/v1\nname: a\ninputs:\n  device: { type: string }\ncodec: acme-tlv@0\nsteps:\n  - uses: log\n    with: { message: hello }\n";
    std::fs::write(folders.workflow("a"), text.replace("@0", "")).unwrap();
    folders.until(|generation| generation.workflows.live("a").is_some()).await;
    std::fs::write(folders.workflow("a"), text.replace("acme-tlv@0", "mine")).unwrap();
    let stale = folders.until(|generation| generation.workflows.refused() == 1).await;
    assert_eq!(stale.workflows.entry("a").unwrap().refused.as_ref().unwrap().failure.code, "PH6006");
    let bytes = host().load_embedded("acme-tlv").unwrap().bytes();
    std::fs::write(folders.plugin("mine"), &bytes).unwrap();
    // It calls itself acme-tlv: not what its name says.
    let named = folders.until(|generation| generation.plugins.entry("mine").is_some()).await;
    assert!(named.plugins.entry("mine").unwrap().refused.is_some());
    std::fs::remove_file(folders.plugin("mine")).unwrap();
    std::fs::write(folders.plugin("acme-tlv"), &bytes).unwrap();
    // The bytes are those of the embedded one: nothing changes, and the file is what counts from here on.
    folders.catalogs.reload().await.unwrap();
    assert_eq!(folders.catalogs.current().codec("acme-tlv").unwrap().name(), "acme-tlv");
    std::fs::write(folders.workflow("a"), text.replace("@0", "")).unwrap();
    folders.until(|generation| generation.workflows.refused() == 0).await;
    // Bad bytes leave the last good plugin; removing the file brings the embedded one back.
    std::fs::write(folders.plugin("acme-tlv"), &bytes[..bytes.len() / 2]).unwrap();
    let stale = folders.until(|generation| generation.plugins.refused() == 1).await;
    assert!(stale.codec("acme-tlv").is_ok() && stale.workflows.refused() == 0);
    std::fs::remove_file(folders.plugin("acme-tlv")).unwrap();
    folders
        .until(|generation| generation.plugins.refused() == 0 && generation.plugins.live("acme-tlv").is_some())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_says_which_version_a_name_means() {
    let folders = Folders::new().await;
    let codec = host().load_embedded("acme-tlv").unwrap();
    let version = codec.version().to_owned();
    std::fs::write(folders.plugin(&format!("acme-tlv@{version}")), codec.bytes()).unwrap();
    let text = "kind: workflow/v1\nname: a\ninputs:\n  device: { type: string }\ncodec: acme-tlv\nsteps:\n  - uses: log\n    with: { message: hello }\n";
    std::fs::write(folders.workflow("a"), text).unwrap();
    let pin = folders.plugin("acme-tlv").with_extension("pin");
    std::fs::write(&pin, format!("{version}\n")).unwrap();
    let generation = folders.catalogs.reload().await.unwrap().generation;
    assert_eq!(generation.pinned("acme-tlv"), format!("acme-tlv@{version}"));
    assert_eq!((generation.codec("acme-tlv").unwrap().version(), generation.refused()), (&*version, 0));
    // What says no version leaves the last good pin; one that is not there refuses whoever names the plugin.
    std::fs::write(&pin, "latest").unwrap();
    let stale = folders.until(|generation| generation.pins.refused() == 1).await;
    assert!(stale.codec("acme-tlv").is_ok() && stale.workflows.refused() == 0);
    std::fs::write(&pin, "99.0.0").unwrap();
    let wrong = folders.until(|generation| generation.workflows.refused() == 1).await;
    assert!(wrong.codec("acme-tlv").unwrap_err().to_string().contains("no version 99.0.0"));
    assert!(wrong.workflows.live("a").is_some(), "the last good one stays");
    std::fs::remove_file(&pin).unwrap();
    folders.until(|generation| generation.refused() == 0 && generation.pinned("acme-tlv") == "acme-tlv").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_saves_are_each_followed_and_none_is_wrong() {
    let folders = Folders::new().await;
    let rounds = super::faults::count(300, 1_000);
    let mut took = Vec::new();
    for round in 1..=rounds {
        let begun = Instant::now();
        std::fs::write(folders.workflow("a"), text("a", round)).unwrap();
        folders.until(is("a", round)).await;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    let at = |share: usize| took[(took.len() * share / 1_000).min(took.len() - 1)];
    println!("{rounds} saves to live: p50 {:?}, p99 {:?}, slowest {:?}", at(500), at(990), at(1_000));
}

fn devices(entries: &str) -> String {
    format!("kind: devices/v1\ndevices:\n{entries}")
}

impl Folders {
    fn devices(&self, name: &str) -> PathBuf {
        self.folder.path().join("devices").join(format!("{name}.yaml"))
    }
}

/// The model that the registry has for a device.
fn model(generation: &Generation, id: &str) -> Option<String> {
    generation.registry.find(id).and_then(|placed| placed.entry.model.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_added_changed_broken_mended_and_removed() {
    let folders = Folders::new().await;
    let file = folders.devices("fleet");
    std::fs::write(&file, devices("  - { match: \"gw-*\", model: one }\n")).unwrap();
    folders.until(|generation| model(generation, "gw-1").as_deref() == Some("one")).await;
    std::fs::write(&file, devices("  - { match: \"gw-*\", modle: two }\n")).unwrap();
    let stale = folders.until(|generation| generation.devices.refused() == 1).await;
    assert_eq!(model(&stale, "gw-1").as_deref(), Some("one"), "the last good one stays");
    let failure = &stale.devices.entry("fleet").unwrap().refused.as_ref().unwrap().failure;
    assert!(failure.code == "PH2011" && failure.message.contains("fleet.yaml:3"), "{failure:?}");
    let again = folders.catalogs.reload().await.unwrap();
    assert!(again.changes.is_empty() && again.generation.refused() == 1, "told once per content: {:?}", again.changes);
    std::fs::write(&file, devices("  - { match: \"gw-*\", model: two }\n")).unwrap();
    let healed = folders.until(|generation| model(generation, "gw-1").as_deref() == Some("two")).await;
    assert_eq!(healed.devices.refused(), 0);
    std::fs::remove_file(&file).unwrap();
    folders.until(|generation| generation.registry.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_devices_are_judged_together() {
    let folders = Folders::new().await;
    std::fs::write(folders.devices("b"), devices("  - { match: \"gw-*\", model: first }\n")).unwrap();
    folders.catalogs.reload().await.unwrap();
    std::fs::write(folders.devices("a"), devices("  - { match: \"*-01\", model: second }\n")).unwrap();
    let reload = folders.catalogs.reload().await.unwrap().generation;
    assert_eq!(reload.devices.entry("a").unwrap().refused.as_ref().unwrap().failure.code, "PH2012");
    assert_eq!(model(&reload, "gw-01").as_deref(), Some("first"), "whoever was there first stays");
    // The entry moves from one file to the other.
    std::fs::write(folders.devices("b"), devices("  - { match: sw-1 }\n")).unwrap();
    let reload = folders.catalogs.reload().await.unwrap().generation;
    assert_eq!((reload.devices.refused(), model(&reload, "gw-01").as_deref()), (0, Some("second")));
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_wait_for_their_codec() {
    let folders = Folders::new().await;
    std::fs::write(folders.devices("fleet"), devices("  - { match: a, codec: acme-tlv }\n")).unwrap();
    let good = folders.catalogs.reload().await.unwrap().generation;
    assert!(good.registry.find("a").is_some());
    std::fs::write(folders.devices("fleet"), devices("  - { match: b, codec: nobodys }\n")).unwrap();
    let stale = folders.catalogs.reload().await.unwrap().generation;
    assert_eq!(stale.devices.entry("fleet").unwrap().refused.as_ref().unwrap().failure.code, "PH6006");
    assert!(stale.registry.find("a").is_some() && stale.registry.find("b").is_none());
}
