//! What a failed attempt means: wait and try again, pause for a person, or fail.

use super::BLOCK;
use super::codes::CRASH_LOOP;
use super::fact::{PauseReason, Wait};
use super::retry::{self, Again};
use super::state::StepState;
use super::words::{Moment, WallTime};
use crate::failure::{Class, Failure};
use crate::presence::TOLD_OFFLINE;
use crate::workflow::{Exhausted, OnError, Step};
use std::time::Duration;

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Another attempt after so long.
    Wait(Wait, Duration),
    /// A person must look.
    Pause(PauseReason),
    /// The step has failed.
    Fail,
}

/// Judges. `overdue`: the time of the step, of a block around it or of the run is over, or the run is being cancelled.
pub(super) fn judge(
    step: &Step,
    state: &StepState,
    failure: &Failure,
    overdue: bool,
    may_pause: bool,
    moment: Moment,
) -> Judgement {
    if overdue {
        return Judgement::Fail;
    }
    // The steps of a block have waited for device and operator themselves.
    let leaf = state.uses != BLOCK;
    if let Some(at) = failure.not_before.filter(|_| leaf) {
        return Judgement::Wait(Wait::TrafficBudget, WallTime(at).since(moment.now));
    }
    match failure.class {
        Class::DeviceOffline if leaf => {
            let told = failure.code == TOLD_OFFLINE;
            let again = || retry::offline(state.offline_waits, moment.random);
            let wait = if told { retry::told_offline(moment.random) } else { again() };
            return Judgement::Wait(Wait::DeviceOffline, wait);
        }
        Class::Operator if leaf && may_pause => {
            let looped = failure.code == CRASH_LOOP;
            return Judgement::Pause(if looped { PauseReason::CrashLoop } else { PauseReason::Operator });
        }
        Class::DeviceOffline | Class::Operator | Class::Transient | Class::Permanent | Class::Bug => {}
    }
    let since = state.tried_since.unwrap_or(moment.now);
    match retry::again(&step.retry, failure, state.tries, since, moment.now, moment.random) {
        Again::After(wait) => Judgement::Wait(Wait::Backoff, wait),
        Again::Exhausted if may_pause && step.retry.on_exhausted == Exhausted::Pause => {
            Judgement::Pause(PauseReason::Exhausted)
        }
        Again::Exhausted | Again::Never if may_pause && step.on_error == OnError::Pause => {
            Judgement::Pause(PauseReason::StepFailed)
        }
        Again::Exhausted | Again::Never => Judgement::Fail,
    }
}
