//! `logs`: the journal of a run, one line a record, and on to its end with `--follow`.

use super::args::{LogsArgs, Output, ServerArgs};
use super::ask::{ask, settings};
use super::print::{self, Show};
use super::signals::Signals;
use crate::app::exit::{Exit, Stop};
use crate::serve::control::Question;
use packhorse_core::run::{Fact, Record};
use serde_json::Value;
use std::time::Duration;

/// How often a run that goes on is asked after.
const ASK: Duration = Duration::from_millis(500);
/// Longest text of a record on one line.
const WIDE: usize = 160;

pub(super) async fn logs(args: LogsArgs, at: &ServerArgs, show: Show) -> Result<Exit, Stop> {
    let settings = settings(args.run.data, at)?;
    let mut signals = Signals::take()?;
    if let (Some(server), true) = (&settings.server, args.follow) {
        return super::afar::logs(server, &args.run.run, signals, show).await;
    }
    let (mut run, mut from) = (args.run.run, 0);
    loop {
        let value = ask(&settings, Question::Records { run: run.clone(), from }).await?;
        // The whole id, so that no later run makes its beginning ambiguous.
        if let Some(whole) = value.get("run").and_then(Value::as_str) {
            whole.clone_into(&mut run);
        }
        let items = value.get("items").cloned().unwrap_or_default();
        let records: Vec<Record> =
            serde_json::from_value(items).map_err(|error| Stop::bug(format!("the answer cannot be read: {error}")))?;
        for (number, record) in (from..).zip(&records) {
            print::write_out(&line(number, record, show.output));
        }
        from += records.len() as u64;
        // A run that was tried again has an end in the middle.
        let over = records.last().is_some_and(|record| matches!(record.fact, Fact::Finished { .. }));
        if over || (!args.follow && records.is_empty()) {
            return Ok(Exit::Succeeded);
        }
        if !records.is_empty() {
            continue;
        }
        tokio::select! {
            exit = signals.next() => return Ok(exit),
            () = tokio::time::sleep(ASK) => {}
        }
    }
}

/// JSON lines are the records themselves with their number.
pub(super) fn line(number: u64, record: &Record, output: Output) -> String {
    let mut value = serde_json::to_value(record).unwrap_or_default();
    if output == Output::Json {
        value["seq"] = number.into();
        return value.to_string();
    }
    let fields = value.as_object_mut().map(std::mem::take).unwrap_or_default();
    let name = fields.get("fact").and_then(Value::as_str).unwrap_or("fact").to_owned();
    let rest = fields.into_iter().filter(|(key, _)| !["v", "at", "fact"].contains(&key.as_str()));
    let rest: Vec<String> = rest.map(|(key, value)| format!("{key}={}", short(&value))).collect();
    format!("{number:>5}  {}  {name:<18} {}", record.at.to_rfc3339(), rest.join(" "))
}

fn short(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    match text.char_indices().nth(WIDE) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
