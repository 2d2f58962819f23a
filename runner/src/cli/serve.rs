//! `serve`: the daemon, until a signal; `reload`: has it look at its folders.

use super::args::{DataArgs, ServeArgs, ServerArgs};
use super::print::{self, Show};
use super::run::announce;
use super::signals::Signals;
use crate::app::exit::{Exit, Stop};
use crate::app::{self, Daemon, Rise};
use crate::catalog::{Catalogs, Generation};
use crate::counts;
use crate::serve::control::Question;
use packhorse_core::catalog::Entry;
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};

pub(super) async fn serve(args: ServeArgs, at: &ServerArgs, show: Show) -> Result<Exit, Stop> {
    let mut settings = super::settings_with(&args.services, at, args.listen)?;
    settings.serve.paused = args.paused;
    let mut signals = Signals::take()?;
    let mut hangups = hangups()?;
    // Before plugins: what counts their calls is made with them.
    counts::begin();
    let host = app::host(&settings).await?;
    let (daemon, taken) = match Daemon::start(settings, host, signals.next()).await? {
        Rise::Up(daemon, taken) => (*daemon, taken),
        Rise::Quit(exit) => return Ok(exit),
    };
    announce(&daemon.app, show);
    let generation = daemon.catalogs.current();
    if args.strict
        && let Some(stop) = bad(&generation)
    {
        daemon.stop().await?;
        return Err(stop);
    }
    let http = daemon.app.services.http.map_or_else(String::new, |addr| addr.to_string());
    show.note(&format!("{}; {taken} unfinished runs taken up; http://{http}", counts(&generation)));
    if args.paused {
        show.note("paused: nothing begins until `packhorse release all`");
    }
    let exit = loop {
        tokio::select! {
            exit = signals.next() => break exit,
            Some(()) = hangups.recv() => {
                // Apart, so that whoever wants an end is heard meanwhile.
                tokio::spawn(reloaded(daemon.catalogs.clone(), show));
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

/// Looks at the folders and says what came of it.
async fn reloaded(catalogs: Catalogs, show: Show) {
    let Some(reload) = catalogs.reload().await else { return };
    let written = reload.unsettled.len();
    let written =
        if written == 0 { String::new() } else { format!("; {written} files are still being written or judged") };
    show.note(&format!("reloaded: {}{written}", counts(&reload.generation)));
}

/// `SIGHUP`, which asks for a reload.
fn hangups() -> Result<Signal, Stop> {
    signal(SignalKind::hangup()).map_err(|error| Stop::bug(format!("cannot listen to signals: {error}")))
}

fn counts(generation: &Generation) -> String {
    let (workflows, plugins) = (generation.workflows.live_count(), generation.plugins.live_count());
    let devices = generation.registry.len();
    let (text, refused) =
        (format!("{workflows} workflows, {plugins} plugins, {devices} entries of devices"), generation.refused());
    if refused == 0 { text } else { format!("{text}; {refused} files are not good") }
}

/// The first file that cannot be loaded.
fn bad(generation: &Generation) -> Option<Stop> {
    let workflow = generation.workflows.entries().find_map(|(name, entry)| refused("workflow", name, entry));
    let devices = || generation.devices.entries().find_map(|(name, entry)| refused("devices", name, entry));
    let workflow = workflow.or_else(devices);
    workflow.or_else(|| generation.plugins.entries().find_map(|(name, entry)| refused("plugin", name, entry)))
}

fn refused<T>(kind: &str, name: &str, entry: &Entry<T>) -> Option<Stop> {
    let refused = entry.refused.as_ref()?;
    let message = format!("{kind} {name} cannot be loaded: {}", refused.failure.message);
    Some(Stop::usage(&refused.failure.code, message).hint("without --strict the others are served"))
}

pub(super) async fn reload(args: DataArgs, at: &ServerArgs, show: Show) -> Result<Exit, Stop> {
    let value = super::ask::ask_daemon(&super::ask::settings(args.data, at)?, Question::Reload).await?;
    show.result(&value, || told(&value));
    let refused = value.get("refused").and_then(Value::as_u64).unwrap_or(0);
    Ok(if refused == 0 { Exit::Succeeded } else { Exit::Failed })
}

fn told(value: &Value) -> String {
    let number = |key: &str| value.get(key).and_then(Value::as_u64).unwrap_or(0);
    let mut lines = vec![format!(
        "generation {}: {} workflows, {} plugins, {} files of devices, {} files not good",
        number("generation"),
        number("workflows"),
        number("plugins"),
        number("devices"),
        number("refused")
    )];
    let items = |key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let line = |item: &Value, what: &str| {
        let word = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default();
        format!("  {} {}: {what}", word("kind"), word("name"))
    };
    // What was refused now is among what is not good.
    let changes = items("changes");
    lines.extend(changes.iter().filter_map(|change| Some(line(change, change.get("change")?.as_str()?))));
    lines.extend(items("problems").iter().map(|bad| line(bad, bad["message"].as_str().unwrap_or_default())));
    lines.join("\n")
}

/// Has the daemon of the data folder start a run; prints its id.
pub(super) async fn detach(
    settings: &crate::settings::Settings,
    start: crate::serve::control::Start,
    show: Show,
) -> Result<Exit, Stop> {
    let value = super::ask::ask_daemon(settings, Question::Start(start)).await?;
    let run = value.get("run").and_then(Value::as_str).unwrap_or_default().to_owned();
    show.result(&value, || run.clone());
    if show.draws() {
        print::write_err(&format!("follow it: packhorse logs -f {run}"));
    }
    Ok(Exit::Succeeded)
}
