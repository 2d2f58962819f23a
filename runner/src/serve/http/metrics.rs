//! What is counted, and its text for Prometheus (text format 0.0.4). No device is a label: their number has no bound.

use super::api::Readiness;
use crate::catalog::Generation;
use crate::engine::{Counted, LiveView};
use packhorse_core::catalog::{Catalog, Change};
use packhorse_core::run::RunStatus;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Upper bounds of the buckets of run durations, in seconds.
const BOUNDS: [f64; 8] = [1.0, 10.0, 60.0, 300.0, 1_800.0, 7_200.0, 86_400.0, 604_800.0];

/// Durations of runs of one workflow.
#[derive(Debug, Default, Clone)]
struct Durations {
    buckets: [u64; BOUNDS.len()],
    count: u64,
    sum: f64,
}

/// Counters of this process; they begin at zero with it.
#[derive(Debug, Default)]
pub struct Metrics {
    /// By workflow and kind of trigger.
    started: Mutex<BTreeMap<(String, String), u64>>,
    /// By workflow, status and kind of trigger.
    finished: Mutex<BTreeMap<(String, RunStatus, String), u64>>,
    durations: Mutex<BTreeMap<String, Durations>>,
    payload: AtomicU64,
    wire: AtomicU64,
    resent: AtomicU64,
    resumes: AtomicU64,
    reloads: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
}

impl Metrics {
    /// A run was started, by which kind of trigger: `manual` where somebody asked for it by its name.
    pub fn started(&self, workflow: &str, trigger: &str) {
        *lock(&self.started).entry((workflow.to_owned(), trigger.to_owned())).or_default() += 1;
    }

    /// A run has ended.
    pub fn finished(&self, run: &LiveView) {
        let view = &run.view;
        let trigger = view.trigger.clone().unwrap_or_else(|| "manual".to_owned());
        *lock(&self.finished).entry((view.workflow.clone(), view.status, trigger)).or_default() += 1;
        let seconds = view.duration_ms as f64 / 1_000.0;
        let mut durations = lock(&self.durations);
        let of = durations.entry(view.workflow.clone()).or_default();
        of.count += 1;
        of.sum += seconds;
        for (bucket, bound) in of.buckets.iter_mut().zip(BOUNDS) {
            *bucket += u64::from(seconds <= bound);
        }
        drop(durations);
        self.payload.fetch_add(view.traffic.payload_bytes, Ordering::Relaxed);
        self.wire.fetch_add(view.traffic.wire_bytes, Ordering::Relaxed);
        self.resent.fetch_add(view.traffic.retransmitted_bytes, Ordering::Relaxed);
        self.resumes.fetch_add(view.traffic.resumes.into(), Ordering::Relaxed);
    }

    /// A file was loaded, or was not.
    pub fn loaded(&self, kind: &'static str, change: &Change) {
        let result = if matches!(change, Change::Refused { .. }) { "refused" } else { "loaded" };
        *lock(&self.reloads).entry((kind, result)).or_default() += 1;
    }

    /// All of it, with what is true right now.
    pub(super) fn text(&self, census: &[Counted], generation: &Generation, ready: Readiness) -> String {
        let mut page = Page::default();
        page.head("packhorse_build_info", "gauge", "The program.");
        page.line("packhorse_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        page.head("packhorse_runs_started_total", "counter", "Runs started by this process.");
        for ((workflow, trigger), count) in &*lock(&self.started) {
            let labels = [("workflow", workflow.as_str()), ("trigger", trigger.as_str())];
            page.line("packhorse_runs_started_total", &labels, *count as f64);
        }
        page.head("packhorse_runs_finished_total", "counter", "Runs that ended in this process.");
        for ((workflow, status, trigger), count) in &*lock(&self.finished) {
            let labels = [("workflow", workflow.as_str()), ("status", &word(status)), ("trigger", trigger.as_str())];
            page.line("packhorse_runs_finished_total", &labels, *count as f64);
        }
        page.head("packhorse_runs_active", "gauge", "Unfinished runs that this process works on.");
        for counted in census {
            let (state, reason) = (word(&counted.status), counted.reason.as_ref().map(word).unwrap_or_default());
            let labels = [("workflow", counted.workflow.as_str()), ("state", &state), ("reason", &reason)];
            page.line("packhorse_runs_active", &labels, counted.runs as f64);
        }
        self.durations(&mut page);
        self.transfers(&mut page);
        self.definitions(&mut page, generation);
        page.head("packhorse_mqtt_connected", "gauge", "Whether the broker is connected.");
        page.line("packhorse_mqtt_connected", &[], f64::from(u8::from(ready.broker)));
        page.text
    }

    fn durations(&self, page: &mut Page) {
        page.head("packhorse_run_duration_seconds", "histogram", "From creation to end.");
        for (workflow, of) in &*lock(&self.durations) {
            for (count, bound) in of.buckets.iter().zip(BOUNDS) {
                let labels = [("workflow", workflow.as_str()), ("le", &bound.to_string())];
                page.line("packhorse_run_duration_seconds_bucket", &labels, *count as f64);
            }
            let all = [("workflow", workflow.as_str()), ("le", "+Inf")];
            page.line("packhorse_run_duration_seconds_bucket", &all, of.count as f64);
            page.line("packhorse_run_duration_seconds_sum", &all[..1], of.sum);
            page.line("packhorse_run_duration_seconds_count", &all[..1], of.count as f64);
        }
    }

    fn transfers(&self, page: &mut Page) {
        let counters = [
            (
                "packhorse_transfer_payload_bytes_total",
                "Bytes of files delivered, each once, by runs that ended.",
                &self.payload,
            ),
            (
                "packhorse_transfer_wire_bytes_total",
                "Bytes on the wire, both directions, by runs that ended.",
                &self.wire,
            ),
            ("packhorse_transfer_retransmitted_bytes_total", "Bytes sent again, by runs that ended.", &self.resent),
            ("packhorse_transfer_resumes_total", "Transfers taken up again, by runs that ended.", &self.resumes),
        ];
        for (name, about, counter) in counters {
            page.head(name, "counter", about);
            page.line(name, &[], counter.load(Ordering::Relaxed) as f64);
        }
    }

    fn definitions(&self, page: &mut Page, generation: &Generation) {
        page.head("packhorse_reload_total", "counter", "Changes of files, by what came of them.");
        for ((kind, result), count) in &*lock(&self.reloads) {
            page.line("packhorse_reload_total", &[("kind", kind), ("result", result)], *count as f64);
        }
        page.head("packhorse_reload_last_success_timestamp_seconds", "gauge", "When what counts was made.");
        page.line("packhorse_reload_last_success_timestamp_seconds", &[], generation.since.0 as f64 / 1_000.0);
        page.head("packhorse_definitions_stale", "gauge", "Names whose newest content does not count.");
        page.line("packhorse_definitions_stale", &[("kind", "workflow")], stale(&generation.workflows));
        page.line("packhorse_definitions_stale", &[("kind", "plugin")], stale(&generation.plugins));
        page.line("packhorse_definitions_stale", &[("kind", "devices")], stale(&generation.devices));
    }
}

fn stale<T>(catalog: &Catalog<T>) -> f64 {
    catalog.refused() as f64
}

/// A word as JSON has it.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
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
}
