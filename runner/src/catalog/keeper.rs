//! The task that looks at the folders, judges what is new, and swaps generations.

use super::checker::Checker;
use super::devices::Reader;
use super::generation::{Generation, Shelved, Told};
use super::judge::{self, Lack};
use super::judging::Judging;
use super::scan::{Scanner, View};
use super::watch::Watch;
use crate::plugin::pin::MAX_PIN_BYTES;
use crate::plugin::{Host, MAX_LARGE_COMPONENT_BYTES};
use packhorse_core::catalog::{Catalog, Change, Seen};
use packhorse_core::failure::Failure;
use packhorse_core::run::WallTime;
use packhorse_core::workflow::MAX_BYTES;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// So long nothing may happen in a folder before it is looked at.
const QUIET: Duration = Duration::from_millis(20);
/// So long after the first hint it is looked at in any case.
const LATEST: Duration = Duration::from_millis(100);
/// Before what is being written is looked at again.
const AGAIN: Duration = Duration::from_millis(40);
/// Between looks without any hint: not every file system tells.
const POLL: Duration = Duration::from_secs(1);
/// A file that is written without end is waited for no longer when somebody wants to know what counts.
const SETTLE: Duration = Duration::from_secs(5);
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
    /// Kinds and names of files that were being written all the time, or of which a content is not judged yet: what counted before counts.
    pub unsettled: Vec<(&'static str, String)>,
}

/// What counts now, and how to have it looked at again. When all clones are gone, the task ends.
#[derive(Debug, Clone)]
pub struct Catalogs {
    generations: watch::Receiver<Arc<Generation>>,
    requests: mpsc::Sender<oneshot::Sender<Reload>>,
}

impl Catalogs {
    /// Looks once, judging everything that lies there, and then goes on looking. Bad files, and those that are written without end, keep nothing
    /// else from loading.
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
            plugins: Scanner::new(&options.plugins, "wasm", MAX_LARGE_COMPONENT_BYTES as u64).with_vectors(),
            devices: Scanner::new(&options.devices, "yaml", MAX_BYTES as u64 + 1),
            pins: Scanner::new(&options.plugins, "pin", MAX_PIN_BYTES),
        };
        let checker = Checker::start()?;
        let mut keeper = Keeper {
            judging: Judging::new(options.host.clone()),
            host: options.host,
            downgrades: options.downgrades,
            clock: options.clock,
            told: options.told,
            folders,
            watch,
            checker,
            reader: Reader::default(),
            sender,
        };
        keeper.begin();
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

    /// Looks now, without waiting for quiet, and returns when everything that lies there is judged, but for what is written without end. `None`
    /// when the task has ended.
    pub async fn reload(&self) -> Option<Reload> {
        let (sender, answer) = oneshot::channel();
        self.requests.send(sender).await.ok()?;
        answer.await.ok()
    }
}

/// Kinds and names of what is being written, or not judged yet.
type Unsettled = Vec<(&'static str, String)>;

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
    judging: Judging,
}

impl Keeper {
    async fn work(mut self, mut hints: mpsc::Receiver<()>, mut asked: mpsc::Receiver<oneshot::Sender<Reload>>) {
        let mut unsettled = false;
        loop {
            let pause = if unsettled { AGAIN } else { POLL };
            tokio::select! {
                request = asked.recv() => {
                    let Some(request) = request else { return };
                    self.answer(request, &mut asked).await;
                    unsettled = false;
                    continue;
                }
                Some(()) = hints.recv() => quiet(&mut hints).await,
                Some(()) = self.judging.next() => {}
                () = tokio::time::sleep(pause) => {}
            }
            unsettled = !self.look().await.1.is_empty();
        }
    }

    /// One look for all who have asked by now.
    async fn answer(&mut self, first: oneshot::Sender<Reload>, asked: &mut mpsc::Receiver<oneshot::Sender<Reload>>) {
        let mut requests = vec![first];
        requests.extend(std::iter::from_fn(|| asked.try_recv().ok()).take(REQUESTS));
        let (changes, unsettled) = self.look_whole().await;
        let reload = Reload { generation: Arc::clone(&self.sender.borrow()), changes, unsettled };
        // Who has gone away does not want it.
        requests.into_iter().for_each(|request| drop(request.send(reload.clone())));
    }

    /// The codecs that came with this program count before anything is looked at, so that no file that is not good takes their place.
    fn begin(&mut self) {
        let now = (self.clock)();
        let seen = Host::embedded().map(|name| (name.to_owned(), self.embedded(name, None))).collect();
        let (plugins, told) = Catalog::default().next(seen, now);
        self.tell(&named("plugin", told));
        self.sender.send_replace(Arc::new(Generation { since: now, plugins, ..Generation::default() }));
    }

    /// Looks until nothing is being written or judged any more, or for [`SETTLE`] and until that is judged which was found by then; tells what
    /// changed, and what is not settled.
    async fn look_whole(&mut self) -> (Vec<Told>, Unsettled) {
        let (deadline, mut changes) = (Instant::now() + SETTLE, Vec::new());
        loop {
            let (told, unsettled) = self.look().await;
            changes.extend(told);
            if Instant::now() >= deadline {
                self.judging.settle().await;
                let (told, unsettled) = self.look().await;
                changes.extend(told);
                let open = self.judging.open().map(|name| ("plugin", name.to_owned()));
                return (changes, unsettled.into_iter().chain(open).collect());
            }
            match self.judging.next().await {
                Some(()) => {}
                None if unsettled.is_empty() => return (changes, unsettled),
                None => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    /// Looks, judges, and swaps; tells what changed, and what is being written.
    async fn look(&mut self) -> (Vec<Told>, Unsettled) {
        self.watch.follow(&self.folders.all());
        let views = self.folders.look_twice().await;
        let unsettled = unsettled(&views);
        let [workflows, plugins, devices, pins] = views;
        self.judging.begin(&plugins);
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
        self.judging.forget(&plugins);
        if !changes.is_empty() {
            self.tell(&changes);
            self.sender.send_replace(Arc::new(next));
        }
        (changes, unsettled)
    }

    fn tell(&self, changes: &[Told]) {
        for change in changes {
            tell(change);
            (self.told)(change);
        }
    }

    fn plugins_seen(&self, view: &View, before: &Generation) -> BTreeMap<String, Seen<Shelved>> {
        let mut seen = view.seen(before.plugins.entries().map(|(name, _)| name), |name, content| {
            match self.judging.verdict(name, content) {
                Some(verdict) => {
                    let verdict = verdict.clone().and_then(|shelved| self.no_downgrade(name, before, shelved));
                    Seen::Content { digest: content.digest.clone(), verdict }
                }
                None => Seen::Unsettled,
            }
        });
        for name in Host::embedded().filter(|name| !seen.contains_key(*name)).collect::<Vec<_>>() {
            // A file with a version in its name hides the codec that came with this program when it counts, and no sooner.
            let hidden = seen.iter().any(|(file, seen)| is_version_of(name, file) && counts(file, seen, before));
            if !hidden {
                seen.insert(name.to_owned(), self.embedded(name, Some(before)));
            }
        }
        seen
    }

    fn embedded(&self, name: &str, before: Option<&Generation>) -> Seen<Shelved> {
        let known = before.and_then(|before| before.plugins.live(name)).filter(|live| live.value.is_embedded());
        let load = || judge::embedded(&self.host, name).map(Arc::new);
        let verdict = known.map_or_else(load, |live| Ok(Arc::clone(&live.value)));
        let digest = verdict.as_ref().map_or_else(|_| String::new(), |shelved| shelved.digest().to_owned());
        Seen::Content { digest, verdict }
    }

    fn no_downgrade(&self, name: &str, before: &Generation, now: Arc<Shelved>) -> Result<Arc<Shelved>, Failure> {
        let counts = before.plugins.live(name).map(|live| &*live.value).filter(|_| !self.downgrades.contains(name));
        judge::downgrade(name, counts, &now).map_or(Ok(now), Err)
    }

    fn devices(&mut self, view: &View, next: &mut Generation, now: WallTime) -> Vec<Told> {
        let judging = &self.judging;
        let pending = |reference: &str| judging.is_open(reference);
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
        let pending = |reference: &str| self.judging.is_open(reference);
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

/// Whether a file is `NAME@VERSION` of this name.
fn is_version_of(name: &str, file: &str) -> bool {
    file.strip_prefix(name).is_some_and(|rest| rest.starts_with('@'))
}

/// Whether some content of a file counts after this look.
fn counts(file: &str, seen: &Seen<Shelved>, before: &Generation) -> bool {
    matches!(seen, Seen::Content { verdict: Ok(_), .. }) || before.plugins.live(file).is_some()
}

/// What is being written.
fn unsettled([workflows, plugins, devices, pins]: &[View; 4]) -> Unsettled {
    let of = |kind: &'static str, view: &View| -> Unsettled {
        view.unsettled().map(|name| (kind, name.to_owned())).collect()
    };
    [of("workflow", workflows), of("plugin", plugins), of("devices", devices), of("pin", pins)].concat()
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
