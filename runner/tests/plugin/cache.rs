//! Compiled code between runs: used where it is ours, made anew where it is not, left out where others could write.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use packhorse::plugin::{CacheFolder, Host, HostSettings};

fn host(dir: &Path) -> Host {
    Host::new(HostSettings { cache: CacheFolder::At(dir.to_owned()), slots: 8, ..Default::default() }).unwrap()
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "cwasm")).collect()
}

fn loads(dir: &Path) {
    assert_eq!(host(dir).load("json-base64").unwrap().name(), "json-base64");
}

#[test]
fn an_entry_is_kept_and_private() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    loads(&cache);
    let [entry] = &entries(&cache)[..] else { panic!("{:?}", entries(&cache)) };
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(&cache), mode(entry), mode(&cache.join("key"))], [0o700, 0o600, 0o600]);
    let written = std::fs::metadata(entry).unwrap().modified().unwrap();
    loads(&cache);
    assert_eq!(std::fs::metadata(entry).unwrap().modified().unwrap(), written, "the second load writes nothing");
    assert_eq!(entries(&cache).len(), 1);
}

#[test]
fn a_damaged_or_foreign_entry_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    loads(&cache);
    let entry = entries(&cache).remove(0);
    let whole = std::fs::read(&entry).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let mut forged = whole.clone();
    forged[8] ^= 1;
    for bad in [&flipped[..], &forged, &whole[..whole.len() - 1], &whole[..20], b"", b"\x7fELF"] {
        std::fs::write(&entry, bad).unwrap();
        loads(&cache);
        assert_eq!(std::fs::read(&entry).unwrap(), whole, "it was written again");
    }
    // Under another key, the same code is not ours.
    std::fs::write(cache.join("key"), [7; 32]).unwrap();
    loads(&cache);
    assert_ne!(std::fs::read(&entry).unwrap()[8..40], whole[8..40]);
}

#[test]
fn an_entry_under_anothers_name_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    loads(&cache);
    let entry = entries(&cache).remove(0);
    let whole = std::fs::read(&entry).unwrap();
    // The same codec with a custom section behind it: another digest, another entry.
    let mut relative = host(&cache).load("json-base64").unwrap().bytes().to_vec();
    relative.extend_from_slice(b"\0\x02\x01x");
    host(&cache).load_bytes("relative", &relative).unwrap();
    let other = entries(&cache).into_iter().find(|path| *path != entry).unwrap();
    let own = std::fs::read(&other).unwrap();
    std::fs::write(&other, &whole).unwrap();
    host(&cache).load_bytes("relative", &relative).unwrap();
    assert_eq!(std::fs::read(&other).unwrap(), own, "it was refused and made anew");
}

#[test]
fn a_folder_that_is_open_to_others_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    std::fs::create_dir(&cache).unwrap();
    std::fs::set_permissions(&cache, PermissionsExt::from_mode(0o755)).unwrap();
    loads(&cache);
    assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 0);
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&cache, &link).unwrap();
    std::fs::set_permissions(&cache, PermissionsExt::from_mode(0o700)).unwrap();
    loads(&link);
    assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 0, "a link is not followed");
}

#[test]
fn a_key_that_is_open_to_others_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    loads(&cache);
    let entry = entries(&cache).remove(0);
    std::fs::remove_file(&entry).unwrap();
    std::fs::set_permissions(cache.join("key"), PermissionsExt::from_mode(0o644)).unwrap();
    loads(&cache);
    assert!(entries(&cache).is_empty());
}
