//! Results to stdout, everything else to stderr.

use super::args::Output;
use super::logging;
use crate::app::exit::Stop;
use crate::engine::LiveView;
use packhorse_core::run::{RunStatus, RunView, StepStatus, StepView};
use serde::Serialize;
use serde_json::json;
use std::io::{IsTerminal as _, Write as _};

/// How this command shows things.
#[derive(Debug, Clone, Copy)]
pub(super) struct Show {
    pub(super) output: Output,
    pub(super) quiet: bool,
}

impl Show {
    /// Whether a progress bar may be drawn.
    pub(super) fn draws(self) -> bool {
        !self.quiet && std::io::stderr().is_terminal()
    }

    /// A result: as one JSON object, or as `text` says.
    pub(super) fn result(self, value: &impl Serialize, text: impl FnOnce() -> String) {
        let out = match self.output {
            Output::Json => serde_json::to_string_pretty(value).unwrap_or_default(),
            Output::Text => text(),
        };
        write_out(out.trim_end());
    }

    /// A word for people on stderr, unless quiet.
    pub(super) fn note(self, text: &str) {
        match () {
            () if self.quiet => {}
            () if logging::is_json() => tracing::info!(target: "packhorse", "{text}"),
            () => write_err(text),
        }
    }
}

/// Writes a line to stdout; a closed pipe is the reader's choice, not an error.
pub(super) fn write_out(text: &str) {
    drop(writeln!(std::io::stdout().lock(), "{text}"));
}

/// Writes a line to stderr.
pub(super) fn write_err(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// An error that ends a command; with `-o json` also as an object on stdout.
pub(super) fn stop(stop: &Stop, output: Output) {
    let failure = &stop.failure;
    if logging::is_json() {
        let (code, hint) = (failure.code.as_str(), failure.hint.as_deref());
        tracing::error!(target: "packhorse", code, hint, "{}", failure.message);
    } else {
        write_err(&stop.to_string());
    }
    if output == Output::Json {
        let error =
            json!({ "code": failure.code, "class": failure.class, "message": failure.message, "hint": failure.hint });
        write_out(&json!({ "error": error }).to_string());
    }
}

/// A run, for people.
pub(super) fn run(live: &LiveView) -> String {
    let view = &live.view;
    let mut lines =
        vec![format!("{}  {}  {}  {}", view.run, view.workflow, status(view.status), duration(view.duration_ms))];
    lines.extend(view.trigger.as_ref().map(|kind| format!("started by a trigger: {kind}")));
    for of in &view.steps {
        lines.push(step(of));
        lines.extend(refused(of));
    }
    if let Some(error) = &view.error {
        let place = error.step.as_ref().map_or_else(String::new, |step| format!(" in step {step}"));
        lines.push(format!("error[{}]{place}: {}", error.failure.code, error.failure.message));
        lines.extend(error.failure.hint.iter().map(|hint| format!("  help: {hint}")));
    }
    if let Some(unfinished) = &view.unfinished {
        lines.push(format!("waits for: {}", unfinished.waiting_for));
    }
    lines.extend(view.outputs.iter().map(|(name, value)| format!("{name}: {}", plain(value))));
    let traffic = &view.traffic;
    if traffic.packets > 0 {
        lines.push(format!(
            "traffic: {} of file, {} on the wire, {} sent again, {} packets, {} resumes",
            bytes(traffic.payload_bytes),
            bytes(traffic.wire_bytes),
            bytes(traffic.retransmitted_bytes),
            traffic.packets,
            traffic.resumes
        ));
    }
    lines.join("\n")
}

/// The same with the codec that it speaks through now.
pub(super) fn shown(live: &LiveView) -> String {
    let text = run(live);
    let Some(codec) = &live.view.codec else { return text };
    let (head, rest) = text.split_once('\n').unwrap_or((&text, ""));
    format!("{head}\ncodec: {codec}{}\n{rest}", before(&live.view))
}

/// The build of its codec that a run began with, where it is another one by now.
pub(super) fn before(view: &RunView) -> String {
    view.repinned_from.as_ref().map_or_else(String::new, |from| format!(", moved from {from}"))
}

/// Calls of its plugin that a step was refused.
pub(super) fn refused(step: &StepView) -> Vec<String> {
    let shown = step.refused.iter().map(|call| format!("      refused: {} ({}): {}", call.call, call.plugin, call.why));
    let more = u64::from(step.refusals).saturating_sub(step.refused.len() as u64);
    shown.chain((more > 0).then(|| format!("      refused: {more} more calls"))).collect()
}

fn step(step: &StepView) -> String {
    let mark = match step.status {
        StepStatus::Succeeded => "✓",
        StepStatus::Failed => "✗",
        StepStatus::Cancelled => "■",
        StepStatus::Skipped => "–",
        StepStatus::Running => "▸",
        StepStatus::Waiting => "…",
        StepStatus::Pending => "·",
    };
    let attempts = if step.attempts > 1 { format!("  {} attempts", step.attempts) } else { String::new() };
    let sure = step.outputs.get("confirmed").and_then(|value| value.as_str());
    let sure = sure.map_or_else(String::new, |sure| format!("  confirmed by {}", sure.replace('_', " ")));
    format!("  {mark} {:<14} {:<18} {:>9}{attempts}{sure}", step.id, step.uses, duration(step.duration_ms))
}

/// A status as in JSON.
pub(super) fn status(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Queued => "queued",
        RunStatus::Running => "running",
        RunStatus::Waiting => "waiting",
        RunStatus::Paused => "paused",
        RunStatus::Cancelling => "cancelling",
        RunStatus::Succeeded => "succeeded",
        RunStatus::Failed => "failed",
        RunStatus::Cancelled => "cancelled",
        RunStatus::TimedOut => "timed_out",
        RunStatus::Superseded => "superseded",
    }
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// A duration for people.
pub(super) fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{:.1} s", ms as f64 / 1000.0),
        60_000..3_600_000 => format!("{}m{:02}s", ms / 60_000, ms / 1000 % 60),
        _ => format!("{}h{:02}m", ms / 3_600_000, ms / 60_000 % 60),
    }
}

/// Bytes for people.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let unit = (0..3).find(|unit| count >> (10 * (unit + 1)) == 0).unwrap_or(3);
    if unit == 0 {
        format!("{count} B")
    } else {
        format!("{:.1} {}", count as f64 / f64::from(1_u32 << (10 * unit)), UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(64 << 20), "64.0 MiB");
        assert_eq!(duration(999), "999 ms");
        assert_eq!(duration(61_000), "1m01s");
    }
}
