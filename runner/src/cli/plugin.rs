//! `plugin build inspect test list`.

use super::args::{PluginArgs, PluginCommand};
use super::print::Show;
use super::release;
use crate::app;
use crate::app::exit::{Exit, Stop};
use crate::plugin::kit;
use crate::plugin::kit::test::{Status, TestOptions, TestReport, test as test_plugin};
use crate::plugin::{Host, Plugin, PluginError};
use packhorse_core::failure::chain;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) async fn plugin(args: PluginArgs, show: Show) -> Result<Exit, Stop> {
    match args.command {
        PluginCommand::Build { paths, plugins } => build(paths, &folder(plugins)?, show).await,
        PluginCommand::Inspect { plugin, plugins } => inspect(plugin, &folder(plugins)?, show).await,
        PluginCommand::Test { plugins_named, plugins, vectors, random, seed } => {
            let options = TestOptions { seed, random_inputs: random };
            test(plugins_named, folder(plugins)?, vectors, options, show).await
        }
        PluginCommand::Release { plugin, services } => release::release(plugin, &services, show).await,
        PluginCommand::List { plugins } => list(&folder(plugins)?, show).await,
    }
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
        let (host, vectors, plugins) = (host.clone(), vectors.clone(), plugins.clone());
        let tested = move || test_one(&host, &name, vectors.as_deref(), &plugins, options);
        let (plugin, mut report) = blocking(tested).await?;
        for check in app::trial(&plugin, options.seed).await {
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
    std::iter::once(head).chain(checks).collect::<Vec<_>>().join("\n")
}

fn inspected(value: &serde_json::Value) -> String {
    serde_yaml::to_string(value).unwrap_or_else(|_| value.to_string())
}

fn folder(given: Option<PathBuf>) -> Result<PathBuf, Stop> {
    Ok(super::load(crate::settings::Given { plugins: given, ..crate::settings::Given::default() })?.plugins)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PluginError> + Send + 'static,
) -> Result<T, Stop> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|error| Stop::bug(error.to_string()))?;
    done.map_err(|error| {
        let exit = if matches!(error, PluginError::Build { .. }) { Exit::Failed } else { Exit::Usage };
        let stop = Stop::usage("PH6006", chain(&error));
        Stop { exit, ..stop }
    })
}
