//! `fastdfs serve` and `broker`: one embedded service alone, until a signal.

use super::args::{FastdfsCommand, Fsync};
use super::print::Show;
use super::signals::Signals;
use crate::app;
use crate::app::exit::{Exit, Stop};
use crate::settings;
use packhorse_core::failure::chain;
use packhorse_fastdfs::server::{self, ServerOptions};
use packhorse_fastdfs::wire::GroupName;
use serde_json::json;

pub(super) async fn broker(listen: &str, show: Show) -> Result<Exit, Stop> {
    let mut signals = Signals::take()?;
    let address = settings::listen(listen).map_err(|error| Stop::usage("PH1007", chain(&error)))?;
    let broker = app::broker(address).await?;
    show.result(&json!({ "mqtt": format!("mqtt://{}", broker.addr) }), || format!("mqtt://{}", broker.addr));
    signals.next().await;
    broker.shutdown().await;
    Ok(Exit::Succeeded)
}

pub(super) async fn fastdfs(command: FastdfsCommand, show: Show) -> Result<Exit, Stop> {
    let FastdfsCommand::Serve { tracker, storage, path, group, fsync } = command;
    let mut signals = Signals::take()?;
    for address in [&tracker, &storage] {
        settings::listen(address).map_err(|error| Stop::usage("PH1007", chain(&error)))?;
    }
    let mut options = ServerOptions::new(path);
    (options.tracker, options.storage) = (tracker, storage);
    options.group =
        GroupName::new(&group).map_err(|error| Stop::usage("PH1007", format!("group {group:?}: {error}")))?;
    options.fsync = match fsync {
        Fsync::Never => server::Fsync::Never,
        Fsync::Close => server::Fsync::Close,
        Fsync::Always => server::Fsync::Always,
    };
    let server = app::start_fastdfs(options).await?;
    let told = json!({ "tracker": server.tracker_addr, "storage": server.storage_addr });
    show.result(&told, || format!("tracker {}\nstorage {}", server.tracker_addr, server.storage_addr));
    signals.next().await;
    server.shutdown().await;
    Ok(Exit::Succeeded)
}
