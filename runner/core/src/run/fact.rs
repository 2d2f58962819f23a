//! Facts: the append-only journal records of a run, and the envelope in which they are stored.

use super::message::FirstMessage;
use super::words::{RunId, Timer, WallTime};
use crate::admission::Terms;
use crate::effect::Traffic;
use crate::failure::Failure;
use crate::grant::RefusedCall;
use crate::step::Outputs;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Latest version of the envelope and of the facts in it. A reader refuses a later one. 2 brought [`Fact::CallRefused`], 3 what admission decides:
/// [`Fact::Withheld`], [`Fact::Admitted`], [`Fact::Superseded`]; 4 [`Fact::Repinned`]; 5 [`PauseReason::CrashLoop`].
pub const FORMAT: u16 = 5;

/// A fact with the time at which it was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Format version: the earliest that knows its fact, so that earlier programs read what they can.
    pub v: u16,
    /// When.
    pub at: WallTime,
    /// What.
    #[serde(flatten)]
    pub fact: Fact,
}

/// Why stored bytes are not a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Written by a later program.
    #[error("journal record of format {found}; this program reads up to {FORMAT}: use a newer packhorse")]
    Newer {
        /// Its format.
        found: u16,
    },
    /// Not a record at all.
    #[error("journal record cannot be read")]
    Malformed(#[source] serde_json::Error),
}

impl Record {
    /// A fact at its time, in the earliest format that has it.
    pub const fn new(at: WallTime, fact: Fact) -> Self {
        let v = match fact {
            Fact::Paused { why: PauseReason::CrashLoop, .. } => 5,
            Fact::Repinned { .. } => 4,
            Fact::Withheld { .. } | Fact::Admitted | Fact::Superseded { .. } => 3,
            Fact::CallRefused { .. } => 2,
            _ => 1,
        };
        Self { v, at, fact }
    }

    /// As stored: JSON.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("facts have string keys only")
    }

    /// From what was stored. The version is looked at first, so that an unknown fact of a later format is told as such.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct Envelope {
            v: u16,
        }
        let envelope: Envelope = serde_json::from_slice(bytes).map_err(RecordError::Malformed)?;
        if envelope.v > FORMAT {
            return Err(RecordError::Newer { found: envelope.v });
        }
        serde_json::from_slice(bytes).map_err(RecordError::Malformed)
    }
}

/// What a run is pinned to for its whole life; its codec until a person moves it to another build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// Its id.
    pub run: RunId,
    /// Name of the workflow.
    pub workflow: String,
    /// SHA-256 of its source, under which the journal keeps it as an object.
    pub digest: String,
    /// Version of the program that created the run.
    pub engine: String,
    /// Checked inputs, defaults filled in; files as [`crate::file::FileRef`], absent optional ones `null`.
    pub inputs: Map<String, Value>,
    /// Root `device` of expressions.
    #[serde(default)]
    pub device: Value,
    /// Root `trigger` of expressions; absent where somebody asked for the run by its name.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub trigger: Value,
    /// The message that started it, where it is one that its codec understands: the first input of its first transfer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<FirstMessage>,
    /// Resolved variables for the codec.
    pub vars: BTreeMap<String, String>,
    /// The codec it begins with; absent where no step needs one. Which one counts now is in [`super::RunState::codec`].
    pub codec: Option<CodecPin>,
    /// Step plugins, as the workflow names them, with the SHA-256 of their bytes in lowercase hex.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plugins: BTreeMap<String, String>,
    /// What it asks of admission.
    #[serde(default, skip_serializing_if = "Terms::is_plain")]
    pub terms: Terms,
}

/// Which codec a run speaks, to the byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodecPin {
    /// Name of the plugin.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its bytes, lowercase hex.
    pub digest: String,
}

/// One journal record of a run. Each prefix of a run's facts is a state from which it can go on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// The first one.
    Created(Box<Created>),
    /// Left the queue.
    Started {
        /// Bound of the main steps.
        limit: Timer,
    },
    /// A step's `if` holds, and its arguments are resolved; neither is evaluated again in this round.
    StepReady {
        /// The step.
        step: String,
        /// Its round.
        round: u32,
        /// Name of its primitive, or `steps` for a block.
        uses: String,
        /// Resolved arguments.
        with: Map<String, Value>,
        /// Bound of all attempts.
        deadline: Option<Timer>,
    },
    /// These are not run.
    StepsSkipped {
        /// Which, with what they use; a block comes with all that is in it.
        steps: Vec<SkippedStep>,
        /// Why.
        why: SkipReason,
    },
    /// Durable before the effect begins (it announces the intent).
    AttemptStarted {
        /// The step.
        step: String,
        /// Its round.
        round: u32,
        /// From 1.
        attempt: u32,
        /// What the attempt is.
        work: Work,
        /// Bound of the attempt.
        timeout: Option<Timer>,
    },
    /// A block begins: all that is in it begins anew.
    RoundBegan {
        /// The block.
        step: String,
        /// From 1.
        attempt: u32,
        /// Everything in the block that had begun before: superseded.
        superseded: Vec<String>,
        /// Bound of the attempt.
        timeout: Option<Timer>,
    },
    /// The device of the effect under way can or cannot be reached: its time-out stops meanwhile.
    Reachable {
        /// The step.
        step: String,
        /// Whether it can.
        reachable: bool,
    },
    /// An effect that was parked, or lost with an earlier process, begins again as the same attempt.
    AttemptResumed {
        /// The step.
        step: String,
        /// The new epoch of a transfer.
        epoch: Option<u32>,
    },
    /// The effect stopped at a good point and will go on later.
    AttemptParked {
        /// The step.
        step: String,
        /// What it cost.
        spent: Spent,
    },
    /// The step plugin that is at work asked for something outside of its grants.
    CallRefused {
        /// The step.
        step: String,
        /// What it asked for.
        call: RefusedCall,
    },
    /// The effect is to end.
    StopAsked {
        /// The step.
        step: String,
        /// Why.
        why: StopCause,
    },
    /// An attempt came to an end.
    AttemptEnded {
        /// The step.
        step: String,
        /// Its outputs, or why it failed.
        result: AttemptResult,
        /// What it cost.
        spent: Spent,
    },
    /// The step is tried again later.
    WaitSet {
        /// The step.
        step: String,
        /// For what.
        wait: Wait,
        /// When at the latest.
        timer: Timer,
    },
    /// The step is done; its outputs are final.
    StepSucceeded {
        /// The step.
        step: String,
        /// With the extra projections.
        outputs: Outputs,
    },
    /// The step has failed for good.
    StepFailed {
        /// The step.
        step: String,
        /// What it uses: it may have failed before it was ready.
        uses: String,
        /// Why.
        failure: Failure,
    },
    /// Nothing new begins until a person says so.
    Paused {
        /// Why.
        why: PauseReason,
        /// Whose failure it is, where it is one.
        step: Option<String>,
    },
    /// Goes on after a pause.
    Resumed {
        /// What is tried again.
        reopened: Reopened,
    },
    /// Nothing new begins until the engine says so; no pause of a person.
    Withheld {
        /// Why.
        why: Bar,
    },
    /// Its turn has come, again or after it was withheld.
    Admitted,
    /// A newer image for its device and slot makes it pointless.
    Superseded {
        /// The run that brings it.
        by: RunId,
    },
    /// Somebody wants it to end.
    CancelAsked {
        /// In their words.
        reason: Option<String>,
    },
    /// The time for this stage is over.
    LimitReached,
    /// Another process took the run over. Effects under way are lost and begin again.
    Recovered {
        /// Milliseconds by which the clock lies before the last record; timers move with it.
        behind: u64,
        /// Bytes that the attempt under way had done, where the process before died while it was at work; where this is absent, nobody
        /// holds that death against it. Earlier programs neither write nor heed it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        died: Option<u64>,
    },
    /// The store has lost writes that it had confirmed: what came after the facts before this one is not known. Checkpoints from before are
    /// dropped with it.
    Doubted,
    /// From here on the run speaks through another build of its codec. The new one's bytes have been put into the journal as an object
    /// before.
    Repinned {
        /// What it was pinned to.
        from: CodecPin,
        /// What it is pinned to now.
        to: CodecPin,
    },
    /// A finished run goes on at the step that stopped it.
    Retried {
        /// What is tried again.
        reopened: Reopened,
        /// New bound of the main steps.
        limit: Timer,
    },
    /// The main steps are over: this is how the run will end, whatever follows.
    MainEnded {
        /// How.
        status: FinalStatus,
        /// What went wrong.
        error: Option<RunError>,
        /// Outputs of the run.
        outputs: Outputs,
    },
    /// `on_failure` or `finally` begins.
    StageBegan {
        /// Which.
        stage: Cleanup,
        /// Its bound.
        limit: Timer,
    },
    /// The last one, unless the run is retried.
    Finished {
        /// Sum over all steps.
        traffic: Traffic,
    },
}

/// A step that is not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedStep {
    /// Its id.
    pub id: String,
    /// Name of its primitive, or `steps` for a block.
    pub uses: String,
}

/// Why steps are not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// Its `if` does not hold.
    Condition,
    /// An earlier step has failed.
    EarlierFailure,
    /// The run is being cancelled.
    Cancelled,
    /// The time is over.
    Limit,
}

/// What an attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "snake_case")]
pub enum Work {
    /// The outside is asked.
    Effect {
        /// For a transfer: grows with every start and resumption in the run, for ever.
        epoch: Option<u32>,
    },
    /// A durable wait.
    Sleep {
        /// Until when.
        timer: Timer,
    },
    /// Done, or failed, without asking anybody.
    Instant,
}

/// Why an effect is to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum StopCause {
    /// The run is being cancelled.
    Cancel,
    /// The time of the run (or of its clean-up) is over.
    Limit,
    /// The `deadline` of this step (or block around it) has passed.
    Deadline {
        /// Whose.
        of: String,
    },
    /// The `timeout` of this step (or block around it) has passed.
    Timeout {
        /// Whose.
        of: String,
    },
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptResult {
    /// With these outputs, before extra projections.
    Succeeded(Outputs),
    /// Like this.
    Failed(Failure),
}

/// Traffic of a step in its round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Spent {
    /// The figures.
    pub traffic: Traffic,
    /// Whether they include those of the round's earlier performances (they came back with the checkpoint) or come on top.
    pub carried: bool,
}

/// What a step waits for before it is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// The retry's turn.
    Backoff,
    /// The device to come back; the timer tries in any case.
    DeviceOffline,
    /// The next day or month of a traffic budget.
    TrafficBudget,
}

/// Why a run may not go on for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bar {
    /// A hold means it.
    Held,
    /// Its group is full.
    ConcurrencyLimit,
    /// A critical run has its device, or comes first.
    BehindPriority,
    /// A critical run has come while it was at work.
    Overtaken,
}

/// Why a run is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseReason {
    /// Somebody asked.
    Asked,
    /// A failure that a person must mend.
    Operator,
    /// The last attempt failed, and the step says `on_exhausted: pause`.
    Exhausted,
    /// The step failed, and says `on_error: pause`.
    StepFailed,
    /// The process died three times while the same attempt was at work.
    CrashLoop,
}

/// Steps that are tried again by a person's will.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reopened {
    /// Go on in their round, with all attempts of `retry` anew.
    pub renewed: Vec<String>,
    /// Begin anew in the next round.
    pub reset: Vec<String>,
}

/// Parts of a workflow that come after the main steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cleanup {
    /// After a failure or time-out.
    OnFailure,
    /// In any case.
    Finally,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words say it")]
pub enum FinalStatus {
    Succeeded,
    Failed,
    Cancelled,
    TimedOut,
    Superseded,
}

/// A failure with the step in which it happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunError {
    /// Why.
    #[serde(flatten)]
    pub failure: Failure,
    /// Where; absent where it was no step's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}
