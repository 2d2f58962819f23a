//! `top`: what the process of a data folder does right now, drawn anew every second; one snapshot where nobody watches.

use super::args::{Output, ServerArgs, TopArgs};
use super::ask::{ask_daemon, runs, settings};
use super::keys::Keys;
use super::print::{self, Show};
use super::signals::Signals;
use crate::app::exit::{Exit, Stop};
use crate::engine::LiveView;
use crate::serve::control::Question;
use crate::settings::Settings;
use packhorse_core::run::{RunStatus, WallTime};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Runs that are asked for.
const MOST: usize = 10_000;
/// Rows that are drawn; the rest is counted.
const ROWS: usize = 40;
/// Cells of a bar.
const CELLS: u64 = 16;
/// Weight of the newest rate in the smoothed one.
const NEWEST: f64 = 0.2;
/// Clears the terminal and goes to its first cell.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

pub(super) async fn top(args: TopArgs, at: &ServerArgs, show: Show) -> Result<Exit, Stop> {
    let settings = settings(args.data, at)?;
    let mut rates = Rates::default();
    let live = show.output == Output::Text && std::io::stdout().is_terminal();
    let all = look(&settings).await?;
    if !live {
        show.result(&snapshot(&all), || table(&all, &rates));
        return Ok(Exit::Succeeded);
    }
    let (mut signals, mut keys) = (Signals::take()?, Keys::take());
    let mut all = all;
    loop {
        rates.learn(&all.items);
        let mut out = std::io::stdout().lock();
        // A terminal that is gone is noticed by its signal.
        drop(writeln!(out, "{CLEAR}{}\n\nq ends", table(&all, &rates)).and_then(|()| out.flush()));
        drop(out);
        tokio::select! {
            _ = signals.next() => return Ok(Exit::Succeeded),
            () = keys.pressed(b'q') => return Ok(Exit::Succeeded),
            () = tokio::time::sleep(Duration::from_secs(args.every)) => {}
        }
        all = look(&settings).await?;
    }
}

/// The unfinished runs that are looked at, those at work first, and how many there are in all.
#[derive(Debug)]
struct Open {
    items: Vec<LiveView>,
    in_all: usize,
}

async fn look(settings: &Settings) -> Result<Open, Stop> {
    let value = ask_daemon(settings, Question::List { all: false, limit: MOST }).await?;
    let mut items = runs(&value)?;
    items.sort_by_key(|live| (order(live.view.status), live.view.created_at));
    let in_all = value["in_all"].as_u64().and_then(|all| usize::try_from(all).ok());
    Ok(Open { in_all: in_all.unwrap_or(items.len()), items })
}

const fn order(status: RunStatus) -> u8 {
    match status {
        RunStatus::Running | RunStatus::Cancelling => 0,
        RunStatus::Waiting => 1,
        RunStatus::Paused => 2,
        _ => 3,
    }
}

fn snapshot(all: &Open) -> Value {
    json!({ "items": all.items, "totals": totals(all) })
}

fn totals(all: &Open) -> Value {
    let items = &all.items;
    let count = |wanted: RunStatus| items.iter().filter(|live| live.view.status == wanted).count();
    let sum = |figure: fn(&LiveView) -> u64| items.iter().map(figure).sum::<u64>();
    json!({
        "runs": all.in_all,
        "looked_at": items.len(),
        "running": count(RunStatus::Running),
        "waiting": count(RunStatus::Waiting),
        "queued": count(RunStatus::Queued),
        "paused": count(RunStatus::Paused),
        "cancelling": count(RunStatus::Cancelling),
        "done_bytes": sum(|live| progress(live).0),
        "total_bytes": sum(|live| progress(live).1),
    })
}

/// Bytes done and in all of its transfer.
fn progress(live: &LiveView) -> (u64, u64) {
    let told = live.progress.as_ref().map(|progress| (progress.done, progress.total));
    let kept = || live.transfer.as_ref().map(|view| (view.done, view.total.unwrap_or(0)));
    told.or_else(kept).unwrap_or_default()
}

/// Smoothed bytes a second of each run.
#[derive(Default)]
struct Rates(HashMap<String, (u64, Instant, Option<f64>)>);

impl Rates {
    fn learn(&mut self, items: &[LiveView]) {
        let now = Instant::now();
        let mut next = HashMap::new();
        for live in items {
            let done = progress(live).0;
            let rate = self.0.get(live.view.run.as_str()).and_then(|(before, at, rate)| {
                let seconds = now.duration_since(*at).as_secs_f64();
                let newest = (done >= *before && seconds > 0.0).then(|| (done - before) as f64 / seconds)?;
                Some(rate.map_or(newest, |rate| rate + (newest - rate) * NEWEST))
            });
            next.insert(live.view.run.to_string(), (done, now, rate));
        }
        self.0 = next;
    }

    fn of(&self, live: &LiveView) -> Option<f64> {
        self.0.get(live.view.run.as_str())?.2.filter(|rate| *rate >= 1.0)
    }
}

fn table(all: &Open, rates: &Rates) -> String {
    let items = &all.items;
    let newest = if all.in_all > items.len() { format!(", of the newest {}", items.len()) } else { String::new() };
    let count = |wanted: RunStatus| items.iter().filter(|live| live.view.status == wanted).count();
    let rate: f64 = items.iter().filter_map(|live| rates.of(live)).sum();
    let head = format!(
        "{} runs{newest}: {} running, {} waiting, {} queued, {} paused   {}/s",
        all.in_all,
        count(RunStatus::Running) + count(RunStatus::Cancelling),
        count(RunStatus::Waiting),
        count(RunStatus::Queued),
        count(RunStatus::Paused),
        print::bytes(rate as u64)
    );
    let titles = format!(
        "{:<30}  {:<16} {:<12} {:<10} {:<16} {:>5}  {:>12} {:>9}  {}",
        "RUN", "WORKFLOW", "DEVICE", "STATUS", "", "", "RATE", "ETA", "RESENT, OR WAITS FOR"
    );
    let rows = items.iter().take(ROWS).map(|live| row(live, rates));
    let more = (all.in_all > ROWS).then(|| format!("… and {} more", all.in_all - items.len().min(ROWS)));
    [head, String::new(), titles].into_iter().chain(rows).chain(more).collect::<Vec<_>>().join("\n")
}

fn row(live: &LiveView, rates: &Rates) -> String {
    let view = &live.view;
    let (done, total) = progress(live);
    let percent = done.saturating_mul(100).checked_div(total).map_or_else(String::new, |percent| format!("{percent}%"));
    let rate = rates.of(live);
    let eta = rate.filter(|_| total > done).map(|rate| ((total - done) as f64 / rate * 1_000.0) as u64);
    format!(
        "{:<30}  {:<16} {:<12} {:<10} {:<16} {percent:>5}  {:>12} {:>9}  {}",
        view.run,
        view.workflow,
        view.devices.first().map_or("", String::as_str),
        print::status(view.status),
        bar(done, total),
        rate.map_or_else(String::new, |rate| format!("{}/s", print::bytes(rate as u64))),
        eta.map_or_else(String::new, print::duration),
        words(live)
    )
}

/// `████░░░░`, nothing where nothing is known.
fn bar(done: u64, total: u64) -> String {
    let full = done.min(total).saturating_mul(CELLS).checked_div(total);
    full.map_or_else(String::new, |full| "█".repeat(full as usize) + &"░".repeat((CELLS - full) as usize))
}

/// What it waits for, and behind whom; how it goes where it does not wait.
fn words(live: &LiveView) -> String {
    let Some(unfinished) = &live.view.unfinished else { return String::new() };
    let goes = live.view.status == RunStatus::Running;
    if let (true, Some(progress)) = (goes, &live.progress) {
        return progress.text.clone();
    }
    let reason = serde_json::to_value(unfinished.reason).unwrap_or_default();
    let reason = reason.as_str().unwrap_or_default().replace('_', " ");
    match &unfinished.behind {
        Some(behind) => format!("{reason}: behind {behind}, since {}", clock(unfinished.since)),
        None => format!("{reason}: {}", unfinished.waiting_for),
    }
}

/// Time of the day, UTC.
fn clock(at: WallTime) -> String {
    at.to_rfc3339().get(11..19).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(status: &str, reason: &str, more: Value) -> LiveView {
        let mut value = json!({
            "run": "run_01HF5X0000000000000000TEST", "workflow": "ota-push", "status": status, "outputs": {}, "steps": [],
            "traffic": {"payload_bytes": 0, "wire_bytes": 0, "retransmitted_bytes": 0, "packets": 0, "resumes": 0},
            "duration_ms": 60_000, "created_at": 1_700_000_000_000_u64, "live": true, "devices": ["gw-1"],
            "unfinished": {"reason": reason, "since": 1_700_000_000_000_u64, "waiting_for": "x"},
        });
        for (key, more) in more.as_object().unwrap() {
            value[key] = more.clone();
        }
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn bars_are_as_long_as_they_should_be() {
        assert_eq!(bar(0, 0), "");
        assert_eq!(bar(1, 2), "████████░░░░░░░░");
        assert_eq!((bar(9, 3).chars().count(), bar(u64::MAX, u64::MAX).chars().count()), (16, 16));
    }

    #[test]
    fn rows_tell_how_it_goes_or_what_it_waits_for() {
        let progress = json!({ "progress": { "done": 50, "total": 100, "text": "resent 0.4%" } });
        let behind = json!({ "unfinished": { "reason": "overtaken", "since": 1_700_000_000_000_u64, "waiting_for": "x", "behind": "run_X" } });
        let items = [live("running", "working", progress), live("waiting", "overtaken", behind)];
        let all = Open { items: items.to_vec(), in_all: 2 };
        let text = table(&all, &Rates::default());
        for words in
            ["2 runs: 1 running, 1 waiting", "50%", "resent 0.4%", "overtaken: behind run_X, since 22:13:20", "gw-1"]
        {
            assert!(text.contains(words), "`{words}` is not in\n{text}");
        }
        assert_eq!(snapshot(&all)["totals"]["total_bytes"], 100);
        let text = table(&Open { in_all: 20_000, ..all }, &Rates::default());
        assert!(text.contains("20000 runs, of the newest 2: 1 running") && text.contains("and 19998 more"), "{text}");
    }
}
