//! How effects reach the world: one job for each, which may be parked or cancelled and tells how it goes.

use super::hold::Hold;
use super::notes::NoteSender;
use super::telling::TransferView;
use crate::store::BoxFuture;
use packhorse_core::effect::{Effect, Outcome, Traffic};
use packhorse_core::failure::Failure;
use packhorse_core::grant::RefusedCall;
use packhorse_core::run::{CodecPin, EffectId, FirstMessage, RunId};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// Carries effects out.
pub trait Performer: Send + Sync + 'static {
    /// Carries one out. The future must end soon after `control` leaves [`Control::Go`] (it is dropped after 30 s) and must not panic;
    /// a panic is taken for a failure of class bug. Dropping the future must leave nothing running.
    fn perform(&self, job: Job) -> BoxFuture<'static, JobEnd>;
}

/// An effect to carry out.
#[derive(Debug)]
pub struct Job {
    /// Its name.
    pub id: EffectId,
    /// What to do.
    pub effect: Effect,
    /// For whom.
    pub run: Arc<RunContext>,
    /// For a transfer: grows with every start and resumption, for ever. 0 for other effects.
    pub epoch: u32,
    /// What [`Note::Checkpoint`] last said in this round of the step, in this process or an earlier one.
    pub checkpoint: Option<Vec<u8>>,
    /// What the attempt before it failed with, in this round of the step.
    pub before: Option<Failure>,
    /// The run's first transfer begins with this job: no checkpoint of it was kept yet, in this process or an earlier one.
    pub first: bool,
    /// Whether its device was there when it was last at work. Who says so again, has heard it.
    pub reachable: bool,
    /// Whether to go on.
    pub control: watch::Receiver<Control>,
    /// How it goes.
    pub notes: NoteSender,
    /// Whether the run is still ours.
    pub hold: Hold,
}

/// What a job may know of its run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunContext {
    /// Its id.
    pub id: RunId,
    /// Name of its workflow.
    pub workflow: String,
    /// The codec that it speaks through now.
    pub codec: Option<CodecPin>,
    /// SHA-256 of the one that it began with, in hex.
    pub began_with: Option<String>,
    /// Variables for the codec.
    pub vars: BTreeMap<String, String>,
    /// Step plugins with the digests of their bytes.
    pub plugins: BTreeMap<String, String>,
    /// From 1 (critical) to 5.
    pub priority: u8,
    /// Its device, where its workflow has an input of that name.
    pub device: Option<String>,
    /// The message that started it, for its codec.
    pub message: Option<FirstMessage>,
}

/// Whether a job goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Yes.
    Go,
    /// Stop at a good point, note a checkpoint, end with [`JobEnd::Parked`]. Jobs that cannot may also simply finish.
    Park,
    /// Stop, tell the device where its protocol can, end with [`JobEnd::Cancelled`].
    Cancel,
}

/// How a job ended, with what it cost.
///
/// The traffic of a job that was given a checkpoint includes the figures that the checkpoint carries, also where the job then threw the
/// checkpoint away; that of a job without one starts from nothing.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "few live at a time, and none is kept")]
pub enum JobEnd {
    /// With an answer or a failure.
    Outcome(Outcome, Traffic),
    /// As asked; goes on from the last checkpoint noted.
    Parked(Traffic),
    /// As asked.
    Cancelled(Traffic),
}

/// How a job goes.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// Where it stands; stored soon, nothing waits for it. Empty = there is nothing worth keeping.
    Checkpoint(Vec<u8>),
    /// Whether its device can be reached; its time-out stands still meanwhile.
    Reachable(bool),
    /// How far it is; for people only.
    Progress(Progress),
    /// What is known of a transfer; for people only.
    Transfer(Box<TransferView>),
    /// A call of a step plugin was refused; each becomes a fact.
    Refused(RefusedCall),
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Progress {
    /// Bytes done.
    pub done: u64,
    /// Bytes in all; 0 = not known.
    pub total: u64,
    /// Beside the numbers.
    pub text: String,
}
