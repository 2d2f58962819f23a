//! `plugin new build inspect test bench list`.

use super::args::{Language, Output, PluginArgs, PluginCommand};
use super::listen;
use super::print::Show;
use super::release;
use crate::app;
use crate::app::exit::{Exit, Stop};
use crate::plugin::kit;
use crate::plugin::kit::bench::{BenchReport, Cost};
use crate::plugin::kit::test::{Status, TestOptions, TestReport, test as test_plugin};
use crate::plugin::{Host, Plugin, PluginError};
use packhorse_core::failure::chain;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) async fn plugin(args: PluginArgs, show: Show) -> Result<Exit, Stop> {
    match args.command {
        PluginCommand::New { name, lang, plugins } => new(name, lang, folder(plugins)?, show).await,
        PluginCommand::Build { paths, plugins } => build(paths, &folder(plugins)?, show).await,
        PluginCommand::Inspect { plugin, plugins } => inspect(plugin, &folder(plugins)?, show).await,
        PluginCommand::Test { plugins_named, plugins, vectors, random, seed, vars, json } => {
            let show = if json { Show { output: Output::Json, ..show } } else { show };
            let options = TestOptions { seed, random_inputs: random, vars };
            test(plugins_named, folder(plugins)?, vectors, options, show).await
        }
        PluginCommand::Bench { plugin, plugins, piece, vars } => {
            bench(plugin, folder(plugins)?, (piece, vars), show).await
        }
        PluginCommand::Tap { device, listen } => listen::tap(&device, listen, show).await,
        PluginCommand::Capture { device, to, listen } => listen::capture(&device, &to, listen, show).await,
        PluginCommand::Replay { file, codec, plugins, as_vectors } => {
            listen::replay(file, codec, folder(plugins)?, as_vectors, show).await
        }
        PluginCommand::Release { plugin, services } => release::release(plugin, &services, show).await,
        PluginCommand::List { plugins } => list(&folder(plugins)?, show).await,
    }
}

async fn new(name: String, language: Language, plugins: PathBuf, show: Show) -> Result<Exit, Stop> {
    let language = match language {
        Language::Rust => kit::Language::Rust,
        Language::C => kit::Language::C,
    };
    let begun = blocking(move || kit::new(&name, language, &plugins)).await?;
    show.result(&begun, || {
        let (name, path) = (&begun.name, begun.path.display());
        format!("{path}: {} files\nnext: packhorse plugin test {name}", begun.files.len())
    });
    Ok(Exit::Succeeded)
}

async fn bench(
    name: String,
    plugins: PathBuf,
    (piece, vars): (Option<u32>, Vec<(String, String)>),
    show: Show,
) -> Result<Exit, Stop> {
    let host = app::host(&plugins).await?;
    let timed = move || {
        kit::refresh(&host, &name, &plugins)?;
        let plugin = host.load(&name)?;
        let source = plugins.join(plugin.name());
        kit::bench::bench(&plugin, Some(&source).filter(|source| source.is_dir()).map(PathBuf::as_path), piece, &vars)
    };
    let report = blocking(timed).await?;
    show.result(&report, || benched(&report));
    Ok(Exit::Succeeded)
}

fn benched(report: &BenchReport) -> String {
    let mut lines = vec![format!("{} {}  nanoseconds a packet", report.name, report.version)];
    lines.push(format!("  {:<22} {:>6} {:>16} {:>16}", "", "bytes", "one a call", "sixteen a call"));
    for row in &report.rows {
        let figures = |cost: &Cost| format!("{:>16.0} {:>16.0}", cost.single_ns, cost.batch_ns);
        lines.push(match &row.skipped {
            Some(why) => format!("  – {:<20} {why}", row.name),
            None => format!("  {:<22} {:>6} {}", row.name, row.piece_bytes, figures(&row.component)),
        });
        lines.extend(row.native.iter().map(|native| {
            let (one, many) = (row.component.single_ns / native.single_ns, row.component.batch_ns / native.batch_ns);
            format!("  {:<29} {}   {one:.2}× / {many:.2}×", "  native", figures(native))
        }));
    }
    lines.extend(report.no_native.iter().map(|why| format!("no native figures: {why}")));
    lines.join("\n")
}

async fn build(paths: Vec<PathBuf>, plugins: &Path, show: Show) -> Result<Exit, Stop> {
    let (host, folder) = (app::host(plugins).await?, plugins.to_owned());
    let built = blocking(move || kit::build(&host, &paths, &folder)).await?;
    show.result(&json!({ "items": built }), || {
        let line = |built: &kit::Built| {
            format!(
                "{} {}  {}  {} bytes  sha256 {}",
                built.name,
                built.version,
                built.path.display(),
                built.size,
                built.digest
            )
        };
        built.iter().map(line).collect::<Vec<_>>().join("\n")
    });
    Ok(Exit::Succeeded)
}

async fn inspect(name: String, plugins: &Path, show: Show) -> Result<Exit, Stop> {
    let host = app::host(plugins).await?;
    let inspection = blocking(move || match host.load(&name) {
        Ok(plugin) => Ok(serde_json::to_value(kit::inspect(&plugin)?).unwrap_or_default()),
        Err(error @ PluginError::NotACodec { .. }) => match host.load_step(&name) {
            Ok(plugin) => Ok(serde_json::to_value(kit::inspect_step(&plugin)).unwrap_or_default()),
            Err(PluginError::NotACodec { .. }) => Err(error),
            Err(other) => Err(other),
        },
        Err(error) => Err(error),
    })
    .await?;
    show.result(&inspection, || inspected(&inspection));
    Ok(Exit::Succeeded)
}

async fn list(plugins: &Path, show: Show) -> Result<Exit, Stop> {
    let host = app::host(plugins).await?;
    let listed = host.list();
    show.result(&json!({ "items": listed }), || {
        let place = |path: &Option<PathBuf>| {
            path.as_ref().map_or_else(|| "embedded".to_owned(), |path| path.display().to_string())
        };
        listed
            .iter()
            .map(|listed| format!("{:<24} {}", listed.reference, place(&listed.path)))
            .collect::<Vec<_>>()
            .join("\n")
    });
    Ok(Exit::Succeeded)
}

async fn test(
    named: Vec<String>,
    plugins: PathBuf,
    vectors: Option<PathBuf>,
    options: TestOptions,
    show: Show,
) -> Result<Exit, Stop> {
    let host = app::host(&plugins).await?;
    let named = if named.is_empty() { codecs(&host) } else { named };
    let mut reports = Vec::new();
    for name in named {
        let (host, vectors, plugins, options) = (host.clone(), vectors.clone(), plugins.clone(), options.clone());
        let tested = move || test_one(&host, &name, vectors.as_deref(), &plugins, options);
        let (plugin, mut report) = blocking(tested).await?;
        for check in app::trial(&plugin, &report.vars.clone(), report.seed).await {
            report.add(check);
        }
        reports.push(report);
    }
    let passed = reports.iter().all(|report| report.passed);
    show.result(&json!({ "passed": passed, "items": reports }), || {
        reports.iter().map(tested).collect::<Vec<_>>().join("\n\n")
    });
    Ok(if passed { Exit::Succeeded } else { Exit::Failed })
}

/// All but step plugins, which these tests know nothing of.
fn codecs(host: &Host) -> Vec<String> {
    host.list().into_iter().filter(|listed| !listed.is_step()).map(|listed| listed.reference).collect()
}

fn test_one(
    host: &Host,
    name: &str,
    vectors: Option<&Path>,
    plugins: &Path,
    options: TestOptions,
) -> Result<(Arc<Plugin>, TestReport), PluginError> {
    kit::refresh(host, name, plugins)?;
    let plugin = host.load(name)?;
    let beside = plugins.join(plugin.name()).join("vectors");
    let report = test_plugin(host, &plugin, vectors.unwrap_or(&beside), options)?;
    Ok((plugin, report))
}

fn tested(report: &TestReport) -> String {
    let head = format!("{} {}  {}", report.name, report.version, if report.passed { "passed" } else { "FAILED" });
    let checks = report.checks.iter().map(|check| {
        let mark = match check.status {
            Status::Passed => "✓",
            Status::Failed => "✗",
            Status::Skipped => "–",
        };
        format!("  {mark} {:<28} {:>7} cases  {}", check.name, check.cases, check.detail)
    });
    let vars = report.vars.iter().map(|(name, value)| format!("  with {name}={value}"));
    std::iter::once(head).chain(vars).chain(checks).collect::<Vec<_>>().join("\n")
}

fn inspected(value: &serde_json::Value) -> String {
    serde_yaml::to_string(value).unwrap_or_else(|_| value.to_string())
}

pub(super) fn folder(given: Option<PathBuf>) -> Result<PathBuf, Stop> {
    Ok(super::load(crate::settings::Given { plugins: given, ..crate::settings::Given::default() })?.plugins)
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PluginError> + Send + 'static,
) -> Result<T, Stop> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|error| Stop::bug(error.to_string()))?;
    done.map_err(|error| {
        let exit = if matches!(error, PluginError::Build { .. }) { Exit::Failed } else { Exit::Usage };
        let stop = Stop::usage("PH6006", chain(&error));
        Stop { exit, ..stop }
    })
}
