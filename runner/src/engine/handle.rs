//! What the rest of the program asks of the engine.

use super::actor::{Actor, is_at_rest};
use super::clock::Clock;
use super::command::{Command, Reply, Wish};
use super::load::{blocking, read};
use super::performer::{Performer, Progress};
use super::telling::TransferView;
use crate::store::{Journal, StoreError, Writer};
use packhorse_core::admission::Hold;
use packhorse_core::failure::Failure;
use packhorse_core::run::{
    CodecPin, Created, Durability, Reason, Record, Refused, RunEvent, RunId, RunStatus, RunView,
};
use packhorse_core::workflow::Workflow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Commands that may wait for the engine: it handles thousands a second, so that more would only hide that it does not keep up.
const COMMANDS: usize = 256;

/// Runs that are listed or taken up in one go.
const PAGE: usize = 256;

/// Stack of the engine's thread: expressions are evaluated on it.
const STACK: usize = 64 * 1024 * 1024;

/// Turns the stored source of a workflow into the checked model again. Called on a thread with a large stack.
pub type Compile = dyn Fn(&[u8]) -> Result<Workflow, Failure> + Send + Sync;

/// What an engine is made of.
pub struct Parts {
    /// Where facts go.
    pub journal: Arc<dyn Journal>,
    /// Who carries effects out.
    pub performer: Arc<dyn Performer>,
    /// For runs that are taken up again.
    pub compile: Arc<Compile>,
    /// Name under which runs are claimed. The embedded journal's is fixed: the lock on the data folder guards it.
    pub owner: String,
    /// What the journal promises: effects that must not happen twice depend on it.
    pub durability: Durability,
    /// Where jobs run.
    pub jobs: tokio::runtime::Handle,
    /// Told of each run when its end is durable.
    pub ended: Option<mpsc::UnboundedSender<LiveView>>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Parts").field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// A run to be started. Its plugin's bytes have been put into the journal as an object.
#[derive(Debug)]
pub struct NewRun {
    /// The checked workflow.
    pub workflow: Arc<Workflow>,
    /// Its source, from which `compile` makes the same again; its SHA-256 is `created.digest`.
    pub source: Vec<u8>,
    /// What it is pinned to; its id is from [`new_run_id`].
    pub created: Created,
}

/// A run with what its effect under way tells right now.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LiveView {
    /// As journaled.
    #[serde(flatten)]
    pub view: RunView,
    /// Of the effect under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// What is known of its transfer, under way or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<TransferView>,
    /// Whether a process works on it.
    #[serde(default)]
    pub live: bool,
}

/// How many runs the engine works on, of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Of this workflow.
    pub workflow: String,
    /// In this status.
    pub status: RunStatus,
    /// For this reason.
    pub reason: Option<Reason>,
    /// Of this priority, from 1 (critical) to 5.
    pub priority: u8,
    /// So many.
    pub runs: usize,
    /// For so long the one that was created first has been there.
    pub oldest: Duration,
}

/// Why the engine did not do it.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No such run.
    #[error("there is no run {0}")]
    Unknown(RunId),
    /// No such run, and the store has lost writes.
    #[error(
        "there is no run {run}; the store has lost writes ({times} times noticed), and it may have been among them"
    )]
    Lost {
        /// The run.
        run: RunId,
        /// How often losses were noticed.
        times: usize,
    },
    /// A new run has the id of one that is there.
    #[error("the id {0} is taken")]
    Taken(RunId),
    /// The run cannot do that now.
    #[error("{run}: {source}")]
    Refused {
        /// The run.
        run: RunId,
        /// Why.
        source: Refused,
    },
    /// Its journal or its workflow cannot be understood, somebody else works on it, or nobody does.
    #[error("{run} cannot be worked on: {why}")]
    Unreadable {
        /// The run.
        run: RunId,
        /// Why.
        why: String,
    },
    /// A new run's concurrency group is full, and the run does not wait.
    #[error("the concurrency group {group} is full: {by} is in it, and `on_conflict: reject` refuses this run")]
    GroupFull {
        /// The group.
        group: String,
        /// One of those in it.
        by: RunId,
    },
    /// The journal.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine has stopped.
    #[error("the engine has stopped: {0}")]
    Stopped(String),
}

/// Asks the engine. Cloneable; the engine works until [`EngineHandle::shutdown`]. When all handles are gone without it, the engine ends at
/// once, as if the process were killed: nothing is parked.
#[derive(Clone)]
pub struct EngineHandle {
    commands: mpsc::Sender<Command>,
    journal: Arc<dyn Journal>,
    clock: Clock,
    /// The reason, once the engine has stopped.
    stopped: watch::Receiver<Option<String>>,
}

impl std::fmt::Debug for EngineHandle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("EngineHandle")
    }
}

pub(super) fn not_live(run: &RunId) -> EngineError {
    let why = "nobody works on it now; packhorse resume takes it up".to_owned();
    EngineError::Unreadable { run: run.clone(), why }
}

/// A new id, later than all ids made before in this process.
pub fn new_run_id() -> RunId {
    static GENERATOR: Mutex<ulid::Generator> = Mutex::new(ulid::Generator::new());
    let mut generator = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    // The generator fails where 2^80 ids were made in one millisecond.
    let ulid = generator.generate().unwrap_or_else(|_| ulid::Ulid::new());
    format!("run_{ulid}").parse().expect("a ULID is written as ids are")
}

impl EngineHandle {
    /// Starts the engine's threads. No run is taken up yet: see [`EngineHandle::recover_all`].
    ///
    /// # Errors
    ///
    /// Where the system gives no thread.
    pub fn launch(parts: Parts) -> Result<Self, EngineError> {
        let no_thread = |error: std::io::Error| EngineError::Stopped(format!("cannot start its thread: {error}"));
        let (writer, writing) = Writer::start(parts.journal.clone()).map_err(no_thread)?;
        let (commands, queue) = mpsc::channel(COMMANDS);
        let (told, stopped) = watch::channel(None);
        let (journal, clock) = (parts.journal.clone(), Clock::start());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(no_thread)?;
        let work = move || {
            let actor = Actor::new(parts, clock, writer, queue, mpsc::unbounded_channel());
            let (why, waiting) = runtime.block_on(actor.work());
            // The writer ends when the engine has let go of it; then nothing holds the journal but handles.
            if writing.join().is_err() {
                tracing::error!("the journal's writer panicked");
            }
            told.send_replace(Some(why));
            waiting.into_iter().for_each(|reply| drop(reply.send(Ok(()))));
        };
        std::thread::Builder::new().name("engine".to_owned()).stack_size(STACK).spawn(work).map_err(no_thread)?;
        Ok(Self { commands, journal, clock, stopped })
    }

    /// Starts a run; returns when its creation is durable.
    pub async fn start(&self, new: NewRun) -> Result<RunId, EngineError> {
        let run = new.created.run.clone();
        self.ask(|reply| Command::Start { new: Box::new(new), reply }).await?;
        Ok(run)
    }

    /// These holds count from now on, and no others.
    pub async fn hold(&self, holds: Vec<Hold>) -> Result<(), EngineError> {
        self.ask(|reply| Command::Hold { holds, reply }).await
    }

    /// Takes up every unfinished run of the journal; returns their ids, and what kept others from being taken up.
    pub async fn recover_all(&self) -> Result<(Vec<RunId>, Vec<EngineError>), EngineError> {
        self.ask(|reply| Command::TakingUp { begun: true, reply }).await?;
        let taken = self.take_all_up().await;
        self.ask(|reply| Command::TakingUp { begun: false, reply }).await?;
        taken
    }

    async fn take_all_up(&self) -> Result<(Vec<RunId>, Vec<EngineError>), EngineError> {
        let (mut taken, mut failed) = (Vec::new(), Vec::new());
        let mut cursor = None;
        loop {
            let (journal, after) = (self.journal.clone(), cursor.clone());
            let page = blocking(move || Ok(journal.unfinished(after.as_ref(), PAGE)?)).await?;
            let Some(last) = page.last() else { return Ok((taken, failed)) };
            cursor = Some(last.clone());
            let mut asked = Vec::with_capacity(page.len());
            for run in page {
                asked.push((run.clone(), self.send(|reply| Command::Wish { run, wish: Wish::TakeUp, reply }).await?));
            }
            for (run, answer) in asked {
                match self.answer(answer).await {
                    Ok(()) => taken.push(run),
                    Err(EngineError::Stopped(why)) => return Err(EngineError::Stopped(why)),
                    Err(error) => failed.push(error),
                }
            }
        }
    }

    /// Takes up one run of the journal where the engine does not work on it yet. A paused run stays paused.
    pub async fn recover(&self, run: &RunId) -> Result<(), EngineError> {
        self.wish(run, Wish::TakeUp).await
    }

    /// Goes on after a pause or an interruption; takes the run up first where need be.
    pub async fn resume(&self, run: &RunId) -> Result<(), EngineError> {
        self.wish(run, Wish::Resume).await
    }

    /// Pauses; returns when the wish is durable, the effect may still be stopping.
    pub async fn pause(&self, run: &RunId) -> Result<(), EngineError> {
        self.wish(run, Wish::Event(RunEvent::Pause)).await
    }

    /// Cancels; returns when the wish is durable.
    pub async fn cancel(&self, run: &RunId, reason: Option<String>) -> Result<(), EngineError> {
        self.wish(run, Wish::Event(RunEvent::Cancel { reason })).await
    }

    /// Continues a failed run at the failed step.
    pub async fn retry(&self, run: &RunId) -> Result<(), EngineError> {
        self.wish(run, Wish::Event(RunEvent::Retry)).await
    }

    /// Keeps bytes under their SHA-256 (lowercase hex), durably, for a run that is about to name them.
    pub async fn keep(&self, digest: String, bytes: Arc<[u8]>) -> Result<(), EngineError> {
        let (journal, now) = (self.journal.clone(), self.clock.now());
        blocking(move || Ok(journal.put_object(&digest, &bytes, now)?)).await
    }

    /// Moves a run from one build of its codec to another, whose bytes were [kept](Self::keep); returns when that is durable. A transfer
    /// under way may still be stopping; it begins again by itself.
    pub async fn repin(&self, run: &RunId, from: &str, to: CodecPin) -> Result<(), EngineError> {
        self.wish(run, Wish::Event(RunEvent::Repin { from: from.to_owned(), to })).await
    }

    /// Nothing more begins or goes on by itself in runs that are taken up from now on: for a process that only writes down what is wished.
    pub async fn stand_still(&self) -> Result<(), EngineError> {
        self.ask(|reply| Command::TakingUp { begun: true, reply }).await
    }

    /// A device is heard: every run that waits for it between attempts goes on at once, or as soon as nothing else keeps it.
    pub async fn device_heard(&self, device: String) -> Result<(), EngineError> {
        self.ask(|reply| Command::Heard { device, reply }).await
    }

    /// A run as it is now, from memory or from the journal.
    pub async fn view(&self, run: &RunId) -> Result<LiveView, EngineError> {
        let asked = run.clone();
        if let Some(view) = self.ask(|reply| Command::View { run: asked, reply }).await? {
            return Ok(view);
        }
        let (journal, read_run) = (self.journal.clone(), run.clone());
        let (stored, state, checkpoint) = blocking(move || {
            let (stored, state) = read(&*journal, &read_run)?;
            // A checkpoint that cannot be read must not hide what its run did.
            Ok((stored, state, journal.checkpoint(&read_run).ok().flatten()))
        })
        .await?;
        let digest = state.created.digest.clone();
        // A workflow that is lost, or no longer accepted, must not hide what its run did.
        let workflow = match stored.source {
            Some(source) => self.ask(|reply| Command::Compile { digest, source, reply }).await?,
            None => None,
        };
        let transfer = checkpoint.and_then(|checkpoint| TransferView::kept(&checkpoint, &state));
        Ok(LiveView { view: state.view(workflow.as_deref(), self.clock.now()), progress: None, transfer, live: false })
    }

    /// Records of a run as the journal has them, from a number on, at most so many. The first has number 0.
    pub async fn records(&self, run: &RunId, from: u64, most: usize) -> Result<Vec<Record>, EngineError> {
        let (journal, run) = (self.journal.clone(), run.clone());
        blocking(move || {
            let facts = journal.read(&run, from)?;
            // Mostly somebody waits for what follows the last record: that one alone tells that the run is there.
            let before = || Ok::<_, StoreError>(from > 0 && !journal.read(&run, from - 1)?.is_empty());
            if facts.is_empty() && !before()? && journal.read(&run, 0)?.is_empty() {
                return Err(EngineError::Unknown(run));
            }
            let records: Result<Vec<Record>, _> = facts.iter().take(most).map(|fact| Record::decode(fact)).collect();
            records.map_err(|error| EngineError::Unreadable { run, why: error.to_string() })
        })
        .await
    }

    /// How many runs it works on.
    pub async fn census(&self) -> Result<Vec<Counted>, EngineError> {
        self.ask(|reply| Command::Census { reply }).await
    }

    /// Runs after `cursor`, newest first, and where the next page begins; runs that cannot be read are left out and logged.
    pub async fn page(
        &self,
        cursor: Option<&RunId>,
        limit: usize,
    ) -> Result<(Vec<LiveView>, Option<RunId>), EngineError> {
        let (journal, after) = (self.journal.clone(), cursor.cloned());
        let runs = blocking(move || Ok(journal.recent(after.as_ref(), limit)?)).await?;
        let next = (runs.len() == limit).then(|| runs.last().cloned()).flatten();
        Ok((self.views(runs).await?, next))
    }

    /// Newest first; runs that cannot be read are left out and logged.
    pub async fn list(&self, limit: usize) -> Result<Vec<LiveView>, EngineError> {
        let journal = self.journal.clone();
        let runs = blocking(move || Ok(journal.recent(None, limit)?)).await?;
        self.views(runs).await
    }

    /// Unfinished runs, newest first, at most so many, and how many there are in all; runs that cannot be read are left out and logged.
    pub async fn unfinished(&self, limit: usize) -> Result<(Vec<LiveView>, usize), EngineError> {
        let journal = self.journal.clone();
        let runs = blocking(move || {
            let (mut all, mut cursor) = (Vec::new(), None);
            loop {
                let page = journal.unfinished(cursor.as_ref(), PAGE)?;
                let Some(last) = page.last() else { return Ok(all) };
                cursor = Some(last.clone());
                all.extend(page);
            }
        });
        let mut runs: Vec<RunId> = runs.await?;
        runs.sort_unstable_by(|one, other| other.cmp(one));
        let in_all = runs.len();
        runs.truncate(limit);
        // One that has ended since is no unfinished run any more.
        let mut views = self.views(runs).await?;
        views.retain(|run| !run.view.status.is_final());
        Ok((views, in_all))
    }

    async fn views(&self, runs: Vec<RunId>) -> Result<Vec<LiveView>, EngineError> {
        let mut views = Vec::with_capacity(runs.len());
        for run in runs {
            match self.view(&run).await {
                Ok(view) => views.push(view),
                Err(EngineError::Stopped(why)) => return Err(EngineError::Stopped(why)),
                Err(error) => tracing::warn!(%run, %error, "the run cannot be shown"),
            }
        }
        Ok(views)
    }

    /// Live view of a run; the latest value is always there. The sender is gone when the run has ended or the engine has stopped.
    pub async fn subscribe(&self, run: &RunId) -> Result<watch::Receiver<LiveView>, EngineError> {
        self.watched(run).await?.ok_or_else(|| not_live(run))
    }

    async fn watched(&self, run: &RunId) -> Result<Option<watch::Receiver<LiveView>>, EngineError> {
        let run = run.clone();
        self.ask(|reply| Command::Subscribe { run, reply }).await
    }

    /// Waits until the run is final or paused; gives it as the journal has it.
    pub async fn wait(&self, run: &RunId) -> Result<LiveView, EngineError> {
        let Some(mut views) = self.watched(run).await? else { return self.at_rest(run).await };
        loop {
            let rests = is_at_rest(views.borrow_and_update().view.status);
            if rests {
                // What is shown may be older than what the engine has decided since.
                let view = self.view(run).await?;
                if is_at_rest(view.view.status) {
                    return Ok(view);
                }
            }
            if views.changed().await.is_err() {
                return self.at_rest(run).await;
            }
        }
    }

    async fn at_rest(&self, run: &RunId) -> Result<LiveView, EngineError> {
        let view = self.view(run).await?;
        if is_at_rest(view.view.status) { Ok(view) } else { Err(not_live(run)) }
    }

    /// Parks everything; returns when it is parked and journaled, and the engine has stopped. New wishes are refused from now on.
    pub async fn shutdown(&self) -> Result<(), EngineError> {
        self.ask(|reply| Command::Shutdown { reply }).await
    }

    /// Returns when the engine has stopped, with the reason: after a shutdown, or because the journal could not be written, after which
    /// the process must end.
    pub async fn stopped(&self) -> String {
        let mut stopped = self.stopped.clone();
        match stopped.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => "its thread panicked".to_owned(),
        }
    }

    /// Whether it has stopped.
    pub fn has_stopped(&self) -> bool {
        self.stopped.borrow().is_some()
    }

    /// Gives this handle up without a shutdown; the future ends when the engine has, which is when no other handle is left. What is under way
    /// is dropped, as by a kill.
    pub fn into_ended(self) -> impl Future<Output = ()> + Send + use<> {
        let mut stopped = self.stopped.clone();
        drop(self);
        async move {
            // An error means that the thread is gone too.
            let _ = stopped.wait_for(Option::is_some).await;
        }
    }

    async fn wish(&self, run: &RunId, wish: Wish) -> Result<(), EngineError> {
        let run = run.clone();
        self.ask(|reply| Command::Wish { run, wish, reply }).await
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, EngineError> {
        let answer = self.send(command).await?;
        self.answer(answer).await
    }

    async fn send<T>(
        &self,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<oneshot::Receiver<Result<T, EngineError>>, EngineError> {
        let (reply, answer) = oneshot::channel();
        if self.commands.send(command(reply)).await.is_err() {
            return Err(EngineError::Stopped(self.stopped().await));
        }
        Ok(answer)
    }

    async fn answer<T>(&self, answer: oneshot::Receiver<Result<T, EngineError>>) -> Result<T, EngineError> {
        match answer.await {
            Ok(answer) => answer,
            Err(_) => Err(EngineError::Stopped(self.stopped().await)),
        }
    }
}
