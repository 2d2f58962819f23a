//! Hints are hints: where the system tells of no change, or cannot watch at all, files are found by looking.

use super::tests::{Folders, is, text};
use rustix::fs::inotify;
use std::os::fd::OwnedFd;

/// As many watchers as one user may have, so that the next one has none.
fn every_watcher() -> Vec<OwnedFd> {
    let mut taken = Vec::new();
    while let Ok(watcher) = inotify::init(inotify::CreateFlags::CLOEXEC) {
        taken.push(watcher);
        assert!(taken.len() < 1 << 20, "this system lets a user have any number of watchers");
    }
    taken
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
