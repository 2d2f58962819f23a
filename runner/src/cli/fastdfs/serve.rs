//! `fastdfs serve`: the embedded server alone, until a signal.

use std::time::Duration;

use packhorse_core::failure::chain;
use packhorse_fastdfs::server::{self, ServerOptions};
use serde_json::json;

use super::super::print::Show;
use super::super::signals::Signals;
use super::args::{Fsync, ServeArgs};
use crate::app;
use crate::app::exit::{Exit, Stop};
use crate::settings;

pub(super) async fn serve(args: ServeArgs, show: Show) -> Result<Exit, Stop> {
    let mut signals = Signals::take()?;
    for address in [&args.tracker, &args.storage] {
        settings::listen(address).map_err(|error| Stop::usage("PH1007", chain(&error)))?;
    }
    let server = app::start_fastdfs(options(args)).await?;
    let told = json!({ "tracker": server.tracker_addr, "storage": server.storage_addr });
    show.result(&told, || format!("tracker {}\nstorage {}", server.tracker_addr, server.storage_addr));
    signals.next().await;
    server.shutdown().await;
    Ok(Exit::Succeeded)
}

fn options(args: ServeArgs) -> ServerOptions {
    let mut options = ServerOptions::new(args.path);
    (options.tracker, options.storage, options.advertise) = (args.tracker, args.storage, args.advertise);
    (options.group, options.more_store_paths) = (args.group, args.store_paths);
    options.fsync = match args.fsync {
        Fsync::Never => server::Fsync::Never,
        Fsync::Close => server::Fsync::Close,
        Fsync::Always => server::Fsync::Always,
    };
    options.reserved_space = args.reserve.saturating_mul(1 << 20);
    options.max_file_size = args.max_file_size.saturating_mul(1 << 20).min(i64::MAX as u64);
    options.max_connections = args.max_connections;
    options.idle_timeout = Duration::from_secs(args.idle_timeout);
    options.io_timeout = Duration::from_secs(args.network_timeout);
    (options.disk_readers, options.disk_writers) = (args.disk_readers, args.disk_writers);
    options.wide_addresses = args.wide_addresses;
    options
}
