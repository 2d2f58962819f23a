//! `plugin repin`: asked of the process that owns the data folder, or written into its journal where nobody does.

use super::args::{RepinArgs, ServerArgs};
use super::ask::{ask, stop, with_engine};
use super::print::{self, Show};
use super::remote;
use crate::app::exit::{Exit, Stop};
use crate::app::{self, Library, Moved, Outcome, Repin, Repinned};
use crate::serve::control::Question;
use crate::settings::Settings;
use serde_json::Value;
use std::sync::Arc;

/// Runs in one question: its answer must come in time.
const AT_ONCE: usize = 32;
/// Unfinished runs that `--all` looks at.
const SEARCHED: usize = 10_000;

pub(super) async fn repin(args: RepinArgs, at: &ServerArgs, show: Show) -> Result<Exit, Stop> {
    let settings = super::settings(&args.services, at)?;
    let (from, runs) = match args.all {
        true => all(&settings, &args.from).await?,
        false => (args.from, args.runs),
    };
    let mut moved: Option<Moved> = None;
    for runs in runs.chunks(AT_ONCE) {
        let more = some(&settings, (&from, &args.to), runs).await?;
        match &mut moved {
            Some(moved) => moved.items.extend(more.items),
            None => moved = Some(more),
        }
    }
    let items = moved.as_ref().map_or(&[][..], |moved| &moved.items);
    let value = serde_json::json!({ "to": moved.as_ref().map(|moved| &moved.to), "items": items });
    show.result(&value, || match &moved {
        None => format!("no unfinished run is pinned to {from}"),
        Some(moved) => moved.items.iter().map(line).collect::<Vec<_>>().join("\n"),
    });
    let refused = items.iter().any(|item| item.outcome == Outcome::Refused);
    Ok(if refused { Exit::Failed } else { Exit::Succeeded })
}

/// Every unfinished run that is pinned to `from`, with its whole digest.
async fn all(settings: &Settings, from: &str) -> Result<(String, Vec<String>), Stop> {
    let value = ask(settings, Question::List { all: false, limit: SEARCHED }).await?;
    let runs = super::ask::runs(&value)?;
    let pins = runs.iter().filter_map(|run| run.view.codec.as_ref());
    let from = app::begins_with(from, pins).map_err(stop)?;
    let pinned = runs.iter().filter(|run| run.view.codec.as_ref().is_some_and(|codec| codec.digest == from));
    let pinned = pinned.map(|run| run.view.run.to_string()).collect();
    Ok((from, pinned))
}

async fn some(settings: &Settings, (from, to): (&str, &str), runs: &[String]) -> Result<Moved, Stop> {
    let question = Question::Repin { runs: runs.to_vec(), from: from.to_owned(), to: to.to_owned() };
    let value = match remote::ask(settings, &question).await {
        Ok(Some(value)) => value,
        Ok(None) => unowned(settings, Repin { runs, from, to, all: true }).await?,
        Err(failure) => return Err(stop(failure)),
    };
    serde_json::from_value(value).map_err(|error| Stop::bug(format!("the answer cannot be read: {error}")))
}

/// Nobody works on the folder: what is written down counts for whoever works on the runs next.
async fn unowned(settings: &Settings, asked: Repin<'_>) -> Result<Value, Stop> {
    let host = app::host(settings).await?;
    let library = Library::Folders(&host);
    with_engine(settings, Arc::new(app::Idle), async |engine| {
        engine.stand_still().await.map_err(|error| app::failure(&error))?;
        let moved = app::repin(engine, &library, asked).await?;
        serde_json::to_value(moved).map_err(|error| app::unwritten(&error))
    })
    .await
}

fn line(item: &Repinned) -> String {
    let what = match item.outcome {
        Outcome::Repinned => "repinned",
        Outcome::Unchanged => "unchanged",
        Outcome::Refused => "refused",
    };
    let status = item.status.map_or("", print::status);
    let codec = item.codec.as_ref().map(ToString::to_string);
    let words = item.error.as_ref().map(ToString::to_string).or_else(|| item.next.clone());
    let rest: Vec<String> = codec.filter(|_| item.error.is_none()).into_iter().chain(words).collect();
    let hint = item.error.as_ref().and_then(|error| error.hint.as_ref()).map(|hint| format!("\n  help: {hint}"));
    format!("{}  {what:<9}  {status:<10}  {}{}", item.run, rest.join(": "), hint.unwrap_or_default())
}
