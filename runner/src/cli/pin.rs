//! `plugin pin` and `plugin rollback`: which version a name means.

use super::print::Show;
use crate::app::exit::{Exit, Stop};
use crate::plugin::{PluginError, pin as pins};
use packhorse_core::failure::chain;
use semver::Version;
use serde_json::json;
use std::path::Path;

pub(super) fn pin(plugin: &str, off: bool, folder: &Path, show: Show) -> Result<Exit, Stop> {
    let name = plugin.split('@').next().unwrap_or_default();
    let now = match plugin.split_once('@') {
        Some((_, version)) if !off => Some(whole(version)?),
        None if off => None,
        _ => {
            return Err(Stop::usage("PH6006", format!("`{plugin}` says nothing to do"))
                .hint("`plugin pin NAME@VERSION` pins a name, `plugin pin NAME --off` takes the pin off"));
        }
    };
    let before = match &now {
        Some(version) => pins::pin(folder, name, version),
        None => pins::unpin(folder, name),
    };
    let before = before.map_err(|error| refused(&error))?;
    let text = |version: &Option<Version>| version.as_ref().map(ToString::to_string);
    show.result(&json!({ "plugin": name, "before": text(&before), "now": text(&now) }), || {
        let means = |version: &Option<Version>| text(version).unwrap_or_else(|| "its newest version".to_owned());
        format!("{name} means {} now; before, {}", means(&now), means(&before))
    });
    Ok(Exit::Succeeded)
}

pub(super) fn roll_back(name: &str, folder: &Path, show: Show) -> Result<Exit, Stop> {
    let (before, now) = pins::roll_back(folder, name).map_err(|error| refused(&error))?;
    let value = json!({ "plugin": name, "before": before.to_string(), "now": now.to_string() });
    show.result(&value, || format!("{name} means {now} now; before, {before}"));
    Ok(Exit::Succeeded)
}

fn whole(version: &str) -> Result<Version, Stop> {
    pins::parse(version.as_bytes()).map_err(|problem| Stop::usage("PH6006", problem))
}

fn refused(error: &PluginError) -> Stop {
    Stop::usage("PH6006", chain(error))
}
