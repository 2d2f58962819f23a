//! A run as people and programs see it: the JSON of `run`, `show` and `ps`, with what `explain` needs.

use super::fact::{CodecPin, RunError, Work};
use super::lookup::{inner, uses};
use super::state::{RunState, Stage, StepPhase, StepState};
use super::status::{Reason, RunStatus, StepStatus};
use super::words::{RunId, WallTime, millis};
use crate::effect::Traffic;
use crate::failure::Failure;
use crate::grant::RefusedCall;
use crate::step::Outputs;
use crate::workflow::{Step, Workflow};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A run, ready to be printed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunView {
    /// Its id.
    pub run: RunId,
    /// Name of its workflow.
    pub workflow: String,
    /// Its status.
    pub status: RunStatus,
    /// Its outputs; empty until it has succeeded.
    pub outputs: Outputs,
    /// In the order of the file; steps that have not begun are `pending`.
    pub steps: Vec<StepView>,
    /// What it cost so far. Effects under way are added when they end or are parked.
    pub traffic: Traffic,
    /// From creation to the end, or to now.
    pub duration_ms: u64,
    /// What went wrong, or what it is paused for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RunError>,
    /// For an unfinished run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<Unfinished>,
    /// From 1 (critical) to 5 (bulk).
    #[serde(default = "normal")]
    pub priority: u8,
    /// Kind of the trigger that started it; absent where somebody asked for it by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    /// When it was created.
    #[serde(with = "super::rfc3339")]
    pub created_at: WallTime,
    /// Devices that its inputs name, or its steps as far as they have begun.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// The codec that it speaks through now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec: Option<CodecPin>,
    /// The one that it began with, where it was moved to another build since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repinned_from: Option<CodecPin>,
}

/// Why a run is where it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unfinished {
    /// Why.
    pub reason: Reason,
    /// Since when.
    #[serde(with = "super::rfc3339")]
    pub since: WallTime,
    /// What must happen, as a phrase.
    pub waiting_for: String,
    /// When something happens in any case.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "super::rfc3339::option")]
    pub next_action_at: Option<WallTime>,
    /// The step that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The device that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The run or hold that is in its way, where admission withholds it; known to the process that works on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<String>,
}

/// A step, ready to be printed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepView {
    /// Its id.
    pub id: String,
    /// Name of its primitive, or `steps` for a block.
    pub uses: String,
    /// Its status.
    pub status: StepStatus,
    /// Attempts in its last round.
    pub attempts: u32,
    /// Its outputs.
    pub outputs: Outputs,
    /// Its last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// What its plugin asked for outside of its grants: different calls, the first ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedCall>,
    /// How many calls of its plugin were refused.
    #[serde(default, skip_serializing_if = "none")]
    pub refusals: u32,
    /// Of its last round, to the end or to now.
    pub duration_ms: u64,
}

/// The priority of runs that say none.
fn normal() -> u8 {
    crate::admission::Priority::default().level()
}

impl RunState {
    /// As people see it. Without the workflow, steps stand in the order in which they began, and those that have not are left out.
    pub fn view(&self, workflow: Option<&Workflow>, now: WallTime) -> RunView {
        let (status, reason) = self.standing();
        let until = match self.stage {
            Stage::Finished { at } => at,
            Stage::Queued | Stage::Main | Stage::Decided | Stage::Cleanup(_) => now,
        };
        RunView {
            run: self.created.run.clone(),
            workflow: self.created.workflow.clone(),
            status,
            outputs: self.verdict.as_ref().map(|verdict| verdict.outputs.clone()).unwrap_or_default(),
            steps: self.step_views(workflow, now),
            traffic: self.traffic(),
            duration_ms: millis(until.since(self.created_at)),
            error: self.error(),
            unfinished: reason.map(|reason| self.explain(reason)),
            priority: self.created.terms.priority.level(),
            trigger: self.created.trigger.get("kind").and_then(|kind| kind.as_str()).map(str::to_owned),
            created_at: self.created_at,
            devices: self.devices(),
            codec: self.codec.clone(),
            repinned_from: self.created.codec.clone().filter(|_| self.created.codec != self.codec),
        }
    }

    /// Devices that it works with, as far as is known by now.
    pub fn devices(&self) -> Vec<String> {
        let of_steps = self.steps.values().filter_map(|step| step.with.get("device"));
        let named = self.created.device.get("id").into_iter().chain(of_steps).filter_map(|id| id.as_str());
        let all: BTreeSet<&str> = named.collect();
        all.into_iter().map(str::to_owned).collect()
    }

    fn error(&self) -> Option<RunError> {
        if let Some(verdict) = &self.verdict {
            return verdict.error.clone();
        }
        let step = self.pause.as_ref()?.step.clone()?;
        let failure = self.steps.get(&step)?.error.clone()?;
        Some(RunError { failure, step: Some(step) })
    }

    fn step_views(&self, workflow: Option<&Workflow>, now: WallTime) -> Vec<StepView> {
        let mut views = Vec::new();
        let Some(workflow) = workflow else {
            let mut known: Vec<_> = self.steps.iter().collect();
            known.sort_by_key(|(_, step)| step.place);
            views.extend(known.into_iter().map(|(id, step)| step.view(id, now)));
            return views;
        };
        self.add_views(&workflow.steps, now, true, &mut views);
        // Steps for a failure that did not happen would only puzzle.
        self.add_views(&workflow.on_failure, now, false, &mut views);
        self.add_views(&workflow.finally, now, true, &mut views);
        views
    }

    fn add_views(&self, list: &[Step], now: WallTime, pending: bool, into: &mut Vec<StepView>) {
        for step in list {
            match self.steps.get(&step.id) {
                Some(state) => into.push(state.view(&step.id, now)),
                None if pending => into.push(unbegun(step)),
                None => {}
            }
            self.add_views(inner(step), now, pending, into);
        }
    }

    fn explain(&self, reason: Reason) -> Unfinished {
        let (step, state) = self.waiting_at().unzip();
        let device = state.and_then(|state| state.with.get("device")?.as_str()).map(str::to_owned);
        let about = step.unwrap_or("the next step");
        let peer = self.peer(device.as_deref());
        let waiting_for = match reason {
            Reason::NotStarted => "its turn".to_owned(),
            Reason::Held => "packhorse release".to_owned(),
            Reason::ConcurrencyLimit => "a free place in its concurrency group".to_owned(),
            Reason::BehindPriority | Reason::Overtaken => format!("a critical run of {peer} to end"),
            Reason::Working | Reason::OnFailure | Reason::Finally | Reason::CleaningUp => format!("{about} to end"),
            Reason::Pausing | Reason::StandingBack | Reason::TimingOut | Reason::Stopping => format!("{about} to stop"),
            Reason::Sleeping => format!("the end of {about}"),
            Reason::Backoff => format!("the next attempt of {about}"),
            Reason::DeviceOffline => format!("{peer} to be reachable"),
            Reason::TrafficBudget => format!("the next traffic budget of {peer}"),
            Reason::Parked => "a process that takes it up: packhorse resume".to_owned(),
            Reason::PauseAsked => "packhorse resume".to_owned(),
            Reason::OperatorNeeded | Reason::AttemptsExhausted | Reason::StepFailed => {
                "a person: mend the cause, then packhorse resume, or packhorse cancel".to_owned()
            }
            Reason::CrashLoop => {
                "a person: find out why the process died, then packhorse resume, or packhorse cancel".to_owned()
            }
        };
        Unfinished {
            reason,
            since: self.since,
            waiting_for,
            next_action_at: self.next_action_at(state),
            step: step.map(str::to_owned),
            device,
            behind: None,
        }
    }

    /// The device of a step, or of the run where the step is not known yet.
    fn peer<'a>(&'a self, device: Option<&'a str>) -> &'a str {
        device.or_else(|| self.created.device.get("id")?.as_str()).unwrap_or("the device")
    }

    fn next_action_at(&self, step: Option<&StepState>) -> Option<WallTime> {
        let own = step.and_then(|step| match &step.phase {
            StepPhase::Waiting { timer, .. } => Some(timer.at),
            StepPhase::Running(attempt) => match attempt.work {
                Work::Sleep { timer } => Some(timer.at),
                Work::Effect { .. } | Work::Instant => attempt.clock.at(),
            },
            _ => None,
        });
        let own = own.filter(|_| self.pause.is_none() && self.bar.is_none());
        own.into_iter().chain(self.limit.map(|limit| limit.at)).min()
    }
}

impl StepState {
    fn view(&self, id: &str, now: WallTime) -> StepView {
        StepView {
            id: id.to_owned(),
            uses: self.uses.clone(),
            status: self.status(),
            attempts: self.attempts,
            outputs: self.outputs.clone(),
            error: self.error.clone(),
            refused: self.refused.clone(),
            refusals: self.refusals,
            duration_ms: millis(self.ended_at.unwrap_or(now).since(self.began_at)),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn none(count: &u32) -> bool {
    *count == 0
}

fn unbegun(step: &Step) -> StepView {
    StepView {
        id: step.id.clone(),
        uses: uses(step).to_owned(),
        status: StepStatus::Pending,
        attempts: 0,
        outputs: Outputs::new(),
        error: None,
        refused: Vec::new(),
        refusals: 0,
        duration_ms: 0,
    }
}
