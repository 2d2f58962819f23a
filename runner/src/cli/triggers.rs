//! `triggers`: what starts runs by itself in a daemon; `dead-letters`: what no run could be made of.

use super::args::{DataArgs, LettersArgs, LettersCommand, ServerArgs};
use super::ask::{ask_daemon, settings};
use super::print::Show;
use crate::app::exit::{Exit, Stop};
use crate::serve::control::{LetterWish, Question};
use crate::trigger::{Letter, TriggerView};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(super) async fn triggers(args: DataArgs, at: &ServerArgs, show: Show) -> Result<Exit, Stop> {
    let value = ask_daemon(&settings(args.data, at)?, Question::Triggers).await?;
    let triggers: Vec<TriggerView> = items(&value)?;
    show.result(&value, || listed(&triggers));
    Ok(Exit::Succeeded)
}

pub(super) async fn letters(args: LettersArgs, at: &ServerArgs, show: Show) -> Result<Exit, Stop> {
    let (wish, id) = match args.command.unwrap_or(LettersCommand::List) {
        LettersCommand::List => (LetterWish::List, 0),
        LettersCommand::Show(letter) => (LetterWish::Show, letter.id),
        LettersCommand::Drop(letter) => (LetterWish::Drop, letter.id),
        LettersCommand::Retry(letter) => (LetterWish::Retry, letter.id),
    };
    let value = ask_daemon(&settings(args.data, at)?, Question::Letters { wish, id }).await?;
    let text = match wish {
        LetterWish::List => letter_lines(&items(&value)?),
        LetterWish::Show => whole(&read(value.clone())?),
        LetterWish::Drop => format!("dead letter {id} is gone"),
        LetterWish::Retry => match value.get("run").and_then(Value::as_str) {
            Some(run) => run.to_owned(),
            None => "the trigger ignores it now; the letter is gone".to_owned(),
        },
    };
    show.result(&value, || text);
    Ok(Exit::Succeeded)
}

fn items<T: DeserializeOwned>(value: &Value) -> Result<Vec<T>, Stop> {
    read(value.get("items").cloned().unwrap_or(Value::Array(Vec::new())))
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, Stop> {
    serde_json::from_value(value).map_err(|error| Stop::bug(format!("the answer cannot be read: {error}")))
}

fn listed(triggers: &[TriggerView]) -> String {
    if triggers.is_empty() {
        return "no workflow that is loaded has triggers".to_owned();
    }
    let row = |trigger: &TriggerView| {
        let counts = &trigger.counts;
        let next = trigger.next_fire.as_ref().map_or_else(String::new, |time| format!("; next {time}"));
        let last = trigger.last_fired.as_ref().map_or_else(String::new, |time| format!("; last {time}"));
        let trouble = trigger.trouble.as_ref().map_or_else(String::new, |why| format!("\n    does not listen: {why}"));
        let lost = if counts.dropped > 0 { format!(", {} lost", counts.dropped) } else { String::new() };
        let waiting = if trigger.waiting > 0 { format!(", {} waiting", trigger.waiting) } else { String::new() };
        format!(
            "{:<20} {:<14} {:<9} {}\n    {} came, {} started, {} known, {} ignored, {} failed{lost}{waiting}{last}{next}{trouble}",
            trigger.workflow,
            trigger.id,
            trigger.kind,
            trigger.what,
            counts.received,
            counts.started,
            counts.replayed,
            counts.ignored,
            counts.failed
        )
    };
    triggers.iter().map(row).collect::<Vec<_>>().join("\n")
}

fn line(letter: &Letter) -> String {
    let Letter { id, at, workflow, trigger, source, reason, .. } = letter;
    format!("{id:>6}  {at}  {workflow}/{trigger}  {source}\n        {}: {}", reason.code, reason.message)
}

fn letter_lines(letters: &[Letter]) -> String {
    if letters.is_empty() {
        return "no dead letters".to_owned();
    }
    letters.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A letter with what came: as text where it is some, or in Base64.
fn whole(letter: &Letter) -> String {
    let payload = letter.payload.as_ref().map(|payload| {
        let text = STANDARD.decode(payload).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        text.map(|text| text.escape_debug().to_string()).unwrap_or_else(|| payload.clone())
    });
    let what = payload.or_else(|| letter.context.as_ref().map(Value::to_string)).unwrap_or_default();
    format!("{}\n        {} bytes: {what}", line(letter), letter.size)
}
