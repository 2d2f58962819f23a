//! `plugin new build inspect test bench list`.

use super::args::{Language, Output, PlaceArgs, PluginArgs, PluginCommand, ProfileChoice, ServerArgs};
use super::listen;
use super::pin;
use super::print::Show;
use super::release;
use super::repin;
use crate::app;
use crate::app::exit::{Exit, Stop};
use crate::plugin::kit;
use crate::plugin::kit::bench::{BenchReport, Cost};
use crate::plugin::kit::test::{Folder, Status, TestOptions, TestReport, test as test_plugin};
use crate::plugin::{Host, Plugin, PluginError, Trust, is_path};
use packhorse_core::failure::chain;
use packhorse_core::profile::{Profile, Profiles};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) async fn plugin(args: PluginArgs, at: &ServerArgs, show: Show) -> Result<Exit, Stop> {
    match args.command {
        PluginCommand::New { name, lang, plugins } => new(name, lang, Place::of(plugins)?.plugins, show).await,
        PluginCommand::Build { paths, place } => build(paths, &Place::chosen(place)?, show).await,
        PluginCommand::Inspect { plugin, place } => inspect(plugin, &Place::chosen(place)?, show).await,
        PluginCommand::Test { plugins_named, place, vectors, device, random, round_trips, seed, vars, json } => {
            let show = if json { Show { output: Output::Json, ..show } } else { show };
            let options = TestOptions { seed, random_inputs: random, round_trips, vars };
            test(plugins_named, Place::chosen(place)?, (vectors, device), options, show).await
        }
        PluginCommand::Bench { plugins_named, place, device, piece, vars } => {
            bench(plugins_named, Place::chosen(place)?, device, (piece, vars), show).await
        }
        PluginCommand::Tap { device, listen } => listen::tap(&device, listen, show).await,
        PluginCommand::Capture { device, to, listen } => listen::capture(&device, &to, listen, show).await,
        PluginCommand::Replay { file, codec, plugins, as_vectors } => {
            listen::replay(file, codec, Place::of(plugins)?, as_vectors, show).await
        }
        PluginCommand::Pin { plugin, off, plugins } => pin::pin(&plugin, off, &Place::of(plugins)?.plugins, show),
        PluginCommand::Rollback { plugin, plugins } => pin::roll_back(&plugin, &Place::of(plugins)?.plugins, show),
        PluginCommand::Repin(args) => repin::repin(args, at, show).await,
        PluginCommand::Release { plugin, services } => release::release(plugin, (&services, at), show).await,
        PluginCommand::List { plugins } => list(&Place::of(plugins)?, show).await,
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
    named: Vec<String>,
    place: Place,
    device: Option<String>,
    (piece, vars): (Option<u32>, Vec<(String, String)>),
    show: Show,
) -> Result<Exit, Stop> {
    let host = place.host().await?;
    let device = partner(&host, device).await?;
    let timed = move || {
        let mut reports: Vec<BenchReport> = Vec::new();
        for name in named {
            let plugin = refreshed(&host, (&name, device.as_ref()), &place.plugins)?;
            let source = source_of(&name, plugin.name(), &place.plugins).filter(|source| source.is_dir());
            let mut report = kit::bench::bench(&host, &plugin, source.as_deref(), piece, &vars)?;
            if let Some(first) = reports.first() {
                report.beside(first);
            }
            reports.push(report);
        }
        Ok(reports)
    };
    let reports = blocking(timed).await?;
    let text = || reports.iter().map(benched).collect::<Vec<_>>().join("\n\n");
    match &reports[..] {
        [report] => show.result(report, text),
        reports => show.result(&json!({ "items": reports }), text),
    }
    Ok(Exit::Succeeded)
}

/// Where the source of a codec would be: in the plugins folder, or beside the file that was named.
fn source_of(named: &str, name: &str, plugins: &Path) -> Option<PathBuf> {
    let folder = if is_path(named) { Path::new(named).parent()? } else { plugins };
    Some(folder.join(name))
}

fn benched(report: &BenchReport) -> String {
    let costs = &report.costs;
    let kept = costs.instance_kib.map_or_else(|| "unknown".to_owned(), |kib| format!("{kib:.0} KiB"));
    let mut lines = vec![
        format!("{} {}  nanoseconds a packet", report.name, report.version),
        format!(
            "  {} bytes; compiled in {:.0} ms, loaded in {:.2} ms; an instance keeps {kept}",
            costs.size, costs.compile_ms, costs.load_ms
        ),
    ];
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

async fn build(paths: Vec<PathBuf>, place: &Place, show: Show) -> Result<Exit, Stop> {
    let (host, folder) = (place.host().await?, place.plugins.clone());
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

async fn inspect(name: String, place: &Place, show: Show) -> Result<Exit, Stop> {
    let host = place.host().await?;
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

async fn list(place: &Place, show: Show) -> Result<Exit, Stop> {
    let host = place.host().await?;
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
    place: Place,
    (vectors, device): (Option<PathBuf>, Option<String>),
    options: TestOptions,
    show: Show,
) -> Result<Exit, Stop> {
    let host = place.host().await?;
    let device = partner(&host, device).await?;
    let named = if named.is_empty() { codecs(&host) } else { named };
    let mut reports = Vec::new();
    for name in named {
        let (host, vectors, plugins) = (host.clone(), vectors.clone(), place.plugins.clone());
        let (options, device) = (options.clone(), device.clone());
        let tested = move || test_one(&host, (&name, device.as_ref()), vectors.as_deref(), &plugins, options);
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
    (name, device): (&str, Option<&Arc<Plugin>>),
    vectors: Option<&Path>,
    plugins: &Path,
    options: TestOptions,
) -> Result<(Arc<Plugin>, TestReport), PluginError> {
    let plugin = refreshed(host, (name, device), plugins)?;
    let beside = plugins.join(plugin.name()).join("vectors");
    let folder = vectors.map_or(Folder::Own(&beside), Folder::Chosen);
    let report = test_plugin(&plugin, &folder, options)?;
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

/// A codec as its source is now, with the device's side of another one where it has none.
fn refreshed(
    host: &Host,
    (name, device): (&str, Option<&Arc<Plugin>>),
    plugins: &Path,
) -> Result<Arc<Plugin>, PluginError> {
    kit::refresh(host, name, plugins)?;
    let plugin = host.load(name)?;
    match device {
        Some(device) if !plugin.has_device_side() => plugin.beside(device),
        _ => Ok(plugin),
    }
}

async fn partner(host: &Host, device: Option<String>) -> Result<Option<Arc<Plugin>>, Stop> {
    let host = host.clone();
    blocking(move || device.map(|name| host.load(&name)).transpose()).await
}

/// Where plugins lie, and how much each may use.
pub(super) struct Place {
    pub(super) plugins: PathBuf,
    profiles: Profiles,
}

impl Place {
    /// As the settings say; a folder that was given comes before theirs.
    pub(super) fn of(given: Option<PathBuf>) -> Result<Self, Stop> {
        let given = crate::settings::Given { plugins: given, ..crate::settings::Given::default() };
        let settings = super::load(given)?;
        Ok(Self { plugins: settings.plugins, profiles: settings.profiles })
    }

    /// A profile that was given is everybody's.
    fn chosen(args: PlaceArgs) -> Result<Self, Stop> {
        let mut place = Self::of(args.plugins)?;
        let profile = args.profile.map(|choice| match choice {
            ProfileChoice::Standard => Profile::Standard,
            ProfileChoice::Large => Profile::Large,
        });
        if let Some(others) = profile {
            place.profiles = Profiles { others, ..Profiles::default() };
        }
        Ok(place)
    }

    pub(super) async fn host(&self) -> Result<Host, Stop> {
        // To be looked at, tried and built, a plugin needs no signature.
        app::host_of(&self.plugins, &self.profiles, Trust::default()).await
    }
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
