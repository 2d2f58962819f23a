//! What logs and counts are told of a run's facts, once these are durable: a log never knows more than the journal.

use super::performer::RunContext;
use crate::counts;
use packhorse_core::failure::Class;
use packhorse_core::run::{AttemptResult, Fact, Notable, Record, RunState, Severity};
use std::time::Duration;

/// Lines of a log that tell of runs; a filter may name it.
const RUNS: &str = "packhorse::runs";

/// What is told when some facts are durable.
#[derive(Debug, Default)]
pub(super) struct Told {
    lines: Vec<Notable>,
    counts: Vec<Count>,
}

/// What cut a transfer that goes on again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Cut {
    /// The process ended, or stood back for another run at the same device.
    #[default]
    Parked,
    /// Another process took it over.
    Restart,
    /// A person paused it.
    Pause,
    /// Admission withheld it.
    Withheld,
    /// Another build of its codec.
    Repin,
}

#[derive(Debug)]
enum Count {
    Began { waited: Duration },
    Attempt { step: String, failed: Option<Class> },
    Step { step: String, outcome: &'static str, took: Duration },
    Resumed { direction: &'static str, cause: &'static str },
}

impl Told {
    /// Of facts that are in `state` already; `cut` is what cut the run's transfer last, and moves on with them.
    pub(super) fn of(state: &RunState, facts: &[Record], lines: Vec<Notable>, cut: &mut Cut) -> Self {
        let counts = facts.iter().filter_map(|record| Count::of(state, record, cut)).collect();
        Self { lines, counts }
    }

    /// Tells it.
    pub(super) fn tell(self, run: &RunContext) {
        for line in &self.lines {
            log(run, line);
        }
        for count in &self.counts {
            count.count(run);
        }
    }
}

/// One line. Severities are levels, and levels are not values for `tracing`.
fn log(context: &RunContext, line: &Notable) {
    let (run, words) = (&context.id, &line.words);
    let (step, device, code) = (line.step.as_deref(), line.device.as_deref(), line.code.as_deref());
    let attempt = line.attempt;
    match line.severity {
        Severity::Debug => tracing::debug!(target: RUNS, %run, step, attempt, device, code, "{words}"),
        Severity::Info => tracing::info!(target: RUNS, %run, step, attempt, device, code, "{words}"),
        Severity::Warning => tracing::warn!(target: RUNS, %run, step, attempt, device, code, "{words}"),
        Severity::Error => tracing::error!(target: RUNS, %run, step, attempt, device, code, "{words}"),
    }
}

impl Count {
    fn of(state: &RunState, record: &Record, cut: &mut Cut) -> Option<Self> {
        match &record.fact {
            Fact::Started { .. } => Some(Self::Began { waited: record.at.since(state.created_at) }),
            Fact::AttemptEnded { step, result, .. } => {
                let failed = match result {
                    AttemptResult::Succeeded(_) => None,
                    AttemptResult::Failed(failure) => Some(failure.class),
                };
                Some(Self::Attempt { step: step.clone(), failed })
            }
            Fact::StepSucceeded { step, .. } => Some(Self::step(state, step, "succeeded", record)),
            Fact::StepFailed { step, .. } => Some(Self::step(state, step, "failed", record)),
            Fact::AttemptResumed { step, .. } => {
                let cause = std::mem::take(cut).word();
                let direction = state.steps.get(step).and_then(|step| direction(&step.uses))?;
                Some(Self::Resumed { direction, cause })
            }
            fact => {
                *cut = Cut::by(fact).unwrap_or(*cut);
                None
            }
        }
    }

    fn step(state: &RunState, step: &str, outcome: &'static str, record: &Record) -> Self {
        let took = state.steps.get(step).map_or(Duration::ZERO, |step| record.at.since(step.began_at));
        Self::Step { step: step.to_owned(), outcome, took }
    }

    fn count(&self, run: &RunContext) {
        match self {
            Self::Began { waited } => counts::run_began(&run.workflow, run.priority, *waited),
            Self::Attempt { step, failed } => counts::attempt_ended(&run.workflow, step, *failed),
            Self::Step { step, outcome, took } => counts::step_ended(&run.workflow, step, outcome, *took),
            Self::Resumed { direction, cause } => counts::transfer_resumed(direction, cause),
        }
    }
}

impl Cut {
    fn by(fact: &Fact) -> Option<Self> {
        match fact {
            Fact::Recovered { .. } => Some(Self::Restart),
            Fact::Paused { .. } => Some(Self::Pause),
            Fact::Withheld { .. } => Some(Self::Withheld),
            Fact::Repinned { .. } => Some(Self::Repin),
            _ => None,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Restart => "restart",
            Self::Pause => "pause",
            Self::Withheld => "withheld",
            Self::Repin => "repin",
        }
    }
}

fn direction(uses: &str) -> Option<&'static str> {
    match uses {
        "transfer.push" => Some("push"),
        "transfer.pull" => Some("pull"),
        "transfer.verify" => Some("verify"),
        _ => None,
    }
}
