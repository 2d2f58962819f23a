//! `run` and `logs -f` of a daemon on another machine: it is watched from here, also while it is away for a while.

use super::args::Output;
use super::ask::{self, ask_daemon, stop};
use super::follow::Shown;
use super::logs;
use super::print::{self, Show};
use super::remote::{self, Ending, Heard, Patience, Remote};
use super::signals::Signals;
use crate::app::exit::{Exit, Stop};
use crate::engine::LiveView;
use crate::serve::control::{Question, Start};
use crate::settings::{ServerSettings, Settings};
use packhorse_core::failure::Failure;
use packhorse_core::run::{RunId, RunStatus};
use std::time::Duration;

/// Between looks at a run.
const LOOK: Duration = Duration::from_millis(500);

/// Has the daemon start a run, and shows it until it is over, paused, or a signal comes.
pub(super) async fn run(settings: &Settings, start: Start, show: Show) -> Result<Exit, Stop> {
    let mut signals = Signals::take()?;
    let run = ask::run(ask_daemon(settings, Question::Start(start)).await?)?.view.run;
    show.note(&format!("run {run}"));
    let (mut progress, mut patience) = (Shown::new(show), Patience::default());
    loop {
        let wait = match look(settings, &run).await {
            Ok(view) if view.view.status.is_final() || view.view.status == RunStatus::Paused => {
                progress.show(&view);
                progress.clear();
                show.result(&view, || print::run(&view));
                return Ok(super::run::exit(&view));
            }
            Ok(view) => {
                patience.calm();
                progress.show(&view);
                LOOK
            }
            Err(failure) if remote::passes(&failure) => patience.wait(failure, show).map_err(stop)?,
            Err(failure) => return Err(stop(failure)),
        };
        tokio::select! {
            exit = signals.next() => {
                progress.clear();
                print::write_err(&format!("the run goes on there: packhorse logs -f {run}, or packhorse cancel {run}"));
                return Ok(exit);
            }
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn look(settings: &Settings, run: &RunId) -> Result<LiveView, Failure> {
    let value = remote::ask(settings, &Question::Show { run: run.to_string() }).await?.unwrap_or_default();
    serde_json::from_value(value).map_err(|error| remote::unread(&error))
}

/// Prints the journal of a run as it grows, to its end.
pub(super) async fn logs(server: &ServerSettings, run: &str, mut signals: Signals, show: Show) -> Result<Exit, Stop> {
    let remote = Remote::of(server).map_err(stop)?;
    let run = remote.run_id(run).await.map_err(stop)?;
    let (mut heard, mut patience, mut known) = (Heard::default(), Patience::default(), false);
    loop {
        let ending = tokio::select! {
            exit = signals.next() => return Ok(exit),
            ending = remote.hear(&run, &mut heard, |number, record| told(number, record, show.output)) => ending,
        };
        let failure = match ending.map_err(stop)? {
            Ending::Over => return Ok(Exit::Succeeded),
            Ending::Broken(failure) => failure,
        };
        if std::mem::take(&mut heard.stood) {
            known = true;
            patience.calm();
        } else if !known {
            return Err(stop(failure));
        }
        let wait = patience.wait(failure, show).map_err(stop)?;
        tokio::select! {
            exit = signals.next() => return Ok(exit),
            () = tokio::time::sleep(wait) => {}
        }
    }
}

fn told(number: u64, record: serde_json::Value, output: Output) -> Result<(), Failure> {
    let record = serde_json::from_value(record).map_err(|error| remote::unread(&error))?;
    print::write_out(&logs::line(number, &record, output));
    Ok(())
}
