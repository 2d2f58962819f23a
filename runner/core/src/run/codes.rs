//! Codes of failures that the run machine itself gives to steps and runs.

use super::fact::StopCause;
use super::state::Cancel;
use crate::failure::{Class, Failure};

/// Codes, with what they mean.
pub static CODES: &[(&str, &str)] = &[
    (CANCELLED, "the run was cancelled while the step was at work or waited"),
    (
        SUPERSEDED,
        "a newer image for the same device and slot has come, and this run had not begun to send or was parked",
    ),
    (RUN_TIMEOUT, "the run, or its clean-up, took longer than it may"),
    (DEADLINE, "the step, or a block around it, took longer than its deadline, with all attempts"),
    (TIMEOUT, "one attempt of the step, or of a block around it, took longer than its timeout"),
    (UNASKED, "an effect stopped although nobody had asked it to"),
    (
        CRASH_LOOP,
        "the process died three times while the same attempt of the step was at work and got no further; only a person lets it go on",
    ),
    (MAYBE_DONE, "it is not known whether a step was done that must not be done twice: a person must look"),
    (UNSYNCED, "a step that must not be done twice needs a store that flushes each write to its disk"),
];

pub(super) const CANCELLED: &str = "PH4001";
pub(super) const SUPERSEDED: &str = "PH4007";
pub(super) const RUN_TIMEOUT: &str = "PH4002";
pub(super) const DEADLINE: &str = "PH4003";
pub(super) const TIMEOUT: &str = "PH4004";
pub(super) const UNASKED: &str = "PH4005";
pub(super) const CRASH_LOOP: &str = "PH4008";

pub(super) const MAYBE_DONE: &str = "PH7014";
pub(super) const UNSYNCED: &str = "PH7015";

/// Whether a step with this failure was ended with its run.
pub(super) fn ends_at_will(code: &str) -> bool {
    code == CANCELLED || code == SUPERSEDED
}

/// What a step that was stopped has failed with.
pub(super) fn stopped(cause: &StopCause, cancel: Option<&Cancel>) -> Failure {
    match cause {
        StopCause::Cancel => match cancel {
            Some(Cancel { superseded_by: Some(by), .. }) => {
                Failure::new(SUPERSEDED, Class::Permanent, format!("superseded by {by}, which brings a newer image"))
            }
            Some(Cancel { reason: Some(reason), .. }) => {
                Failure::new(CANCELLED, Class::Permanent, format!("cancelled: {reason}"))
            }
            Some(_) | None => Failure::new(CANCELLED, Class::Permanent, "cancelled"),
        },
        StopCause::Limit => Failure::new(RUN_TIMEOUT, Class::Permanent, "the time of the run is over")
            .hint("raise `timeout` of the workflow, or see what its steps waited for"),
        StopCause::Deadline { of } => {
            Failure::new(DEADLINE, Class::Permanent, format!("the deadline of {of} has passed"))
        }
        StopCause::Timeout { of } => {
            Failure::new(TIMEOUT, Class::Transient, format!("an attempt of {of} took longer than its timeout"))
        }
    }
}

pub(super) fn unasked() -> Failure {
    Failure::new(UNASKED, Class::Transient, "the effect stopped without being asked to")
}

/// An attempt under which the process dies again and again.
pub(super) fn crash_loop(step: &str) -> Failure {
    let message = format!("the process died again and again while {step} was at work, and it got no further");
    Failure::new(CRASH_LOOP, Class::Operator, message)
        .hint("find out why the process died (its log, the system's, memory), and what this run has to do with it; then resume, or cancel")
}

/// A step that may have been done, and must not be done twice.
pub(super) fn maybe_done(step: &str, why: &str) -> Failure {
    let message = format!("it is not known whether {step} was done: {why}");
    Failure::new(MAYBE_DONE, Class::Operator, message)
        .hint("look whether it was done; resume does it (again), cancel ends the run without it")
}

/// A step that must not be done twice, on a store that may forget that it was done.
pub(super) fn unsynced(step: &str) -> Failure {
    let message = format!("{step} must not be done twice, and the store could forget that it was done");
    Failure::new(UNSYNCED, Class::Operator, message)
        .hint("set `appendonly yes` and `appendfsync always` on the Redis server, or use --store embedded; then resume")
}
