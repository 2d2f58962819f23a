//! Facts, decisions and views as short lines.

use super::*;

pub(super) fn decision(decision: &Decision, now: WallTime) -> String {
    let mut lines: Vec<String> = decision.facts.iter().map(|record| fact(&record.fact, now)).collect();
    lines.extend(decision.effects.iter().map(|order| {
        let id = &order.id;
        format!("do {} {}/{} epoch {}", id.step, id.round, id.attempt, order.epoch)
    }));
    lines.extend(decision.stop.iter().map(|(id, stop)| format!("{} {}", word(stop), id.step)));
    lines.into_iter().map(|line| format!("  {line}\n")).collect()
}

fn word(value: impl std::fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}

fn in_seconds(timer: &Timer, now: WallTime) -> String {
    let left = Duration::from_millis(timer.at.0.saturating_sub(now.0));
    format!("{}s", left.as_secs_f64())
}

fn optional(name: &str, timer: Option<&Timer>, now: WallTime) -> String {
    timer.map(|timer| format!(" {name} {}", in_seconds(timer, now))).unwrap_or_default()
}

fn fact(fact: &Fact, now: WallTime) -> String {
    match fact {
        Fact::Created(_) => "created".to_owned(),
        Fact::Started { .. } => "started".to_owned(),
        Fact::StepReady { step, round, deadline, .. } => {
            format!("ready {step} {round}{}", optional("deadline", deadline.as_ref(), now))
        }
        Fact::StepsSkipped { steps, why } => {
            let ids: Vec<&str> = steps.iter().map(|step| step.id.as_str()).collect();
            format!("skipped {} ({})", ids.join(" "), word(why))
        }
        Fact::AttemptStarted { step, attempt, work, timeout, .. } => {
            let sleep =
                if let Work::Sleep { timer } = work { optional("sleep", Some(timer), now) } else { String::new() };
            format!("attempt {step} {attempt}{sleep}{}", optional("timeout", timeout.as_ref(), now))
        }
        Fact::RoundBegan { step, attempt, superseded, timeout } => {
            let list = superseded.iter().map(|id| format!(" {id}")).collect::<String>();
            let list = if list.is_empty() { list } else { format!(" superseding{list}") };
            format!("round {step} {attempt}{list}{}", optional("timeout", timeout.as_ref(), now))
        }
        Fact::Reachable { step, reachable } => format!("reachable {step} {reachable}"),
        Fact::AttemptResumed { step, .. } => format!("attempt resumed {step}"),
        Fact::AttemptParked { step, .. } => format!("attempt parked {step}"),
        Fact::StopAsked { step, why } => format!("stop {step} ({})", cause(why)),
        Fact::AttemptEnded { step, result: AttemptResult::Succeeded(_), .. } => format!("ended {step} well"),
        Fact::AttemptEnded { step, result: AttemptResult::Failed(failure), .. } => {
            format!("ended {step} {}", failure.code)
        }
        Fact::WaitSet { step, wait, timer } => format!("wait {step} {} {}", word(wait), in_seconds(timer, now)),
        Fact::StepSucceeded { step, .. } => format!("succeeded {step}"),
        Fact::StepFailed { step, failure, .. } => format!("failed {step} {}", failure.code),
        Fact::Paused { why, step } => format!("paused ({}){}", word(why), named(step.as_ref())),
        Fact::Resumed { reopened } => format!("resumed{}", reopening(reopened)),
        Fact::Withheld { why } => format!("withheld ({})", word(why)),
        Fact::Admitted => "admitted".to_owned(),
        Fact::Superseded { by } => format!("superseded by {by}"),
        Fact::CancelAsked { .. } => "cancel asked".to_owned(),
        Fact::LimitReached => "limit reached".to_owned(),
        Fact::Doubted => "doubted".to_owned(),
        Fact::Repinned { from, to } => format!("repinned {} to {}", from.digest, to.digest),
        Fact::Recovered { behind, died } => {
            let late = if *behind > 0 { format!(" behind {behind}") } else { String::new() };
            format!("recovered{late}{}", died.map(|done| format!(" died at {done}")).unwrap_or_default())
        }
        Fact::Retried { reopened, .. } => format!("retried{}", reopening(reopened)),
        Fact::MainEnded { status, error, .. } => {
            let error = error.as_ref().map(|error| format!(" {}{}", error.failure.code, named(error.step.as_ref())));
            format!("main {}{}", word(status), error.unwrap_or_default())
        }
        Fact::StageBegan { stage, .. } => format!("stage {}", word(stage)),
        Fact::CallRefused { step, call } => format!("call refused {step}: {} ({})", call.call, call.why),
        Fact::Finished { .. } => "finished".to_owned(),
    }
}

fn named(step: Option<&String>) -> String {
    step.map(|step| format!(" {step}")).unwrap_or_default()
}

fn reopening(reopened: &Reopened) -> String {
    let list = |name: &str, steps: &[String]| match steps {
        [] => String::new(),
        steps => format!(" {name} {}", steps.join(" ")),
    };
    list("renewing", &reopened.renewed) + &list("resetting", &reopened.reset)
}

fn cause(cause: &StopCause) -> String {
    match cause {
        StopCause::Cancel => "cancel".to_owned(),
        StopCause::Limit => "limit".to_owned(),
        StopCause::Deadline { of } => format!("deadline of {of}"),
        StopCause::Timeout { of } => format!("timeout of {of}"),
    }
}

pub(super) fn status(view: &RunView) -> String {
    let steps: Vec<String> = view.steps.iter().map(|step| format!("{}:{}", step.id, word(step.status))).collect();
    let why = view.unfinished.as_ref().map(|why| format!(" ({}, {})", word(why.reason), why.waiting_for));
    let error = view.error.as_ref().map(|error| format!(" error {}", error.failure.code));
    let status = word(view.status);
    format!("  {status}{}{} {}\n", why.unwrap_or_default(), error.unwrap_or_default(), steps.join(" "))
}
