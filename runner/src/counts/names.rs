//! Names of what is counted, their words and buckets.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

pub(super) const RUNS_STARTED: &str = "packhorse_runs_started_total";
pub(super) const RUNS_FINISHED: &str = "packhorse_runs_finished_total";
pub(super) const RUN_DURATION: &str = "packhorse_run_duration_seconds";
pub(super) const QUEUE_WAIT: &str = "packhorse_run_queue_wait_seconds";
pub(super) const ATTEMPTS: &str = "packhorse_step_attempts_total";
pub(super) const STEP_DURATION: &str = "packhorse_step_duration_seconds";
pub(super) const PAYLOAD: &str = "packhorse_transfer_payload_bytes_total";
pub(super) const WIRE: &str = "packhorse_transfer_wire_bytes_total";
pub(super) const RESENT: &str = "packhorse_transfer_retransmitted_bytes_total";
pub(super) const RESUMES: &str = "packhorse_transfer_resumes_total";
pub(super) const RELOADS: &str = "packhorse_reload_total";
pub(super) const LEASE_WAIT: &str = "packhorse_lease_wait_seconds";
pub(super) const LEASES: &str = "packhorse_leases_held";
pub(super) const CALLS: &str = "packhorse_plugin_call_duration_seconds";
pub(super) const TRAPS: &str = "packhorse_plugin_traps_total";
pub(super) const PLUGIN_MEMORY: &str = "packhorse_plugin_memory_bytes";
pub(super) const REDIS: &str = "packhorse_redis_request_seconds";
pub(super) const FASTDFS: &str = "packhorse_fastdfs_operation_seconds";
pub(super) const JOURNAL_APPEND: &str = "packhorse_journal_append_seconds";
pub(super) const JOURNAL_FSYNC: &str = "packhorse_journal_fsync_seconds";
pub(super) const TIMERS: &str = "packhorse_timers_pending";
pub(super) const TIMER_LAG: &str = "packhorse_timer_lag_seconds";
pub(super) const CLOCK_JUMP: &str = "packhorse_clock_jump_seconds_total";
pub(super) const MQTT_RECONNECTS: &str = "packhorse_mqtt_reconnects_total";
pub(super) const MQTT_INFLIGHT: &str = "packhorse_mqtt_inflight";

/// Of runs and steps, which may take from less than a second to a week.
const LONG: &[f64] = &[1.0, 10.0, 60.0, 300.0, 1_800.0, 7_200.0, 86_400.0, 604_800.0];
/// Of waits of the machine.
const SHORT: &[f64] = &[0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0];
/// Of calls into a plugin.
const QUICK: &[f64] = &[0.000_01, 0.000_03, 0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.1];

/// Upper bounds of buckets in seconds.
pub(super) const BUCKETS: &[(&str, &[f64])] = &[
    (RUN_DURATION, LONG),
    (QUEUE_WAIT, LONG),
    (STEP_DURATION, LONG),
    (LEASE_WAIT, LONG),
    (CALLS, QUICK),
    (JOURNAL_APPEND, SHORT),
    (JOURNAL_FSYNC, SHORT),
    (TIMER_LAG, SHORT),
    (REDIS, SHORT),
    (FASTDFS, SHORT),
];

/// Says what each means.
pub(super) fn describe() {
    describe_counter!(RUNS_STARTED, "Runs started by this process.");
    describe_counter!(RUNS_FINISHED, "Runs that ended in this process.");
    describe_histogram!(RUN_DURATION, Unit::Seconds, "From creation to end.");
    describe_histogram!(QUEUE_WAIT, Unit::Seconds, "From creation to the beginning of the first step.");
    describe_counter!(ATTEMPTS, "Attempts of steps that ended.");
    describe_histogram!(STEP_DURATION, Unit::Seconds, "Steps with all their attempts and waits.");
    describe_counter!(PAYLOAD, Unit::Bytes, "Bytes of files delivered, each once.");
    describe_counter!(WIRE, Unit::Bytes, "Bytes on the wire, both directions.");
    describe_counter!(RESENT, Unit::Bytes, "Bytes sent again.");
    describe_counter!(RESUMES, "Transfers taken up again, by what had cut them.");
    describe_counter!(RELOADS, "Changes of files, by what came of them.");
    describe_histogram!(LEASE_WAIT, Unit::Seconds, "Waits for what only one may have at a time.");
    describe_gauge!(LEASES, "How many of those are taken.");
    describe_histogram!(CALLS, Unit::Seconds, "Calls into plugins.");
    describe_counter!(TRAPS, "Calls into plugins that were stopped or broke the contract.");
    describe_gauge!(PLUGIN_MEMORY, Unit::Bytes, "Memory of a codec's living instances.");
    describe_histogram!(REDIS, Unit::Seconds, "Requests to Redis, each try.");
    describe_histogram!(FASTDFS, Unit::Seconds, "Operations on FastDFS, with all their tries.");
    describe_histogram!(JOURNAL_APPEND, Unit::Seconds, "Facts and checkpoints, from the engine to the disk.");
    describe_histogram!(JOURNAL_FSYNC, Unit::Seconds, "Commits of the journal.");
    describe_gauge!(TIMERS, "Timers of runs that are set.");
    describe_histogram!(TIMER_LAG, Unit::Seconds, "How late timers fired.");
    describe_counter!(CLOCK_JUMP, Unit::Seconds, "By how much the wall clock was set while the process lived.");
    describe_counter!(MQTT_RECONNECTS, "Connections to the broker after the first.");
    describe_gauge!(MQTT_INFLIGHT, "Publishes that the broker has not acknowledged.");
}
