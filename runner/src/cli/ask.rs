//! `ps show cancel pause retry`, and how anything is asked: of the process that owns the data folder, or read from its store when there is none.

use super::args::{CancelArgs, PsArgs, RunRef, ServerArgs};
use super::print::{self, Show};
use super::remote;
use crate::app;
use crate::app::exit::{Exit, Stop};
use crate::engine::{EngineHandle, LiveView, Parts, Performer};
use crate::serve::control::Question;
use crate::settings::Settings;
use crate::store::DataFolder;
use packhorse_core::failure::{Class, Failure, chain};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;

pub(super) async fn ps(args: PsArgs, at: &ServerArgs, show: Show) -> Result<Exit, Stop> {
    let question = Question::List { all: args.all, limit: args.limit };
    let value = ask(&settings(args.data, at)?, question).await?;
    let runs = runs(&value)?;
    show.result(&value, || table(&runs, args.all));
    Ok(Exit::Succeeded)
}

pub(super) async fn show(args: RunRef, at: &ServerArgs, show: Show) -> Result<Exit, Stop> {
    let value = ask(&settings(args.data, at)?, Question::Show { run: args.run }).await?;
    let view = run(value.clone())?;
    show.result(&value, || print::shown(&view));
    Ok(Exit::Succeeded)
}

pub(super) async fn cancel(args: CancelArgs, at: &ServerArgs, show: Show) -> Result<Exit, Stop> {
    let question = Question::Cancel { run: args.run.run, reason: args.reason.unwrap_or_default() };
    let value = ask(&settings(args.run.data, at)?, question).await?;
    let view = run(value.clone())?;
    show.result(&value, || format!("{}  {}", view.view.run, print::status(view.view.status)));
    Ok(Exit::Succeeded)
}

pub(super) async fn pause(args: RunRef, at: &ServerArgs, show: Show) -> Result<Exit, Stop> {
    let value = ask(&settings(args.data, at)?, Question::Pause { run: args.run }).await?;
    let view = run(value.clone())?;
    show.result(&value, || format!("{}  {}", view.view.run, print::status(view.view.status)));
    Ok(Exit::Succeeded)
}

pub(super) async fn retry(args: RunRef, at: &ServerArgs, show: Show) -> Result<Exit, Stop> {
    let value = ask_daemon(&settings(args.data, at)?, Question::Retry { run: args.run }).await?;
    let view = run(value.clone())?;
    show.result(&value, || format!("{}  {}", view.view.run, print::status(view.view.status)));
    Ok(Exit::Succeeded)
}

/// Asks the process that works on the folder, where only that one can do it.
pub(super) async fn ask_daemon(settings: &Settings, question: Question) -> Result<Value, Stop> {
    match remote::ask(settings, &question).await {
        Ok(Some(value)) => Ok(value),
        Ok(None) => {
            let message = format!("nobody works on the data folder {}", settings.data.display());
            Err(Stop::unavailable("PH8006", message)
                .hint("start the daemon with `packhorse serve`, or name its folder with --data"))
        }
        Err(failure) => Err(stop(failure)),
    }
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
pub(super) async fn ask(settings: &Settings, question: Question) -> Result<Value, Stop> {
    match remote::ask(settings, &question).await {
        Ok(Some(value)) => Ok(value),
        Ok(None) => unowned(settings, question).await,
        Err(failure) => Err(stop(failure)),
    }
}

async fn unowned(settings: &Settings, question: Question) -> Result<Value, Stop> {
    with_engine(settings, Arc::new(app::Idle), async |engine| app::answer(engine, question).await).await
}

/// Opens the folder, whose owner nobody is, with an engine of its own for as long as `work` takes.
pub(super) async fn with_engine(
    settings: &Settings,
    performer: Arc<dyn Performer>,
    work: impl AsyncFnOnce(&EngineHandle) -> Result<Value, Failure>,
) -> Result<Value, Stop> {
    let data = &settings.data;
    if !app::has_runs(settings) {
        let message = format!("there are no runs in {}", data.display());
        return Err(Stop::usage("PH8003", message).hint("choose the data folder with --data"));
    }
    let folder = DataFolder::open(data).map_err(|error| Stop::unavailable("PH1004", chain(&error)))?;
    let chosen = settings.clone();
    let opened = tokio::task::spawn_blocking(move || app::open_journal(&chosen)).await;
    let opened = opened.map_err(|error| Stop::bug(error.to_string()))??;
    let engine = EngineHandle::launch(Parts {
        journal: opened.journal.clone(),
        performer,
        compile: Arc::new(app::compile),
        owner: opened.owner.clone(),
        durability: opened.durability,
        jobs: tokio::runtime::Handle::current(),
        ended: None,
    })
    .map_err(|error| Stop::bug(chain(&error)))?;
    let answer = work(&engine).await.map_err(stop);
    let stopped = engine.shutdown().await.map_err(|error| Stop::bug(chain(&error)));
    drop(folder);
    stopped.and(answer)
}

pub(super) fn stop(failure: Failure) -> Stop {
    let exit = match (failure.code.as_str(), failure.class) {
        ("PH8404" | "PH8405", _) => Exit::Refused,
        (_, Class::Permanent) => Exit::Usage,
        (_, Class::Bug) => Exit::Bug,
        (_, Class::Transient | Class::DeviceOffline | Class::Operator) => Exit::Unavailable,
    };
    Stop { exit, failure, rendered: None }
}

/// Which journal it is, variables and the settings file say.
pub(super) fn settings(data: Option<PathBuf>, at: &ServerArgs) -> Result<Settings, Stop> {
    let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    let (redis, store) = (variable("PACKHORSE_REDIS"), variable("PACKHORSE_STORE"));
    let (server, token_file) = (at.server(), at.token_file.clone());
    super::load(crate::settings::Given { data, redis, store, server, token_file, ..crate::settings::Given::default() })
}

pub(super) fn run(value: Value) -> Result<LiveView, Stop> {
    serde_json::from_value(value).map_err(|error| Stop::bug(format!("the answer cannot be read: {error}")))
}

pub(super) fn runs(value: &Value) -> Result<Vec<LiveView>, Stop> {
    let items = value.get("items").cloned().unwrap_or(Value::Array(Vec::new()));
    serde_json::from_value(items).map_err(|error| Stop::bug(format!("the answer cannot be read: {error}")))
}
