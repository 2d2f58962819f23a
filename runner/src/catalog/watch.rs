//! Hints from the file system that it is worth to look again.

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

/// Watches folders, and the folders that they lie in, so that one which is replaced is noticed.
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    /// What is watched, with its inode: a path that leads elsewhere has to be watched anew.
    watched: BTreeMap<PathBuf, (u64, u64)>,
    told: bool,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Watch").field("watched", &self.watched).finish_non_exhaustive()
    }
}

impl Watch {
    /// Hints come as messages; as many as there are, one that waits is enough. Where the system cannot watch, none ever come.
    pub(super) fn start(folders: &[&Path]) -> (Self, mpsc::Receiver<()>) {
        let (sender, hints) = mpsc::channel(1);
        let folders: Vec<PathBuf> = folders.iter().map(|path| path.to_path_buf()).collect();
        let hint = move |event: notify::Result<Event>| {
            if event.as_ref().is_ok_and(Event::need_rescan) {
                // What they were about is found all the same: every look is at everything.
                tracing::warn!("the system dropped hints of changes: the folders are looked at once more");
            }
            let worth = event.map_or(true, |event| is_change(&event) && concerns(&event, &folders));
            if worth {
                // One that waits is enough.
                let _ = sender.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(hint);
        if let Err(error) = &watcher {
            tracing::warn!(%error, "the system cannot watch folders: they are looked at again and again instead");
        }
        (Self { watcher: watcher.ok(), watched: BTreeMap::new(), told: false }, hints)
    }

    /// Watches what the paths lead to now. Called before each look: what changes after it gives a hint.
    pub(super) fn follow(&mut self, folders: &[&Path]) {
        let Some(watcher) = &mut self.watcher else { return };
        let parents = folders.iter().filter_map(|path| path.parent());
        let parents = parents.map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path });
        for path in folders.iter().copied().chain(parents) {
            let inode = std::fs::metadata(path).ok().map(|about| (about.dev(), about.ino()));
            if self.watched.get(path).copied() == inode {
                continue;
            }
            if self.watched.remove(path).is_some() {
                // The old one may be gone with its watch.
                drop(watcher.unwatch(path));
            }
            let Some(inode) = inode else { continue };
            match watcher.watch(path, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.watched.insert(path.to_owned(), inode)),
                Err(error) if !self.told => {
                    self.told = true;
                    tracing::warn!(path = %path.display(), %error, "a folder cannot be watched: it is looked at again and again instead");
                }
                Err(_) => {}
            }
        }
    }
}

/// Reading is no change, and looking must not make us look.
const fn is_change(event: &Event) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    }
}

/// Whether it is about what lies in one of the folders, or about one of them itself.
fn concerns(event: &Event, folders: &[PathBuf]) -> bool {
    let known = |path: &Path| folders.iter().any(|folder| path == folder || path.parent() == Some(folder.as_path()));
    // Relative folders come back under the name of the folder that was watched, be it "./x".
    let named =
        |path: &Path| path.file_name().is_some_and(|name| folders.iter().any(|at| at.file_name() == Some(name)));
    event.paths.is_empty() || event.paths.iter().any(|path| known(path) || named(path))
}
