//! The state of a run: the fold of its facts, and nothing besides.

use super::fact::{
    Bar, Cleanup, CodecPin, Created, FinalStatus, PauseReason, Record, RunError, SkipReason, Spent, StopCause, Wait,
    Work,
};
use super::words::{RunId, Timer, WallTime};
use crate::effect::Traffic;
use crate::failure::Failure;
use crate::grant::RefusedCall;
use crate::step::Outputs;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// A run as its facts tell it. Made by [`RunState::fold`], changed by [`RunState::apply`] alone.
#[derive(Debug, Clone, PartialEq)]
pub struct RunState {
    /// What it is pinned to.
    pub created: Created,
    /// The codec that it speaks through now.
    pub codec: Option<CodecPin>,
    /// When it was created.
    pub created_at: WallTime,
    /// How far it is.
    pub stage: Stage,
    /// Bound of the stage; absent in the queue.
    pub limit: Option<Timer>,
    /// Whether that bound has passed.
    pub limit_reached: bool,
    /// Why it is paused.
    pub pause: Option<Pause>,
    /// Why the engine lets nothing of it begin.
    pub bar: Option<Bar>,
    /// Whether it has begun in the eyes of admission: it counts in its group.
    pub seated: bool,
    /// Somebody wants it to end.
    pub cancel: Option<Cancel>,
    /// Steps that have begun or were skipped, by id.
    pub steps: BTreeMap<String, StepState>,
    /// The step (never a block) that has begun and not ended.
    pub current: Option<String>,
    /// How it ends, once that is known.
    pub verdict: Option<Verdict>,
    /// Facts may have been lost: steps that are not over may have been done.
    pub doubted: bool,
    /// Last epoch given to a transfer.
    pub epoch: u32,
    /// The step, and its round, that was the first to begin a transfer.
    pub first_transfer: Option<(String, u32)>,
    /// Whether time-outs of attempts stand still.
    pub held: bool,
    /// Facts folded; the journal's next sequence number.
    pub facts: u64,
    /// Time of the last fact.
    pub last_at: WallTime,
    /// Since when status and reason are what they are.
    pub since: WallTime,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Not begun.
    Queued,
    /// The steps.
    Main,
    /// The steps are over, the verdict stands.
    Decided,
    /// `on_failure` or `finally`.
    Cleanup(Cleanup),
    /// Nothing more comes.
    Finished {
        /// Since when.
        at: WallTime,
    },
}

/// A pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Why.
    pub why: PauseReason,
    /// The step whose failure it is.
    pub step: Option<String>,
}

/// A wish to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancel {
    /// In the asker's words.
    pub reason: Option<String>,
    /// The run with a newer image, where it ends for that.
    pub superseded_by: Option<RunId>,
}

/// How a run ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// How.
    pub status: FinalStatus,
    /// What went wrong.
    pub error: Option<RunError>,
    /// Outputs of the run.
    pub outputs: Outputs,
}

/// A step that has begun or was skipped.
#[derive(Debug, Clone, PartialEq)]
pub struct StepState {
    /// Name of its primitive, or `steps` for a block.
    pub uses: String,
    /// Its place among all steps in the order in which they were first heard of.
    pub place: usize,
    /// From 1.
    pub round: u32,
    /// How far it is.
    pub phase: StepPhase,
    /// Resolved arguments.
    pub with: Map<String, Value>,
    /// Outputs so far.
    pub outputs: Outputs,
    /// Last failure of this round.
    pub error: Option<Failure>,
    /// What its plugin asked for outside of its grants in this round: different calls, the first ones.
    pub refused: Vec<RefusedCall>,
    /// How many calls of this round were refused.
    pub refusals: u32,
    /// Attempts in this round.
    pub attempts: u32,
    /// A person has said that it may be done, again or at all.
    pub consent: bool,
    /// Attempts that count for `retry`: a wait for the device or a person burns none.
    pub tries: u32,
    /// Waits in a row for a device that is not there.
    pub offline_waits: u32,
    /// Start of the first attempt that counts.
    pub tried_since: Option<WallTime>,
    /// Bound of all attempts.
    pub deadline: Option<Timer>,
    /// Begin of the round.
    pub began_at: WallTime,
    /// End of the round.
    pub ended_at: Option<WallTime>,
    /// What it has cost.
    pub cost: Cost,
}

/// How far a step is.
#[derive(Debug, Clone, PartialEq)]
pub enum StepPhase {
    /// Begins anew.
    Pending,
    /// Its arguments are there; the next attempt can begin.
    Ready,
    /// A block whose steps are run.
    Open {
        /// Its time-out.
        clock: Clock,
    },
    /// An attempt is under way.
    Running(Attempt),
    /// Waits before the next attempt.
    Waiting {
        /// For what.
        wait: Wait,
        /// When at the latest.
        timer: Timer,
    },
    /// The attempt has succeeded; extra projections are due.
    Ended,
    /// The attempt has failed; what follows is to be judged.
    Faulted,
    /// Done.
    Succeeded,
    /// Failed for good.
    Failed,
    /// Not run.
    Skipped {
        /// Why.
        why: SkipReason,
    },
}

/// An attempt under way.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// What it is.
    pub work: Work,
    /// Its time-out.
    pub clock: Clock,
    /// Whether an effect was begun by this process and has not ended; always false right after a restart.
    pub live: bool,
    /// Whether the device can be reached, as far as is known.
    pub reachable: bool,
    /// Asked to end.
    pub stop: Option<StopCause>,
    /// Deaths of its process while it was at work and got no further.
    pub deaths: u32,
    /// The most bytes that it had done at any of them.
    pub furthest: u64,
}

/// A time-out that can stand still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// There is none.
    None,
    /// Runs.
    Ticking(Timer),
    /// Stands still.
    Held {
        /// Milliseconds left.
        left: u64,
        /// Milliseconds in all.
        ms: u64,
    },
}

/// Traffic of a step over all rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Performances whose figures are closed.
    pub closed: Traffic,
    /// The last one, whose figures a checkpoint may carry on.
    pub last: Traffic,
}

impl Cost {
    pub(super) fn add(&mut self, spent: &Spent) {
        if !spent.carried {
            self.close();
        }
        self.last = spent.traffic;
    }

    pub(super) fn close(&mut self) {
        self.closed.add(&self.last);
        self.last = Traffic::default();
    }

    /// Everything.
    pub fn total(&self) -> Traffic {
        let mut total = self.closed;
        total.add(&self.last);
        total
    }
}

impl Clock {
    pub(super) fn start(timer: Option<Timer>) -> Self {
        timer.map_or(Self::None, Self::Ticking)
    }

    /// Whether the time is over.
    pub fn due(&self, now: WallTime) -> bool {
        match self {
            Self::None => false,
            Self::Ticking(timer) => timer.due(now),
            Self::Held { left, .. } => *left == 0,
        }
    }

    /// When it is over, where it runs.
    pub fn at(&self) -> Option<WallTime> {
        match self {
            Self::Ticking(timer) => Some(timer.at),
            Self::None | Self::Held { .. } => None,
        }
    }

    pub(super) fn hold(&mut self, now: WallTime) {
        if let Self::Ticking(timer) = self {
            *self = Self::Held { left: timer.at.0.saturating_sub(now.0), ms: timer.ms };
        }
    }

    pub(super) fn release(&mut self, now: WallTime) {
        if let Self::Held { left, ms } = self {
            *self = Self::Ticking(Timer { at: now.after(Duration::from_millis(*left)), ms: *ms });
        }
    }
}

impl StepState {
    /// Whether nothing more happens to it by itself.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, StepPhase::Succeeded | StepPhase::Failed | StepPhase::Skipped { .. })
    }

    /// The attempt under way.
    pub fn attempt(&self) -> Option<&Attempt> {
        match &self.phase {
            StepPhase::Running(attempt) => Some(attempt),
            _ => None,
        }
    }

    pub(super) fn attempt_mut(&mut self) -> Option<&mut Attempt> {
        match &mut self.phase {
            StepPhase::Running(attempt) => Some(attempt),
            _ => None,
        }
    }
}

impl RunState {
    /// The state after these facts, of which the first must be [`super::Fact::Created`].
    pub fn fold<'a>(records: impl IntoIterator<Item = &'a Record>) -> Result<Self, super::Illegal> {
        let mut records = records.into_iter();
        let first = records.next().ok_or(super::Illegal::Empty)?;
        let mut state = Self::first(first)?;
        for record in records {
            state.apply(record)?;
        }
        Ok(state)
    }

    /// Sum over all steps and rounds.
    pub fn traffic(&self) -> Traffic {
        let mut total = Traffic::default();
        for step in self.steps.values() {
            total.add(&step.cost.total());
        }
        total
    }

    /// Whether nothing more comes by itself.
    pub fn is_finished(&self) -> bool {
        matches!(self.stage, Stage::Finished { .. })
    }

    /// The step (never a block) that has begun and not ended.
    pub fn current_step(&self) -> Option<(&str, &StepState)> {
        let id = self.current.as_deref()?;
        Some((id, self.steps.get(id)?))
    }

    /// The device that it waits for between attempts, because that is not there; empty where the step names none.
    pub fn absent(&self) -> Option<&str> {
        let (_, step) = self.current_step()?;
        let waits = matches!(step.phase, StepPhase::Waiting { wait: Wait::DeviceOffline, .. });
        let named = || step.with.get("device").or_else(|| self.created.device.get("id"));
        waits.then(|| named().and_then(Value::as_str).unwrap_or_default())
    }

    /// The step that the run waits at: the current one, or a block before its next round.
    pub fn waiting_at(&self) -> Option<(&str, &StepState)> {
        let block = || {
            let mut steps = self.steps.iter();
            steps
                .find(|(_, step)| matches!(step.phase, StepPhase::Waiting { .. }))
                .map(|(id, step)| (id.as_str(), step))
        };
        self.current_step().or_else(block)
    }

    /// The effect under way in this process.
    pub fn live_attempt(&self) -> Option<(&str, &StepState, &Attempt)> {
        let (id, step) = self.current_step()?;
        step.attempt().filter(|attempt| attempt.live).map(|attempt| (id, step, attempt))
    }
}
