//! What happens to a run, and what is decided about it.

use super::fact::{Bar, CodecPin, Record};
use super::notable::Notable;
use super::status::RunStatus;
use super::words::{EffectId, RunId, WallTime};
use crate::effect::{Effect, Outcome, Traffic};
use crate::failure::Failure;
use crate::grant::RefusedCall;

/// What happens to a run.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one lives at a time, on the stack")]
pub enum RunEvent {
    /// Its turn has come: it leaves the queue, or goes on after it was withheld.
    Begin,
    /// Nothing new begins until [`RunEvent::Begin`]; a transfer under way stops at a good point.
    Withhold {
        /// Why.
        why: Bar,
        /// The run or hold that is in its way.
        behind: Option<String>,
    },
    /// End: a newer image for its device and slot has come.
    Supersede {
        /// The run that brings it.
        by: RunId,
    },
    /// It was folded from the journal: no effect is under way. Also takes a parked run up again.
    Recovered {
        /// Bytes that its attempt under way had done, as the checkpoint tells; 0 where none does.
        done: u64,
        /// A person wants it to go on, however its process ended.
        wanted: bool,
    },
    /// An effect came to an end. Ignored where it is not the one under way.
    EffectEnded {
        /// Which.
        id: EffectId,
        /// How.
        end: EffectEnd,
        /// What it cost.
        traffic: Traffic,
        /// Whether it was begun with a checkpoint, whose figures `traffic` includes.
        carried: bool,
    },
    /// The device of an effect under way can or cannot be reached.
    DeviceReachable {
        /// Which effect.
        id: EffectId,
        /// Whether it can.
        reachable: bool,
    },
    /// The step plugin of an effect under way was refused a call.
    CallRefused {
        /// Which effect.
        id: EffectId,
        /// What it asked for.
        call: RefusedCall,
    },
    /// The device that it waits for between attempts is heard again: it goes on at once, or as soon as nothing else keeps it.
    DeviceBack,
    /// Time has passed.
    Tick,
    /// Stop at a good point, durably, until resumed.
    Pause,
    /// Go on after a pause, whatever its reason was.
    Resume,
    /// End.
    Cancel {
        /// In the asker's words.
        reason: Option<String>,
    },
    /// Speak through another build of the codec from now on; a transfer under way stops at a good point and begins again in the same
    /// attempt.
    Repin {
        /// SHA-256 of the build that it must be pinned to, lowercase hex.
        from: String,
        /// The other one, whose bytes the journal has.
        to: CodecPin,
    },
    /// Take a failed, cancelled or timed-out run up at the step that stopped it.
    Retry,
    /// The process ends: stop at a good point; [`RunEvent::Recovered`] goes on. The run itself is not paused.
    Park,
}

/// How an effect ended.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one lives at a time, on the stack")]
pub enum EffectEnd {
    /// With an answer or a failure.
    Outcome(Outcome),
    /// At a good point, as was asked.
    Parked,
    /// Before its end, as was asked.
    Cancelled,
}

/// What is decided. The facts are applied already; the effects may begin only when the facts are durable.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decision {
    /// To be appended, all or none.
    pub facts: Vec<Record>,
    /// To be begun when the facts are durable.
    pub effects: Vec<Order>,
    /// To be stopped; each still ends with [`RunEvent::EffectEnded`].
    pub stop: Vec<(EffectId, Stop)>,
    /// When [`RunEvent::Tick`] is due at the latest; replaces what was said before.
    pub wake_at: Option<WallTime>,
    /// What a log tells of the facts, once they are durable.
    pub lines: Vec<Notable>,
}

/// An effect to be begun.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Its name.
    pub id: EffectId,
    /// What to do.
    pub effect: Effect,
    /// Epoch of a transfer; 0 for other effects.
    pub epoch: u32,
    /// What the attempt before it failed with, in this round of the step.
    pub before: Option<Failure>,
    /// Whether it is the first transfer of the run, in the round in which it was that.
    pub first: bool,
}

/// How an effect is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// At a good point, to go on later.
    Park,
    /// For good.
    Cancel,
}

/// A wish that cannot be met.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nothing more can happen to it.
    #[error("the run has already ended ({0:?})")]
    Finished(RunStatus),
    /// Only finished runs are retried, and only where a step stopped them.
    #[error("only a run that failed, was cancelled or timed out can be retried; this one is {0:?}")]
    NotRetriable(RunStatus),
    /// Only paused runs are resumed.
    #[error("the run is not paused ({0:?})")]
    NotPaused(RunStatus),
    /// Clean-up is not paused.
    #[error("the run is cleaning up and cannot be paused ({0:?})")]
    CleaningUp(RunStatus),
    /// Nothing that could be repinned.
    #[error("the run speaks through no codec")]
    NoCodec,
    /// Nothing to be done.
    #[error("the run is pinned to {0} already")]
    HasCodec(CodecPin),
    /// It is not pinned to what was named.
    #[error("the run is pinned to {0}, which is not what it was to be moved from")]
    OtherCodec(CodecPin),
    /// Another build of the same codec is one thing, another codec another.
    #[error("the run is pinned to {now}: {to} is another codec, and no other build of it")]
    OtherName {
        /// What it is pinned to.
        now: Box<CodecPin>,
        /// What it was to be moved to.
        to: Box<CodecPin>,
    },
    /// Ours.
    #[error(transparent)]
    Bug(#[from] super::Illegal),
}
