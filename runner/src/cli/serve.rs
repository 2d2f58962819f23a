//! `serve`: the daemon, until a signal; `reload`: has it look at its folders.

use super::args::{DataArgs, ServeArgs};
use super::print::{self, Show};
use super::run::announce;
use super::signals::Signals;
use crate::app::exit::{Exit, Stop};
use crate::app::{self, Daemon};
use crate::catalog::Generation;
use crate::serve::control::Question;
use packhorse_core::catalog::{Catalog, Entry};
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};

pub(super) async fn serve(args: ServeArgs, show: Show) -> Result<Exit, Stop> {
    let settings = super::settings_with(&args.services, args.listen)?;
    let mut signals = Signals::take()?;
    let mut hangups = hangups()?;
    let host = app::host(&settings.plugins, &settings.profiles).await?;
    let (daemon, taken) = Daemon::start(settings, host).await?;
    announce(&daemon.app, show);
    let generation = daemon.catalogs.current();
    if args.strict
        && let Some(stop) = bad(&generation)
    {
        daemon.stop().await?;
        return Err(stop);
    }
    show.note(&format!("{}; {taken} unfinished runs taken up; http://{}", counts(&generation), daemon.http.addr));
    let exit = loop {
        tokio::select! {
            exit = signals.next() => break exit,
            Some(()) = hangups.recv() => {
                if let Some(reload) = daemon.catalogs.reload().await {
                    show.note(&format!("reloaded: {}", counts(&reload.generation)));
                }
            }
            why = daemon.app.engine.stopped() => {
                // Nothing more can be written: stopping in order would wait for what cannot come.
                return Err(Stop::journal(why));
            }
        }
    };
    show.note("no new work; parking what is under way at the next packet boundary …");
    daemon.stop().await?;
    show.note("stopped; nothing is lost: `packhorse serve` goes on");
    Ok(exit)
}

/// `SIGHUP`, which asks for a reload.
fn hangups() -> Result<Signal, Stop> {
    signal(SignalKind::hangup()).map_err(|error| Stop::bug(format!("cannot listen to signals: {error}")))
}

fn counts(generation: &Generation) -> String {
    let refused = generation.workflows.refused() + generation.plugins.refused();
    let text = format!("{} workflows, {} plugins", live(&generation.workflows), live(&generation.plugins));
    if refused == 0 { text } else { format!("{text}; {refused} files are not good") }
}

fn live<T>(catalog: &Catalog<T>) -> usize {
    catalog.entries().filter(|(_, entry)| entry.live.is_some()).count()
}

/// The first file that cannot be loaded.
fn bad(generation: &Generation) -> Option<Stop> {
    let workflow = generation.workflows.entries().find_map(|(name, entry)| refused("workflow", name, entry));
    workflow.or_else(|| generation.plugins.entries().find_map(|(name, entry)| refused("plugin", name, entry)))
}

fn refused<T>(kind: &str, name: &str, entry: &Entry<T>) -> Option<Stop> {
    let refused = entry.refused.as_ref()?;
    let message = format!("{kind} {name} cannot be loaded: {}", refused.failure.message);
    Some(Stop::usage(&refused.failure.code, message).hint("without --strict the others are served"))
}

pub(super) async fn reload(args: DataArgs, show: Show) -> Result<Exit, Stop> {
    let value = super::ask::ask_daemon(&super::ask::settings(args.data)?, Question::Reload).await?;
    show.result(&value, || told(&value));
    let refused = value.get("refused").and_then(Value::as_u64).unwrap_or(0);
    Ok(if refused == 0 { Exit::Succeeded } else { Exit::Failed })
}

fn told(value: &Value) -> String {
    let number = |key: &str| value.get(key).and_then(Value::as_u64).unwrap_or(0);
    let mut lines = vec![format!(
        "generation {}: {} workflows, {} plugins, {} files not good",
        number("generation"),
        number("workflows"),
        number("plugins"),
        number("refused")
    )];
    for change in value.get("changes").and_then(Value::as_array).into_iter().flatten() {
        let word = |key: &str| change.get(key).and_then(Value::as_str).unwrap_or_default();
        let what = match change.get("change") {
            Some(Value::String(what)) => what.clone(),
            Some(other) => other["refused"]["failure"]["message"].as_str().unwrap_or("refused").to_owned(),
            None => String::new(),
        };
        lines.push(format!("  {} {}: {what}", word("kind"), word("name")));
    }
    lines.join("\n")
}

/// Has the daemon of the data folder start a run; prints its id.
pub(super) async fn detach(
    settings: &crate::settings::Settings,
    mut start: crate::serve::control::Start,
    show: Show,
) -> Result<Exit, Stop> {
    for value in start.inputs.values_mut() {
        *value = whole_path(value);
    }
    let value = super::ask::ask_daemon(settings, Question::Start(start)).await?;
    let run = value.get("run").and_then(Value::as_str).unwrap_or_default().to_owned();
    show.result(&value, || run.clone());
    if show.draws() {
        print::write_err(&format!("follow it: packhorse logs -f {run}"));
    }
    Ok(Exit::Succeeded)
}

/// A local file by its whole path: the daemon works in another folder.
fn whole_path(text: &str) -> String {
    let path = std::path::Path::new(text.strip_prefix("file:").unwrap_or(text));
    if text.contains('/') && path.is_relative() && path.exists() {
        return std::path::absolute(path).map_or_else(|_| text.to_owned(), |path| path.display().to_string());
    }
    text.to_owned()
}
