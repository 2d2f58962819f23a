//! Plugins that are being judged: a few at a time, and of each name the newest content alone, so that saves without end cost no more than
//! the machine bears.

use super::generation::Shelved;
use super::judge;
use super::scan::{Content, View};
use crate::plugin::Host;
use packhorse_core::failure::{Class, Failure};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Judged at one time. One compiles, as the host has it; the other may be one whose code is kept.
const WORKERS: usize = 2;

/// A file's name and the mark of a content of it.
type Key = (String, String);
type Judged = Result<Arc<Shelved>, Failure>;

/// What is known of contents, and what is still to be found out.
pub(super) struct Judging {
    host: Host,
    /// `None` while it waits or is being judged.
    verdicts: HashMap<Key, Option<Judged>>,
    /// One of each name at the most, the first to be judged first.
    queue: VecDeque<(Key, Content)>,
    under_way: BTreeMap<String, Key>,
    jobs: JoinSet<(Key, Judged)>,
}

impl Judging {
    pub(super) fn new(host: Host) -> Self {
        let (verdicts, queue, under_way, jobs) = (HashMap::new(), VecDeque::new(), BTreeMap::new(), JoinSet::new());
        Self { host, verdicts, queue, under_way, jobs }
    }

    /// Begins with what is new. What waited under the same name is passed over.
    pub(super) fn begin(&mut self, view: &View) {
        for (name, content) in view.contents() {
            let key = (name.to_owned(), content.mark());
            if self.verdicts.contains_key(&key) {
                continue;
            }
            self.queue.retain(|(waits, _)| waits.0 != name);
            self.verdicts.retain(|(of, mark), verdict| of != name || verdict.is_some() || *mark == key.1);
            if self.under_way.get(name) != Some(&key) {
                self.queue.push_back((key.clone(), content.clone()));
            }
            self.verdicts.insert(key, None);
        }
        self.start();
    }

    /// Lets go of what no file holds any more.
    pub(super) fn forget(&mut self, view: &View) {
        self.verdicts.retain(|(name, mark), _| view.holds(name, mark));
        self.queue.retain(|(key, _)| self.verdicts.contains_key(key));
    }

    fn start(&mut self) {
        while self.jobs.len() < WORKERS {
            let free = self.queue.iter().position(|((name, _), _)| !self.under_way.contains_key(name));
            let Some((key, content)) = free.and_then(|place| self.queue.remove(place)) else { return };
            self.under_way.insert(key.0.clone(), key.clone());
            let host = self.host.clone();
            self.jobs.spawn_blocking(move || {
                let judged = catch_unwind(AssertUnwindSafe(|| judge::plugin(&host, &key.0, &content)));
                let panicked = |_| Err(Failure::new("PH9001", Class::Bug, "judging it panicked"));
                (key, judged.unwrap_or_else(panicked).map(Arc::new))
            });
        }
    }

    /// Waits until one more is judged; nothing where none is being judged. Safe to cancel.
    pub(super) async fn next(&mut self) -> Option<()> {
        match self.jobs.join_next().await? {
            Ok((key, judged)) => {
                self.under_way.remove(&key.0);
                // Nobody has asked for one that was saved over meanwhile.
                if let Some(verdict) = self.verdicts.get_mut(&key) {
                    *verdict = Some(judged);
                }
            }
            // Only where the process ends.
            Err(error) => tracing::error!(%error, "judging a plugin was cut off"),
        }
        self.start();
        Some(())
    }

    /// Waits until everything is judged that is known by now.
    pub(super) async fn settle(&mut self) {
        while self.next().await.is_some() {}
    }

    /// What came of a content, where that is known.
    pub(super) fn verdict(&self, name: &str, content: &Content) -> Option<&Judged> {
        self.verdicts.get(&(name.to_owned(), content.mark()))?.as_ref()
    }

    /// Names of which a content is not judged yet.
    pub(super) fn open(&self) -> impl Iterator<Item = &str> {
        self.verdicts.iter().filter(|(_, verdict)| verdict.is_none()).map(|((name, _), _)| name.as_str())
    }

    /// Whether a plugin that may be meant is not judged yet.
    pub(super) fn is_open(&self, reference: &str) -> bool {
        let name = reference.split('@').next();
        self.open().any(|file| file.split('@').next() == name)
    }
}
