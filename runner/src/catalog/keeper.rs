//! The task that looks at the folders, judges what is new, and swaps generations.

use super::checker::Checker;
use super::devices::Reader;
use super::generation::{Generation, Shelved, Told};
use super::judge::{self, Lack};
use super::scan::{Scanner, View};
use super::watch::Watch;
use crate::plugin::pin::MAX_PIN_BYTES;
use crate::plugin::{Host, MAX_LARGE_COMPONENT_BYTES};
use packhorse_core::catalog::{Change, Seen};
use packhorse_core::failure::{Class, Failure};
use packhorse_core::run::WallTime;
use packhorse_core::workflow::MAX_BYTES;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

/// So long nothing may happen in a folder before it is looked at.
const QUIET: Duration = Duration::from_millis(20);
/// So long after the first hint it is looked at in any case.
const LATEST: Duration = Duration::from_millis(100);
/// Before what is being written is looked at again.
const AGAIN: Duration = Duration::from_millis(40);
/// Between looks without any hint: not every file system tells.
const POLL: Duration = Duration::from_secs(1);
/// Requests to reload that may wait.
const REQUESTS: usize = 64;

/// Where things lie.
#[derive(Clone)]
pub struct Options {
    /// `*.yaml`.
    pub workflows: PathBuf,
    /// `*.wasm`.
    pub plugins: PathBuf,
    /// `*.yaml`, of devices.
    pub devices: PathBuf,
    /// Loads plugins.
    pub host: Host,
    /// Plugins of which a file may take the place of a newer version.
    pub downgrades: BTreeSet<String>,
    /// Tells the time.
    pub clock: fn() -> WallTime,
    /// Hears of every change.
    pub told: Listener,
}

/// Hears of changes.
pub type Listener = Arc<dyn Fn(&Told) + Send + Sync>;

impl std::fmt::Debug for Options {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("Options");
        shown
            .field("workflows", &self.workflows)
            .field("plugins", &self.plugins)
            .field("devices", &self.devices)
            .finish_non_exhaustive()
    }
}

/// What a reload came to.
#[derive(Debug, Clone)]
pub struct Reload {
    /// What counts now.
    pub generation: Arc<Generation>,
    /// What this look changed.
    pub changes: Vec<Told>,
}

/// What counts now, and how to have it looked at again. When all clones are gone, the task ends.
#[derive(Debug, Clone)]
pub struct Catalogs {
    generations: watch::Receiver<Arc<Generation>>,
    requests: mpsc::Sender<oneshot::Sender<Reload>>,
}

impl Catalogs {
    /// Looks once, judging everything that lies there, and then goes on looking. Bad files keep nothing else from loading.
    ///
    /// # Errors
    ///
    /// Where the system gives no thread to check workflows on.
    pub async fn start(options: Options) -> std::io::Result<Self> {
        let (sender, generations) = watch::channel(Arc::new(Generation::default()));
        let (requests, asked) = mpsc::channel(REQUESTS);
        let (watch, hints) = Watch::start(&[&options.workflows, &options.plugins, &options.devices]);
        let folders = Folders {
            workflows: Scanner::new(&options.workflows, "yaml", MAX_BYTES as u64 + 1),
            plugins: Scanner::new(&options.plugins, "wasm", MAX_LARGE_COMPONENT_BYTES as u64),
            devices: Scanner::new(&options.devices, "yaml", MAX_BYTES as u64 + 1),
            pins: Scanner::new(&options.plugins, "pin", MAX_PIN_BYTES),
        };
        let checker = Checker::start()?;
        let mut keeper = Keeper {
            host: options.host,
            downgrades: options.downgrades,
            clock: options.clock,
            told: options.told,
            folders,
            watch,
            checker,
            reader: Reader::default(),
            sender,
            verdicts: HashMap::new(),
            judging: JoinSet::new(),
        };
        keeper.look_whole().await;
        tokio::spawn(keeper.work(hints, asked));
        Ok(Self { generations, requests })
    }

    /// What counts now.
    pub fn current(&self) -> Arc<Generation> {
        Arc::clone(&self.generations.borrow())
    }

    /// Tells of each new generation.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Generation>> {
        self.generations.clone()
    }

    /// Looks now, without waiting for quiet, and returns when everything that lies there is judged. `None` when the task has ended.
    pub async fn reload(&self) -> Option<Reload> {
        let (sender, answer) = oneshot::channel();
        self.requests.send(sender).await.ok()?;
        answer.await.ok()
    }
}

/// A file's name and the digest of a content of it.
type Key = (String, String);
/// What is known of a plugin's content; `None` while it is being judged.
type Verdict = Option<Result<Arc<Shelved>, Failure>>;

#[derive(Debug, Clone)]
struct Folders {
    workflows: Scanner,
    plugins: Scanner,
    devices: Scanner,
    pins: Scanner,
}

struct Keeper {
    host: Host,
    downgrades: BTreeSet<String>,
    clock: fn() -> WallTime,
    told: Listener,
    folders: Folders,
    watch: Watch,
    checker: Checker,
    reader: Reader,
    sender: watch::Sender<Arc<Generation>>,
    verdicts: HashMap<Key, Verdict>,
    judging: JoinSet<(Key, Result<Shelved, Failure>)>,
}

impl Keeper {
    async fn work(mut self, mut hints: mpsc::Receiver<()>, mut asked: mpsc::Receiver<oneshot::Sender<Reload>>) {
        let mut unsettled = false;
        loop {
            let pause = if unsettled { AGAIN } else { POLL };
            tokio::select! {
                request = asked.recv() => {
                    let Some(request) = request else { return };
                    let changes = self.look_whole().await;
                    // Who has gone away does not want it.
                    drop(request.send(Reload { generation: Arc::clone(&self.sender.borrow()), changes }));
                    unsettled = false;
                    continue;
                }
                Some(()) = hints.recv() => quiet(&mut hints).await,
                Some(judged) = self.judging.join_next() => self.judged(judged),
                () = tokio::time::sleep(pause) => {}
            }
            unsettled = self.look().await.1;
        }
    }

    /// Looks until nothing is being written or judged any more.
    async fn look_whole(&mut self) -> Vec<Told> {
        let mut changes = Vec::new();
        loop {
            let (told, unsettled) = self.look().await;
            changes.extend(told);
            match self.judging.join_next().await {
                Some(judged) => self.judged(judged),
                None if unsettled => tokio::time::sleep(AGAIN).await,
                None => return changes,
            }
        }
    }

    /// Looks, judges, and swaps; tells what changed, and whether something is being written.
    async fn look(&mut self) -> (Vec<Told>, bool) {
        self.watch.follow(&self.folders.all());
        let [workflows, plugins, devices, pins] = self.folders.look_twice().await;
        let unsettled = [&workflows, &plugins, &devices, &pins].into_iter().any(View::is_unsettled);
        self.begin_judging(&plugins);
        let before = Arc::clone(&self.sender.borrow());
        let now = (self.clock)();
        let mut next = Generation { number: before.number + 1, since: now, ..(*before).clone() };
        let (catalog, told) = next.plugins.next(self.plugins_seen(&plugins, &before), now);
        next.plugins = catalog;
        let mut changes = named("plugin", told);
        let (catalog, told) = next.pins.next(judge::pins(&pins, &next), now);
        next.pins = catalog;
        changes.extend(named("pin", told));
        changes.extend(self.devices(&devices, &mut next, now));
        let seen = self.workflows_seen(&workflows, &next).await;
        let (catalog, told) = next.workflows.next(seen, now);
        next.workflows = catalog;
        changes.extend(named("workflow", told));
        self.verdicts.retain(|(name, digest), _| plugins.holds(name, digest));
        if !changes.is_empty() {
            for change in &changes {
                tell(change);
                (self.told)(change);
            }
            self.sender.send_replace(Arc::new(next));
        }
        (changes, unsettled)
    }

    /// Plugins are loaded apart: compiling one must not keep a workflow from becoming live.
    fn begin_judging(&mut self, view: &View) {
        for (name, content) in view.contents() {
            let key = (name.to_owned(), content.digest.clone());
            if self.verdicts.contains_key(&key) {
                continue;
            }
            self.verdicts.insert(key.clone(), None);
            let (host, content) = (self.host.clone(), content.clone());
            self.judging.spawn_blocking(move || {
                let verdict = judge::plugin(&host, &key.0, &content);
                (key, verdict)
            });
        }
    }

    fn judged(&mut self, judged: Result<(Key, Result<Shelved, Failure>), JoinError>) {
        match judged {
            Ok((key, verdict)) => drop(self.verdicts.insert(key, Some(verdict.map(Arc::new)))),
            Err(error) => {
                tracing::error!(%error, "judging a plugin failed");
                let failure = Failure::new("PH9001", Class::Bug, format!("judging it failed: {error}"));
                let open = self.verdicts.values_mut().filter(|verdict| verdict.is_none());
                open.for_each(|verdict| *verdict = Some(Err(failure.clone())));
            }
        }
    }

    fn plugins_seen(&self, view: &View, before: &Generation) -> BTreeMap<String, Seen<Shelved>> {
        let mut seen = view.seen(before.plugins.entries().map(|(name, _)| name), |name, content| {
            match self.verdicts.get(&(name.to_owned(), content.digest.clone())) {
                Some(Some(verdict)) => {
                    let verdict = verdict.clone().and_then(|shelved| self.no_downgrade(name, before, shelved));
                    Seen::Content { digest: content.digest.clone(), verdict }
                }
                _ => Seen::Unsettled,
            }
        });
        for name in Host::embedded() {
            // A file hides the codec that came with this program; from the start, not only when it is judged.
            let hidden = view.names().any(|file| file.split('@').next() == Some(name));
            if hidden {
                continue;
            }
            let known = before.plugins.live(name).filter(|live| live.value.is_embedded());
            let verdict = known
                .map_or_else(|| judge::embedded(&self.host, name).map(Arc::new), |live| Ok(Arc::clone(&live.value)));
            let digest = verdict.as_ref().map_or_else(|_| String::new(), |shelved| shelved.digest().to_owned());
            seen.insert(name.to_owned(), Seen::Content { digest, verdict });
        }
        seen
    }

    fn no_downgrade(&self, name: &str, before: &Generation, now: Arc<Shelved>) -> Result<Arc<Shelved>, Failure> {
        let counts = before.plugins.live(name).map(|live| &*live.value).filter(|_| !self.downgrades.contains(name));
        judge::downgrade(name, counts, &now).map_or(Ok(now), Err)
    }

    fn devices(&mut self, view: &View, next: &mut Generation, now: WallTime) -> Vec<Told> {
        let verdicts = &self.verdicts;
        let pending = |reference: &str| is_open(verdicts, reference);
        let seen = self.reader.seen(view, next, &pending);
        let (catalog, told) = next.devices.next(seen, now);
        next.devices = catalog;
        if !told.is_empty() {
            next.registry = super::devices::registry(&next.devices);
        }
        named("devices", told)
    }

    async fn workflows_seen(&mut self, view: &View, next: &Generation) -> BTreeMap<String, Seen<super::Definition>> {
        let checked = self.checker.check(view.contents()).await;
        let pending = |reference: &str| is_open(&self.verdicts, reference);
        view.seen(next.workflows.entries().map(|(name, _)| name), |name, content| {
            let digest = content.digest.clone();
            let workflow = match (checked.get(name), &content.bytes) {
                (Some(Ok(workflow)), Ok(bytes)) => Ok((workflow, bytes)),
                (Some(Err(failure)), _) | (_, Err(failure)) => Err(failure.clone()),
                (None, Ok(_)) => return Seen::Unsettled,
            };
            let verdict = match workflow {
                Err(failure) => Err(failure),
                Ok((workflow, bytes)) => match judge::lacks(workflow, next, &pending) {
                    Lack::Nothing => Ok(judge::definition(workflow, bytes, &content.path)),
                    Lack::Missing(failure) => Err(failure),
                    Lack::Pending => return Seen::Unsettled,
                },
            };
            Seen::Content { digest, verdict }
        })
    }
}

/// Whether a plugin that may be meant is being judged.
fn is_open(verdicts: &HashMap<Key, Verdict>, reference: &str) -> bool {
    let name = reference.split('@').next();
    verdicts.iter().any(|((file, _), verdict)| verdict.is_none() && file.split('@').next() == name)
}

impl Folders {
    fn all(&self) -> [&std::path::Path; 3] {
        [self.workflows.folder(), self.plugins.folder(), self.devices.folder()]
    }

    /// All folders; a content that is not the same twice is being written.
    async fn look_twice(&mut self) -> [View; 4] {
        let mut scanners = self.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let Self { workflows, plugins, devices, pins } = &mut scanners;
            let views = super::scan::look_twice([workflows, plugins, devices, pins]);
            (scanners, views)
        });
        match looked.await {
            Ok((scanners, views)) => {
                *self = scanners;
                views
            }
            Err(error) => {
                tracing::error!(%error, "looking at the folders failed");
                [View::default(), View::default(), View::default(), View::default()]
            }
        }
    }
}

/// Waits until no hint comes for a moment, or long enough.
async fn quiet(hints: &mut mpsc::Receiver<()>) {
    let latest = Instant::now() + LATEST;
    while let Ok(Some(())) = tokio::time::timeout_at(latest.min(Instant::now() + QUIET), hints.recv()).await {
        if Instant::now() >= latest {
            return;
        }
    }
}

fn named(kind: &'static str, told: Vec<(String, Change)>) -> Vec<Told> {
    told.into_iter().map(|(name, change)| Told { kind, name, change }).collect()
}

fn tell(told: &Told) {
    let Told { kind, name, change } = told;
    match change {
        Change::Added => tracing::info!(kind, name, "loaded"),
        Change::Replaced => tracing::info!(kind, name, "loaded anew: new runs take it"),
        Change::Healed => tracing::info!(kind, name, "the newest content counts again"),
        Change::Removed => tracing::info!(kind, name, "gone: no new runs of it"),
        Change::Refused { failure, kept: true } => {
            tracing::error!(
                kind,
                name,
                code = failure.code,
                "not loaded, the last good one stays: {}",
                failure.message
            );
        }
        Change::Refused { failure, kept: false } => {
            tracing::error!(kind, name, code = failure.code, "not loaded: {}", failure.message);
        }
    }
}
