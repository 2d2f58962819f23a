//! What can be wrong with a file, and what can happen to one, while a keeper looks: the last good content counts, whatever comes.

use super::tests::{Folders, digest, host, is, sha256, text};
use super::{Generation, Shelved};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// `quick` on an ordinary day, `full` where the whole count is asked for.
pub(super) fn count(quick: u32, full: u32) -> u32 {
    if std::env::var("PACKHORSE_FULL").is_ok_and(|value| value == "1") { full } else { quick }
}

/// Files of which no run can be started. `STEPS` stands for steps that would be good.
const BAD: &[(&str, &str)] = &[
    ("nothing", ""),
    ("a line's end alone", "\n"),
    ("spaces", "   \n  \n"),
    ("a comment alone", "# kind: workflow/v1\n"),
    ("a byte order mark alone", "\u{feff}"),
    ("a mark of a document alone", "---\n"),
    ("the end of a document alone", "...\n"),
    ("null", "null\n"),
    ("a number", "7\n"),
    ("a text", "workflow\n"),
    ("a list", "- kind: workflow/v1\n"),
    ("NUL in the middle", "kind: workflow/v1\nname: a\0\nSTEPS"),
    ("a control character", "kind: workflow/v1\nname: \"a\u{7}\"\nSTEPS"),
    ("a tab before a key", "kind: workflow/v1\nname: a\nsteps:\n\t- uses: sleep\n"),
    ("the same key twice", "kind: workflow/v1\nname: a\nname: a\nSTEPS"),
    ("a merge key", "kind: workflow/v1\nname: a\n<<: { x: 1 }\nSTEPS"),
    ("an anchor", "kind: workflow/v1\nname: &x a\nSTEPS"),
    ("an alias of nothing", "kind: workflow/v1\nname: *x\nSTEPS"),
    ("aliases that multiply", "a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: [*b,*b,*b,*b]\n"),
    ("a key that is no text", "kind: workflow/v1\nname: a\n7: x\nSTEPS"),
    ("a key that is a list", "kind: workflow/v1\nname: a\n? [x]\n: y\nSTEPS"),
    ("two documents", "kind: workflow/v1\nname: a\nSTEPS---\nkind: workflow/v1\n"),
    ("a tag", "kind: workflow/v1\nname: !!python/object:os.system a\nSTEPS"),
    ("a quote that never ends", "kind: workflow/v1\nname: \"a\nSTEPS"),
    ("a list that never ends", "kind: workflow/v1\nname: a\nsteps: [{ uses: sleep }\n"),
    ("a map that never ends", "kind: workflow/v1\nname: a\nsteps:\n  - uses: sleep\n    with: { duration: 1s\n"),
    ("a wrong indentation", "kind: workflow/v1\n name: a\nSTEPS"),
    ("half of a good one", "kind: workflow/v1\nname: a\nste"),
    ("a good one and something after it", "kind: workflow/v1\nname: a\nSTEPS%%%%\n"),
    ("no kind", "name: a\nSTEPS"),
    ("another kind", "kind: rollout/v1\nname: a\nSTEPS"),
    ("a later version", "kind: workflow/v2\nname: a\nSTEPS"),
    ("a file of devices", "kind: devices/v1\ndevices:\n  - match: gw-*\n"),
    ("no name", "kind: workflow/v1\nSTEPS"),
    ("an empty name", "kind: workflow/v1\nname: ''\nSTEPS"),
    ("another name", "kind: workflow/v1\nname: b\nSTEPS"),
    ("no good name", "kind: workflow/v1\nname: A b/../c\nSTEPS"),
    ("an unknown key", "kind: workflow/v1\nname: a\nstep: 1\nSTEPS"),
    ("no steps", "kind: workflow/v1\nname: a\n"),
    ("an empty list of steps", "kind: workflow/v1\nname: a\nsteps: []\n"),
    ("steps that are a map", "kind: workflow/v1\nname: a\nsteps: { uses: sleep }\n"),
    ("steps that are a text", "kind: workflow/v1\nname: a\nsteps: sleep\n"),
    ("a step that is null", "kind: workflow/v1\nname: a\nsteps:\n  -\n"),
    ("a step that uses nothing", "kind: workflow/v1\nname: a\nsteps:\n  - with: { duration: 1s }\n"),
    ("an unknown primitive", "kind: workflow/v1\nname: a\nsteps:\n  - uses: slep\n    with: { duration: 1s }\n"),
    ("a step without what it needs", "kind: workflow/v1\nname: a\nsteps:\n  - uses: sleep\n"),
    ("an unknown parameter", "kind: workflow/v1\nname: a\nsteps:\n  - uses: sleep\n    with: { duration: 1s, x: 1 }\n"),
    ("a wrong duration", "kind: workflow/v1\nname: a\nsteps:\n  - uses: sleep\n    with: { duration: soon }\n"),
    ("a negative duration", "kind: workflow/v1\nname: a\nsteps:\n  - uses: sleep\n    with: { duration: -1s }\n"),
    (
        "an endless duration",
        "kind: workflow/v1\nname: a\nsteps:\n  - uses: sleep\n    with: { duration: 99999999999999999999d }\n",
    ),
    (
        "an unfinished expression",
        "kind: workflow/v1\nname: a\nsteps:\n  - uses: log\n    with: { message: \"${{ 1 + }}\" }\n",
    ),
    (
        "an expression that never ends",
        "kind: workflow/v1\nname: a\nsteps:\n  - uses: log\n    with: { message: \"${{ 1\" }\n",
    ),
    (
        "a step that is not there",
        "kind: workflow/v1\nname: a\nsteps:\n  - uses: log\n    with: { message: \"${{ steps.x.outputs.y }}\" }\n",
    ),
    (
        "an input that is not there",
        "kind: workflow/v1\nname: a\nsteps:\n  - uses: log\n    with: { message: \"${{ inputs.x }}\" }\n",
    ),
    (
        "an unknown function",
        "kind: workflow/v1\nname: a\nsteps:\n  - uses: log\n    with: { message: \"${{ system('x') }}\" }\n",
    ),
    (
        "two steps of one id",
        "kind: workflow/v1\nname: a\nsteps:\n  - { id: x, uses: sleep, with: { duration: 1s } }\n  - { id: x, uses: sleep, with: { duration: 1s } }\n",
    ),
    ("an input of no type", "kind: workflow/v1\nname: a\ninputs:\n  x: { type: thing }\nSTEPS"),
    ("a default of another type", "kind: workflow/v1\nname: a\ninputs:\n  x: { type: integer, default: text }\nSTEPS"),
    ("a codec that is not there", "kind: workflow/v1\nname: a\ncodec: nobody\nSTEPS"),
    ("a word that is not there yet", "kind: workflow/v1\nname: a\nsteps:\n  - wait: { duration: 1s }\n"),
    ("a trigger of no kind", "kind: workflow/v1\nname: a\ntriggers:\n  - { id: t, mail: x }\nSTEPS"),
    (
        "a schedule of no time",
        "kind: workflow/v1\nname: a\ntriggers:\n  - { id: t, schedule: { cron: '99 * * * *' } }\nSTEPS",
    ),
    ("a priority of no level", "kind: workflow/v1\nname: a\npriority: soonest\nSTEPS"),
    ("outputs that are a list", "kind: workflow/v1\nname: a\noutputs: [x]\nSTEPS"),
];

/// Those that no constant can hold.
fn more() -> Vec<(&'static str, Vec<u8>)> {
    let utf16: Vec<u8> = text("a", 1).encode_utf16().flat_map(u16::to_le_bytes).collect();
    let deep =
        |open: &str, close: &str| format!("kind: workflow/v1\nx: {}{}\n", open.repeat(20_000), close.repeat(20_000));
    let mut long = text("a", 1);
    long.push_str(&"# long\n".repeat(200_000));
    vec![
        ("no UTF-8", [b"kind: workflow/v1\nname: ".as_slice(), &[0xff, 0xfe, 0xc0], b"\n"].concat()),
        ("UTF-16", utf16),
        ("lists in lists", deep("[", "]").into_bytes()),
        ("maps in maps", deep("{a: ", "}").into_bytes()),
        ("too long", long.into_bytes()),
        ("noise", (0..4_096_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_a_file_the_last_good_one_counts() {
    let folders = Folders::new().await;
    let file = folders.workflow("a");
    let steps = "steps:\n  - uses: sleep\n    with: { duration: 1s }\n";
    let listed = BAD.iter().map(|(what, text)| (*what, text.replace("STEPS", steps).into_bytes()));
    let bad: Vec<(&str, Vec<u8>)> = listed.chain(more()).collect();
    for (what, bytes) in &bad {
        std::fs::write(&file, text("a", 1)).unwrap();
        let good = folders.catalogs.reload().await.unwrap().generation;
        assert!(is("a", 1)(&good) && good.refused() == 0, "before: {what}");
        std::fs::write(&file, bytes).unwrap();
        let looked = folders.catalogs.reload().await.unwrap().generation;
        assert!(is("a", 1)(&looked), "{what}: the last good one counts");
        let refused = looked.workflows.entry("a").unwrap().refused.as_ref();
        let failure = &refused.unwrap_or_else(|| panic!("{what} was taken")).failure;
        assert!(["PH2001", "PH2004", "PH2010", "PH6006"].contains(&&*failure.code), "{what}: {failure:?}");
        assert!(!failure.message.is_empty() && failure.message.len() < 64 * 1024, "{what}: {}", failure.message.len());
        let again = folders.catalogs.reload().await.unwrap();
        assert!(again.changes.is_empty(), "{what} is told once: {:?}", again.changes);
    }
    println!("{} files that are wrong: none taken, each told once", bad.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_is_told_and_nothing_waits_for_it() {
    let folders = Folders::new().await;
    let at = |name: &str| folders.workflow(name);
    std::fs::write(at("good"), text("good", 1)).unwrap();
    std::fs::create_dir(at("folder")).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    std::os::unix::fs::symlink("/dev/zero", at("device")).unwrap();
    std::os::unix::fs::symlink("loop.yaml", at("loop")).unwrap();
    std::os::unix::fs::symlink("nowhere", at("dangling")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    std::fs::File::create(at("huge")).unwrap().set_len(1 << 30).unwrap();
    let looked = folders.catalogs.reload().await.unwrap().generation;
    let odd = ["dangling", "device", "folder", "huge", "loop", "pipe", "socket"];
    let refused: Vec<(&str, &str)> =
        looked.problems().map(|(_, name, refused)| (name, refused.failure.code.as_str())).collect();
    assert_eq!(refused, odd.map(|name| (name, "PH2004")));
    assert!(is("good", 1)(&looked));
    for name in odd {
        drop(std::fs::remove_file(at(name)).or_else(|_| std::fs::remove_dir(at(name))));
    }
    assert_eq!(folders.catalogs.reload().await.unwrap().generation.refused(), 0);
}

/// How a file gets its next content.
fn put(folder: &Path, way: u32, content: &str) {
    let file = folder.join("a.yaml");
    match way {
        0 => std::fs::write(file, content).unwrap(),
        1 => {
            // Truncated, and written in two.
            let (first, second) = content.split_at(content.len() / 2);
            std::fs::write(&file, first).unwrap();
            use std::io::Write as _;
            let mut file = std::fs::OpenOptions::new().append(true).open(file).unwrap();
            file.write_all(second.as_bytes()).unwrap();
        }
        2 => {
            // As vim saves: the old one aside, the new one under the name, the old one away.
            let aside = folder.join("a.yaml~");
            std::fs::write(folder.join("4913"), "").unwrap();
            std::fs::remove_file(folder.join("4913")).unwrap();
            drop(std::fs::rename(&file, &aside));
            std::fs::write(&file, content).unwrap();
            std::fs::remove_file(aside).unwrap();
        }
        3 => {
            std::fs::write(folder.join(".a.yaml.tmp"), content).unwrap();
            std::fs::rename(folder.join(".a.yaml.tmp"), file).unwrap();
        }
        _ => {
            // As Kubernetes swaps a ConfigMap: the name is a link through `..data`, which is renamed over.
            let data = format!("..{}", sha256(content));
            std::fs::create_dir_all(folder.join(&data)).unwrap();
            std::fs::write(folder.join(&data).join("a.yaml"), content).unwrap();
            let before = std::fs::read_link(folder.join("..data")).ok();
            std::os::unix::fs::symlink(&data, folder.join("..data_tmp")).unwrap();
            std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
            if std::fs::read_link(&file).is_err() {
                std::os::unix::fs::symlink("..data/a.yaml", folder.join(".link")).unwrap();
                std::fs::rename(folder.join(".link"), &file).unwrap();
            }
            before.into_iter().filter(|old| old.to_str() != Some(&data)).for_each(|old| {
                std::fs::remove_dir_all(folder.join(old)).unwrap();
            });
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn swaps_of_every_kind_never_make_a_version_that_nobody_wrote() {
    let folders = Folders::new().await;
    let rounds = count(600, 10_000);
    let written: HashSet<String> = (0..=rounds).map(|round| sha256(&text("a", round))).collect();
    std::fs::write(folders.workflow("a"), text("a", 0)).unwrap();
    folders.until(is("a", 0)).await;
    let mut generations = folders.catalogs.subscribe();
    let watcher = tokio::spawn(async move {
        let mut seen = Vec::new();
        while generations.changed().await.is_ok() {
            seen.extend(digest(&generations.borrow_and_update(), "a"));
        }
        seen
    });
    let folder = folders.folder.path().join("workflows");
    for round in 1..=rounds {
        let (folder, content) = (folder.clone(), text("a", round));
        // A link stays one while its content is swapped; every so often another way takes its place.
        let way = round / 7 % 5;
        tokio::task::spawn_blocking(move || {
            if way < 4 && std::fs::read_link(folder.join("a.yaml")).is_ok() {
                std::fs::remove_file(folder.join("a.yaml")).unwrap();
            }
            put(&folder, way, &content);
        })
        .await
        .unwrap();
        if round % 10 == 0 {
            folders.until(is("a", round)).await;
        } else if round % 3 == 0 {
            tokio::time::sleep(Duration::from_millis(u64::from(round % 11))).await;
        }
    }
    folders.until(is("a", rounds)).await;
    drop(folders);
    let seen = watcher.await.unwrap();
    let wrong: Vec<&String> = seen.iter().filter(|digest| !written.contains(*digest)).collect();
    assert!(wrong.is_empty(), "{} versions that nobody wrote: {wrong:?}", wrong.len());
    assert!(seen.len() > rounds as usize / 12, "{} of them counted", seen.len());
    println!("{rounds} swaps, {} of them counted for a while, 0 wrong versions", seen.len());
}

/// The codec acme-tlv under another version of the same length.
pub(super) fn as_version(version: &str) -> Vec<u8> {
    let bytes = host().load_embedded("acme-tlv").unwrap().bytes().to_vec();
    let own = host().load_embedded("acme-tlv").unwrap().version().as_bytes().to_vec();
    assert_eq!(own.len(), version.len());
    let places: Vec<usize> = (0..bytes.len() - own.len()).filter(|at| bytes[*at..].starts_with(&own)).collect();
    let mut changed = bytes;
    places.iter().for_each(|at| changed[*at..*at + own.len()].copy_from_slice(version.as_bytes()));
    changed
}

fn version(generation: &Arc<Generation>) -> Option<String> {
    match &*generation.plugins.live("acme-tlv")?.value {
        Shelved::Codec { plugin, .. } => Some(plugin.version().to_owned()),
        Shelved::Step(_) => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugins_file_does_not_go_back_to_an_older_version_by_itself() {
    let mut folders = Folders::new().await;
    let file = folders.plugin("acme-tlv");
    let (older, newer) = (as_version("0.8.1"), as_version("0.9.0"));
    let look = async |folders: &Folders, bytes: &[u8]| -> Arc<Generation> {
        std::fs::write(&file, bytes).unwrap();
        folders.catalogs.reload().await.unwrap().generation
    };
    assert_eq!(version(&look(&folders, &older).await).as_deref(), Some("0.8.1"));
    assert_eq!(version(&look(&folders, &newer).await).as_deref(), Some("0.9.0"));
    let kept = look(&folders, &older).await;
    assert_eq!(version(&kept).as_deref(), Some("0.9.0"));
    let failure = &kept.plugins.entry("acme-tlv").unwrap().refused.as_ref().unwrap().failure;
    assert_eq!(failure.code, "PH6020");
    assert!(failure.message.contains("0.8.1") && failure.message.contains("0.9.0"), "{failure:?}");
    assert_eq!(look(&folders, &newer).await.refused(), 0);
    // Another build of the same version is no step back; and a file that was gone begins anew.
    let mut rebuilt = newer.clone();
    rebuilt.extend([0, 2, 1, b'x']);
    assert_eq!(look(&folders, &rebuilt).await.refused(), 0);
    std::fs::remove_file(&file).unwrap();
    folders.catalogs.reload().await.unwrap();
    assert_eq!(version(&look(&folders, &older).await).as_deref(), Some("0.8.1"));
    // Where it is allowed, it counts.
    look(&folders, &newer).await;
    folders.allow_downgrade("acme-tlv").await;
    let begun = look(&folders, &newer).await;
    assert_eq!((version(&begun).as_deref(), begun.refused()), (Some("0.9.0"), 0));
    let back = look(&folders, &older).await;
    assert_eq!((version(&back).as_deref(), back.refused()), (Some("0.8.1"), 0));
}
