//! `run` and `resume`: one run in this terminal, to its end or to an interruption.

use super::args::{ResumeArgs, RunArgs, ServerArgs};
use super::follow::{Ended, follow};
use super::print::{self, Show};
use super::remote;
use super::signals::Signals;
use crate::app::exit::{Exit, Stop};
use crate::app::{self, App, Launch, Library, Local};
use crate::engine::{EngineError, LiveView};
use crate::serve::control::{Question, Start};
use crate::settings::Settings;
use packhorse_core::failure::chain;
use packhorse_core::run::{RunId, RunStatus};
use serde_json::Value;

pub(super) async fn run(args: RunArgs, at: &ServerArgs, show: Show) -> Result<Exit, Stop> {
    if let Some(list) = args.each.clone() {
        return super::each::each(args, &list, at, show).await;
    }
    let settings = super::settings(&args.services, at)?;
    if args.detach || settings.server.is_some() {
        let detach = args.detach;
        let (inputs, vars) = (once(args.input, "input")?, once(args.vars, "variable")?);
        let folder = std::env::current_dir().ok();
        let (workflow, codec, priority, idempotency_key) =
            (args.workflow, args.codec, args.priority, args.idempotency_key);
        let start = Start { workflow, inputs, codec, vars, priority, folder, idempotency_key, ..Start::default() };
        return match detach {
            true => super::serve::detach(&settings, start, show).await,
            false => super::afar::run(&settings, start, show).await,
        };
    }
    if args.idempotency_key.is_some() {
        return Err(Stop::usage("PH8006", "--idempotency-key is for a run that a daemon runs")
            .hint("add --detach, or name a daemon with --server"));
    }
    let signals = Signals::take()?;
    let asked = Launch {
        workflow: args.workflow,
        inputs: once(args.input, "input")?,
        codec: args.codec,
        vars: once(args.vars, "variable")?,
        priority: args.priority,
        local: Local::Here,
        ..Launch::default()
    };
    let host = app::host(&settings).await?;
    let prepared = app::prepare(asked, &settings, &Library::Folders(&host)).await?;
    let app = App::start(settings, host).await?;
    announce(&app, show);
    let run = match app::launch(&app, prepared).await {
        Ok(run) => run,
        Err(stop) => {
            app.stop().await?;
            return Err(stop);
        }
    };
    finish(app, run, signals, show).await
}

pub(super) async fn resume(args: ResumeArgs, at: &ServerArgs, show: Show) -> Result<Exit, Stop> {
    let settings = super::settings(&args.services, at)?;
    if let Some(run) = &args.run
        && let Some(value) = resumed(&settings, run).await?
    {
        let view = super::ask::run(value.clone())?;
        show.result(&value, || format!("{}  {}", view.view.run, print::status(view.view.status)));
        return Ok(Exit::Succeeded);
    }
    if settings.server.is_some() {
        return Err(Stop::usage("PH8003", "on another machine a run is named").hint("`packhorse ps` lists them"));
    }
    let signals = Signals::take()?;
    let host = app::host(&settings).await?;
    let app = App::start(settings, host).await?;
    announce(&app, show);
    let run = match chosen(&app, args.run.as_deref()).await {
        Ok(run) => run,
        Err(stop) => {
            app.stop().await?;
            return Err(stop);
        }
    };
    finish(app, run, signals, show).await
}

/// Has the daemon of the data folder go on with a run; `None` where there is none.
async fn resumed(settings: &Settings, run: &str) -> Result<Option<Value>, Stop> {
    let question = Question::Resume { run: run.to_owned() };
    match remote::ask(settings, &question).await {
        Err(failure) if failure.code == "PH8006" => Ok(None),
        answer => answer.map_err(super::ask::stop),
    }
}

/// The run that was named, or the only unfinished one; taken up again.
async fn chosen(app: &App, named: Option<&str>) -> Result<RunId, Stop> {
    let run = match named {
        Some(text) => {
            app::find(&app.engine, text).await.map_err(|failure| Stop { exit: Exit::Usage, failure, rendered: None })?
        }
        None => {
            let runs = app.engine.list(1000).await.map_err(|error| engine(&error))?;
            let mut open = runs.into_iter().filter(|run| !run.view.status.is_final()).map(|run| run.view.run);
            match (open.next(), open.next()) {
                (Some(run), None) => run,
                (None, _) => {
                    return Err(Stop::usage("PH8003", "there is no unfinished run").hint("`packhorse ps -a` lists all"));
                }
                (Some(_), Some(_)) => {
                    return Err(Stop::usage("PH8003", "there is more than one unfinished run")
                        .hint("name one: `packhorse ps` lists them"));
                }
            }
        }
    };
    let view = app.engine.view(&run).await.map_err(|error| engine(&error))?;
    if !view.view.status.is_final() {
        app.engine.resume(&run).await.map_err(|error| engine(&error))?;
    }
    Ok(run)
}

async fn finish(app: App, run: RunId, mut signals: Signals, show: Show) -> Result<Exit, Stop> {
    show.note(&format!("run {run}"));
    let ended = follow(&app, &run, &mut signals, show).await?;
    let data = app.settings.data.clone();
    match ended {
        Ended::At(view) => {
            if view.view.status.is_final() {
                app.world.over(&run, view.view.status).await;
            }
            app.stop().await?;
            show.result(&view, || print::run(&view));
            Ok(exit(&view))
        }
        Ended::Interrupted(exit) => {
            show.note("parking the run at the next packet boundary …");
            app.stop().await?;
            print::write_err(&format!(
                "interrupted; nothing is lost. To go on:\n  packhorse resume {run}{}",
                flag(&data)
            ));
            Ok(exit)
        }
    }
}

fn flag(data: &std::path::Path) -> String {
    if data == std::path::Path::new(crate::settings::DATA) {
        String::new()
    } else {
        format!(" --data {}", data.display())
    }
}

pub(super) fn announce(app: &App, show: Show) {
    if app.services.embeds_broker() || app.services.embeds_fastdfs() {
        let mqtt = crate::settings::without_password(&app.services.mqtt);
        show.note(&format!(
            "mqtt {mqtt}  fastdfs {}  data {}",
            app.services.trackers.join(","),
            app.settings.data.display()
        ));
    }
}

pub(super) fn exit(view: &LiveView) -> Exit {
    match view.view.status {
        RunStatus::Succeeded => Exit::Succeeded,
        RunStatus::Cancelled | RunStatus::Superseded => Exit::Cancelled,
        RunStatus::TimedOut => Exit::TimedOut,
        RunStatus::Paused => Exit::Paused,
        RunStatus::Failed => match view.view.error.as_ref().map(|error| error.failure.class) {
            Some(packhorse_core::failure::Class::Bug) => Exit::Bug,
            _ => Exit::Failed,
        },
        RunStatus::Queued | RunStatus::Running | RunStatus::Waiting | RunStatus::Cancelling => Exit::Bug,
    }
}

pub(super) fn once(
    pairs: Vec<(String, String)>,
    what: &str,
) -> Result<std::collections::BTreeMap<String, String>, Stop> {
    let mut map = std::collections::BTreeMap::new();
    for (key, value) in pairs {
        if map.insert(key.clone(), value).is_some() {
            return Err(Stop::usage("PH2005", format!("{what} {key} is given twice")));
        }
    }
    Ok(map)
}

fn engine(error: &EngineError) -> Stop {
    match error {
        EngineError::Unknown(_) | EngineError::Lost { .. } | EngineError::Refused { .. } | EngineError::Taken(_) => {
            Stop::usage("PH8004", chain(error))
        }
        EngineError::GroupFull { .. } => Stop::usage("PH8040", chain(error)),
        EngineError::Unreadable { .. } => Stop::unavailable("PH8005", chain(error)),
        EngineError::Store(_) | EngineError::Stopped(_) => Stop::unavailable("PH7002", chain(error)),
    }
}
