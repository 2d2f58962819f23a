//! The words for a run: why it is where it is, or how it ended, and what to do.

use super::super::{codes, print};
use super::clock::Clock;
use super::{Line, line, reasons, transfer};
use crate::engine::LiveView;
use packhorse_core::run::{Reason, RunError, RunStatus, StepView, Unfinished, WallTime};
use packhorse_core::transfer::grouped;
use serde_json::Value;

/// Everything that is to be said of a run. `presence`: what is known of devices, by id.
pub(super) fn run(live: &LiveView, presence: &Value, clock: Clock) -> Vec<Line> {
    match &live.view.unfinished {
        Some(unfinished) => unfinished_run(live, unfinished, presence, clock),
        None => finished(live, clock),
    }
}

/// When it ended, where it has.
pub(super) fn ended_at(live: &LiveView) -> Option<WallTime> {
    live.view.status.is_final().then(|| WallTime(live.view.created_at.0.saturating_add(live.view.duration_ms)))
}

fn unfinished_run(live: &LiveView, unfinished: &Unfinished, presence: &Value, clock: Clock) -> Vec<Line> {
    let view = &live.view;
    let mut lines = vec![
        line("because", format!("{}: {}", name(unfinished.reason), reasons::words(unfinished.reason))),
        line("since", clock.since(unfinished.since)),
        line("waits for", unfinished.waiting_for.clone()),
    ];
    lines.extend(unfinished.behind.iter().map(|behind| line("behind", behind.clone())));
    let at = unfinished.next_action_at.filter(|_| live.live);
    lines.extend(at.map(|at| line("in any case", format!("{} at {}", comes(unfinished.reason), clock.ago(at)))));
    let step = unfinished.step.as_ref().and_then(|id| view.steps.iter().find(|step| step.id == *id));
    lines.extend(step.map(|step| line("step", about(step))));
    lines.extend(unfinished.device.iter().map(|device| line("device", device.clone())));
    lines.extend(moved(live));
    let known = unfinished.device.as_ref().and_then(|device| super::super::devices::presence(presence.get(device)?));
    lines.extend(known.map(|words| line("presence", words)));
    lines.extend(live.transfer.iter().flat_map(|view| transfer::transfer(view, clock)));
    match (&view.error, step.and_then(|step| step.error.as_ref())) {
        (Some(error), _) => lines.extend(failed(error)),
        (None, Some(failure)) => lines.push(line("last failure", failure.to_string())),
        (None, None) => {}
    }
    if !live.live {
        lines.push(line("process", "none works on it now".to_owned()));
    }
    lines.extend(advice(live, unfinished.reason).map(|text| line("what to do", text)));
    lines
}

/// Through what it speaks, where that is not what it began with.
fn moved(live: &LiveView) -> Option<Line> {
    let codec = live.view.codec.as_ref().filter(|_| live.view.repinned_from.is_some())?;
    Some(line("codec", format!("{codec}{}", print::before(&live.view))))
}

/// As in JSON, in words.
fn name(reason: Reason) -> String {
    let value = serde_json::to_value(reason).unwrap_or_default();
    value.as_str().unwrap_or_default().replace('_', " ")
}

/// What happens at the time that stands beside it.
const fn comes(reason: Reason) -> &'static str {
    match reason {
        Reason::Backoff => "the next attempt begins",
        Reason::DeviceOffline => "it is tried again or given up",
        Reason::Sleeping => "it goes on",
        Reason::TrafficBudget => "the next budget begins and it goes on",
        Reason::NotStarted
        | Reason::Held
        | Reason::ConcurrencyLimit
        | Reason::BehindPriority
        | Reason::Overtaken
        | Reason::StandingBack
        | Reason::Working
        | Reason::Pausing
        | Reason::TimingOut
        | Reason::OnFailure
        | Reason::Finally
        | Reason::Parked
        | Reason::PauseAsked
        | Reason::OperatorNeeded
        | Reason::AttemptsExhausted
        | Reason::StepFailed
        | Reason::CrashLoop
        | Reason::Stopping
        | Reason::CleaningUp => "its time is over",
    }
}

fn about(step: &StepView) -> String {
    let attempt = if step.attempts > 0 { format!(", attempt {}", step.attempts) } else { String::new() };
    format!("{} ({}){attempt}", step.id, step.uses)
}

/// What a person may do; nothing where it goes on by itself and nothing is wrong.
fn advice(live: &LiveView, reason: Reason) -> Option<String> {
    let run = &live.view.run;
    let resume = format!("`packhorse resume {run}`");
    match reason {
        Reason::PauseAsked => return Some(format!("{resume} goes on")),
        Reason::OperatorNeeded | Reason::StepFailed => {
            return Some(format!("mend the cause, then {resume}; or `packhorse cancel {run}`"));
        }
        Reason::CrashLoop => {
            return Some(format!("find out why the process died, then {resume}; or `packhorse cancel {run}`"));
        }
        Reason::AttemptsExhausted => {
            return Some(format!("{resume} begins the attempts anew; or `packhorse cancel {run}`"));
        }
        Reason::Parked => return Some(format!("{resume} goes on where it stopped; nothing is lost")),
        Reason::Held if live.live => {
            let hold = live.view.unfinished.as_ref().and_then(|unfinished| unfinished.behind.clone());
            let which = hold.unwrap_or_else(|| "--all".to_owned());
            return Some(format!(
                "`packhorse holds` tells who held it and why; `packhorse release {which}` lets it go on"
            ));
        }
        Reason::NotStarted
        | Reason::Held
        | Reason::ConcurrencyLimit
        | Reason::BehindPriority
        | Reason::Overtaken
        | Reason::StandingBack
        | Reason::Working
        | Reason::Pausing
        | Reason::TimingOut
        | Reason::OnFailure
        | Reason::Finally
        | Reason::Sleeping
        | Reason::Backoff
        | Reason::DeviceOffline
        | Reason::TrafficBudget
        | Reason::Stopping
        | Reason::CleaningUp => {}
    }
    if !live.live {
        return Some(format!("{resume} goes on where it stopped; nothing is lost"));
    }
    let about_transfer = live.transfer.as_ref().filter(|view| view.live).and_then(transfer::advice);
    about_transfer.or_else(|| match reason {
        Reason::DeviceOffline => {
            Some("look at the device's power and connection; it goes on by itself when it is heard".to_owned())
        }
        Reason::TrafficBudget => Some(format!(
            "nothing, or `packhorse cancel {run}` and a new run with a larger budget: this one keeps the budget that it began with"
        )),
        Reason::Backoff => Some("nothing, or mend what the last failure says before the next attempt".to_owned()),
        _ => None,
    })
}

fn failed(error: &RunError) -> Vec<Line> {
    let place = error.step.as_ref().map_or_else(String::new, |step| format!(" in step {step}"));
    let mut lines = vec![line("error", format!("[{}]{place} {}", error.failure.code, error.failure.message))];
    let known = codes::find(&error.failure.code);
    lines.extend(known.map(|code| line("in general", code.means.to_owned())));
    let general = known.map(|code| code.advice.to_owned()).filter(|advice| !advice.is_empty());
    lines.extend(error.failure.hint.clone().or(general).map(|hint| line("what to do", hint)));
    lines
}

fn finished(live: &LiveView, clock: Clock) -> Vec<Line> {
    let view = &live.view;
    let mut lines = Vec::new();
    if let Some(at) = ended_at(live) {
        let took = print::duration(view.duration_ms);
        lines.push(line("ended", format!("{} at {}; it took {took}", how(view.status), clock.ago(at))));
    }
    lines.extend(view.steps.iter().filter_map(sure));
    lines.extend(view.error.iter().flat_map(failed));
    if view.status != RunStatus::Succeeded {
        lines.extend(live.transfer.iter().flat_map(|view| transfer::transfer(view, clock)));
    }
    let traffic = &view.traffic;
    if traffic.packets > 0 {
        let [payload, wire, again] =
            [traffic.payload_bytes, traffic.wire_bytes, traffic.retransmitted_bytes].map(grouped);
        let (packets, resumes) = (grouped(traffic.packets), traffic.resumes);
        lines.push(line(
            "traffic",
            format!(
                "{payload} bytes of file, {wire} on the wire, {again} sent again, {packets} packets, {resumes} resumes"
            ),
        ));
    }
    if matches!(view.status, RunStatus::Failed | RunStatus::TimedOut | RunStatus::Cancelled) {
        lines.push(line("to begin anew", "start it again with `packhorse run`".to_owned()));
    }
    lines
}

const fn how(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Succeeded => "well",
        RunStatus::Failed => "with a failure",
        RunStatus::Cancelled => "because it was cancelled",
        RunStatus::TimedOut => "because its time was over",
        RunStatus::Superseded => "because a later run took its place",
        RunStatus::Queued | RunStatus::Running | RunStatus::Waiting | RunStatus::Paused | RunStatus::Cancelling => {
            "not at all"
        }
    }
}

/// How sure a transfer's success is.
fn sure(step: &StepView) -> Option<Line> {
    let confirmed = step.outputs.get("confirmed")?.as_str()?;
    let words = match confirmed {
        "device_digest" => "the device told the digest of what it holds, and it is ours",
        "device_verdict" => "the device said that the file is good; it told no digest",
        "acks" => {
            "every byte was acknowledged, and the device said nothing of the whole file; `transfer.verify` asks it"
        }
        other => other,
    };
    Some(line("how sure", format!("{}: {confirmed}: {words}", step.id)))
}

#[cfg(test)]
mod tests {
    use super::super::transfer::tests::{NOW, view as transfer_view};
    use super::*;
    use crate::engine::TaskKind;
    use packhorse_core::transfer::WaitReason;
    use serde_json::json;

    const RUN: &str = "run_01HF5X0000000000000000TEST";

    fn live(status: &str, more: Value) -> LiveView {
        let mut value = json!({
            "run": RUN, "workflow": "ota-push", "status": status, "outputs": {}, "duration_ms": 60_000,
            "traffic": {"payload_bytes": 0, "wire_bytes": 0, "retransmitted_bytes": 0, "packets": 0, "resumes": 0},
            "created_at": NOW.0 - 300_000, "live": true,
            "steps": [{"id": "push", "uses": "transfer.push", "status": "running", "attempts": 2, "outputs": {},
                       "duration_ms": 1, "error": {"code": "PH5002", "class": "transient", "message": "it broke"}}],
        });
        for (key, more) in more.as_object().unwrap() {
            value[key] = more.clone();
        }
        serde_json::from_value(value).unwrap()
    }

    fn waiting(status: &str, reason: Reason) -> LiveView {
        let unfinished = json!({
            "reason": reason, "since": NOW.0 - 123_000, "waiting_for": "something to happen", "step": "push",
            "device": "gw-1", "behind": "hold_1", "next_action_at": NOW.0 + 5_000,
        });
        live(status, json!({ "unfinished": unfinished }))
    }

    fn said(live: &LiveView) -> String {
        run(live, &Value::Null, Clock::utc(NOW)).iter().map(|line| format!("{}: {}\n", line.about, line.text)).collect()
    }

    /// The status of each reason, what happens in any case, and words of what to do. A new reason does not compile until it is here.
    const fn example(reason: Reason) -> (&'static str, &'static str, &'static str) {
        match reason {
            Reason::NotStarted => ("queued", "its time is over", ""),
            Reason::Held => ("queued", "its time is over", "packhorse release hold_1"),
            Reason::ConcurrencyLimit => ("queued", "its time is over", ""),
            Reason::BehindPriority => ("queued", "its time is over", ""),
            Reason::Overtaken => ("waiting", "its time is over", ""),
            Reason::StandingBack => ("running", "its time is over", ""),
            Reason::Working => ("running", "its time is over", ""),
            Reason::Pausing => ("running", "its time is over", ""),
            Reason::TimingOut => ("running", "its time is over", ""),
            Reason::OnFailure => ("running", "its time is over", ""),
            Reason::Finally => ("running", "its time is over", ""),
            Reason::Sleeping => ("waiting", "it goes on", ""),
            Reason::Backoff => ("waiting", "the next attempt begins", "mend what the last failure says"),
            Reason::DeviceOffline => ("waiting", "it is tried again", "power and connection"),
            Reason::TrafficBudget => ("waiting", "the next budget begins", "a new run with a larger budget"),
            Reason::Parked => ("waiting", "its time is over", "packhorse resume run_"),
            Reason::PauseAsked => ("paused", "its time is over", "packhorse resume run_"),
            Reason::OperatorNeeded => ("paused", "its time is over", "mend the cause, then `packhorse resume run_"),
            Reason::AttemptsExhausted => ("paused", "its time is over", "begins the attempts anew"),
            Reason::StepFailed => ("paused", "its time is over", "mend the cause, then `packhorse resume run_"),
            Reason::CrashLoop => ("paused", "its time is over", "why the process died, then `packhorse resume run_"),
            Reason::Stopping => ("cancelling", "its time is over", ""),
            Reason::CleaningUp => ("cancelling", "its time is over", ""),
        }
    }

    const ALL: [Reason; 23] = [
        Reason::NotStarted,
        Reason::Held,
        Reason::ConcurrencyLimit,
        Reason::BehindPriority,
        Reason::Overtaken,
        Reason::StandingBack,
        Reason::Working,
        Reason::Pausing,
        Reason::TimingOut,
        Reason::OnFailure,
        Reason::Finally,
        Reason::Sleeping,
        Reason::Backoff,
        Reason::DeviceOffline,
        Reason::TrafficBudget,
        Reason::Parked,
        Reason::PauseAsked,
        Reason::OperatorNeeded,
        Reason::AttemptsExhausted,
        Reason::StepFailed,
        Reason::CrashLoop,
        Reason::Stopping,
        Reason::CleaningUp,
    ];

    #[test]
    fn every_reason_is_told_with_its_times_its_step_and_what_to_do() {
        for reason in ALL {
            let (status, comes, advice) = example(reason);
            let said = said(&waiting(status, reason));
            let words = [
                &format!("because: {}: {}", name(reason), reasons::words(reason)),
                "since: 22:11:17, for 2m03s",
                "waits for: something to happen",
                &format!("in any case: {comes}"),
                "at 22:13:25, in 5.0 s",
                "step: push (transfer.push), attempt 2",
                "device: gw-1",
                "last failure: it broke [PH5002]",
                advice,
            ];
            for word in words {
                assert!(said.contains(word), "{reason:?}: `{word}` is not in\n{said}");
            }
            assert_eq!(said.contains("what to do"), !advice.is_empty(), "{reason:?}:\n{said}");
        }
    }

    #[test]
    fn a_run_that_no_process_works_on_says_so_and_promises_nothing() {
        for reason in ALL {
            let run = LiveView { live: false, ..waiting(example(reason).0, reason) };
            let said = said(&run);
            assert!(said.contains("process: none works on it now"), "{said}");
            assert!(said.contains("packhorse resume run_") && !said.contains("in any case"), "{said}");
        }
    }

    #[test]
    fn a_transfers_own_words_stand_beside_the_runs() {
        let waits = Some((WaitReason::DeviceOffline, "silent since byte 61 440 of our push"));
        let run = LiveView {
            transfer: Some(transfer_view(TaskKind::Push, waits)),
            ..waiting("waiting", Reason::DeviceOffline)
        };
        let said = said(&run);
        let words =
            "push to gw-1: silent since byte 61 440 of our push, since 22:11:17, for 2m03s; last heard 22:11:17";
        assert!(said.contains(words) && said.contains("power and the connection of gw-1"), "{said}");
    }

    #[test]
    fn every_ending_is_told_with_its_error_its_cost_and_how_sure_it_is() {
        let error = json!({"code": "PH5002", "class": "permanent", "message": "gw-1 refused", "step": "push"});
        let steps = |confirmed: &str| {
            json!([{"id": "push", "uses": "transfer.push", "status": "succeeded", "attempts": 1, "duration_ms": 1,
                "outputs": {"confirmed": confirmed}}])
        };
        let traffic = json!({"payload_bytes": 1_000_000, "wire_bytes": 1_400_000, "retransmitted_bytes": 5_000,
            "packets": 3_200, "resumes": 1});
        for (confirmed, words) in
            [("device_digest", "it is ours"), ("device_verdict", "no digest"), ("acks", "asks it")]
        {
            let said = said(&live("succeeded", json!({ "steps": steps(confirmed), "traffic": traffic })));
            assert!(said.contains(&format!("how sure: push: {confirmed}: ")) && said.contains(words), "{said}");
            assert!(said.contains("ended: well at 22:09:20, 4m00s ago; it took 1m00s"), "{said}");
            assert!(said.contains("1 000 000 bytes of file, 1 400 000 on the wire, 5 000 sent again"), "{said}");
        }
        for (status, words) in [
            ("failed", "with a failure"),
            ("cancelled", "it was cancelled"),
            ("timed_out", "its time was over"),
            ("superseded", "a later run took its place"),
        ] {
            let said = said(&live(status, json!({ "error": error })));
            for word in
                [words, "error: [PH5002] in step push gw-1 refused", "in general: the device refused", "what to do"]
            {
                assert!(said.contains(word), "{status}: `{word}` is not in\n{said}");
            }
        }
    }
}
