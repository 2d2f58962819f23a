//! Folds facts into state: the one function that changes it, and that judges which fact may follow which.

use super::fact::{
    AttemptResult, Bar, Cleanup, Fact, FinalStatus, PauseReason, Record, Reopened, SkipReason, SkippedStep, Spent,
    StopCause, Wait, Work,
};
use super::state::{Attempt, Cancel, Clock, Pause, RunState, Stage, StepPhase, StepState, Verdict};
use super::words::{Timer, WallTime};
use crate::epoch::later;
use std::collections::BTreeMap;
use std::time::Duration;

/// A fact that cannot follow the ones before it: the journal is damaged, or a bug of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Illegal {
    /// No facts at all.
    #[error("the run has no facts")]
    Empty,
    /// The first fact is not the creation.
    #[error("the first fact of the run is not its creation")]
    NotCreated,
    /// This cannot happen here.
    #[error("fact {seq} of the run cannot follow the ones before it: {why}")]
    OutOfOrder {
        /// Its place, from 0.
        seq: u64,
        /// What is wrong.
        why: String,
    },
}

/// What is wrong with a fact; its place is added by the caller.
type Judged = Result<(), String>;

impl RunState {
    pub(super) fn first(record: &Record) -> Result<Self, Illegal> {
        let Fact::Created(created) = &record.fact else { return Err(Illegal::NotCreated) };
        Ok(Self {
            created: (**created).clone(),
            codec: created.codec.clone(),
            created_at: record.at,
            stage: Stage::Queued,
            limit: None,
            limit_reached: false,
            pause: None,
            bar: None,
            seated: false,
            cancel: None,
            steps: BTreeMap::new(),
            current: None,
            verdict: None,
            doubted: false,
            epoch: 0,
            first_transfer: None,
            held: false,
            facts: 1,
            last_at: record.at,
            since: record.at,
        })
    }

    /// Adds one fact. On an error the state must not be used any more.
    pub fn apply(&mut self, record: &Record) -> Result<(), Illegal> {
        let before = self.standing();
        self.change(record).map_err(|why| Illegal::OutOfOrder { seq: self.facts, why })?;
        self.turn_clocks(record);
        if self.standing() != before {
            self.since = record.at;
        }
        self.facts += 1;
        self.last_at = record.at;
        Ok(())
    }

    fn change(&mut self, record: &Record) -> Judged {
        let may_follow_the_end =
            matches!(record.fact, Fact::Retried { .. } | Fact::Recovered { .. } | Fact::Repinned { .. });
        if self.is_finished() && !may_follow_the_end {
            return Err("the run has finished".to_owned());
        }
        let at = record.at;
        match &record.fact {
            Fact::Created(_) => Err("a run is created once".to_owned()),
            Fact::Started { limit } => self.started(*limit),
            Fact::StepReady { step, round, uses, with, deadline } => {
                self.began(step, uses, at)?;
                let state = self.known(step)?;
                expect(state.round == *round, || format!("{step} is in round {}, not {round}", state.round))?;
                state.with.clone_from(with);
                state.deadline = *deadline;
                state.phase = StepPhase::Ready;
                self.enter(step, uses);
                Ok(())
            }
            Fact::StepsSkipped { steps, why } => steps.iter().try_for_each(|skipped| self.skipped(skipped, *why, at)),
            Fact::AttemptStarted { step, round, attempt, work, timeout } => {
                self.attempt_started(step, (*round, *attempt), *work, *timeout, at)
            }
            Fact::RoundBegan { step, attempt, superseded, timeout } => {
                self.round_began(step, *attempt, superseded, *timeout, at)
            }
            Fact::Reachable { step, reachable } => {
                self.running(step)?.reachable = *reachable;
                Ok(())
            }
            Fact::CallRefused { step, call } => {
                self.running(step)?;
                self.known(step)?.refuse(call);
                Ok(())
            }
            Fact::AttemptResumed { step, epoch } => self.attempt_resumed(step, *epoch),
            Fact::AttemptParked { step, spent } => {
                let attempt = self.running(step)?;
                expect(attempt.live, || format!("no effect of {step} is under way"))?;
                attempt.live = false;
                self.known(step)?.cost.add(spent);
                Ok(())
            }
            Fact::StopAsked { step, why } => self.stop_asked(step, why),
            Fact::AttemptEnded { step, result, spent } => self.attempt_ended(step, result, spent),
            Fact::WaitSet { step, wait, timer } => self.wait_set(step, *wait, *timer),
            Fact::StepSucceeded { step, outputs } => {
                let state = self.known(step)?;
                expect(state.phase == StepPhase::Ended, || format!("{step} has not ended well"))?;
                state.outputs.clone_from(outputs);
                state.error = None;
                self.over(step, StepPhase::Succeeded, at)
            }
            Fact::StepFailed { step, uses, failure } => {
                self.began(step, uses, at)?;
                self.known(step)?.error = Some(failure.clone());
                self.over(step, StepPhase::Failed, at)
            }
            Fact::Paused { why, step } => self.paused(*why, step.as_deref()),
            Fact::Resumed { reopened } => {
                expect(self.pause.take().is_some(), || "the run is not paused".to_owned())?;
                self.forget_deaths();
                self.reopen(reopened, at)
            }
            Fact::Withheld { why } => self.withheld(*why),
            Fact::Admitted => {
                expect(matches!(self.stage, Stage::Queued | Stage::Main), || "the main steps are over".to_owned())?;
                self.bar = None;
                self.seated = true;
                Ok(())
            }
            Fact::Superseded { by } => {
                self.leave(Cancel { reason: None, superseded_by: Some(by.clone()) });
                Ok(())
            }
            Fact::CancelAsked { reason } => {
                self.leave(Cancel { reason: reason.clone(), superseded_by: None });
                Ok(())
            }
            Fact::LimitReached => {
                expect(!self.limit_reached, || "the limit was reached before".to_owned())?;
                self.limit_reached = true;
                self.pause = None;
                self.bar = None;
                Ok(())
            }
            Fact::Recovered { behind, died } => {
                self.recovered(*behind, *died);
                Ok(())
            }
            Fact::Doubted => {
                self.doubted = true;
                self.steps.values_mut().for_each(|step| step.consent = false);
                Ok(())
            }
            Fact::Repinned { from, to } => self.repinned(from, to),
            Fact::Retried { reopened, limit } => self.retried(reopened, *limit, at),
            Fact::MainEnded { status, error, outputs } => {
                expect(self.stage == Stage::Main, || "the main steps are not at work".to_owned())?;
                expect(self.current.is_none(), || "a step is at work".to_owned())?;
                self.stage = Stage::Decided;
                self.pause = None;
                self.bar = None;
                self.verdict = Some(Verdict { status: *status, error: error.clone(), outputs: outputs.clone() });
                Ok(())
            }
            Fact::StageBegan { stage, limit } => self.stage_began(*stage, *limit),
            Fact::Finished { .. } => {
                expect(self.verdict.is_some(), || "there is no verdict".to_owned())?;
                expect(self.current.is_none(), || "a step is at work".to_owned())?;
                self.stage = Stage::Finished { at };
                self.seated = false;
                Ok(())
            }
        }
    }

    fn started(&mut self, limit: Timer) -> Judged {
        expect(self.stage == Stage::Queued, || "the run was started before".to_owned())?;
        self.stage = Stage::Main;
        self.limit = Some(limit);
        self.seated = true;
        Ok(())
    }

    /// A step that may be new, or begins anew.
    fn began(&mut self, step: &str, uses: &str, at: WallTime) -> Judged {
        expect(matches!(self.stage, Stage::Main | Stage::Cleanup(_)), || "no steps are run now".to_owned())?;
        let place = self.steps.len();
        let state = self.steps.entry(step.to_owned()).or_insert_with(|| StepState::new(uses, place, at));
        expect(!state.is_over(), || format!("{step} is over"))?;
        if state.phase == StepPhase::Pending {
            state.began_at = at;
        }
        Ok(())
    }

    fn enter(&mut self, step: &str, uses: &str) {
        if uses != super::BLOCK {
            self.current = Some(step.to_owned());
        }
    }

    fn known(&mut self, step: &str) -> Result<&mut StepState, String> {
        self.steps.get_mut(step).ok_or_else(|| format!("{step} has not begun"))
    }

    fn running(&mut self, step: &str) -> Result<&mut Attempt, String> {
        match &mut self.known(step)?.phase {
            StepPhase::Running(attempt) => Ok(attempt),
            _ => Err(format!("{step} has no attempt under way")),
        }
    }

    fn over(&mut self, step: &str, phase: StepPhase, at: WallTime) -> Judged {
        if self.current.as_deref() == Some(step) {
            self.current = None;
        }
        if self.pause.as_ref().is_some_and(|pause| pause.step.as_deref() == Some(step)) {
            self.pause = None;
        }
        let state = self.known(step)?;
        state.phase = phase;
        state.ended_at = Some(at);
        Ok(())
    }

    fn skipped(&mut self, skipped: &SkippedStep, why: SkipReason, at: WallTime) -> Judged {
        self.began(&skipped.id, &skipped.uses, at)?;
        self.over(&skipped.id, StepPhase::Skipped { why }, at)
    }

    fn attempt_started(
        &mut self,
        step: &str,
        (round, number): (u32, u32),
        work: Work,
        timeout: Option<Timer>,
        at: WallTime,
    ) -> Judged {
        let last = self.epoch;
        let state = self.known(step)?;
        let ready = matches!(state.phase, StepPhase::Ready | StepPhase::Waiting { .. });
        expect(ready, || format!("{step} is not ready for an attempt"))?;
        expect((state.round, state.attempts + 1) == (round, number), || {
            format!("{step} counts its attempts differently")
        })?;
        state.attempts = number;
        state.tries += 1;
        state.tried_since.get_or_insert(at);
        let live = matches!(work, Work::Effect { .. });
        if live {
            state.consent = false;
        }
        let clock = Clock::start(timeout);
        let attempt = Attempt { work, clock, live, reachable: true, stop: None, deaths: 0, furthest: 0 };
        state.phase = StepPhase::Running(attempt);
        if let Work::Effect { epoch: Some(epoch) } = work {
            expect(last == 0 || later(epoch, last), || format!("epoch {epoch} follows {last}"))?;
            self.epoch = epoch;
            self.first_transfer.get_or_insert_with(|| (step.to_owned(), round));
        }
        Ok(())
    }

    fn attempt_resumed(&mut self, step: &str, epoch: Option<u32>) -> Judged {
        let last = self.epoch;
        let attempt = self.running(step)?;
        expect(!attempt.live, || format!("the effect of {step} is under way"))?;
        expect(matches!(attempt.work, Work::Effect { .. }), || format!("{step} has no effect"))?;
        attempt.live = true;
        attempt.work = Work::Effect { epoch };
        if let Some(epoch) = epoch {
            expect(last == 0 || later(epoch, last), || format!("epoch {epoch} follows {last}"))?;
            self.epoch = epoch;
        }
        Ok(())
    }

    fn round_began(
        &mut self,
        step: &str,
        attempt: u32,
        superseded: &[String],
        timeout: Option<Timer>,
        at: WallTime,
    ) -> Judged {
        let state = self.known(step)?;
        let ready = matches!(state.phase, StepPhase::Ready | StepPhase::Waiting { .. });
        expect(ready, || format!("block {step} is not ready"))?;
        expect(state.attempts + 1 == attempt, || format!("block {step} counts its attempts differently"))?;
        state.attempts = attempt;
        state.tries += 1;
        state.tried_since.get_or_insert(at);
        state.phase = StepPhase::Open { clock: Clock::start(timeout) };
        superseded.iter().try_for_each(|inner| self.reset(inner, at))
    }

    fn stop_asked(&mut self, step: &str, why: &StopCause) -> Judged {
        let attempt = self.running(step)?;
        expect(attempt.stop.is_none(), || format!("{step} was asked to stop before"))?;
        attempt.stop = Some(why.clone());
        Ok(())
    }

    fn attempt_ended(&mut self, step: &str, result: &AttemptResult, spent: &Spent) -> Judged {
        let state = self.known(step)?;
        let underway = matches!(state.phase, StepPhase::Running(_) | StepPhase::Open { .. });
        expect(underway, || format!("{step} has no attempt under way"))?;
        state.cost.add(spent);
        match result {
            AttemptResult::Succeeded(outputs) => {
                state.outputs.clone_from(outputs);
                state.phase = StepPhase::Ended;
            }
            AttemptResult::Failed(failure) => {
                state.error = Some(failure.clone());
                state.phase = StepPhase::Faulted;
            }
        }
        Ok(())
    }

    fn wait_set(&mut self, step: &str, wait: Wait, timer: Timer) -> Judged {
        let state = self.known(step)?;
        expect(state.phase == StepPhase::Faulted, || format!("{step} has nothing to wait for"))?;
        state.phase = StepPhase::Waiting { wait, timer };
        match wait {
            Wait::Backoff => state.offline_waits = 0,
            Wait::DeviceOffline => {
                state.attempts = state.attempts.saturating_sub(1);
                state.tries = state.tries.saturating_sub(1);
                state.offline_waits = state.offline_waits.saturating_add(1);
            }
            Wait::TrafficBudget => {
                state.attempts = state.attempts.saturating_sub(1);
                state.tries = state.tries.saturating_sub(1);
            }
        }
        Ok(())
    }

    /// A hold takes no seat away: its runs are still begun.
    fn withheld(&mut self, why: Bar) -> Judged {
        expect(matches!(self.stage, Stage::Queued | Stage::Main), || "the main steps are over".to_owned())?;
        expect(self.cancel.is_none() && !self.limit_reached, || "the run is being ended".to_owned())?;
        self.bar = Some(why);
        self.seated &= why == Bar::Held;
        Ok(())
    }

    /// It is to end: nothing is waited for any more.
    fn leave(&mut self, cancel: Cancel) {
        self.cancel = Some(cancel);
        self.pause = None;
        self.bar = None;
    }

    fn paused(&mut self, why: PauseReason, step: Option<&str>) -> Judged {
        expect(self.pause.is_none(), || "the run is paused".to_owned())?;
        if let Some(step) = step {
            let state = self.known(step)?;
            expect(state.phase == StepPhase::Faulted, || format!("{step} has no failure to pause for"))?;
        }
        self.pause = Some(Pause { why, step: step.map(str::to_owned) });
        Ok(())
    }

    fn stage_began(&mut self, stage: Cleanup, limit: Timer) -> Judged {
        let follows = match self.stage {
            Stage::Decided => true,
            Stage::Cleanup(Cleanup::OnFailure) => stage == Cleanup::Finally,
            Stage::Queued | Stage::Main | Stage::Cleanup(Cleanup::Finally) | Stage::Finished { .. } => false,
        };
        expect(follows && self.current.is_none(), || "clean-up cannot begin now".to_owned())?;
        self.stage = Stage::Cleanup(stage);
        self.limit = Some(limit);
        self.limit_reached = false;
        Ok(())
    }

    fn retried(&mut self, reopened: &Reopened, limit: Timer, at: WallTime) -> Judged {
        let retriable = self.verdict.take().is_some_and(|verdict| verdict.status != FinalStatus::Succeeded);
        expect(self.is_finished() && retriable, || "only a run that ended badly is retried".to_owned())?;
        self.stage = Stage::Main;
        self.limit = Some(limit);
        self.limit_reached = false;
        self.cancel = None;
        self.reopen(reopened, at)
    }

    fn reopen(&mut self, reopened: &Reopened, at: WallTime) -> Judged {
        reopened.reset.iter().try_for_each(|step| self.reset(step, at))?;
        reopened.renewed.iter().try_for_each(|step| self.renew(step, at))
    }

    /// Goes on in its round with all tries anew. A block opens again as it is: what was done in it stays done.
    fn renew(&mut self, step: &str, at: WallTime) -> Judged {
        let state = self.known(step)?;
        expect(matches!(state.phase, StepPhase::Faulted | StepPhase::Failed), || format!("{step} has not failed"))?;
        state.tries = 0;
        state.consent = true;
        state.offline_waits = 0;
        state.tried_since = None;
        state.deadline = state.deadline.map(|timer| Timer::new(at, Duration::from_millis(timer.ms)));
        state.ended_at = None;
        if state.uses == super::BLOCK {
            state.phase = StepPhase::Open { clock: Clock::None };
            return Ok(());
        }
        state.phase = StepPhase::Ready;
        let uses = state.uses.clone();
        self.enter(step, &uses);
        Ok(())
    }

    /// Begins anew: what it came to is superseded, and stays in the journal only.
    fn reset(&mut self, step: &str, at: WallTime) -> Judged {
        let state = self.known(step)?;
        expect(state.is_over() || state.phase == StepPhase::Pending, || format!("{step} is at work"))?;
        let mut cost = state.cost;
        cost.close();
        *state = StepState { round: state.round + 1, cost, ..StepState::new(&state.uses, state.place, at) };
        Ok(())
    }

    fn recovered(&mut self, behind: u64, died: Option<u64>) {
        let back = |timer: &mut Timer| timer.at.0 = timer.at.0.saturating_sub(behind);
        self.limit.iter_mut().for_each(back);
        for state in self.steps.values_mut() {
            state.deadline.iter_mut().for_each(back);
            match &mut state.phase {
                StepPhase::Waiting { timer, .. } => back(timer),
                StepPhase::Running(attempt) => {
                    attempt.lost(died);
                    if let Work::Sleep { timer } = &mut attempt.work {
                        back(timer);
                    }
                }
                _ => {}
            }
        }
    }

    /// Time-outs of attempts run only while somebody works on the attempt and its device can be reached.
    fn turn_clocks(&mut self, record: &Record) {
        let hold = self.pause.is_some()
            || self.bar.is_some()
            || self.current_step().is_some_and(|(_, step)| step.stands_still());
        if hold == self.held && !matches!(record.fact, Fact::AttemptStarted { .. } | Fact::RoundBegan { .. }) {
            return;
        }
        self.held = hold;
        // An effect that was lost with its process stood still since the last that was heard of it.
        let lost = matches!(record.fact, Fact::Recovered { .. });
        let since = if lost { self.last_at } else { record.at };
        for state in self.steps.values_mut() {
            let clock = match &mut state.phase {
                StepPhase::Running(attempt) => &mut attempt.clock,
                StepPhase::Open { clock } => clock,
                _ => continue,
            };
            if hold { clock.hold(since) } else { clock.release(record.at) }
        }
    }
}

fn expect(holds: bool, why: impl FnOnce() -> String) -> Judged {
    if holds { Ok(()) } else { Err(why()) }
}
