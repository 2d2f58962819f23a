//! Logs on stderr: lines for people, or one object of JSON each.

use super::args::LogFormat;
use packhorse_core::run::WallTime;
use serde_json::{Map, Value};
use std::fmt::{self, Write as _};
use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Whether what goes to stderr is JSON: words for people then go there as lines too.
static JSON: AtomicBool = AtomicBool::new(false);

/// Whether stderr is for programs.
pub(super) fn is_json() -> bool {
    JSON.load(Ordering::Relaxed)
}

/// How a process logs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Logs {
    /// How often `-v` was given.
    pub(super) verbose: u8,
    /// As it was asked for.
    pub(super) format: LogFormat,
    /// Whether others start runs in it, and its log is where their course is found.
    pub(super) daemon: bool,
}

impl Logs {
    /// Logs from now on. What it gives back must live as long as the process: lines of a daemon are written by a thread of their own, so
    /// that whoever reads them slowly stops nothing; of a reader that stays behind for too long, lines are left out.
    pub(super) fn start(self) -> Option<WorkerGuard> {
        let stderr = std::io::stderr();
        let json = match self.format {
            LogFormat::Json => true,
            LogFormat::Text => false,
            LogFormat::Auto => self.daemon && !stderr.is_terminal(),
        };
        JSON.store(json, Ordering::Relaxed);
        let colours = stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let filter = tracing_subscriber::EnvFilter::new(self.filter());
        let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_target(false);
        if !self.daemon {
            let builder = builder.with_writer(std::io::stderr);
            drop(if json { builder.event_format(Json).try_init() } else { builder.try_init() });
            return None;
        }
        let (writer, guard) = tracing_appender::non_blocking(stderr);
        let builder = builder.with_writer(writer);
        drop(if json { builder.event_format(Json).try_init() } else { builder.try_init() });
        Some(guard)
    }

    /// Warnings, in a daemon and with `-v` what runs do, with `-vv` everything of ours; `PACKHORSE_LOG` (or `RUST_LOG`) decides instead.
    fn filter(self) -> String {
        std::env::var("PACKHORSE_LOG").or_else(|_| std::env::var("RUST_LOG")).unwrap_or_else(|_| {
            let (level, runs) = match (self.verbose, self.daemon) {
                // Whoever waits for one run is told of it otherwise.
                (0, false) => ("warn", "off"),
                (0, true) | (1, _) => ("info", "info"),
                _ => ("debug", "debug"),
            };
            format!("error,packhorse={level},packhorse_core={level},packhorse_fastdfs={level},packhorse::runs={runs}")
        })
    }
}

/// One object a line: `ts, level, msg`, then what the line is about: `run_id, step, attempt, device, code` and others.
struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        writeln!(writer, "{}", line(crate::store::wall(), *event.metadata().level(), fields))
    }
}

fn line(now: WallTime, level: Level, fields: Fields) -> Value {
    let level = level.as_str().to_ascii_lowercase();
    let head = [("ts", now.to_rfc3339()), ("level", level), ("msg", fields.message)];
    let mut line: Map<String, Value> =
        head.into_iter().map(|(key, text)| (key.to_owned(), Value::String(text))).collect();
    for (key, value) in fields.others {
        line.entry(key).or_insert(value);
    }
    Value::Object(line)
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn keep(&mut self, field: &Field, value: Value) {
        let name = if field.name() == "run" { "run_id" } else { field.name() };
        self.others.insert(name.to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        } else {
            self.keep(field, Value::String(format!("{value:?}")));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            self.keep(field, value.into());
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.keep(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.keep(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.keep(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.keep(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_of_json_have_one_spelling_and_cannot_be_forged() {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt().event_format(Json).with_writer(move || writer.clone()).finish();
        let nothing: Option<&str> = None;
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(run = %"run_1", step = "push", attempt = 2_u64, device = "gw-1\n{\"level\":\"error\"}", code = nothing, "the attempt failed: {}", "a\nb");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["level"], &line["msg"]), (&"warn".into(), &"the attempt failed: a\nb".into()));
        assert_eq!((&line["run_id"], &line["step"], &line["attempt"]), (&"run_1".into(), &"push".into(), &2.into()));
        assert!(line["ts"].as_str().unwrap().ends_with('Z') && line.get("code").is_none(), "{line}");
    }
}
