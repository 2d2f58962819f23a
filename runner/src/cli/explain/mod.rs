//! `explain`: why a run is where it is, what is known of a device, what a code means; in words and as data.
//!
//! * `run`, `transfer`, `device`: the words, pure; `reasons`: those of reasons why a run waits
//! * `clock`: times as people read them

mod clock;
mod device;
mod reasons;
mod run;
mod transfer;

use super::args::{ExplainArgs, ServerArgs};
use super::ask;
use super::codes;
use super::print::{self, Show};
use crate::app::exit::{Exit, Stop};
use crate::engine::LiveView;
use crate::serve::control::Question;
use clock::Clock;
use serde::Serialize;
use serde_json::{Value, json};

/// One thing that is said: `because: device offline: …`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Line {
    about: &'static str,
    text: String,
}

fn line(about: &'static str, text: String) -> Line {
    Line { about, text }
}

/// A run with what is said of it.
#[derive(Serialize)]
struct Explained<'a> {
    #[serde(flatten)]
    live: &'a LiveView,
    explained: Vec<Line>,
}

pub(super) async fn explain(args: ExplainArgs, at: &ServerArgs, show: Show) -> Result<Exit, Stop> {
    if let Some(code) = codes::find(&args.subject) {
        show.result(&json!({ "code": code.code, "means": code.means, "do": code.advice }), || code.to_string());
        return Ok(Exit::Succeeded);
    }
    let value = ask::ask(&ask::settings(args.data, at)?, Question::Explain { subject: args.subject.clone() }).await?;
    let runs = ask::runs(&value)?;
    if runs.is_empty() {
        let message = format!("{} is no run, no device of a run that is known here, and no code", args.subject);
        return Err(Stop::usage("PH8003", message).hint("`packhorse ps -a` lists runs; codes look like PH5001"));
    }
    let (clock, presence) = (Clock::local(), &value["presence"]);
    let of_device = !args.subject.starts_with("run_");
    let items: Vec<Explained<'_>> =
        runs.iter().map(|live| Explained { live, explained: run::run(live, presence, clock) }).collect();
    let value = if of_device {
        let heard = device::last_heard(&args.subject, &runs).map(packhorse_core::run::WallTime::to_rfc3339);
        json!({ "device": args.subject, "last_heard": heard, "presence": presence[&args.subject], "items": items })
    } else {
        json!({ "items": items })
    };
    show.result(&value, || {
        if of_device { device_page((&args.subject, presence), &runs, &items, clock) } else { pages(&items) }
    });
    Ok(Exit::Succeeded)
}

fn pages(items: &[Explained<'_>]) -> String {
    items.iter().map(page).collect::<Vec<_>>().join("\n\n")
}

fn device_page((id, presence): (&str, &Value), runs: &[LiveView], items: &[Explained<'_>], clock: Clock) -> String {
    let mut parts = vec![laid_out(&format!("device {id}"), &device::device((id, presence), runs, clock))];
    let (ended, open): (Vec<_>, Vec<_>) = items.iter().partition(|item| item.live.view.status.is_final());
    parts.extend(open.into_iter().map(page));
    if !ended.is_empty() {
        parts.push(ended.iter().map(|item| device::ended(item.live, clock)).collect::<Vec<_>>().join("\n"));
    }
    parts.join("\n\n")
}

fn page(item: &Explained<'_>) -> String {
    let view = &item.live.view;
    let head = format!("{} ({}) is {}", view.run, view.workflow, print::status(view.status));
    laid_out(&head, &item.explained)
}

/// A head, and below it what is said, in two columns.
fn laid_out(head: &str, lines: &[Line]) -> String {
    let wide = lines.iter().map(|line| line.about.len()).max().unwrap_or(0);
    let rows = lines.iter().map(|line| format!("  {:<wide$}  {}", line.about, line.text));
    std::iter::once(head.to_owned()).chain(rows).collect::<Vec<_>>().join("\n")
}
