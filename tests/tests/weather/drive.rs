//! How runs end in bad weather, and waiting for moments.

use packhorse_tests::{Child, Ended};
use serde_json::Value;
use std::time::{Duration, Instant};

/// How a process of a run ended, other than by a signal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    /// The run has succeeded: its JSON.
    Good(Value),
    /// It says why it did not.
    Failed { exit: i32, code: String, text: String },
}

/// What a process that ended by itself says; fails the test where it says nothing with a code.
#[track_caller]
pub(crate) fn judged(ended: Ended) -> Outcome {
    let exit = ended.code.unwrap_or_else(|| panic!("killed by a signal:\n{}\n{}", ended.out, ended.err));
    let value: Option<Value> = serde_json::from_str(&ended.out).ok();
    if exit == 0 {
        return Outcome::Good(value.unwrap_or_else(|| panic!("no JSON:\n{}\n{}", ended.out, ended.err)));
    }
    let told = value.as_ref().and_then(|value| value.get("error").or_else(|| value.pointer("/steps/0/error")));
    let words = |name: &str| told.and_then(|error| error.get(name)?.as_str()).map(str::to_owned);
    let all = format!("{}\n{}", ended.out, ended.err);
    let code = words("code").or_else(|| all.split("PH").nth(1).map(|rest| format!("PH{}", &rest[..rest.len().min(4)])));
    let code = code.unwrap_or_else(|| panic!("exit {exit} without a code:\n{all}"));
    assert!(matches!(exit, 1 | 5 | 6 | 69), "exit {exit}:\n{all}");
    Outcome::Failed { exit, code, text: words("message").unwrap_or(all) }
}

/// Waits until something holds, the process ends, or so long; gives whether it holds.
pub(crate) fn until(run: &mut Child, longest: Duration, holds: impl Fn() -> bool) -> bool {
    let started = Instant::now();
    while run.runs() && started.elapsed() < longest {
        if holds() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    holds()
}
