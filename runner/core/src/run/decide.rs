//! From event to facts: what each event means by itself. What follows from the state is found by `next`.

use super::codes;
use super::doubt::Durability;
use super::event::{Decision, EffectEnd, Order, Refused, RunEvent, Stop};
use super::fact::{AttemptResult, Cleanup, Created, Fact, FinalStatus, PauseReason, Record, Spent, Work};
use super::reopen;
use super::state::{RunState, Stage, StepPhase};
use super::words::{EffectId, Moment, Timer, WallTime};
use super::{Illegal, RunStatus, RunView};
use crate::effect::Effect;
use crate::step::Start;
use crate::workflow::Workflow;
use std::sync::Arc;

/// A run under decision: its workflow and its state.
#[derive(Debug, Clone)]
pub struct Run {
    pub(super) workflow: Arc<Workflow>,
    pub(super) state: RunState,
    /// Nothing new begins: the process ends.
    parking: bool,
    /// The effect under way was asked to stop at a good point.
    park_asked: bool,
    /// Nothing begins that admission was not asked about; without it, whoever decides admits everything.
    pub(super) gated: bool,
    /// Admission is to be asked.
    pub(super) closed: bool,
    /// What is in its way, where it was withheld.
    pub(super) behind: Option<String>,
    /// The device that it waits for was heard; it goes on when nothing else keeps it.
    pub(super) heard: bool,
    /// What the journal promises.
    pub(super) store: Durability,
}

impl Run {
    /// A new run and its first fact; decide [`RunEvent::Begin`] next. The inputs have been checked against the workflow.
    pub fn create(workflow: Arc<Workflow>, created: Created, now: WallTime) -> (Self, Record) {
        let record = Record::new(now, Fact::Created(Box::new(created)));
        let state = RunState::first(&record).expect("the fact is a creation");
        (
            Self {
                workflow,
                state,
                parking: false,
                park_asked: false,
                gated: false,
                closed: false,
                behind: None,
                heard: false,
                store: Durability::Synced,
            },
            record,
        )
    }

    /// A run as its journal tells it; decide [`RunEvent::Recovered`] next.
    pub fn recover(workflow: Arc<Workflow>, records: &[Record]) -> Result<Self, Illegal> {
        Ok(Self {
            workflow,
            state: RunState::fold(records)?,
            parking: false,
            park_asked: false,
            gated: false,
            closed: false,
            behind: None,
            heard: false,
            store: Durability::Synced,
        })
    }

    /// The same on a store that promises this; without it, one that flushes each write.
    #[must_use]
    pub fn on(mut self, store: Durability) -> Self {
        self.store = store;
        self
    }

    /// The same where nothing begins before [`RunEvent::Begin`]: at the start, and after it was recovered, resumed or retried.
    #[must_use]
    pub fn gated(mut self) -> Self {
        self.gated = true;
        self.closed = true;
        self
    }

    /// Whether admission is to be asked before it goes on.
    pub const fn asks(&self) -> bool {
        self.closed
    }

    /// What is in its way, where it was withheld.
    pub fn behind(&self) -> Option<&str> {
        self.behind.as_deref()
    }

    /// Its state.
    pub fn state(&self) -> &RunState {
        &self.state
    }

    /// Its workflow.
    pub fn workflow(&self) -> &Arc<Workflow> {
        &self.workflow
    }

    /// As people see it.
    pub fn view(&self, now: WallTime) -> RunView {
        let mut view = self.state.view(Some(&self.workflow), now);
        if let (Some(unfinished), Some(_)) = (&mut view.unfinished, self.state.bar) {
            unfinished.behind.clone_from(&self.behind);
        }
        view
    }

    /// Decides what follows from an event. The facts are applied when this returns.
    ///
    /// Evaluates CEL: call it on a thread with 64 MiB of stack. A refusal changes nothing, except for [`Refused::Bug`], after which
    /// the run must not be used any more.
    pub fn decide(&mut self, event: RunEvent, moment: Moment) -> Result<Decision, Refused> {
        let mut decision = Decision::default();
        self.happen(event, moment, &mut decision)?;
        while let Some(fact) = self.next(moment) {
            if self.parking && begins(&fact) {
                break;
            }
            self.emit(fact, moment, &mut decision)?;
        }
        self.heard &= self.state.absent().is_some();
        decision.wake_at = self.wake_at(moment.now);
        Ok(decision)
    }

    /// Whether [`RunEvent::Park`] has come to its end: no effect is under way.
    pub fn is_parked(&self) -> bool {
        self.parking && self.state.live_attempt().is_none()
    }

    fn happen(&mut self, event: RunEvent, moment: Moment, decision: &mut Decision) -> Result<(), Refused> {
        let status = self.state.status();
        match event {
            RunEvent::Begin => self.admitted(moment, decision),
            RunEvent::Withhold { why, behind } => self.withhold(why, behind, moment, decision),
            RunEvent::Supersede { by } => self.supersede(by, status, moment, decision),
            RunEvent::Recovered { done, wanted } => self.recovered(done, wanted, moment, decision),
            RunEvent::EffectEnded { id, end, traffic, carried } => {
                self.effect_ended(&id, end, Spent { traffic, carried }, moment, decision)
            }
            RunEvent::DeviceReachable { id, reachable } => match self.state.live_attempt() {
                Some((step, _, attempt)) if attempt.reachable != reachable && self.is_current(&id) => {
                    let step = step.to_owned();
                    self.emit(Fact::Reachable { step, reachable }, moment, decision)
                }
                _ => Ok(()),
            },
            RunEvent::CallRefused { id, call } => match self.state.live_attempt() {
                Some((step, ..)) if self.is_current(&id) => {
                    let step = step.to_owned();
                    self.emit(Fact::CallRefused { step, call }, moment, decision)
                }
                _ => Ok(()),
            },
            RunEvent::DeviceBack => {
                self.heard = true;
                Ok(())
            }
            RunEvent::Tick => Ok(()),
            RunEvent::Pause => self.pause(status, moment, decision),
            RunEvent::Resume => match &self.state.pause {
                Some(pause) => {
                    self.closed = self.gated;
                    let reopened = reopen::after_pause(&self.workflow, &self.state, pause);
                    self.emit(Fact::Resumed { reopened }, moment, decision)
                }
                None if status.is_final() => Err(Refused::Finished(status)),
                None => Err(Refused::NotPaused(status)),
            },
            RunEvent::Cancel { reason } => self.cancel(reason, status, moment, decision),
            RunEvent::Retry => self.retry(status, moment, decision),
            RunEvent::Repin { from, to } => self.repin(&from, to, moment, decision),
            RunEvent::Park => {
                self.parking = true;
                self.ask_to_park(decision);
                Ok(())
            }
        }
    }

    pub(super) fn start(&self, moment: Moment) -> Fact {
        Fact::Started { limit: Timer::new(moment.now, self.workflow.timeout) }
    }

    fn recovered(&mut self, done: u64, wanted: bool, moment: Moment, decision: &mut Decision) -> Result<(), Refused> {
        self.parking = false;
        self.park_asked = false;
        self.closed = self.gated;
        if self.state.is_finished() {
            return Ok(());
        }
        let behind = self.state.last_at.0.saturating_sub(moment.now.0);
        let died = if wanted { None } else { self.died(done) };
        self.emit(Fact::Recovered { behind, died }, moment, decision)
    }

    fn is_current(&self, id: &EffectId) -> bool {
        self.state.live_attempt().is_some_and(|(step, state, _)| {
            id.run == self.state.created.run
                && id.step == step
                && (id.round, id.attempt) == (state.round, state.attempts)
        })
    }

    fn effect_ended(
        &mut self,
        id: &EffectId,
        end: EffectEnd,
        spent: Spent,
        moment: Moment,
        decision: &mut Decision,
    ) -> Result<(), Refused> {
        if !self.is_current(id) {
            return Ok(());
        }
        let asked_to_park = std::mem::take(&mut self.park_asked);
        let (step, state, attempt) = self.state.live_attempt().expect("is_current has found it");
        let step = step.to_owned();
        let result = match end {
            EffectEnd::Outcome(Ok(reply)) => match self.primitive(&step) {
                Some(primitive) => (primitive.finish)(&state.with, reply),
                None => Err(codes::unasked()),
            },
            EffectEnd::Outcome(Err(failure)) => Err(failure),
            EffectEnd::Parked | EffectEnd::Cancelled => match &attempt.stop {
                Some(cause) => Err(codes::stopped(cause, self.state.cancel.as_ref())),
                None if asked_to_park => {
                    return self.emit(Fact::AttemptParked { step, spent }, moment, decision);
                }
                None => Err(codes::unasked()),
            },
        };
        let result = match result {
            Ok(outputs) => AttemptResult::Succeeded(outputs),
            Err(failure) => AttemptResult::Failed(failure),
        };
        self.emit(Fact::AttemptEnded { step, result, spent }, moment, decision)
    }

    fn pause(&mut self, status: RunStatus, moment: Moment, decision: &mut Decision) -> Result<(), Refused> {
        if status.is_final() {
            return Err(Refused::Finished(status));
        }
        if self.state.pause.is_some() {
            return Ok(());
        }
        if self.state.verdict.is_some() || self.state.cancel.is_some() || self.state.limit_reached {
            return Err(Refused::CleaningUp(status));
        }
        self.emit(Fact::Paused { why: PauseReason::Asked, step: None }, moment, decision)?;
        self.ask_to_park(decision);
        Ok(())
    }

    pub(super) fn ask_to_park(&mut self, decision: &mut Decision) {
        if let Some((step, state, attempt)) = self.state.live_attempt()
            && attempt.stop.is_none()
        {
            decision.stop.push((self.effect_id(step, state.round, state.attempts), Stop::Park));
            self.park_asked = true;
        }
    }

    fn cancel(
        &mut self,
        reason: Option<String>,
        status: RunStatus,
        moment: Moment,
        decision: &mut Decision,
    ) -> Result<(), Refused> {
        match self.state.verdict.as_ref().map(|verdict| verdict.status) {
            Some(FinalStatus::Cancelled) => return Ok(()),
            Some(_) if status.is_final() => return Err(Refused::Finished(status)),
            _ => {}
        }
        // `finally` runs in any case: nothing is left to cancel.
        let finally = self.state.stage == Stage::Cleanup(Cleanup::Finally);
        if self.state.cancel.is_some() || finally {
            return Ok(());
        }
        self.emit(Fact::CancelAsked { reason }, moment, decision)
    }

    fn retry(&mut self, status: RunStatus, moment: Moment, decision: &mut Decision) -> Result<(), Refused> {
        if !self.state.may_be_retried() {
            return Err(Refused::NotRetriable(status));
        }
        self.closed = self.gated;
        let reopened = reopen::after_end(&self.workflow, &self.state);
        let limit = Timer::new(moment.now, self.workflow.timeout);
        self.emit(Fact::Retried { reopened, limit }, moment, decision)
    }

    pub(super) fn emit(&mut self, fact: Fact, moment: Moment, decision: &mut Decision) -> Result<(), Refused> {
        // A wall clock that went back must not make the journal's time go back.
        let record = Record::new(self.journal_time(&fact, moment.now), fact);
        self.state.apply(&record)?;
        // One attempt for each time that it is heard.
        self.heard &= !matches!(record.fact, Fact::AttemptStarted { .. });
        match &record.fact {
            Fact::AttemptStarted { step, work: Work::Effect { epoch }, .. } | Fact::AttemptResumed { step, epoch } => {
                if let Some(order) = self.order(step, epoch.unwrap_or(0)) {
                    decision.effects.push(order);
                }
            }
            Fact::StopAsked { step, .. } => {
                if let Some(state) = self.state.steps.get(step) {
                    decision.stop.push((self.effect_id(step, state.round, state.attempts), Stop::Cancel));
                }
            }
            _ => {}
        }
        decision.lines.extend(self.state.notable(&record));
        decision.facts.push(record);
        Ok(())
    }

    fn journal_time(&self, fact: &Fact, now: WallTime) -> WallTime {
        match fact {
            Fact::Recovered { .. } => now,
            _ => now.max(self.state.last_at),
        }
    }

    fn order(&self, step: &str, epoch: u32) -> Option<Order> {
        let state = self.state.steps.get(step)?;
        let effect = self.effect(step)?;
        let before = state.error.clone();
        let first =
            self.state.first_transfer.as_ref().is_some_and(|(first, round)| first == step && *round == state.round);
        Some(Order { id: self.effect_id(step, state.round, state.attempts), effect, epoch, before, first })
    }

    /// What a step asks for: its arguments are journaled, so it is the same after every restart.
    pub(super) fn effect(&self, step: &str) -> Option<Effect> {
        let with = &self.state.steps.get(step)?.with;
        match (self.primitive(step)?.start)(with) {
            Ok(Start::Effect(effect)) => Some(*effect),
            Ok(Start::Sleep(_) | Start::Done(_)) | Err(_) => None,
        }
    }

    fn effect_id(&self, step: &str, round: u32, attempt: u32) -> EffectId {
        EffectId { run: self.state.created.run.clone(), step: step.to_owned(), round, attempt }
    }

    /// The first moment after `now` at which something is due.
    fn wake_at(&self, now: WallTime) -> Option<WallTime> {
        let mut due: Vec<WallTime> = Vec::new();
        if !self.state.is_finished() && !self.state.limit_reached {
            due.extend(self.state.limit.map(|limit| limit.at));
        }
        for step in self.state.steps.values().filter(|step| !step.is_over()) {
            due.extend(step.deadline.map(|deadline| deadline.at));
            match &step.phase {
                StepPhase::Waiting { timer, .. } => due.push(timer.at),
                StepPhase::Open { clock } => due.extend(clock.at()),
                StepPhase::Running(attempt) => {
                    due.extend(attempt.clock.at());
                    if let Work::Sleep { timer } = attempt.work {
                        due.push(timer.at);
                    }
                }
                _ => {}
            }
        }
        due.into_iter().filter(|at| *at > now).min()
    }
}

/// Whether something new begins with a fact.
fn begins(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::StepReady { .. }
            | Fact::AttemptStarted { .. }
            | Fact::AttemptResumed { .. }
            | Fact::RoundBegan { .. }
            | Fact::StageBegan { .. }
            | Fact::StopAsked { .. }
    )
}
