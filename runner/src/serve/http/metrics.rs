//! The page for Prometheus (text format 0.0.4): what was counted, and what is true right now.

use super::api::Readiness;
use super::refusals::Refusals;
use crate::catalog::Generation;
use crate::counts;
use crate::engine::{Counted, LiveView};
use packhorse_core::catalog::{Catalog, Change};
use packhorse_core::run::RunStatus;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// The commit that the program was built from, where the builder said so.
const COMMIT: Option<&str> = option_env!("PACKHORSE_COMMIT");

/// Counts what the daemon does with runs and files; the counters begin at zero with the process.
#[derive(Debug, Default)]
pub struct Metrics;

impl Metrics {
    /// A run was started, by which kind of trigger: `manual` where somebody asked for it by its name.
    pub fn started(&self, workflow: &str, trigger: &str) {
        counts::run_started(workflow, trigger);
    }

    /// A run has ended.
    pub fn finished(&self, run: &LiveView) {
        let view = &run.view;
        let trigger = view.trigger.as_deref().unwrap_or("manual");
        let took = Duration::from_millis(view.duration_ms);
        counts::run_finished(&view.workflow, &word(&view.status), trigger, view.priority, took);
    }

    /// A file was loaded, or was not.
    pub fn loaded(&self, kind: &'static str, change: &Change) {
        counts::reloaded(kind, if matches!(change, Change::Refused { .. }) { "refused" } else { "loaded" });
    }

    /// All of it, with what is true right now.
    pub(super) fn text(&self, now: &Now<'_>) -> String {
        let mut page = Page { text: counts::page() };
        page.gauge("packhorse_build_info", "The program.");
        let commit = COMMIT.unwrap_or("unknown");
        page.line("packhorse_build_info", &[("version", env!("CARGO_PKG_VERSION")), ("commit", commit)], 1.0);
        page.active(now.census);
        page.queue(now.census);
        page.definitions(now.generation);
        page.gauge("packhorse_mqtt_connected", "Whether the broker is connected.");
        page.line("packhorse_mqtt_connected", &[], f64::from(u8::from(now.ready.broker)));
        page.http(now.refusals);
        if let Some(bytes) = now.ready.journal_bytes {
            page.gauge("packhorse_journal_bytes", "Size of the journal's file; nothing where it lies in Redis.");
            page.line("packhorse_journal_bytes", &[], bytes as f64);
        }
        page.text
    }
}

/// What is true right now.
pub(super) struct Now<'a> {
    /// The runs that this process works on.
    pub(super) census: &'a [Counted],
    /// The files that count.
    pub(super) generation: &'a Generation,
    /// The services.
    pub(super) ready: Readiness,
    /// What the API refused.
    pub(super) refusals: &'a Refusals,
}

fn stale<T>(catalog: &Catalog<T>) -> f64 {
    catalog.refused() as f64
}

/// A word as JSON has it.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

struct Page {
    text: String,
}

impl Page {
    fn gauge(&mut self, name: &str, about: &str) {
        self.head(name, "gauge", about);
    }

    fn head(&mut self, name: &str, kind: &str, about: &str) {
        let _ = writeln!(self.text, "# HELP {name} {about}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels: Vec<String> = labels.iter().map(|(key, text)| format!("{key}=\"{}\"", escaped(text))).collect();
        let _ = match labels.is_empty() {
            true => writeln!(self.text, "{name} {value}"),
            false => writeln!(self.text, "{name}{{{}}} {value}", labels.join(",")),
        };
    }

    fn active(&mut self, census: &[Counted]) {
        let mut all: BTreeMap<(&str, String, String), usize> = BTreeMap::new();
        for counted in census {
            let reason = counted.reason.as_ref().map(word).unwrap_or_default();
            *all.entry((&counted.workflow, word(&counted.status), reason)).or_default() += counted.runs;
        }
        self.gauge("packhorse_runs_active", "Unfinished runs that this process works on.");
        for ((workflow, state, reason), runs) in all {
            let labels = [("workflow", workflow), ("state", state.as_str()), ("reason", reason.as_str())];
            self.line("packhorse_runs_active", &labels, runs as f64);
        }
    }

    /// Runs that have not begun, by priority; those of no priority are told too, so that a rule sees them end.
    fn queue(&mut self, census: &[Counted]) {
        let queued = || census.iter().filter(|counted| counted.status == RunStatus::Queued);
        let of = |level: u8| queued().filter(move |counted| counted.priority == level);
        self.gauge("packhorse_queue_depth", "Runs that have not begun.");
        for level in 1..=5 {
            let runs: usize = of(level).map(|counted| counted.runs).sum();
            self.line("packhorse_queue_depth", &[("queue", "runs"), ("priority", &level.to_string())], runs as f64);
        }
        self.gauge("packhorse_queue_oldest_seconds", "Age of the oldest of them; 0 where there is none.");
        for level in 1..=5 {
            let oldest = of(level).map(|counted| counted.oldest).max().unwrap_or_default();
            let labels = [("queue", "runs"), ("priority", &level.to_string())];
            self.line("packhorse_queue_oldest_seconds", &labels, oldest.as_secs_f64());
        }
    }

    fn http(&mut self, refusals: &Refusals) {
        self.head("packhorse_http_refused_total", "counter", "Requests to the API that were refused, by status.");
        for (status, count) in refusals.counts() {
            self.line("packhorse_http_refused_total", &[("status", &status.to_string())], count as f64);
        }
        self.head("packhorse_http_full_total", "counter", "How often every place for a connection was taken.");
        self.line("packhorse_http_full_total", &[], refusals.full() as f64);
        self.gauge("packhorse_http_connections", "Connections to the API that are open.");
        self.line("packhorse_http_connections", &[], refusals.connections() as f64);
        self.gauge("packhorse_http_streams", "Event streams that are open.");
        self.line("packhorse_http_streams", &[], refusals.streams() as f64);
    }

    fn definitions(&mut self, generation: &Generation) {
        self.gauge("packhorse_reload_last_success_timestamp_seconds", "When what counts was made.");
        self.line("packhorse_reload_last_success_timestamp_seconds", &[], generation.since.0 as f64 / 1_000.0);
        self.gauge("packhorse_definitions_stale", "Names whose newest content does not count.");
        self.line("packhorse_definitions_stale", &[("kind", "workflow")], stale(&generation.workflows));
        self.line("packhorse_definitions_stale", &[("kind", "plugin")], stale(&generation.plugins));
        self.line("packhorse_definitions_stale", &[("kind", "devices")], stale(&generation.devices));
    }
}
