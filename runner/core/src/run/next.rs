//! What comes next by itself: walks the workflow to the first step that is not over, and names one fact.

use super::doubt::{self, Standing};
use super::fact::{AttemptResult, Cleanup, Fact, FinalStatus, RunError, SkipReason, Spent, StopCause, Wait, Work};
use super::lookup::{inner, uses};
use super::state::{Attempt, Cancel, Stage, StepPhase, StepState};
use super::words::{Moment, Timer};
use super::{Run, arguments, codes, judge, scope};
use crate::effect::Effect;
use crate::epoch;
use crate::failure::Failure;
use crate::step::{Outputs, Start};
use crate::workflow::expr::Template;
use crate::workflow::{OnError, Step, StepKind};
use serde_json::Map;
use std::collections::BTreeMap;
use std::time::Duration;

/// Bound of `on_failure` and of `finally`, each: a device that is gone must not keep a cancelled run for ever.
pub const CLEANUP_LIMIT: Duration = Duration::from_secs(3_600);

/// Where a walk through a list of steps ended.
enum Walk {
    /// At something to be done.
    Do(Fact),
    /// At something that others must do first.
    Rest,
    /// At a step that may not begin, because the time of a block around it is over.
    Overdue(StopCause),
    /// At the end.
    Through {
        /// Whether a step has failed and the list with it.
        failed: bool,
    },
}

impl Run {
    /// The next fact that follows from the state and the time; nothing where an event is needed first.
    pub(super) fn next(&self, moment: Moment) -> Option<Fact> {
        let state = &self.state;
        match state.stage {
            Stage::Queued => state.cancel.as_ref().map(|_| self.start(moment)),
            Stage::Main => self.stage(&self.workflow.steps, moment, |failed| self.main_ended(failed)),
            Stage::Decided => Some(self.after(None, moment)),
            Stage::Cleanup(stage) => {
                let list = match stage {
                    Cleanup::OnFailure => &self.workflow.on_failure,
                    Cleanup::Finally => &self.workflow.finally,
                };
                self.stage(list, moment, |_| self.after(Some(stage), moment))
            }
            Stage::Finished { .. } => None,
        }
    }

    fn stage(&self, list: &[Step], moment: Moment, end: impl FnOnce(bool) -> Fact) -> Option<Fact> {
        let over = !self.state.limit_reached && self.state.limit.is_some_and(|limit| limit.due(moment.now));
        match self.walk(list, &mut Vec::new(), moment) {
            Walk::Through { failed } => Some(end(failed)),
            Walk::Do(_) | Walk::Rest | Walk::Overdue(_) if over => Some(Fact::LimitReached),
            Walk::Do(fact) => Some(fact),
            Walk::Rest | Walk::Overdue(_) => None,
        }
    }

    fn walk<'a>(&'a self, list: &'a [Step], around: &mut Vec<&'a Step>, moment: Moment) -> Walk {
        let mut failed = false;
        for (place, step) in list.iter().enumerate() {
            match self.state.steps.get(&step.id) {
                Some(state) if state.is_over() => {
                    failed |= state.phase == StepPhase::Failed && step.on_error != OnError::Continue;
                }
                Some(state) if state.phase != StepPhase::Pending => return self.step(step, state, around, moment),
                _ => return self.enter(&list[place..], failed, around, moment),
            }
        }
        Walk::Through { failed }
    }

    /// The first of `rest` has not begun.
    fn enter(&self, rest: &[Step], failed: bool, around: &[&Step], moment: Moment) -> Walk {
        let step = &rest[0];
        if let Some(why) = self.stopping() {
            let why = if why == StopCause::Cancel { SkipReason::Cancelled } else { SkipReason::Limit };
            return Walk::Do(self.skip(rest, why));
        }
        if failed && !asks_about_failure(step) {
            let until = rest.iter().position(asks_about_failure).unwrap_or(rest.len());
            return Walk::Do(self.skip(&rest[..until], SkipReason::EarlierFailure));
        }
        if self.rests() {
            return Walk::Rest;
        }
        if let Some(cause) = self.overdue(around, None, moment) {
            return Walk::Overdue(cause);
        }
        Walk::Do(self.ready(step, moment).unwrap_or_else(|failure| failed_step(step, failure)))
    }

    fn ready(&self, step: &Step, moment: Moment) -> Result<Fact, Failure> {
        let scope = scope::scope(&self.workflow, &self.state);
        if let Some(condition) = &step.condition
            && !condition.holds(&scope)?
        {
            return Ok(self.skip(std::slice::from_ref(step), SkipReason::Condition));
        }
        let with = match &step.kind {
            StepKind::Uses { primitive, with } => arguments::arguments(primitive, with, scope)?,
            StepKind::Block(_) => Map::new(),
        };
        Ok(Fact::StepReady {
            step: step.id.clone(),
            round: self.state.steps.get(&step.id).map_or(1, |state| state.round),
            uses: uses(step).to_owned(),
            with,
            deadline: step.deadline.map(|wait| Timer::new(moment.now, wait)),
        })
    }

    /// A step that has begun and is not over.
    fn step<'a>(&'a self, step: &'a Step, state: &'a StepState, around: &mut Vec<&'a Step>, moment: Moment) -> Walk {
        around.push(step);
        let walk = match &state.phase {
            StepPhase::Open { .. } => self.open(step, around, moment),
            StepPhase::Running(attempt) => self.running(step, attempt, around, moment),
            StepPhase::Ended => {
                Walk::Do(self.succeeded(step, state).unwrap_or_else(|failure| failed_step(step, failure)))
            }
            StepPhase::Faulted => self.faulted(step, state, around, moment),
            StepPhase::Ready | StepPhase::Waiting { .. } => self.idle(step, state, around, moment),
            StepPhase::Pending | StepPhase::Succeeded | StepPhase::Failed | StepPhase::Skipped { .. } => Walk::Rest,
        };
        around.pop();
        walk
    }

    fn open<'a>(&'a self, step: &'a Step, around: &mut Vec<&'a Step>, moment: Moment) -> Walk {
        let inner = inner(step);
        let result = match self.walk(inner, around, moment) {
            Walk::Through { failed: false } => AttemptResult::Succeeded(Map::new()),
            Walk::Through { failed: true } => {
                let failure = self.first_failure(inner).map(|(_, failure)| failure);
                AttemptResult::Failed(failure.unwrap_or_else(codes::unasked))
            }
            Walk::Overdue(cause) => AttemptResult::Failed(self.stopped(&cause)),
            walk @ (Walk::Do(_) | Walk::Rest) => return walk,
        };
        Walk::Do(Fact::AttemptEnded { step: step.id.clone(), result, spent: Spent::default() })
    }

    fn running(&self, step: &Step, attempt: &Attempt, around: &[&Step], moment: Moment) -> Walk {
        let overdue = self.overdue(around, Some(attempt), moment);
        let result = match attempt.work {
            Work::Instant => match self.begun(step) {
                Some(Ok(Start::Done(outputs))) => Ok(outputs),
                Some(Err(failure)) => Err(failure),
                // An effect that must not begin as things are.
                Some(Ok(Start::Effect(_))) => Err(self.held_back(step).unwrap_or_else(codes::unasked)),
                Some(Ok(Start::Sleep(_))) | None => Err(codes::unasked()),
            },
            Work::Sleep { timer } if timer.due(moment.now) => Ok(Map::new()),
            Work::Sleep { .. } => match overdue {
                Some(cause) => Err(self.stopped(&cause)),
                None => return Walk::Rest,
            },
            Work::Effect { .. } if attempt.live => {
                return match overdue {
                    Some(why) if attempt.stop.is_none() => Walk::Do(Fact::StopAsked { step: step.id.clone(), why }),
                    Some(_) | None => Walk::Rest,
                };
            }
            Work::Effect { .. } => match attempt.stop.as_ref().or(overdue.as_ref()) {
                Some(cause) => Err(self.stopped(cause)),
                None if self.rests() => return Walk::Rest,
                None if attempt.is_poison() => Err(codes::crash_loop(&step.id)),
                None => match self.effect(&step.id) {
                    Some(_) if self.held_back(step).is_some() => {
                        Err(self.held_back(step).unwrap_or_else(codes::unasked))
                    }
                    Some(effect) => {
                        let epoch = self.next_epoch(&effect, moment);
                        return Walk::Do(Fact::AttemptResumed { step: step.id.clone(), epoch });
                    }
                    None => Err(codes::unasked()),
                },
            },
        };
        let result = match result {
            Ok(outputs) => AttemptResult::Succeeded(outputs),
            Err(failure) => AttemptResult::Failed(failure),
        };
        Walk::Do(Fact::AttemptEnded { step: step.id.clone(), result, spent: self.spent(step) })
    }

    /// Where nobody tells what an attempt cost, what is known of the step stays.
    fn spent(&self, step: &Step) -> Spent {
        let known = self.state.steps.get(&step.id).map(|state| state.cost.last);
        Spent { traffic: known.unwrap_or_default(), carried: true }
    }

    fn idle(&self, step: &Step, state: &StepState, around: &[&Step], moment: Moment) -> Walk {
        if let Some(cause) = self.overdue(around, None, moment) {
            if let Some(skip) = self.skip_unbegun(inner(step)) {
                return Walk::Do(skip);
            }
            return Walk::Do(failed_step(step, self.stopped(&cause)));
        }
        let back = |wait: &Wait| self.heard && *wait == Wait::DeviceOffline;
        let waits = matches!(&state.phase, StepPhase::Waiting { wait, timer } if !timer.due(moment.now) && !back(wait));
        if waits || self.rests() {
            return Walk::Rest;
        }
        Walk::Do(self.attempt(step, state, moment))
    }

    /// The next attempt begins.
    fn attempt(&self, step: &Step, state: &StepState, moment: Moment) -> Fact {
        let timeout = step.timeout.map(|wait| Timer::new(moment.now, wait));
        let (id, attempt) = (step.id.clone(), state.attempts + 1);
        if let StepKind::Block(inner) = &step.kind {
            let mut superseded = Vec::new();
            self.begun_in(inner, &mut superseded);
            return Fact::RoundBegan { step: id, attempt, superseded, timeout };
        }
        let work = match self.begun(step) {
            Some(Ok(Start::Effect(_))) if self.held_back(step).is_some() => Work::Instant,
            Some(Ok(Start::Effect(effect))) => Work::Effect { epoch: self.next_epoch(&effect, moment) },
            Some(Ok(Start::Sleep(wait))) => Work::Sleep { timer: Timer::new(moment.now, wait) },
            Some(Ok(Start::Done(_)) | Err(_)) | None => Work::Instant,
        };
        Fact::AttemptStarted { step: id, round: state.round, attempt, work, timeout }
    }

    fn succeeded(&self, step: &Step, state: &StepState) -> Result<Fact, Failure> {
        let mut outputs = state.outputs.clone();
        if !step.outputs.is_empty() {
            let scope = scope::with_outputs(scope::scope(&self.workflow, &self.state), &state.outputs);
            outputs.extend(resolve(&step.outputs, &scope)?);
        }
        Ok(Fact::StepSucceeded { step: step.id.clone(), outputs })
    }

    fn faulted(&self, step: &Step, state: &StepState, around: &[&Step], moment: Moment) -> Walk {
        let failure = state.error.clone().unwrap_or_else(codes::unasked);
        if self.rests() {
            return Walk::Rest;
        }
        let overdue = self.overdue(around, None, moment).is_some();
        let may_pause = self.state.stage == Stage::Main;
        let fact = match judge::judge(step, state, &failure, overdue, may_pause, moment) {
            judge::Judgement::Wait(wait, after) => {
                Fact::WaitSet { step: step.id.clone(), wait, timer: Timer::new(moment.now, after) }
            }
            judge::Judgement::Pause(why) => Fact::Paused { why, step: Some(step.id.clone()) },
            judge::Judgement::Fail => match self.skip_unbegun(inner(step)) {
                Some(skip) => skip,
                None => failed_step(step, failure),
            },
        };
        Walk::Do(fact)
    }

    /// Why the stage is being ended.
    pub(super) fn stopping(&self) -> Option<StopCause> {
        let heeds_cancel = !matches!(self.state.stage, Stage::Cleanup(Cleanup::Finally));
        if self.state.cancel.is_some() && heeds_cancel {
            return Some(StopCause::Cancel);
        }
        self.state.limit_reached.then_some(StopCause::Limit)
    }

    /// Why the innermost step of `around` may not go on. While the run is paused, only its own end counts.
    fn overdue(&self, around: &[&Step], attempt: Option<&Attempt>, moment: Moment) -> Option<StopCause> {
        if let Some(cause) = self.stopping() {
            return Some(cause);
        }
        if self.rests() {
            return None;
        }
        for step in around {
            let Some(state) = self.state.steps.get(&step.id) else { continue };
            let of = step.id.clone();
            if state.deadline.is_some_and(|deadline| deadline.due(moment.now)) {
                return Some(StopCause::Deadline { of });
            }
            if matches!(&state.phase, StepPhase::Open { clock } if clock.due(moment.now)) {
                return Some(StopCause::Timeout { of });
            }
        }
        let step = around.last()?;
        let timed_out = attempt.is_some_and(|attempt| attempt.clock.due(moment.now));
        timed_out.then(|| StopCause::Timeout { of: step.id.clone() })
    }

    fn main_ended(&self, failed: bool) -> Fact {
        let (status, error, outputs) = self.verdict(failed);
        Fact::MainEnded { status, error, outputs }
    }

    fn verdict(&self, failed: bool) -> (FinalStatus, Option<RunError>, Outputs) {
        let found = self.first_failure(&self.workflow.steps);
        let step = found.as_ref().map(|(step, _)| step.clone());
        if let Some(cause) = self.stopping() {
            let status = match (&cause, &self.state.cancel) {
                (StopCause::Cancel, Some(Cancel { superseded_by: Some(_), .. })) => FinalStatus::Superseded,
                (StopCause::Cancel, _) => FinalStatus::Cancelled,
                _ => FinalStatus::TimedOut,
            };
            return (status, Some(RunError { failure: self.stopped(&cause), step }), Map::new());
        }
        if failed {
            let failure = found.map_or_else(codes::unasked, |(_, failure)| failure);
            return (FinalStatus::Failed, Some(RunError { failure, step }), Map::new());
        }
        match resolve(&self.workflow.outputs, &scope::scope(&self.workflow, &self.state)) {
            Ok(outputs) => (FinalStatus::Succeeded, None, outputs),
            Err(failure) => (FinalStatus::Failed, Some(RunError { failure, step: None }), Map::new()),
        }
    }

    /// What follows the main steps, or a stage of clean-up.
    fn after(&self, stage: Option<Cleanup>, moment: Moment) -> Fact {
        let status = self.state.verdict.as_ref().map(|verdict| verdict.status);
        let bad = matches!(status, Some(FinalStatus::Failed | FinalStatus::TimedOut));
        let limit = Timer::new(moment.now, CLEANUP_LIMIT);
        if stage.is_none() && bad && !self.workflow.on_failure.is_empty() {
            return Fact::StageBegan { stage: Cleanup::OnFailure, limit };
        }
        if stage != Some(Cleanup::Finally) && !self.workflow.finally.is_empty() {
            return Fact::StageBegan { stage: Cleanup::Finally, limit };
        }
        Fact::Finished { traffic: self.state.traffic() }
    }

    fn stopped(&self, cause: &StopCause) -> Failure {
        codes::stopped(cause, self.state.cancel.as_ref())
    }

    fn begun(&self, step: &Step) -> Option<Result<Start, Failure>> {
        let with = &self.state.steps.get(&step.id)?.with;
        self.primitive(&step.id).map(|primitive| (primitive.start)(with))
    }

    /// Why the effect of a step must not begin as things are.
    fn held_back(&self, step: &Step) -> Option<Failure> {
        let state = self.state.steps.get(&step.id)?;
        let (standing, why) = match &state.phase {
            _ if self.state.doubted => (Standing::Doubted, "the store has lost writes"),
            StepPhase::Running(Attempt { work: Work::Effect { .. }, .. }) => {
                (Standing::Interrupted, "the process ended before it was over")
            }
            _ => (Standing::Fresh, ""),
        };
        match doubt::may_begin(self.primitive(&step.id)?.class, standing, self.store, state.consent) {
            doubt::Verdict::Begin => None,
            doubt::Verdict::Ask => Some(codes::maybe_done(&step.id, why)),
            doubt::Verdict::NeedsSync => Some(codes::unsynced(&step.id)),
        }
    }

    fn next_epoch(&self, effect: &Effect, moment: Moment) -> Option<u32> {
        matches!(effect, Effect::Transfer(_)).then(|| epoch::next(self.state.epoch, moment.now.0))
    }
}

fn asks_about_failure(step: &Step) -> bool {
    step.condition.as_ref().is_some_and(scope::asks_about_failure)
}

fn failed_step(step: &Step, failure: Failure) -> Fact {
    Fact::StepFailed { step: step.id.clone(), uses: uses(step).to_owned(), failure }
}

pub(super) fn resolve(
    templates: &BTreeMap<String, Template>,
    scope: &Map<String, serde_json::Value>,
) -> Result<Outputs, Failure> {
    templates.iter().map(|(name, template)| Ok((name.clone(), template.resolve(scope)?))).collect()
}
