//! Hints are hints: where the system tells of no change, or cannot watch at all, files are found by looking.

use super::tests::{Folders, is, text};
use rustix::fs::inotify;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::os::fd::OwnedFd;

/// As many watchers as one user may have, so that the next one has none. Other tests of this process must not want for files meanwhile.
fn every_watcher() -> Vec<OwnedFd> {
    let most = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_instances").expect("the kernel tells it");
    let files = most.trim().parse::<u64>().expect("a number") + 2048;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < files) {
        assert!(limit.maximum.is_none_or(|maximum| maximum >= files), "this needs {files} open files: {limit:?}");
        setrlimit(Resource::Nofile, Rlimit { current: Some(files), ..limit }).unwrap();
    }
    std::iter::from_fn(|| inotify::init(inotify::CreateFlags::CLOEXEC).ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_watcher_is_left_files_are_found_by_looking() {
    let taken = every_watcher();
    let folders = Folders::new().await;
    drop(taken);
    for round in 1..=3 {
        std::fs::write(folders.workflow("a"), text("a", round)).unwrap();
        folders.until(is("a", round)).await;
    }
    std::fs::remove_file(folders.workflow("a")).unwrap();
    folders.until(|generation| generation.workflows.live("a").is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_elsewhere_whose_changes_nobody_tells_is_found_by_looking() {
    let folders = Folders::new().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("a.yaml");
    std::fs::write(&file, text("a", 0)).unwrap();
    std::os::unix::fs::symlink(&file, folders.workflow("a")).unwrap();
    folders.until(is("a", 0)).await;
    for round in 1..=3 {
        // The folder with the link sees nothing of this.
        std::fs::write(&file, text("a", round)).unwrap();
        folders.until(is("a", round)).await;
    }
}
