//! Progress of a run: a bar on a terminal, plain lines elsewhere.

use super::bar::{self, LINE};
use super::print::{self, Show};
use super::signals::Signals;
use crate::app::App;
use crate::app::exit::{Exit, Stop};
use crate::engine::{EngineError, LiveView};
use indicatif::ProgressBar;
use packhorse_core::failure::chain;
use packhorse_core::run::{RunId, RunStatus, StepStatus};
use std::time::{Duration, Instant};

/// How following ended.
pub(super) enum Ended {
    /// The run is final or paused.
    At(Box<LiveView>),
    /// By a signal.
    Interrupted(Exit),
}

/// Shows a run until it is final or paused, or a signal comes.
pub(super) async fn follow(app: &App, run: &RunId, signals: &mut Signals, show: Show) -> Result<Ended, Stop> {
    let failed = |error: &EngineError| Stop::bug(chain(error));
    let mut updates = match app.engine.subscribe(run).await {
        // A short run is over before anybody looks.
        Err(EngineError::Unreadable { .. }) => return at_rest(app, run).await,
        subscribed => subscribed.map_err(|error| failed(&error))?,
    };
    let mut progress = Shown::new(show);
    loop {
        let view = updates.borrow_and_update().clone();
        progress.show(&view);
        if view.view.status.is_final() || view.view.status == RunStatus::Paused {
            progress.clear();
            return Ok(Ended::At(Box::new(view)));
        }
        tokio::select! {
            changed = updates.changed() => if changed.is_err() {
                progress.clear();
                return at_rest(app, run).await;
            },
            exit = signals.next() => {
                progress.clear();
                return Ok(Ended::Interrupted(exit));
            }
        }
    }
}

/// A run that nobody works on any more.
async fn at_rest(app: &App, run: &RunId) -> Result<Ended, Stop> {
    let view = app.engine.view(run).await.map_err(|error| match error {
        EngineError::Stopped(_) | EngineError::Store(_) => Stop::unavailable("PH7013", chain(&error))
            .hint(format!("when the store works again: packhorse resume {run}")),
        error => Stop::bug(chain(&error)),
    })?;
    if view.view.status.is_final() || view.view.status == RunStatus::Paused {
        Ok(Ended::At(Box::new(view)))
    } else {
        // It stops by itself only where the journal cannot be written.
        let why = app.engine.stopped().await;
        Err(Stop::unavailable("PH7013", format!("the run was left in the middle: {why}"))
            .hint(format!("nothing more was begun; when the store works again: packhorse resume {run}")))
    }
}

/// What was shown last.
pub(super) struct Shown {
    show: Show,
    bar: Option<ProgressBar>,
    steps: Vec<(String, StepStatus)>,
    tenth: u64,
    line: Instant,
    waiting: String,
    resumes: u32,
}

impl Shown {
    pub(super) fn new(show: Show) -> Self {
        let bar = bar::drawn(show);
        Self { show, bar, steps: Vec::new(), tenth: 0, line: Instant::now(), waiting: String::new(), resumes: 0 }
    }

    pub(super) fn show(&mut self, live: &LiveView) {
        if self.show.quiet {
            return;
        }
        self.steps(live);
        let waiting = live.view.unfinished.as_ref().map_or("", |unfinished| unfinished.waiting_for.as_str());
        let waits = live.view.status == RunStatus::Waiting;
        if waits && waiting != self.waiting && self.line.elapsed() > Duration::from_secs(1) {
            waiting.clone_into(&mut self.waiting);
            self.say(&format!("  waiting: {waiting}"));
        }
        let Some(progress) = &live.progress else { return };
        match &self.bar {
            Some(bar) => {
                bar.set_prefix(running(live));
                bar.set_length(progress.total.max(progress.done));
                bar.set_position(progress.done);
                bar.set_message(progress.text.clone());
            }
            None => self.line(live, progress),
        }
    }

    /// A line for every step that begins or ends.
    fn steps(&mut self, live: &LiveView) {
        for step in &live.view.steps {
            let known = self.steps.iter().find(|(id, _)| *id == step.id).map(|(_, status)| *status);
            if known == Some(step.status) || step.status == StepStatus::Pending {
                continue;
            }
            self.steps.retain(|(id, _)| *id != step.id);
            self.steps.push((step.id.clone(), step.status));
            match step.status {
                StepStatus::Running if known.is_none() => self.say(&format!("▸ {} ({})", step.id, step.uses)),
                StepStatus::Failed => {
                    let why = step.error.as_ref().map_or_else(String::new, |error| format!(": {}", error.message));
                    self.say(&format!("✗ {}{why}", step.id));
                }
                StepStatus::Succeeded => self.say(&format!("✓ {}  {}", step.id, print::duration(step.duration_ms))),
                StepStatus::Pending
                | StepStatus::Running
                | StepStatus::Waiting
                | StepStatus::Cancelled
                | StepStatus::Skipped => {}
            }
            self.tenth = 0;
        }
    }

    /// A plain line every tenth of the way, or every 30 s.
    fn line(&mut self, live: &LiveView, progress: &crate::engine::Progress) {
        let tenth = (progress.done * 10).checked_div(progress.total).unwrap_or(0);
        if tenth <= self.tenth && self.line.elapsed() < LINE {
            return;
        }
        (self.tenth, self.line) = (tenth, Instant::now());
        if live.view.traffic.resumes > self.resumes {
            self.resumes = live.view.traffic.resumes;
            print::write_err(&format!("  resumed at {}", print::bytes(progress.done)));
        }
        let (done, total) = (print::bytes(progress.done), print::bytes(progress.total));
        let percent = (progress.done * 100).checked_div(progress.total).unwrap_or(100);
        print::write_err(&format!("  {}  {percent}%  {done}/{total}  {}", running(live), progress.text));
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| print::write_err(text)),
            None => print::write_err(text),
        }
    }

    pub(super) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn running(live: &LiveView) -> String {
    let active = |step: &&packhorse_core::run::StepView| {
        matches!(step.status, StepStatus::Running | StepStatus::Waiting) && step.uses != "steps"
    };
    live.view.steps.iter().find(active).map_or_else(String::new, |step| step.id.clone())
}
