//! `doctor`: looks at everything that runs need, and says of each how it is, in figures, and what to do. Changes nothing of anybody's.
//!
//! * `finding`: what is found of one thing; `judge`: which figures are good, pure
//! * `services`: which services are looked at: others', the owner's of the data folder, or embedded ones for a moment
//! * `broker`, `files`, `redis`: MQTT, FastDFS and Redis; `place`: the data folder, its disk and its clock; `parts`: codecs and workflows

mod broker;
mod files;
mod finding;
mod judge;
mod parts;
mod place;
mod redis;
mod services;

pub use finding::{Finding, Grade, exit};

use crate::settings::Settings;

/// Looks at everything, one thing after the other; takes some seconds, and at most half a minute where services are dead.
pub async fn doctor(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    let place = place::look(settings, &mut findings).await;
    let services = services::find(settings, &place, &mut findings).await;
    if let Some(mqtt) = &services.mqtt {
        broker::look(mqtt, &settings.mqtt_access, &mut findings).await;
    }
    if let Some(trackers) = &services.trackers {
        files::look(trackers, &mut findings).await;
    }
    redis::look(settings, &mut findings).await;
    services.stop().await;
    parts::look(settings, &mut findings).await;
    findings
}
