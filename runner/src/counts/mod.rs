//! What is counted for Prometheus: every name, label and bucket stands here and nowhere else.
//!
//! Any room may count; nothing is kept until [`begin`] was called, which a daemon does before anything else. No device and no run is a label:
//! their number has no bound. What is known whenever somebody asks (runs by state, files that are stale) is told by the page itself.
//!
//! * `names`: names with their words and buckets; `transfer`, `calls`, `memory`: what is counted often, by handles

mod calls;
mod memory;
mod names;
mod transfer;

pub use calls::Calls;
pub use memory::Memory;
use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use packhorse_core::failure::Class;
use serde::Serialize;
use std::sync::OnceLock;
use std::time::Duration;
pub use transfer::Metered;

/// The page, where something is counted.
static PAGE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Between two times at which what was measured is put into its buckets: memory grows with what comes in between.
pub const UPKEEP: Duration = Duration::from_secs(5);

/// Counts from now on. Handles that were made before count nothing; a second call changes nothing.
pub fn begin() {
    let mut builder = PrometheusBuilder::new();
    for (name, buckets) in names::BUCKETS {
        let name = Matcher::Full((*name).to_owned());
        // No bucket list of ours is empty, the one error that there is.
        builder = match builder.set_buckets_for_metric(name, buckets) {
            Ok(builder) => builder,
            Err(error) => {
                tracing::error!(%error, "nothing is counted");
                return;
            }
        };
    }
    let recorder = builder.build_recorder();
    let page = recorder.handle();
    if metrics::set_global_recorder(recorder).is_ok() {
        names::describe();
        drop(PAGE.set(page));
    }
}

/// Everything that was counted, in the text format of Prometheus 0.0.4; empty where nothing is.
pub fn page() -> String {
    PAGE.get().map(PrometheusHandle::render).unwrap_or_default()
}

/// Puts what was measured into its buckets. To be called every [`UPKEEP`].
pub fn upkeep() {
    if let Some(page) = PAGE.get() {
        page.run_upkeep();
    }
}

/// A run was started, by which kind of trigger: `manual` where somebody asked for it by its name.
pub fn run_started(workflow: &str, trigger: &str) {
    counter!(names::RUNS_STARTED, "workflow" => workflow.to_owned(), "trigger" => trigger.to_owned()).increment(1);
}

/// A run has ended.
pub fn run_finished(workflow: &str, status: &str, trigger: &str, priority: u8, took: Duration) {
    let workflow = workflow.to_owned();
    let (status, trigger) = (status.to_owned(), trigger.to_owned());
    counter!(names::RUNS_FINISHED, "workflow" => workflow.clone(), "status" => status, "trigger" => trigger)
        .increment(1);
    histogram!(names::RUN_DURATION, "workflow" => workflow, "priority" => priority.to_string())
        .record(took.as_secs_f64());
}

/// A run has left the queue.
pub fn run_began(workflow: &str, priority: u8, waited: Duration) {
    histogram!(names::QUEUE_WAIT, "workflow" => workflow.to_owned(), "priority" => priority.to_string())
        .record(waited.as_secs_f64());
}

/// An attempt has ended: well, or with a failure of this class.
pub fn attempt_ended(workflow: &str, step: &str, failed: Option<Class>) {
    let outcome = outcome(failed.is_none());
    let class = failed.map(|class| word(&class)).unwrap_or_default();
    let (workflow, step) = (workflow.to_owned(), step.to_owned());
    counter!(names::ATTEMPTS, "workflow" => workflow, "step" => step, "outcome" => outcome, "error_class" => class)
        .increment(1);
}

/// A step is over, with all its attempts and waits.
pub fn step_ended(workflow: &str, step: &str, outcome: &'static str, took: Duration) {
    let (workflow, step) = (workflow.to_owned(), step.to_owned());
    histogram!(names::STEP_DURATION, "workflow" => workflow, "step" => step, "outcome" => outcome)
        .record(took.as_secs_f64());
}

/// A transfer goes on where it was cut; `cause` is what had cut it.
pub fn transfer_resumed(direction: &'static str, cause: &'static str) {
    counter!(names::RESUMES, "direction" => direction, "cause" => cause).increment(1);
}

/// A file of this kind was loaded, or was not.
pub fn reloaded(kind: &'static str, result: &'static str) {
    counter!(names::RELOADS, "kind" => kind, "result" => result).increment(1);
}

/// A run waited so long for what only one may have at a time: `device`, its turn at its device.
pub fn lease_taken(kind: &'static str, waited: Duration) {
    histogram!(names::LEASE_WAIT, "kind" => kind).record(waited.as_secs_f64());
    gauge!(names::LEASES, "kind" => kind).increment(1.0);
}

/// It has given it back.
pub fn lease_left(kind: &'static str) {
    gauge!(names::LEASES, "kind" => kind).decrement(1.0);
}

/// An append to the journal became durable, so long after it was handed to the writer.
pub fn appended(took: Duration) {
    histogram!(names::JOURNAL_APPEND).record(took.as_secs_f64());
}

/// A commit of the journal took so long: the flush of the disk, or the answer of Redis.
pub fn committed(took: Duration) {
    histogram!(names::JOURNAL_FSYNC).record(took.as_secs_f64());
}

/// A timer fired so long after it was due.
pub fn timer_fired(late: Duration) {
    histogram!(names::TIMER_LAG).record(late.as_secs_f64());
}

/// So many timers are set.
pub fn timers(pending: usize) {
    gauge!(names::TIMERS).set(pending as f64);
}

/// The wall clock was set, by so much.
pub fn clock_jumped(by: Duration) {
    counter!(names::CLOCK_JUMP).increment(by.as_secs().max(1));
}

/// A connection to a broker stands, the first of this process or another.
pub fn mqtt_connected(endpoint: &str, again: bool) {
    counter!(names::MQTT_RECONNECTS, "endpoint" => endpoint.to_owned()).increment(u64::from(again));
}

/// So many publishes await the broker's acknowledgement.
pub fn mqtt_inflight(publishes: u16) {
    gauge!(names::MQTT_INFLIGHT).set(f64::from(publishes));
}

/// Redis answered a request, or did not; `role` says for what it was asked: `journal` or `keys`.
pub fn redis_asked(role: &'static str, good: bool, took: Duration) {
    histogram!(names::REDIS, "role" => role, "outcome" => outcome(good)).record(took.as_secs_f64());
}

/// An operation on FastDFS is over.
pub fn fastdfs_done(operation: &'static str, good: bool, took: Duration) {
    histogram!(names::FASTDFS, "operation" => operation, "outcome" => outcome(good)).record(took.as_secs_f64());
}

const fn outcome(good: bool) -> &'static str {
    if good { "succeeded" } else { "failed" }
}

/// A word as JSON has it.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
