//! What a log tells of a run: one line for a fact that people look for, none for the others. The journal has them all.

use super::fact::{AttemptResult, Fact, FinalStatus, PauseReason, Record, Wait, Work};
use super::state::RunState;
use crate::failure::Failure;
use serde::Serialize;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For who looks closely.
    Debug,
    /// The course of things.
    Info,
    /// Something went wrong, and what follows is settled.
    Warning,
    /// A run ended badly, or waits for a person.
    Error,
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notable {
    /// How much it matters.
    pub severity: Severity,
    /// In words; the fields below are not in it.
    pub words: String,
    /// The step that it is about.
    pub step: Option<String>,
    /// The attempt of it, from 1.
    pub attempt: Option<u32>,
    /// The device of the step.
    pub device: Option<String>,
    /// Code of the failure, where it is one.
    pub code: Option<String>,
}

impl RunState {
    /// The line of a fact that is in this state already; nothing for facts that only the journal needs.
    pub fn notable(&self, record: &Record) -> Option<Notable> {
        match &record.fact {
            Fact::Created(created) => Some(self.line(Severity::Info, format!("created: {}", created.workflow))),
            Fact::Paused { why, step } => Some(self.pause_line(*why, step.as_deref())),
            Fact::Resumed { .. } => Some(self.line(Severity::Info, "goes on after a pause")),
            Fact::Retried { .. } => Some(self.line(Severity::Info, "retried")),
            Fact::Withheld { why } => Some(self.line(Severity::Info, format!("withheld: {}", word(why)))),
            Fact::Superseded { by } => Some(self.line(Severity::Info, format!("superseded by {by}"))),
            Fact::CancelAsked { reason } => {
                let why = reason.as_deref().map_or_else(String::new, |reason| format!(": {reason}"));
                Some(self.line(Severity::Info, format!("is to be cancelled{why}")))
            }
            Fact::LimitReached => Some(self.line(Severity::Warning, "its time is over")),
            Fact::Doubted => Some(self.line(Severity::Warning, "the store has lost writes: it asks where it was")),
            Fact::Finished { .. } => Some(self.end_line()),
            Fact::Recovered { died: Some(_), .. } => {
                Some(self.line(Severity::Warning, "the process died while it was at work"))
            }
            fact => self.of_step(fact),
        }
    }

    fn of_step(&self, fact: &Fact) -> Option<Notable> {
        match fact {
            Fact::AttemptStarted { step, work: Work::Effect { .. }, .. } => {
                let uses = self.steps.get(step).map_or("", |state| &state.uses);
                Some(self.about(step, Severity::Info, format!("{uses} begins")))
            }
            Fact::AttemptResumed { step, .. } => Some(self.about(step, Severity::Info, "goes on")),
            Fact::AttemptParked { step, .. } => Some(self.about(step, Severity::Info, "parked")),
            Fact::Reachable { step, reachable } => {
                let words = if *reachable { "the device is there again" } else { "the device is away" };
                Some(self.about(step, Severity::Info, words))
            }
            Fact::CallRefused { step, call } => {
                let words = format!("refused to {}: {}: {}", call.plugin, call.call, call.why);
                Some(self.about(step, Severity::Warning, words))
            }
            Fact::AttemptEnded { step, result: AttemptResult::Failed(failure), .. } => {
                Some(self.failed(step, Severity::Warning, "the attempt failed", failure))
            }
            Fact::WaitSet { step, wait, timer } => {
                let until = timer.at.to_rfc3339();
                let words = match wait {
                    Wait::Backoff => format!("is tried again at {until}"),
                    Wait::DeviceOffline => format!("waits for its device; is tried in any case at {until}"),
                    Wait::TrafficBudget => format!("waits for its traffic budget until {until}"),
                };
                Some(self.about(step, Severity::Info, words))
            }
            Fact::StepSucceeded { step, .. } => Some(self.about(step, Severity::Info, "succeeded")),
            Fact::StepFailed { step, failure, .. } => {
                Some(self.failed(step, Severity::Warning, "the step failed", failure))
            }
            _ => None,
        }
    }

    fn pause_line(&self, why: PauseReason, step: Option<&str>) -> Notable {
        let severity = if why == PauseReason::Asked { Severity::Info } else { Severity::Error };
        let words = format!("paused: {}", word(&why));
        let failure = step.and_then(|step| self.steps.get(step)?.error.as_ref());
        let line = step.map_or_else(|| self.line(severity, words.clone()), |step| self.about(step, severity, &words));
        Notable { code: failure.map(|failure| failure.code.clone()), ..line }
    }

    fn end_line(&self) -> Notable {
        let status = self.verdict.as_ref().map_or(FinalStatus::Succeeded, |verdict| verdict.status);
        let error = self.verdict.as_ref().and_then(|verdict| verdict.error.as_ref());
        let severity = match status {
            FinalStatus::Failed | FinalStatus::TimedOut => Severity::Error,
            FinalStatus::Succeeded | FinalStatus::Cancelled | FinalStatus::Superseded => Severity::Info,
        };
        let took = self.last_at.since(self.created_at).as_secs_f64();
        let words = format!("{} after {took:.1} s", word(&status));
        match error {
            None => self.line(severity, words),
            Some(error) => Notable {
                code: Some(error.failure.code.clone()),
                step: error.step.clone(),
                ..self.line(severity, format!("{words}: {}", one_line(&error.failure.message)))
            },
        }
    }

    /// Of the run as a whole. Its device is the one that it was started for.
    fn line(&self, severity: Severity, words: impl Into<String>) -> Notable {
        let device = self.created.device.get("id").and_then(|id| id.as_str()).map(str::to_owned);
        Notable { severity, words: words.into(), step: None, attempt: None, device, code: None }
    }

    fn about(&self, step: &str, severity: Severity, words: impl Into<String>) -> Notable {
        let line = self.line(severity, words);
        let Some(state) = self.steps.get(step) else { return Notable { step: Some(step.to_owned()), ..line } };
        let device = state.with.get("device").and_then(|id| id.as_str()).map(str::to_owned);
        Notable {
            step: Some(step.to_owned()),
            attempt: (state.attempts > 0).then_some(state.attempts),
            device: device.or_else(|| line.device.clone()),
            ..line
        }
    }

    fn failed(&self, step: &str, severity: Severity, words: &str, failure: &Failure) -> Notable {
        let words = format!("{words}: {}", one_line(&failure.message));
        Notable { code: Some(failure.code.clone()), ..self.about(step, severity, words) }
    }
}

/// Words of many lines, as those of checked files are, would break a log for people.
fn one_line(words: &str) -> &str {
    words.lines().next().unwrap_or_default()
}

/// As JSON has it, with blanks.
fn word(value: &impl Serialize) -> String {
    let word = serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned));
    word.unwrap_or_default().replace('_', " ")
}
