//! What all triggers share, and how one thing that came is carried through: judged, started, or kept as a dead letter.

use super::books::{Books, Name};
use super::judge::{Definition, Judge};
use super::letters::{Letter, Letters, Reason};
use super::line::Line;
use super::mqtt::Heard;
use super::starter::{Asked, Begun, Key, Starter};
use super::told::Told;
use crate::bus::Receipt;
use crate::store::{KeyValue, steady, wall};
use bytes::Bytes;
use packhorse_core::effect::KvRequest;
use packhorse_core::failure::{Class, Failure, chain};
use packhorse_core::run::{FirstMessage, WallTime};
use packhorse_core::trigger::Verdict;
use serde_json::Value;
use std::any::Any;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What comes under a trigger's key.
const REQUEST: &str = "trigger";

/// What all triggers share.
pub(super) struct Shared {
    pub(super) line: Line,
    pub(super) index: Arc<dyn KeyValue>,
    pub(super) starter: Arc<dyn Starter>,
    pub(super) judge: Judge,
    pub(super) letters: Letters,
    pub(super) books: Books,
    pub(super) told: Mutex<Told>,
    /// Set once, when nothing more is to be taken.
    pub(super) stopping: watch::Sender<bool>,
    /// Subscriptions and queues of triggers that have stopped: what was not dealt with is the broker's as long as they are there.
    pub(super) left: Mutex<Vec<Box<dyn Any + Send>>>,
    /// Triggers to messages that are gone, or changed, and still make durable what waits.
    pub(super) parting: Mutex<BTreeMap<Name, JoinHandle<()>>>,
}

/// One thing that came.
#[derive(Debug, Clone, Default)]
pub(super) struct Came {
    /// Topic, path or nominal time.
    pub(super) source: String,
    /// Root `trigger`.
    pub(super) context: Value,
    /// As it came, where it is a payload.
    pub(super) raw: Option<Bytes>,
    /// What makes it the same thing when it comes again; a `dedupe_key` comes first.
    pub(super) own_key: Option<String>,
    /// From where relative files count.
    pub(super) folder: Option<PathBuf>,
    /// Written when it is settled, so that it is known when it comes again.
    pub(super) mark: Option<Seen>,
    /// The message, where it is one; acknowledged when the last clone of this is gone.
    pub(super) message: Option<Heard>,
}

impl Came {
    /// Said just now, as far as can be told: a message that neither the broker nor we had kept.
    fn is_live(&self) -> bool {
        let kept = self.message.as_ref().and_then(|message| message.receipt.as_ref()).is_some_and(Receipt::is_kept);
        self.raw.is_some() && self.own_key.is_none() && !kept
    }
}

/// Key and text under which something is known when it comes again, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) expire: Option<Duration>,
}

/// What a run is started with.
#[derive(Debug, Clone)]
pub(super) struct Start {
    pub(super) inputs: BTreeMap<String, String>,
    pub(super) dedupe: Option<String>,
}

/// A thing that came, judged to be a start.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) came: Came,
    pub(super) start: Start,
}

impl Shared {
    /// Holds what must not be dropped before the connection has ended.
    pub(super) fn leave(&self, what: impl Any + Send) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(what));
    }

    /// Remembers what still parts, so that whoever takes its place comes after it.
    pub(super) fn part(&self, name: &Name, task: JoinHandle<()>) {
        let mut parting = self.parting.lock().unwrap_or_else(PoisonError::into_inner);
        parting.retain(|_, task| !task.is_finished());
        parting.insert(name.clone(), task);
    }

    /// What still parts under this name.
    pub(super) fn parting(&self, name: &Name) -> Option<JoinHandle<()>> {
        self.parting.lock().unwrap_or_else(PoisonError::into_inner).remove(name)
    }

    /// Judges what came; nothing where it is ignored.
    pub(super) async fn judged(
        &self,
        name: &Name,
        definition: &Definition,
        came: &Came,
    ) -> Result<Option<Start>, Failure> {
        self.books.note(name, |page| page.counts.received += 1);
        match self.judge.judge(definition, &came.context).await {
            Verdict::Start { inputs, dedupe } => Ok(Some(Start { inputs, dedupe })),
            Verdict::Ignored => {
                self.books.note(name, |page| page.counts.ignored += 1);
                Ok(None)
            }
            Verdict::Malformed(failure) => Err(failure),
        }
    }

    /// Starts the run. An error is told to nobody yet.
    pub(super) async fn begin(&self, name: &Name, order: &Order) -> Result<Begun, Failure> {
        let own = || order.came.own_key.clone();
        let key = order.start.dedupe.clone().or_else(own).map(|key| keyed(name, &key));
        self.begin_as(name, order, key).await
    }

    /// The same under a key that somebody chose.
    pub(super) async fn begin_as(&self, name: &Name, order: &Order, key: Option<Key>) -> Result<Begun, Failure> {
        let asked = Asked {
            workflow: name.workflow.clone(),
            inputs: order.start.inputs.clone(),
            folder: order.came.folder.clone(),
            context: order.came.context.clone(),
            live: order.came.is_live(),
            message: order.came.raw.as_ref().map(|raw| FirstMessage::new(&order.came.source, raw)),
            key,
        };
        let begun = self.starter.start(asked).await?;
        self.settle(&order.came).await;
        self.books.note(name, |page| {
            if begun.replayed {
                page.counts.replayed += 1;
            } else {
                page.counts.started += 1;
                page.last_fired = Some(wall());
            }
        });
        Ok(begun)
    }

    /// Keeps what no run could be made of, and says so, though not each time.
    pub(super) async fn bury(&self, name: &Name, definition: &Definition, came: &Came, failure: &Failure) {
        let mut letter = Letter {
            id: 0,
            at: wall().to_rfc3339(),
            workflow: name.workflow.clone(),
            trigger: name.id.clone(),
            kind: definition.trigger.kind().name().to_owned(),
            source: came.source.clone(),
            reason: Reason { code: failure.code.clone(), message: failure.message.clone() },
            size: 0,
            payload: None,
            context: None,
            key: came.own_key.clone(),
        };
        match &came.raw {
            Some(raw) => letter = letter.with_payload(raw),
            None => letter.context = Some(came.context.clone()),
        }
        self.tell(name, &came.source, failure);
        match self.letters.keep(letter).await {
            // What nobody can tell from the next one leaves no mark: names that strangers choose must not fill the store.
            Ok(_) if came.own_key.is_some() => self.settle(came).await,
            Ok(_) => {}
            Err(lost) => tracing::error!(%lost, workflow = %name.workflow, "a dead letter is lost"),
        }
        // Letter and mark together: what comes again after a death is no second letter.
        if let Err(error) = self.index.settle().await {
            tracing::error!(%error, workflow = %name.workflow, "a dead letter may be lost");
        }
        self.books.note(name, |page| page.counts.failed += 1);
    }

    /// Says that something failed, once a minute for each workflow and code.
    pub(super) fn tell(&self, name: &Name, source: &str, failure: &Failure) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(untold) = told.tell(&name.workflow, &failure.code, wall()) {
            let (workflow, trigger, code) = (&name.workflow, &name.id, &failure.code);
            tracing::warn!(%workflow, %trigger, %source, %code, untold, "no run was started: {}", failure.message);
        }
    }

    /// Writes down that it was dealt with.
    pub(super) async fn settle(&self, came: &Came) {
        let Some(Seen { key, value, expire }) = came.mark.clone() else { return };
        if let Err(error) = self.ask(KvRequest::Set { key, value, expire }).await {
            tracing::warn!(%error, "it cannot be written down what a trigger has seen");
        }
    }

    pub(super) async fn ask(&self, request: KvRequest) -> Result<Value, Failure> {
        let failed = |error| Failure::new("PH7002", Class::Transient, chain(&error));
        self.index.operate(request, steady()).await.map_err(failed)
    }

    pub(super) async fn read(&self, key: &str) -> Result<Option<String>, Failure> {
        let value = self.ask(KvRequest::Get { key: key.to_owned() }).await?;
        Ok(value.as_str().map(str::to_owned))
    }
}

/// A key that no client of the API can name: theirs hold no control characters.
fn keyed(name: &Name, key: &str) -> Key {
    Key { key: format!("\0{} {} {key}", name.workflow, name.id), request: REQUEST.to_owned() }
}

/// Whether it may go well when it is tried again.
pub(super) const fn passes(failure: &Failure) -> bool {
    matches!(failure.class, Class::Transient | Class::DeviceOffline | Class::Operator)
}

/// Milliseconds as time to wait.
pub(super) const fn wait(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The wall clock.
pub(super) fn now() -> WallTime {
    wall()
}
