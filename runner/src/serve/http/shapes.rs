//! Objects of the document that are made elsewhere in the program: what stands in them, for those who read the document. Fields may be added;
//! none goes away.

#![expect(dead_code, reason = "they are only described")]

use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A run as it is now: the object that `packhorse show RUN -o json` prints. Times are RFC 3339, UTC.
#[derive(ToSchema)]
pub(super) struct RunView {
    /// Its id: `run_` and a ULID, which sorts by the time it was made.
    run: String,
    /// Name of its workflow.
    workflow: String,
    /// Its status.
    status: Status,
    /// Its outputs; empty until it has succeeded.
    outputs: BTreeMap<String, Value>,
    /// In the order of the file.
    steps: Vec<Step>,
    /// What it cost so far.
    traffic: Traffic,
    /// From creation to the end, or to now.
    duration_ms: u64,
    /// What went wrong, or what it is paused for.
    error: Option<RunError>,
    /// Why it is where it is; of an unfinished run.
    unfinished: Option<Unfinished>,
    /// From 1 (critical) to 5 (bulk).
    priority: u8,
    /// Kind of the trigger that started it; absent where somebody asked for it by its name.
    trigger: Option<String>,
    /// When it was created.
    created_at: String,
    /// Devices that its inputs name, or its steps as far as they have begun; absent where there are none.
    devices: Option<Vec<String>>,
    /// The codec that it speaks through now.
    codec: Option<Codec>,
    /// The one that it began with, where it was moved to another build since.
    repinned_from: Option<Codec>,
    /// How far the step under way is.
    progress: Option<Progress>,
    /// What is known of its transfer, under way or not.
    transfer: Option<Transfer>,
    /// Whether the daemon works on it.
    live: bool,
}

/// Status of a run. The last five are final.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum Status {
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

/// A step of a run.
#[derive(ToSchema)]
pub(super) struct Step {
    /// Its id.
    id: String,
    /// Name of its primitive, or `steps` for a block.
    uses: String,
    /// Its status.
    #[schema(pattern = "^(pending|running|waiting|succeeded|failed|cancelled|skipped)$")]
    status: String,
    /// Attempts in its last round.
    attempts: u32,
    /// Its outputs.
    outputs: BTreeMap<String, Value>,
    /// Its last failure.
    error: Option<RunError>,
    /// What its plugin asked for outside of its grants: different calls, the first ones.
    refused: Option<Vec<RefusedCall>>,
    /// How many calls of its plugin were refused.
    refusals: Option<u32>,
    /// Of its last round, to the end or to now.
    duration_ms: u64,
}

/// A call that a step plugin was refused.
#[derive(ToSchema)]
pub(super) struct RefusedCall {
    /// Whose.
    plugin: String,
    /// What it wanted.
    call: String,
    /// Why it was refused.
    why: String,
}

/// Why a step or a run failed.
#[derive(ToSchema)]
pub(super) struct RunError {
    /// Stable code: `packhorse explain CODE` tells more.
    code: String,
    /// What it means for what happens next.
    #[schema(pattern = "^(transient|device_offline|permanent|operator|bug)$")]
    class: String,
    /// What was tried, on what, and why it failed.
    message: String,
    /// What to do about it.
    hint: Option<String>,
    /// Another attempt makes no sense before this time.
    not_before: Option<u64>,
    /// The step in which it happened; absent where it was no step's.
    step: Option<String>,
}

/// What transfers cost so far.
#[derive(ToSchema)]
pub(super) struct Traffic {
    /// Bytes of files delivered, each once.
    payload_bytes: u64,
    /// Everything on the wire, both directions.
    wire_bytes: u64,
    /// Bytes of files that went over the wire again.
    retransmitted_bytes: u64,
    /// Messages in both directions.
    packets: u64,
    /// How often a transfer was taken up again.
    resumes: u32,
}

/// Why an unfinished run is where it is.
#[derive(ToSchema)]
pub(super) struct Unfinished {
    /// One of a closed list, for which `packhorse explain` has words.
    reason: String,
    /// Since when.
    since: String,
    /// What must happen, as a phrase.
    waiting_for: String,
    /// When something happens in any case.
    next_action_at: Option<String>,
    /// The step that it is about.
    step: Option<String>,
    /// The device that it is about.
    device: Option<String>,
    /// The run or hold that is in its way.
    behind: Option<String>,
}

/// Which codec, to the byte.
#[derive(ToSchema)]
pub(super) struct Codec {
    /// Name of the plugin.
    name: String,
    /// Its version.
    version: String,
    /// SHA-256 of its bytes in hex.
    digest: String,
}

/// How far a step under way is.
#[derive(ToSchema)]
pub(super) struct Progress {
    /// Bytes done.
    done: u64,
    /// Bytes in all; 0 where not known.
    total: u64,
    /// Beside the numbers.
    text: String,
}

/// What is known of a transfer.
#[derive(ToSchema)]
pub(super) struct Transfer {
    /// The step whose it is.
    step: String,
    /// What it does.
    #[schema(pattern = "^(push|pull|verify)$")]
    task: String,
    /// With which device.
    device: String,
    /// Whether it is under way; where not, the rest is what was known last.
    live: bool,
    /// Bytes done.
    done: u64,
    /// Bytes in all, once known.
    total: Option<u64>,
    /// What it waits for, where it waits.
    waits: Option<TransferWait>,
    /// When the device last said anything.
    last_heard: Option<String>,
    /// Messages of the device, good or bad.
    heard: u64,
    /// Of these, what the codec could not read.
    unreadable: u64,
    /// What could be read and cannot be true.
    implausible: u64,
    /// Pieces whose own check failed.
    damaged: u64,
    /// What the codec said is for somebody else.
    not_mine: u64,
    /// The last five that were rejected, oldest first.
    last_rejected: Option<Vec<Rejected>>,
    /// Commands for which the codec has no words.
    unsupported: Option<Vec<String>>,
    /// Smoothed round trip in microseconds, once measured.
    round_trip_us: Option<u64>,
}

/// What a transfer waits for.
#[derive(ToSchema)]
pub(super) struct TransferWait {
    /// One of a closed list.
    reason: String,
    /// Since when.
    since: String,
    /// In words.
    text: String,
}

/// A packet of the device that was rejected.
#[derive(ToSchema)]
pub(super) struct Rejected {
    /// When.
    at: String,
    /// Why.
    words: String,
    /// Its first 64 bytes; empty where it is not known which packet it was.
    hex: String,
    /// Its length in bytes.
    length: u64,
}

/// A record of a run's journal. Beside these it has the fields of its `fact`.
#[derive(ToSchema)]
pub(super) struct Record {
    /// Its number.
    seq: u64,
    /// Format version.
    v: u16,
    /// When it was decided.
    at: u64,
    /// Its kind, such as `created`, `step_ready`, `attempt_ended` or `finished`.
    fact: String,
}

/// What is known of a run or a device.
#[derive(ToSchema)]
pub(super) struct Explained {
    /// The run; or runs of the device, unfinished ones first.
    items: Vec<RunView>,
    /// Of the device, and of devices that are waited for, by their ids, as far as anything is known.
    presence: BTreeMap<String, Presence>,
}

/// Whether a device is there.
#[derive(ToSchema)]
pub(super) struct Presence {
    /// As far as is known.
    online: bool,
    /// Since when that is known.
    since: String,
    /// When it was heard last; null where it never was.
    heard_at: Option<String>,
    /// Who told that it came, or went: `will` or `traffic`.
    by: String,
}

/// What came of runs that were to be moved to another build of their codec.
#[derive(ToSchema)]
pub(super) struct Moved {
    /// The build to which they were to be moved.
    to: Codec,
    /// In the order in which they were named.
    items: Vec<MovedRun>,
}

/// What came of one of them.
#[derive(ToSchema)]
pub(super) struct MovedRun {
    /// Its id, as far as it is known.
    run: String,
    /// What happened.
    #[schema(pattern = "^(repinned|unchanged|refused)$")]
    outcome: String,
    /// Its status.
    status: Option<Status>,
    /// What it is pinned to now.
    codec: Option<Codec>,
    /// What has to happen for it to go on.
    next: Option<String>,
    /// Why it was refused.
    error: Option<RunError>,
}

/// A trigger.
#[derive(ToSchema)]
pub(super) struct Trigger {
    /// Name of its workflow.
    workflow: String,
    /// Its id.
    id: String,
    /// Its kind.
    #[schema(pattern = "^(mqtt|schedule|file|http)$")]
    kind: String,
    /// Topic, pattern and zone, or folder and pattern.
    what: String,
    /// When it last started a run, as far as this process knows; of a schedule the last nominal time.
    last_fired: Option<String>,
    /// When a schedule starts its next run.
    next_fire: Option<String>,
    /// Whether it would hear of something now.
    listens: bool,
    /// What waits for its turn.
    waiting: u64,
    /// Since the process began.
    counts: TriggerCounts,
    /// Why it does not listen.
    trouble: Option<String>,
}

/// What came to a trigger since the process began.
#[derive(ToSchema)]
pub(super) struct TriggerCounts {
    /// Messages, times, files or requests.
    received: u64,
    /// Runs.
    started: u64,
    /// Came to a run that was there already.
    replayed: u64,
    /// Its `if` did not hold.
    ignored: u64,
    /// No run could be made of it.
    failed: u64,
    /// Came faster than it could be taken, and was lost.
    dropped: u64,
}

/// What came to a trigger and no run could be made of.
#[derive(ToSchema)]
pub(super) struct DeadLetter {
    /// Grows with each.
    id: u64,
    /// When it came.
    #[schema(format = "date-time")]
    at: String,
    /// Name of the workflow.
    workflow: String,
    /// Id of the trigger.
    trigger: String,
    /// Kind of the trigger.
    kind: String,
    /// Topic, path or nominal time.
    source: String,
    /// Why no run could be made of it.
    reason: LetterReason,
    /// Bytes of the payload as it came.
    size: u64,
    /// The payload in Base64; its first 64 KiB where it was larger. Left out of lists.
    payload: Option<String>,
    /// The root `trigger` where it was not made of a payload.
    context: Option<Value>,
    /// The key under which it came, where it had one.
    key: Option<String>,
}

/// Why no run could be made of something.
#[derive(ToSchema)]
pub(super) struct LetterReason {
    /// Stable code.
    code: String,
    /// In words.
    message: String,
}

/// What a look at the folders changed.
#[derive(ToSchema)]
pub(super) struct Changed {
    /// `workflow`, `plugin`, `pin` or `devices`.
    kind: String,
    /// Its file's name without extension.
    name: String,
    /// `added`, `replaced`, `healed` or `removed`; `refused` is an object that tells why.
    change: Value,
}

/// A name whose newest content does not count.
#[derive(ToSchema)]
pub(super) struct Stale {
    /// `workflow`, `plugin`, `pin` or `devices`.
    kind: String,
    /// Its file's name without extension.
    name: String,
    /// Stable code.
    code: String,
    /// What is wrong.
    message: String,
    /// Since when it lies there.
    since: String,
}
