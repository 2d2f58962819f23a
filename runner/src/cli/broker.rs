//! `broker`: the embedded broker alone, until a signal.

use super::print::Show;
use super::signals::Signals;
use crate::app;
use crate::app::exit::{Exit, Stop};
use crate::settings;
use packhorse_core::failure::chain;
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
