//! Codecs and workflows: whether each that lies here can be used.

use super::Finding;
use crate::settings::Settings;
use packhorse_core::failure::chain;
use packhorse_core::workflow;
use std::path::{Path, PathBuf};

pub(super) async fn look(settings: &Settings, findings: &mut Vec<Finding>) {
    codecs(settings, findings).await;
    let folder = settings.workflows.clone();
    let checked = super::super::with_large_stack(move || workflows(&folder)).await;
    match checked {
        Ok(finding) => findings.push(finding),
        Err(stop) => {
            findings.push(Finding::failure("workflows", "PH8025", stop.failure.message, "report it: a bug of ours"))
        }
    }
}

async fn codecs(settings: &Settings, findings: &mut Vec<Finding>) {
    let folder = &settings.plugins;
    if folder.exists()
        && let Err(error) = std::fs::read_dir(folder)
    {
        let text = format!("{} cannot be read: {error}", folder.display());
        findings.push(Finding::failure("codecs", "PH8023", text, "look at the rights of the plugins folder"));
    }
    let host = match super::super::host(settings).await {
        Ok(host) => host,
        Err(stop) => {
            let advice = match stop.failure.code.as_str() {
                "PH1007" => "mend packhorse.yaml",
                _ => {
                    "look at the rights of the cache folder ($XDG_CACHE_HOME/packhorse, which must be its owner's alone)"
                }
            };
            findings.push(Finding::failure("codecs", "PH8024", stop.failure.message, advice));
            return;
        }
    };
    let loaded = tokio::task::spawn_blocking(move || {
        let all = host.list().into_iter();
        all.map(|listed| {
            let title = match listed.is_step() {
                true => host.load_step(&listed.reference).map(|plugin| format!("{} (a step plugin)", plugin.name())),
                false => host.load(&listed.reference).map(|plugin| plugin.title()),
            };
            (title, listed.reference)
        })
        .collect::<Vec<_>>()
    });
    let loaded = loaded.await.unwrap_or_default();
    let good: Vec<&str> = loaded.iter().filter_map(|(title, _)| title.as_deref().ok()).collect();
    findings.push(Finding::ok("codecs", format!("{} load: {}", good.len(), good.join(", "))));
    for (error, name) in loaded.iter().filter_map(|(result, name)| Some((result.as_ref().err()?, name))) {
        let advice = format!("`packhorse plugin inspect {name}`; build it anew, or take it away");
        findings.push(Finding::failure("codecs", "PH8024", format!("{name}: {}", chain(error)), &advice));
    }
}

/// Checks every workflow of the folder; needs a large stack.
fn workflows(folder: &Path) -> Finding {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Finding::ok("workflows", format!("there is no folder {}", folder.display()));
        }
        Err(error) => {
            let text = format!("{} cannot be read: {error}", folder.display());
            return Finding::failure("workflows", "PH8023", text, "look at the rights of the workflows folder");
        }
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    paths.sort();
    let bad: Vec<String> = paths.iter().filter(|path| !is_valid(path)).map(|path| path.display().to_string()).collect();
    let good = paths.len() - bad.len();
    if bad.is_empty() {
        return Finding::ok("workflows", format!("{good} in {} are valid", folder.display()));
    }
    let text = format!("{good} of {} in {} are valid; not {}", paths.len(), folder.display(), bad.join(", "));
    Finding::failure("workflows", "PH8025", text, "`packhorse validate` tells what is wrong")
}

fn is_valid(path: &Path) -> bool {
    let source = super::super::read_workflow(path).ok();
    source.is_some_and(|source| workflow::check(&source, &path.display().to_string()).is_ok())
}
