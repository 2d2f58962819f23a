//! What the control socket answers.

use super::holds;
use super::library::Library;
use super::repin::{Repin, repin};
use super::start::{Ground, Offers};
use crate::catalog::Catalogs;
use crate::engine::{EngineError, EngineHandle, LiveView};
use crate::serve::control::{Answerer, Question, Start};
use crate::serve::http::metrics::Metrics;
use crate::serve::http::{DeviceList, Once, Reloaded};
use packhorse_core::failure::{Class, Failure, chain};
use packhorse_core::run::RunId;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Runs that an abbreviated id, or a device, is looked for among.
const SEARCHED: usize = 10_000;
/// Unfinished runs of a device that are told.
const OPEN: usize = 20;
/// Journal records that are told at once.
const RECORDS: usize = 1000;
/// Finished ones.
const ENDED: usize = 10;

/// Answers questions by asking the engine; starts runs only where there are catalogs, in a daemon.
pub(super) fn answerer(ground: Ground, offers: Option<Offers>) -> Answerer {
    Arc::new(move |question| {
        let (ground, offers) = (ground.clone(), offers.clone());
        Box::pin(async move {
            match (question, offers) {
                (Question::Start(start), Some(Offers { catalogs, metrics, .. })) => {
                    begin(&ground, &catalogs, &metrics, start).await
                }
                (Question::Explain { subject }, Some(_)) => explained(&ground, &subject).await,
                (Question::Devices { id }, Some(Offers { catalogs, .. })) => devices(&ground, &catalogs, id).await,
                (Question::Reload, Some(Offers { catalogs, .. })) => reload(&catalogs).await,
                (question, Some(Offers { triggers, .. })) if super::triggers::concerns(&question) => {
                    match triggers.get() {
                        Some(triggers) => super::triggers::answer(triggers, question).await,
                        None => Err(no_daemon()),
                    }
                }
                // A process that works on one run ends with it: it takes up no other.
                (Question::Resume { .. } | Question::Retry { .. }, None) => Err(no_daemon()),
                (Question::Repin { runs, from, to }, offers) => {
                    let asked = Repin { runs: &runs, from: &from, to: &to, all: offers.is_some() };
                    moved(&ground, offers.as_ref(), asked).await
                }
                (Question::Hold { selector, reason, by }, _) => {
                    holds::hold(&ground, selector, reason, &by).await.map(|hold| holds::listed(&[hold]))
                }
                (Question::Release { which, by }, _) => {
                    holds::release(&ground, which.as_deref(), &by).await.map(|gone| holds::listed(&gone))
                }
                (Question::Holds, _) => holds::Kept::of(&ground).all().await.map(|all| holds::listed(&all)),
                (question, _) => answer(&ground.engine, question).await,
            }
        })
    })
}

fn no_daemon() -> Failure {
    Failure::new("PH8006", Class::Operator, "no daemon works on this data folder")
        .hint("start one with `packhorse serve`")
}

async fn begin(ground: &Ground, catalogs: &Catalogs, metrics: &Metrics, start: Start) -> Result<Value, Failure> {
    let workflow = start.workflow.clone();
    let once = start.idempotency_key.clone().map(|key| Once { key, request: start.digest() });
    let started = super::daemon::start(ground, catalogs, start, once).await?;
    if !started.replayed {
        metrics.started(&workflow, "manual");
    }
    view(&ground.engine, &started.run).await
}

async fn moved(ground: &Ground, offers: Option<&Offers>, asked: Repin<'_>) -> Result<Value, Failure> {
    let generation = offers.map(|offers| offers.catalogs.current());
    let host = &ground.world.host;
    let library =
        generation.as_ref().map_or(Library::Folders(host), |generation| Library::Generation(generation, host));
    let moved = repin(&ground.engine, &library, asked).await?;
    serde_json::to_value(moved).map_err(|error| unwritten(&error))
}

/// An answer that cannot be written down.
pub fn unwritten(error: &serde_json::Error) -> Failure {
    Failure::new("PH9002", Class::Bug, error.to_string())
}

async fn reload(catalogs: &Catalogs) -> Result<Value, Failure> {
    let reload = catalogs.reload().await;
    let reload = reload.ok_or_else(|| Failure::new("PH9001", Class::Bug, "nobody looks at the folders any more"))?;
    serde_json::to_value(Reloaded::of(&reload)).map_err(|error| unwritten(&error))
}

async fn devices(ground: &Ground, catalogs: &Catalogs, id: Option<String>) -> Result<Value, Failure> {
    let told = match id {
        None => serde_json::to_value(DeviceList::of(&catalogs.current())),
        Some(id) => serde_json::to_value(super::daemon::device(ground, catalogs, &id).await?),
    };
    told.map_err(|error| unwritten(&error))
}

/// Answers one question.
pub async fn answer(engine: &EngineHandle, question: Question) -> Result<Value, Failure> {
    match question {
        Question::List { all, limit } => {
            if all {
                let runs = engine.list(limit).await.map_err(|error| failure(&error))?;
                return Ok(json!({ "items": runs }));
            }
            let (runs, in_all) = engine.unfinished(limit).await.map_err(|error| failure(&error))?;
            let mut told = json!({ "items": runs });
            if in_all > runs.len() {
                told["in_all"] = in_all.into();
            }
            Ok(told)
        }
        Question::Show { run } => {
            let run = find(engine, &run).await?;
            view(engine, &run).await
        }
        Question::Explain { subject } => explain(engine, &subject).await,
        Question::Cancel { run, reason } => {
            let run = find(engine, &run).await?;
            let reason = (!reason.is_empty()).then_some(reason);
            let before = view(engine, &run).await?;
            engine.cancel(&run, reason).await.map_err(|error| failure(&error))?;
            Ok(view(engine, &run).await.unwrap_or_else(|_| asked(before, "cancelling")))
        }
        Question::Pause { run } => {
            let run = find(engine, &run).await?;
            let before = view(engine, &run).await?;
            engine.pause(&run).await.map_err(|error| failure(&error))?;
            Ok(view(engine, &run).await.unwrap_or_else(|_| asked(before, "paused")))
        }
        Question::Resume { run } => {
            let run = find(engine, &run).await?;
            engine.resume(&run).await.map_err(|error| failure(&error))?;
            view(engine, &run).await
        }
        Question::Retry { run } => {
            let run = find(engine, &run).await?;
            engine.retry(&run).await.map_err(|error| failure(&error))?;
            view(engine, &run).await
        }
        Question::Records { run, from } => {
            let run = find(engine, &run).await?;
            let records = engine.records(&run, from, RECORDS).await.map_err(|error| failure(&error))?;
            Ok(json!({ "run": run, "next": from + records.len() as u64, "items": records }))
        }
        Question::Start(_)
        | Question::Repin { .. }
        | Question::Reload
        | Question::Triggers
        | Question::Letters { .. }
        | Question::Devices { .. }
        | Question::Hold { .. }
        | Question::Release { .. }
        | Question::Holds => Err(no_daemon()),
    }
}

/// A run that was told something and ended with its process before it could be looked at again.
fn asked(mut view: Value, status: &str) -> Value {
    if let Some(told) = view.get_mut("status") {
        *told = Value::String(status.to_owned());
    }
    view
}

/// Runs of a device, unfinished ones first, or the one run.
async fn explain(engine: &EngineHandle, subject: &str) -> Result<Value, Failure> {
    if subject.starts_with("run_") {
        let run = find(engine, subject).await?;
        return Ok(json!({ "items": [view(engine, &run).await?] }));
    }
    let of_device = |run: &LiveView| run.view.devices.iter().any(|device| device == subject);
    let (open, _) = engine.unfinished(usize::MAX).await.map_err(|error| failure(&error))?;
    let recent = engine.list(SEARCHED).await.map_err(|error| failure(&error))?;
    let ended = recent.into_iter().filter(|run| run.view.status.is_final() && of_device(run)).take(ENDED);
    let items: Vec<LiveView> = open.into_iter().filter(of_device).take(OPEN).chain(ended).collect();
    Ok(json!({ "items": items }))
}

/// The same, with what is known of the presence of devices that are waited for, and of the one that was asked about.
pub(super) async fn explained(ground: &Ground, subject: &str) -> Result<Value, Failure> {
    let mut told = explain(&ground.engine, subject).await?;
    let items = told["items"].as_array().into_iter().flatten();
    let waited = items.filter_map(|run| run.pointer("/unfinished/device")?.as_str());
    let asked = Some(subject).filter(|subject| !subject.starts_with("run_"));
    let devices: BTreeSet<String> = waited.chain(asked).map(str::to_owned).collect();
    let mut known = Map::new();
    for device in devices {
        let presence = match &ground.world.presence {
            Some(presence) => presence.known(&device).await,
            None => None,
        };
        known.extend(presence.map(|presence| (device, presence.view())));
    }
    told["presence"] = Value::Object(known);
    Ok(told)
}

async fn view(engine: &EngineHandle, run: &RunId) -> Result<Value, Failure> {
    let view = engine.view(run).await.map_err(|error| failure(&error))?;
    serde_json::to_value(view).map_err(|error| unwritten(&error))
}

/// A run by its id or an unambiguous beginning of it.
pub async fn find(engine: &EngineHandle, text: &str) -> Result<RunId, Failure> {
    if let Ok(run) = text.parse() {
        return Ok(run);
    }
    let runs = engine.list(SEARCHED).await.map_err(|error| failure(&error))?;
    one(text, runs.into_iter().map(|run| run.view.run))
}

/// The only one of `runs` that begins with `text` (with or without `run_`).
pub fn one(text: &str, runs: impl Iterator<Item = RunId>) -> Result<RunId, Failure> {
    let start = format!("run_{}", text.trim_start_matches("run_").to_ascii_uppercase());
    let mut found = runs.filter(|run| run.as_str().starts_with(&start));
    match (found.next(), found.next()) {
        (Some(run), None) => Ok(run),
        (None, _) => Err(Failure::new("PH8003", Class::Permanent, format!("no run begins with {text}"))
            .hint("`packhorse ps -a` lists them")),
        (Some(_), Some(_)) => {
            Err(Failure::new("PH8003", Class::Permanent, format!("more than one run begins with {text}"))
                .hint("give more of its id"))
        }
    }
}

/// In words that can be sent.
pub fn failure(error: &EngineError) -> Failure {
    let (code, class) = match error {
        EngineError::Unknown(_) | EngineError::Lost { .. } => ("PH8003", Class::Permanent),
        EngineError::Refused { source, .. } if source.is_about_codec() => ("PH6010", Class::Permanent),
        EngineError::Refused { .. } | EngineError::Taken(_) => ("PH8004", Class::Permanent),
        EngineError::GroupFull { .. } => ("PH8040", Class::Permanent),
        EngineError::Unreadable { .. } => ("PH8005", Class::Operator),
        EngineError::Store(_) | EngineError::Stopped(_) => ("PH7002", Class::Operator),
    };
    Failure::new(code, class, chain(error))
}

/// The performer of a process that looks, and writes down what is wished: what is begun by that (the clean-up of a run that was cancelled)
/// waits until it is stopped, and is carried out by whoever works on the run next.
#[derive(Debug)]
pub struct Idle;

impl crate::engine::Performer for Idle {
    fn perform(&self, mut job: crate::engine::Job) -> crate::store::BoxFuture<'static, crate::engine::JobEnd> {
        use crate::engine::{Control, JobEnd};
        use packhorse_core::effect::Traffic;
        Box::pin(async move {
            let wish = job.control.wait_for(|control| *control != Control::Go).await.map(|control| *control);
            match wish {
                Ok(Control::Cancel) => JobEnd::Cancelled(Traffic::default()),
                Ok(Control::Go | Control::Park) | Err(_) => JobEnd::Parked(Traffic::default()),
            }
        })
    }
}
