//! Files that start runs: new and changed ones in a folder, when two looks a second apart find the same.

use super::books::Name;
use super::desk::Desk;
use super::folder::{self, MOST, Seen};
use super::judge::Definition;
use super::mqtt::hash;
use super::shared::{Came, Seen as Mark, Shared};
use packhorse_core::effect::KvRequest;
use packhorse_core::failure::{Class, Failure};
use packhorse_core::trigger::{self, FileFound, Glob};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

/// Between looks: a file that is the same in two of them has stopped growing.
const LOOK: Duration = Duration::from_secs(1);

/// What is known of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Since this look.
    Growing(Seen, Instant),
    /// Dealt with.
    Settled(Seen),
}

/// A folder that is looked at.
struct Folder {
    shared: Arc<Shared>,
    name: Name,
    path: PathBuf,
    glob: Glob,
    known: BTreeMap<PathBuf, State>,
    crowded: bool,
}

/// Listens until it is dropped.
pub(super) async fn listen(
    shared: Arc<Shared>,
    name: Name,
    definition: watch::Receiver<Definition>,
    at: (String, Glob),
) {
    let mut desk = Desk::new(Arc::clone(&shared), name.clone(), definition);
    let (path, glob) = (PathBuf::from(at.0), at.1);
    let mut folder = Folder { shared, name, path, glob, known: BTreeMap::new(), crowded: false };
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = desk.ready() => desk.begin().await,
            _ = ticks.tick() => folder.look(&mut desk).await,
        }
    }
}

impl Folder {
    async fn look(&mut self, desk: &mut Desk) {
        let (path, glob) = (self.path.clone(), self.glob.clone());
        let found = tokio::task::spawn_blocking(move || folder::look(&path, &glob)).await;
        let files = match found {
            Ok(Ok((files, crowded))) => {
                self.say(crowded);
                files
            }
            Ok(Err(error)) => return self.trouble(&error.to_string()),
            Err(error) => return self.trouble(&error.to_string()),
        };
        if !self.crowded {
            self.forget(&files).await;
        }
        for (path, seen) in files {
            // What waits is not lost: it is found by the next look.
            if desk.waiting() >= MOST / 20 {
                return;
            }
            if self.is_still(&path, seen) {
                self.settle(desk, &path, seen).await;
            }
        }
    }

    /// Whether a file that is not dealt with has stopped growing.
    fn is_still(&mut self, path: &Path, seen: Seen) -> bool {
        match self.known.get(path) {
            Some(State::Settled(known)) if *known == seen => false,
            // A little less than a look apart: ticks are not exact.
            Some(State::Growing(known, since)) if *known == seen => since.elapsed() >= LOOK.mul_f32(0.9),
            _ => {
                self.known.insert(path.to_owned(), State::Growing(seen, Instant::now()));
                false
            }
        }
    }

    /// Deals with a file, unless that was done before this process began.
    async fn settle(&mut self, desk: &mut Desk, path: &Path, seen: Seen) {
        let key = self.key(path);
        let beginning = format!("{} {} ", seen.size, seen.modified.0);
        match self.shared.read(&key).await {
            Ok(Some(mark)) if mark.starts_with(&beginning) => {
                self.known.insert(path.to_owned(), State::Settled(seen));
                return;
            }
            Ok(_) => {}
            Err(failure) => return self.trouble(&failure.message),
        }
        let of = path.to_owned();
        let sha256 = match tokio::task::spawn_blocking(move || folder::digest(&of)).await {
            Ok(Ok(sha256)) => sha256,
            Ok(Err(error)) => return self.trouble(&format!("{}: {error}", path.display())),
            Err(error) => return self.trouble(&error.to_string()),
        };
        self.known.insert(path.to_owned(), State::Settled(seen));
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = path.display().to_string();
        let mark = format!("{beginning}{sha256}");
        let own_key = Some(format!("{text} {mark}"));
        let found = FileFound { path: text.clone(), name, size: seen.size, modified: seen.modified, sha256 };
        let context = trigger::file(&found);
        let folder = path.parent().map(Path::to_path_buf);
        desk.take(Came {
            source: text,
            context,
            raw: None,
            own_key,
            folder,
            mark: Some(Mark { key, value: mark, expire: None }),
            message: None,
        })
        .await;
    }

    /// A file that is gone is new when it comes back.
    async fn forget(&mut self, files: &BTreeMap<PathBuf, Seen>) {
        let gone: Vec<PathBuf> = self.known.keys().filter(|path| !files.contains_key(*path)).cloned().collect();
        for path in gone {
            self.known.remove(&path);
            if let Err(failure) = self.shared.ask(KvRequest::Del { key: self.key(&path) }).await {
                self.trouble(&failure.message);
            }
        }
    }

    fn key(&self, path: &Path) -> String {
        format!("\u{1}trigger-file:{}", hash(&[&self.name.workflow, &self.name.id, &path.to_string_lossy()]))
    }

    fn say(&mut self, crowded: bool) {
        if crowded && !self.crowded {
            tracing::warn!(workflow = %self.name.workflow, folder = %self.path.display(), "a folder holds more than {MOST} files: the others are not looked at");
        }
        self.crowded = crowded;
        self.shared.books.listens(&self.name, None, true);
    }

    fn trouble(&self, why: &str) {
        let failure = Failure::new("PH8507", Class::Operator, format!("{}: {why}", self.path.display()));
        self.shared.books.listens(&self.name, Some(failure.message.clone()), false);
        self.shared.tell(&self.name, "the folder", &failure);
    }
}
