//! `hold release holds`: asked of the process that owns the data folder, or written into its store where nobody does.

use super::args::{DataArgs, HoldArgs, ReleaseArgs, ServerArgs};
use super::ask::{settings, stop};
use super::print::Show;
use super::remote;
use crate::app::exit::{Exit, Stop};
use crate::app::{self, Kept};
use crate::serve::control::Question;
use crate::settings::Settings;
use crate::store::DataFolder;
use packhorse_core::admission::Hold;
use packhorse_core::failure::{Failure, chain};
use packhorse_core::run::WallTime;
use serde_json::Value;

pub(super) async fn hold(args: HoldArgs, at: &ServerArgs, show: Show) -> Result<Exit, Stop> {
    let question = Question::Hold { selector: args.selector, reason: args.reason, by: who() };
    let value = ask(&settings(args.data, at)?, question).await?;
    let holds = holds_of(&value)?;
    show.result(&value, || lines(&holds));
    Ok(Exit::Succeeded)
}

pub(super) async fn release(args: ReleaseArgs, at: &ServerArgs, show: Show) -> Result<Exit, Stop> {
    let which = args.selector.filter(|_| !args.all);
    let value = ask(&settings(args.data, at)?, Question::Release { which, by: who() }).await?;
    let holds = holds_of(&value)?;
    show.result(&value, || match holds.len() {
        0 => "no holds stood".to_owned(),
        _ => format!("released:\n{}", lines(&holds)),
    });
    Ok(Exit::Succeeded)
}

pub(super) async fn holds(args: DataArgs, at: &ServerArgs, show: Show) -> Result<Exit, Stop> {
    let value = ask(&settings(args.data, at)?, Question::Holds).await?;
    let holds = holds_of(&value)?;
    show.result(&value, || if holds.is_empty() { "no holds".to_owned() } else { lines(&holds) });
    Ok(Exit::Succeeded)
}

/// For the audit line: the user of this terminal, as far as the environment tells.
fn who() -> String {
    let named = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    format!("terminal:{}", named.filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".to_owned()))
}

async fn ask(settings: &Settings, question: Question) -> Result<Value, Stop> {
    match remote::ask(settings, &question).await {
        Ok(Some(value)) => Ok(value),
        Ok(None) => unowned(settings, question).await,
        Err(failure) => Err(stop(failure)),
    }
}

/// Nobody works on the folder: what is written down counts for whoever works on it next.
async fn unowned(settings: &Settings, question: Question) -> Result<Value, Stop> {
    if !app::has_runs(settings) && !matches!(question, Question::Hold { .. }) {
        return Ok(app::listed(&[]));
    }
    let folder = DataFolder::open(&settings.data).map_err(|error| Stop::unavailable("PH1004", chain(&error)))?;
    let chosen = settings.clone();
    let opened = tokio::task::spawn_blocking(move || app::open_journal(&chosen)).await;
    let opened = opened.map_err(|error| Stop::bug(error.to_string()))??;
    let kept = Kept { index: opened.index.clone() };
    let answer = change(&kept, question).await.map_err(stop);
    drop(folder);
    answer.map(|holds| app::listed(&holds))
}

async fn change(kept: &Kept, question: Question) -> Result<Vec<Hold>, Failure> {
    match question {
        Question::Hold { selector, reason, by } => kept.add(selector, reason, &by).await.map(|hold| vec![hold]),
        Question::Release { which, by } => kept.remove(which.as_deref(), &by).await,
        _ => kept.all().await,
    }
}

fn holds_of(value: &Value) -> Result<Vec<Hold>, Stop> {
    let items = value.get("items").cloned().unwrap_or(Value::Array(Vec::new()));
    serde_json::from_value(items).map_err(|error| Stop::bug(format!("the answer cannot be read: {error}")))
}

fn lines(holds: &[Hold]) -> String {
    let line = |hold: &Hold| {
        let Hold { id, selector, reason, by, since: WallTime(since), still: _ } = hold;
        let why = reason.as_ref().map_or_else(String::new, |reason| format!("  ({reason})"));
        format!("{id}  {}  {by}  {selector}{why}", WallTime(*since).to_rfc3339())
    };
    holds.iter().map(line).collect::<Vec<_>>().join("\n")
}
