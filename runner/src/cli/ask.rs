//! `ps show cancel pause`, and how anything is asked: of the process that owns the data folder, or read from its store when there is none.

use super::args::{CancelArgs, PsArgs, RunRef};
use super::print::{self, Show};
use crate::app;
use crate::app::exit::{Exit, Stop};
use crate::engine::{EngineHandle, LiveView, Parts};
use crate::serve::control::{self, Question};
use crate::store::DataFolder;
use packhorse_core::failure::{Class, Failure, chain};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) async fn ps(args: PsArgs, show: Show) -> Result<Exit, Stop> {
    let question = Question::List { all: args.all, limit: args.limit };
    let value = ask(&data(args.data)?, question).await?;
    let runs = runs(&value)?;
    show.result(&value, || table(&runs, args.all));
    Ok(Exit::Succeeded)
}

pub(super) async fn show(args: RunRef, show: Show) -> Result<Exit, Stop> {
    let value = ask(&data(args.data)?, Question::Show { run: args.run }).await?;
    let view = run(value.clone())?;
    show.result(&value, || print::run(&view));
    Ok(Exit::Succeeded)
}

pub(super) async fn cancel(args: CancelArgs, show: Show) -> Result<Exit, Stop> {
    let question = Question::Cancel { run: args.run.run, reason: args.reason.unwrap_or_default() };
    let value = ask(&data(args.run.data)?, question).await?;
    let view = run(value.clone())?;
    show.result(&value, || format!("{}  {}", view.view.run, print::status(view.view.status)));
    Ok(Exit::Succeeded)
}

pub(super) async fn pause(args: RunRef, show: Show) -> Result<Exit, Stop> {
    let value = ask(&data(args.data)?, Question::Pause { run: args.run }).await?;
    let view = run(value.clone())?;
    show.result(&value, || format!("{}  {}", view.view.run, print::status(view.view.status)));
    Ok(Exit::Succeeded)
}

fn table(runs: &[LiveView], all: bool) -> String {
    if runs.is_empty() {
        return if all { "no runs".to_owned() } else { "no unfinished runs (`packhorse ps -a` lists all)".to_owned() };
    }
    let row = |live: &LiveView| {
        let view = &live.view;
        let progress = live.progress.as_ref().filter(|progress| progress.total > 0);
        let percent =
            progress.map_or_else(String::new, |progress| format!("{}%", progress.done * 100 / progress.total));
        let words = view.unfinished.as_ref().map_or_else(String::new, |unfinished| unfinished.waiting_for.clone());
        let words = view.error.as_ref().map_or(words, |error| error.failure.to_string());
        let age = print::duration(view.duration_ms);
        format!(
            "{:<30}  {:<16} {:<10} {age:>9} {percent:>5}  {words}",
            view.run,
            view.workflow,
            print::status(view.status)
        )
    };
    let head = format!("{:<30}  {:<16} {:<10} {:>9} {:>5}  {}", "RUN", "WORKFLOW", "STATUS", "TIME", "", "WAITS FOR");
    std::iter::once(head).chain(runs.iter().map(row)).collect::<Vec<_>>().join("\n")
}

/// Asks the owner of the folder, or reads the folder's store where nobody owns it.
pub(super) async fn ask(data: &Path, question: Question) -> Result<Value, Stop> {
    match control::ask(data, &question).await {
        Ok(Some(value)) => Ok(value),
        Ok(None) => unowned(data, question).await,
        Err(failure) => Err(stop(failure)),
    }
}

async fn unowned(data: &Path, question: Question) -> Result<Value, Stop> {
    if !data.join(app::STORE).is_file() {
        let message = format!("there are no runs in {}", data.display());
        return Err(Stop::usage("PH8003", message).hint("choose the data folder with --data"));
    }
    let folder = DataFolder::open(data).map_err(|error| Stop::unavailable("PH1004", chain(&error)))?;
    let store = Arc::new(app::open_store(data)?);
    let engine = EngineHandle::launch(Parts {
        journal: store,
        performer: Arc::new(app::Nobody),
        compile: Arc::new(app::compile),
        owner: app::OWNER.to_owned(),
        jobs: tokio::runtime::Handle::current(),
    })
    .map_err(|error| Stop::bug(chain(&error)))?;
    let answer = app::answer(&engine, question).await.map_err(stop);
    let stopped = engine.shutdown().await.map_err(|error| Stop::bug(chain(&error)));
    drop(folder);
    stopped.and(answer)
}

fn stop(failure: Failure) -> Stop {
    let exit = match failure.class {
        Class::Permanent => Exit::Usage,
        Class::Bug => Exit::Bug,
        Class::Transient | Class::DeviceOffline | Class::Operator => Exit::Unavailable,
    };
    Stop { exit, failure, rendered: None }
}

pub(super) fn data(given: Option<PathBuf>) -> Result<PathBuf, Stop> {
    Ok(super::load(crate::settings::Given { data: given, ..crate::settings::Given::default() })?.data)
}

fn run(value: Value) -> Result<LiveView, Stop> {
    serde_json::from_value(value).map_err(|error| Stop::bug(format!("the answer cannot be read: {error}")))
}

pub(super) fn runs(value: &Value) -> Result<Vec<LiveView>, Stop> {
    let items = value.get("items").cloned().unwrap_or(Value::Array(Vec::new()));
    serde_json::from_value(items).map_err(|error| Stop::bug(format!("the answer cannot be read: {error}")))
}
