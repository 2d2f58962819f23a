//! `plugin release`: ends the quarantine of a plugin.

use super::args::{ServerArgs, ServiceArgs};
use super::print::Show;
use crate::app;
use crate::app::exit::{Exit, Stop};
use crate::engine;
use crate::settings::Settings;
use crate::store::DataFolder;
use packhorse_core::failure::chain;
use serde_json::json;

pub(super) async fn release(
    plugin: String,
    (services, at): (&ServiceArgs, &ServerArgs),
    show: Show,
) -> Result<Exit, Stop> {
    let settings = super::settings_here(services, at, "plugin release")?;
    if !app::has_runs(&settings) {
        let message = format!("there are no runs in {}, and so no quarantine", settings.data.display());
        return Err(Stop::usage("PH8003", message).hint("choose the data folder with --data"));
    }
    let digest = digest(&plugin, &settings).await?;
    let folder = DataFolder::open(&settings.data).map_err(|error| {
        Stop::unavailable("PH1004", chain(&error)).hint("end the process that works with it, and try again")
    })?;
    let opened = tokio::task::spawn_blocking(move || app::open_journal(&settings)).await;
    let opened = opened.map_err(|error| Stop::bug(error.to_string()))??;
    let released = engine::release(opened.index.as_ref(), &digest).await;
    let released = released.map_err(|error| Stop::unavailable("PH7002", chain(&error)))?;
    drop(folder);
    show.result(&json!({ "digest": digest, "released": released }), || match &released {
        Some(quarantine) => {
            format!("{} is free again; it had failed with {}", quarantine.plugin, quarantine.devices.join(", "))
        }
        None => format!("{plugin} was not in quarantine"),
    });
    Ok(Exit::Succeeded)
}

async fn digest(plugin: &str, settings: &Settings) -> Result<String, Stop> {
    if plugin.len() == 64 && plugin.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(plugin.to_ascii_lowercase());
    }
    let (host, named) = (app::host(settings).await?, plugin.to_owned());
    let digest = tokio::task::spawn_blocking(move || host.digest_of(&named)).await;
    digest.map_err(|error| Stop::bug(error.to_string()))?.map_err(|error| Stop::usage("PH6006", chain(&error)))
}
