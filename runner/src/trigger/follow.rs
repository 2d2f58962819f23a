//! The task that follows generations, and the handle of everything that listens.

use super::books::{Books, Name, TriggerView};
use super::judge::{Definition, Judge};
use super::letters::{Letter, Letters};
use super::line::Line;
use super::shared::{Came, Order, Shared, now};
use super::starter::{Begun, Key, Starter};
use super::told::Told;
use super::{file, mqtt, schedule};
use crate::catalog::{Catalogs, Generation};
use crate::store::KeyValue;
use bytes::Bytes;
use packhorse_core::failure::{Class, Failure};
use packhorse_core::rate::Rate;
use packhorse_core::trigger::{self, Arrived, Kind, MAX_PAYLOAD, Source};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// What is being started when everything stops may take so long.
const PARTING: Duration = Duration::from_secs(3);

/// What triggers are made of.
pub struct Parts {
    /// Where messages come from.
    pub line: Line,
    /// What is durable: marks, letters.
    pub index: Arc<dyn KeyValue>,
    /// Starts runs.
    pub starter: Arc<dyn Starter>,
    /// What counts.
    pub catalogs: Catalogs,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Parts").field("catalogs", &self.catalogs).finish_non_exhaustive()
    }
}

/// A trigger at work.
struct Live {
    definition: watch::Sender<Definition>,
    /// Nothing for requests, which wait for nobody.
    task: Option<JoinHandle<()>>,
    /// To messages: it ends by itself when this is dropped, and when everything stops.
    listens: bool,
    rate: Rate,
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(task) = self.task.as_ref().filter(|_| !self.listens) {
            task.abort();
        }
    }
}

type All = BTreeMap<Name, Live>;

/// What a request came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Called {
    /// A run, new or not.
    Run(Begun),
    /// The trigger's `if` does not hold.
    Ignored,
}

/// All triggers of a process; clones are handles of the same.
#[derive(Clone)]
pub struct Triggers {
    shared: Arc<Shared>,
    live: Arc<Mutex<All>>,
    following: Arc<JoinHandle<()>>,
}

impl std::fmt::Debug for Triggers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Triggers").finish_non_exhaustive()
    }
}

impl Triggers {
    /// Begins to listen to what the newest generation says, and follows it.
    ///
    /// # Errors
    ///
    /// Where the system gives no thread to evaluate expressions on.
    pub fn start(parts: Parts) -> std::io::Result<Self> {
        let Parts { line, index, starter, catalogs } = parts;
        let (judge, letters) = (Judge::start("triggers")?, Letters::new(Arc::clone(&index)));
        let (books, told) = (Books::default(), Mutex::new(Told::default()));
        let (stopping, left, parting) = (watch::Sender::new(false), Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared { line, index, starter, judge, letters, books, told, stopping, left, parting });
        let live = Arc::new(Mutex::new(All::new()));
        let following = tokio::spawn(follow(catalogs.subscribe(), Arc::clone(&shared), Arc::clone(&live)));
        Ok(Self { shared, live, following: Arc::new(following) })
    }

    /// Takes nothing more. Messages that wait are kept; what else waits is lost where it has no other place to be found in.
    pub async fn stop(&self) {
        self.following.abort();
        self.shared.stopping.send_replace(true);
        let mut listening: Vec<_> =
            lock(&self.live).values_mut().filter(|live| live.listens).filter_map(|live| live.task.take()).collect();
        listening.extend(std::mem::take(&mut *lock(&self.shared.parting)).into_values());
        let deadline = Instant::now() + PARTING;
        for mut task in listening {
            if timeout_at(deadline, &mut task).await.is_err() {
                tracing::warn!("a trigger is cut off");
                task.abort();
            }
        }
        // Before what was not read is dropped: the broker keeps it.
        self.shared.line.close().await;
        self.shared.left.lock().unwrap_or_else(PoisonError::into_inner).clear();
        lock(&self.live).clear();
    }

    /// All of them, by workflow and id.
    pub fn list(&self) -> Vec<TriggerView> {
        let live = lock(&self.live);
        live.iter().map(|(name, live)| view(name, &live.definition.borrow(), &self.shared)).collect()
    }

    /// What no run could be made of.
    pub fn letters(&self) -> &Letters {
        &self.shared.letters
    }

    /// A request to a workflow: to its only trigger of kind `http`, or to the one of this id.
    ///
    /// # Errors
    ///
    /// PH8503 where there is no such trigger, PH8504 where it starts too many, what is wrong with the body, or what the start failed by.
    pub async fn call(
        &self,
        workflow: &str,
        id: Option<&str>,
        body: Bytes,
        key: Option<Key>,
    ) -> Result<Called, Failure> {
        let (name, definition) = self.http(workflow, id)?;
        if body.len() > MAX_PAYLOAD {
            let message = format!("a payload of {} bytes is larger than {MAX_PAYLOAD}", body.len());
            return Err(Failure::new("PH8501", Class::Permanent, message));
        }
        let came = Came { source: "http".to_owned(), context: trigger::http(&body, now()), ..Came::default() };
        let failed = |_: &Failure| self.shared.books.note(&name, |page| page.counts.failed += 1);
        let judged = self.shared.judged(&name, &definition, &came).await.inspect_err(failed)?;
        let Some(start) = judged else { return Ok(Called::Ignored) };
        self.token(&name)?;
        let order = Order { came, start };
        let begun = match key {
            Some(key) => self.shared.begin_as(&name, &order, Some(key)).await,
            None => self.shared.begin(&name, &order).await,
        };
        begun.map(Called::Run).inspect_err(failed)
    }

    /// Makes a run of a dead letter after all, and throws the letter away; nothing where the trigger ignores it now.
    ///
    /// # Errors
    ///
    /// PH8505 where there is none, PH8503 where its trigger is gone, PH8506 where it was not kept whole, or what is still wrong.
    pub async fn retry(&self, id: u64) -> Result<Option<Begun>, Failure> {
        let letter = self.shared.letters.show(id).await?;
        let name = Name { workflow: letter.workflow.clone(), id: letter.trigger.clone() };
        let definition = lock(&self.live).get(&name).map(|live| live.definition.borrow().clone());
        let definition = definition.ok_or_else(|| no_trigger(&name.workflow, Some(&name.id)))?;
        let came = came(&letter)?;
        let begun = match self.shared.judged(&name, &definition, &came).await? {
            Some(start) => Some(self.shared.begin(&name, &Order { came, start }).await?),
            None => None,
        };
        self.shared.letters.drop(id).await?;
        Ok(begun)
    }

    fn http(&self, workflow: &str, id: Option<&str>) -> Result<(Name, Definition), Failure> {
        let live = lock(&self.live);
        let mut found = live.iter().filter(|(name, live)| {
            let is_http = live.definition.borrow().trigger.kind() == Kind::Http;
            name.workflow == workflow && is_http && id.is_none_or(|id| id == name.id)
        });
        match (found.next(), found.next()) {
            (Some((name, live)), None) => Ok((name.clone(), live.definition.borrow().clone())),
            (Some(_), Some(_)) => {
                let message = format!("the workflow {workflow} has more than one trigger of kind http");
                Err(Failure::new("PH8503", Class::Permanent, message).hint("name one: ?trigger=ID"))
            }
            (None, _) => Err(no_trigger(workflow, id)),
        }
    }

    fn token(&self, name: &Name) -> Result<(), Failure> {
        let mut live = lock(&self.live);
        let Some(live) = live.get_mut(name) else { return Ok(()) };
        let most = live.definition.borrow().trigger.max_rate;
        let now = now();
        live.rate.take(trigger::pace(most), now).map_err(|ms| {
            let seconds = ms.div_ceil(1_000);
            let message = format!("the trigger starts {most} runs a minute at the most; the next one in {seconds} s");
            Failure::new("PH8504", Class::Transient, message).not_before(now.0.saturating_add(ms))
        })
    }
}

/// What a letter was made of.
fn came(letter: &Letter) -> Result<Came, Failure> {
    let raw = letter.whole().map(Bytes::from);
    let context = match (&letter.context, &raw) {
        (Some(context), _) => context.clone(),
        (None, Some(payload)) => trigger::mqtt(&Arrived { topic: &letter.source, payload, at: now() }),
        (None, None) => {
            let message = format!("of dead letter {} only the beginning was kept", letter.id);
            return Err(Failure::new("PH8506", Class::Permanent, message));
        }
    };
    let folder = context.get("path").and_then(Value::as_str).and_then(|path| std::path::Path::new(path).parent());
    let folder = folder.map(std::path::Path::to_path_buf).or_else(|| (letter.kind == "schedule").then(|| ".".into()));
    // Whoever tries it twice at once gets one run.
    let own_key = letter.key.clone().or_else(|| Some(format!("letter {} {}", letter.id, letter.at)));
    Ok(Came { source: letter.source.clone(), context, raw, own_key, folder, ..Came::default() })
}

fn no_trigger(workflow: &str, id: Option<&str>) -> Failure {
    let what = id.map_or_else(|| "trigger of kind http".to_owned(), |id| format!("trigger {id}"));
    Failure::new("PH8503", Class::Permanent, format!("no workflow {workflow} with a {what} is loaded"))
        .hint("`packhorse triggers` lists them")
}

fn view(name: &Name, definition: &Definition, shared: &Shared) -> TriggerView {
    let page = shared.books.page(name);
    let text = |time: Option<packhorse_core::run::WallTime>| time.map(packhorse_core::run::WallTime::to_rfc3339);
    TriggerView {
        workflow: name.workflow.clone(),
        id: name.id.clone(),
        kind: definition.trigger.kind().name().to_owned(),
        what: definition.trigger.what(),
        last_fired: text(page.last_fired),
        next_fire: text(page.next_fire),
        listens: page.listens || definition.trigger.kind() == Kind::Http,
        waiting: page.waiting,
        counts: page.counts,
        trouble: page.trouble,
    }
}

async fn follow(mut generations: watch::Receiver<Arc<Generation>>, shared: Arc<Shared>, live: Arc<Mutex<All>>) {
    loop {
        let generation = Arc::clone(&generations.borrow_and_update());
        change(&generation, &shared, &mut lock(&live));
        if generations.changed().await.is_err() {
            return;
        }
    }
}

/// Makes what is live what the generation says.
fn change(generation: &Generation, shared: &Arc<Shared>, live: &mut All) {
    let mut wanted: BTreeMap<Name, Definition> = BTreeMap::new();
    let loaded = generation.workflows.entries().filter_map(|(_, entry)| entry.live.as_ref());
    for workflow in loaded.map(|loaded| &loaded.value.workflow) {
        for trigger in &workflow.triggers {
            let name = Name { workflow: workflow.name.clone(), id: trigger.id.clone() };
            let definition = Definition { workflow: Arc::clone(workflow), trigger: Arc::new(trigger.clone()) };
            wanted.insert(name, definition);
        }
    }
    shared.line.wants(wanted.values().filter_map(topic).collect());
    live.retain(|name, live| {
        let stays = wanted.get(name).is_some_and(|wanted| same(wanted, &live.definition.borrow()));
        match (stays, wanted.contains_key(name)) {
            (true, _) => {}
            (false, true) => shared.books.listens(name, None, false),
            (false, false) => shared.books.forget(name),
        }
        if !stays
            && live.listens
            && let Some(task) = live.task.take()
        {
            shared.part(name, task);
        }
        stays
    });
    for (name, definition) in wanted {
        match live.get(&name) {
            Some(live) => drop(live.definition.send_replace(definition)),
            None => drop(live.insert(name.clone(), begun(shared, name, definition))),
        }
    }
}

fn topic(definition: &Definition) -> Option<String> {
    match &definition.trigger.source {
        Source::Mqtt { topic } => Some(topic.clone()),
        _ => None,
    }
}

/// Whether what a trigger listens to has not changed; everything else of it may change while it listens.
fn same(one: &Definition, other: &Definition) -> bool {
    match (&one.trigger.source, &other.trigger.source) {
        (Source::Mqtt { topic }, Source::Mqtt { topic: before }) => topic == before,
        (Source::File { folder, glob }, Source::File { folder: before, glob: was }) => folder == before && glob == was,
        (Source::Schedule(_), Source::Schedule(_)) | (Source::Http, Source::Http) => true,
        _ => false,
    }
}

fn begun(shared: &Arc<Shared>, name: Name, definition: Definition) -> Live {
    let (source, most) = (definition.trigger.source.clone(), definition.trigger.max_rate);
    let (definition, changes) = watch::channel(definition);
    let (shared, listens) = (Arc::clone(shared), matches!(source, Source::Mqtt { .. }));
    let task = match source {
        Source::Mqtt { topic } => {
            let earlier = shared.parting(&name);
            Some(tokio::spawn(mqtt::listen(shared, name, changes, (topic, earlier))))
        }
        Source::Schedule(_) => Some(tokio::spawn(schedule::listen(shared, name, changes))),
        Source::File { folder, glob } => Some(tokio::spawn(file::listen(shared, name, changes, (folder, glob)))),
        Source::Http => None,
    };
    Live { definition, task, listens, rate: Rate::new(trigger::pace(most), now()) }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
