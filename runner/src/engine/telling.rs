//! What is known of a run's transfer, as data: told by the one under way, or read off its last checkpoint.

use crate::link::{Kept, Rejected};
use crate::store::StoredCheckpoint;
use packhorse_core::effect::{TransferRequest, TransferTask};
use packhorse_core::hex;
use packhorse_core::run::{RunState, WallTime, rfc3339};
use packhorse_core::transfer::{FaultReport, ProgressReport, Time, WaitReason};
use serde::{Deserialize, Serialize};

/// A transfer or a verify as people and programs see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferView {
    /// The step whose it is.
    pub step: String,
    /// What it does.
    pub task: TaskKind,
    /// With which device.
    pub device: String,
    /// Whether it is under way; where not, the rest is what was known last.
    pub live: bool,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// What it waits for, where it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<TransferWait>,
    /// When the device last said anything.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339::option")]
    pub last_heard: Option<WallTime>,
    /// Messages of the device since this performance of the transfer began, good or bad.
    #[serde(default)]
    pub heard: u64,
    /// Of these, what the codec could not read.
    #[serde(default)]
    pub unreadable: u64,
    /// What could be read and cannot be true.
    #[serde(default)]
    pub implausible: u64,
    /// Pieces whose own check failed.
    #[serde(default)]
    pub damaged: u64,
    /// What the codec said is for somebody else.
    #[serde(default)]
    pub not_mine: u64,
    /// The last five that were rejected, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_rejected: Vec<RejectedPacket>,
    /// Commands for which the codec has no words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsupported: Vec<String>,
    /// Smoothed round trip in microseconds, once measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_us: Option<u64>,
}

/// What a transfer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words say it")]
pub enum TaskKind {
    Push,
    Pull,
    Verify,
}

/// What a transfer waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferWait {
    /// One of a closed list.
    pub reason: WaitReason,
    /// Since when.
    #[serde(with = "rfc3339")]
    pub since: WallTime,
    /// In words: "silent since byte 61 440 of our push".
    pub text: String,
}

/// A packet of the device that was rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedPacket {
    /// When.
    #[serde(with = "rfc3339")]
    pub at: WallTime,
    /// Why, in the codec's words.
    pub words: String,
    /// Its first 64 bytes; empty where it is not known which of several packets it was.
    pub hex: String,
    /// Its length in bytes.
    pub length: u64,
}

impl From<&TransferTask> for TaskKind {
    fn from(task: &TransferTask) -> Self {
        match task {
            TransferTask::Push { .. } => Self::Push,
            TransferTask::Pull { .. } => Self::Pull,
            TransferTask::Verify { .. } => Self::Verify,
        }
    }
}

impl TransferView {
    /// Of a transfer that begins.
    pub(super) fn begun(step: &str, request: &TransferRequest) -> Self {
        Self::empty(step, TaskKind::from(&request.task), &request.device, true)
    }

    /// Of one that waits until another transfer lets its device go.
    pub(super) fn queued(&self, since: WallTime) -> Self {
        let text = format!("another transfer with {} is under way; this one comes next", self.device);
        Self { waits: Some(TransferWait { reason: WaitReason::DeviceBusy, since, text }), ..self.clone() }
    }

    /// Of one under way. `now` is the same moment in its own time and on the wall clock.
    pub(super) fn told(&self, report: &ProgressReport, rejected: &[Rejected], now: (Time, WallTime)) -> Self {
        let wall = |time: Time| WallTime(now.1.0.saturating_sub(now.0.since(time).0 / 1_000));
        let FaultReport { heard, malformed, not_mine, implausible, bad_sums, last: _ } = &report.faults;
        let waits = report.waiting.as_ref().map(|waiting| TransferWait {
            reason: waiting.reason,
            since: wall(waiting.since),
            text: waiting.text.clone(),
        });
        let packet = |rejected: &Rejected| RejectedPacket {
            at: wall(rejected.at),
            words: rejected.words.clone(),
            hex: hex::encode(&rejected.head),
            length: rejected.length as u64,
        };
        Self {
            step: self.step.clone(),
            task: self.task,
            device: self.device.clone(),
            live: true,
            done: report.done,
            total: report.total,
            waits,
            last_heard: report.last_heard.map(wall).or(self.last_heard),
            heard: *heard,
            unreadable: *malformed,
            implausible: *implausible,
            damaged: *bad_sums,
            not_mine: *not_mine,
            last_rejected: rejected.iter().map(packet).collect(),
            unsupported: report.unsupported.iter().map(|name| (*name).to_owned()).collect(),
            round_trip_us: report.srtt.map(|srtt| srtt.0),
        }
    }

    /// Of one that nobody works on: as its last checkpoint tells.
    pub(super) fn kept(checkpoint: &StoredCheckpoint, run: &RunState) -> Option<Self> {
        let step = run.steps.get(&checkpoint.step)?;
        let task = match step.uses.as_str() {
            "transfer.push" => TaskKind::Push,
            "transfer.pull" => TaskKind::Pull,
            "transfer.verify" => TaskKind::Verify,
            _ => return None,
        };
        let kept = Kept::read(&checkpoint.bytes).filter(|_| step.round == checkpoint.round)?;
        let progress = kept.checkpoint()?;
        let device = step.with.get("device").and_then(serde_json::Value::as_str).unwrap_or_default();
        Some(Self {
            done: progress.done.covered(),
            total: progress.size,
            last_heard: kept.heard.map(WallTime),
            ..Self::empty(&checkpoint.step, task, device, false)
        })
    }

    /// What was rejected of what was heard.
    pub const fn rejected(&self) -> u64 {
        self.unreadable + self.implausible + self.damaged
    }

    /// The same as a memory: it is not under way any more.
    pub(super) fn over(self) -> Self {
        Self { live: false, waits: None, ..self }
    }

    fn empty(step: &str, task: TaskKind, device: &str, live: bool) -> Self {
        Self {
            step: step.to_owned(),
            task,
            device: device.to_owned(),
            live,
            done: 0,
            total: None,
            waits: None,
            last_heard: None,
            heard: 0,
            unreadable: 0,
            implausible: 0,
            damaged: 0,
            not_mine: 0,
            last_rejected: Vec::new(),
            unsupported: Vec::new(),
            round_trip_us: None,
        }
    }
}
