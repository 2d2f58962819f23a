//! What people are told of a run: its status, and for an unfinished one the reason, since when, and what it waits for.

use super::codes;
use super::fact::{Bar, Cleanup, FinalStatus, PauseReason, StopCause, Wait, Work};
use super::state::{RunState, Stage, StepPhase, StepState};
use serde::{Deserialize, Serialize};

/// Status of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words say it")]
pub enum RunStatus {
    Queued,
    Running,
    Waiting,
    Paused,
    Cancelling,
    Succeeded,
    Failed,
    Cancelled,
    TimedOut,
    Superseded,
}

impl RunStatus {
    /// Whether nothing more comes by itself.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled | Self::TimedOut | Self::Superseded)
    }
}

/// Why an unfinished run is in its status. Closed: `explain` has words for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Queued: not begun.
    NotStarted,
    /// Queued or waiting: a hold means it.
    Held,
    /// Queued or waiting: its concurrency group is full.
    ConcurrencyLimit,
    /// Queued or waiting: a critical run comes first on its device.
    BehindPriority,
    /// Waiting: a critical run has its device; it goes on by itself at its byte.
    Overtaken,
    /// Running: asked to stand back, the step has not stopped yet.
    StandingBack,
    /// Running: a step is at work.
    Working,
    /// Running: asked to pause, the effect has not stopped yet.
    Pausing,
    /// Running: the effect is being stopped because its time is over.
    TimingOut,
    /// Running: `on_failure` is at work.
    OnFailure,
    /// Running: `finally` is at work.
    Finally,
    /// Waiting: a `sleep`.
    Sleeping,
    /// Waiting: before the next attempt.
    Backoff,
    /// Waiting: the device cannot be reached.
    DeviceOffline,
    /// Waiting: the traffic budget of the day or month is spent.
    TrafficBudget,
    /// Waiting: no process works on it; `packhorse resume` goes on.
    Parked,
    /// Paused: somebody asked.
    PauseAsked,
    /// Paused: a failure that a person must mend.
    OperatorNeeded,
    /// Paused: all attempts have failed.
    AttemptsExhausted,
    /// Paused: a step with `on_error: pause` has failed.
    StepFailed,
    /// Paused: the process died three times while the same attempt was at work.
    CrashLoop,
    /// Cancelling: the effect has not stopped yet.
    Stopping,
    /// Cancelling: `finally` is at work.
    CleaningUp,
}

/// Status of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words say it")]
pub enum StepStatus {
    Pending,
    Running,
    Waiting,
    Succeeded,
    Failed,
    Cancelled,
    Skipped,
}

impl From<FinalStatus> for RunStatus {
    fn from(status: FinalStatus) -> Self {
        match status {
            FinalStatus::Succeeded => Self::Succeeded,
            FinalStatus::Failed => Self::Failed,
            FinalStatus::Cancelled => Self::Cancelled,
            FinalStatus::TimedOut => Self::TimedOut,
            FinalStatus::Superseded => Self::Superseded,
        }
    }
}

impl RunState {
    /// Its status.
    pub fn status(&self) -> RunStatus {
        self.standing().0
    }

    /// Whether it has ended, and in a way that a person may retry.
    pub fn may_be_retried(&self) -> bool {
        matches!(self.status(), RunStatus::Failed | RunStatus::Cancelled | RunStatus::TimedOut)
    }

    /// Status, and the reason for it where the run is unfinished.
    pub fn standing(&self) -> (RunStatus, Option<Reason>) {
        if let (Stage::Finished { .. }, Some(verdict)) = (self.stage, &self.verdict) {
            return (verdict.status.into(), None);
        }
        let (status, reason) = self.unfinished();
        (status, Some(reason))
    }

    fn unfinished(&self) -> (RunStatus, Reason) {
        let live = self.live_attempt();
        if self.stage == Stage::Queued && self.pause.is_none() {
            return (RunStatus::Queued, self.bar.map_or(Reason::NotStarted, barred));
        }
        if self.is_cancelling() {
            let stopping = self.verdict.is_none();
            return (RunStatus::Cancelling, if stopping { Reason::Stopping } else { Reason::CleaningUp });
        }
        if let Some(pause) = &self.pause {
            return match live {
                Some(_) => (RunStatus::Running, Reason::Pausing),
                None => (RunStatus::Paused, paused(pause.why)),
            };
        }
        if let Some(bar) = self.bar {
            return match live {
                Some(_) => (RunStatus::Running, Reason::StandingBack),
                None => (RunStatus::Waiting, barred(bar)),
            };
        }
        if let Some((_, step)) = self.waiting_at()
            && let Some(waiting) = waiting(step)
        {
            return (RunStatus::Waiting, waiting);
        }
        let stopped = live.and_then(|(_, _, attempt)| attempt.stop.as_ref());
        let reason = match (self.stage, stopped) {
            (_, Some(StopCause::Limit | StopCause::Deadline { .. } | StopCause::Timeout { .. })) => Reason::TimingOut,
            (Stage::Cleanup(Cleanup::OnFailure), _) => Reason::OnFailure,
            (Stage::Cleanup(Cleanup::Finally), _) => Reason::Finally,
            _ => Reason::Working,
        };
        (RunStatus::Running, reason)
    }

    fn is_cancelling(&self) -> bool {
        match &self.verdict {
            Some(verdict) => matches!(verdict.status, FinalStatus::Cancelled | FinalStatus::Superseded),
            None => self.cancel.is_some(),
        }
    }
}

const fn barred(why: Bar) -> Reason {
    match why {
        Bar::Held => Reason::Held,
        Bar::ConcurrencyLimit => Reason::ConcurrencyLimit,
        Bar::BehindPriority => Reason::BehindPriority,
        Bar::Overtaken => Reason::Overtaken,
    }
}

fn paused(why: PauseReason) -> Reason {
    match why {
        PauseReason::Asked => Reason::PauseAsked,
        PauseReason::Operator => Reason::OperatorNeeded,
        PauseReason::Exhausted => Reason::AttemptsExhausted,
        PauseReason::StepFailed => Reason::StepFailed,
        PauseReason::CrashLoop => Reason::CrashLoop,
    }
}

fn waiting(step: &StepState) -> Option<Reason> {
    match &step.phase {
        StepPhase::Waiting { wait: Wait::Backoff, .. } => Some(Reason::Backoff),
        StepPhase::Waiting { wait: Wait::DeviceOffline, .. } => Some(Reason::DeviceOffline),
        StepPhase::Waiting { wait: Wait::TrafficBudget, .. } => Some(Reason::TrafficBudget),
        StepPhase::Running(attempt) => match attempt.work {
            Work::Sleep { .. } => Some(Reason::Sleeping),
            Work::Effect { .. } if !attempt.live => Some(Reason::Parked),
            Work::Effect { .. } if !attempt.reachable && attempt.stop.is_none() => Some(Reason::DeviceOffline),
            Work::Effect { .. } | Work::Instant => None,
        },
        _ => None,
    }
}

impl StepState {
    /// Its status.
    pub fn status(&self) -> StepStatus {
        match &self.phase {
            StepPhase::Pending => StepStatus::Pending,
            StepPhase::Waiting { .. } => StepStatus::Waiting,
            StepPhase::Ready | StepPhase::Open { .. } | StepPhase::Ended | StepPhase::Faulted => StepStatus::Running,
            StepPhase::Running(_) if waiting(self).is_some() => StepStatus::Waiting,
            StepPhase::Running(_) => StepStatus::Running,
            StepPhase::Succeeded => StepStatus::Succeeded,
            StepPhase::Failed if self.error.as_ref().is_some_and(|error| codes::ends_at_will(&error.code)) => {
                StepStatus::Cancelled
            }
            StepPhase::Failed => StepStatus::Failed,
            StepPhase::Skipped { .. } => StepStatus::Skipped,
        }
    }
}
