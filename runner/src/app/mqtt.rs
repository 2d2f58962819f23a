//! The connection to the broker, from the settings.

use crate::app::exit::{Exit, Stop};
use crate::bus::{BusError, Password, RumqttcBus, Session, Settings as BusSettings, Version};
use crate::settings::{MqttAccess, MqttSession, MqttVersion};
use packhorse_core::failure::{Class, chain};

/// Connects to one of the brokers (URLs with commas between them), or says that none is to be had.
pub async fn connect(urls: &str, access: &MqttAccess) -> Result<RumqttcBus, Stop> {
    let settings = bus_settings(urls, access)?;
    RumqttcBus::connect(settings).await.map_err(|error| stop(&error))
}

/// The bus's settings.
pub fn bus_settings(urls: &str, access: &MqttAccess) -> Result<BusSettings, Stop> {
    let mut settings = BusSettings::parse(urls).map_err(|error| Stop::usage("PH1005", chain(&error)))?;
    let access = access.clone();
    settings.user = access.user;
    settings.password = match (access.password, access.password_file) {
        (Some(text), _) => Password::Text(text),
        (None, Some(path)) => Password::File(path),
        (None, None) => Password::None,
    };
    settings.ca_file = access.ca_file;
    settings.identity = access.cert_file.zip(access.key_file);
    settings.tls_server_name = access.tls_server_name;
    if let Some(client_id) = access.client_id {
        settings.client_id = client_id;
    }
    settings.version = match access.version {
        None | Some(MqttVersion::Auto) => Version::Auto,
        Some(MqttVersion::Five) => Version::Five,
        Some(MqttVersion::Three) => Version::Three,
    };
    settings.session = match access.session {
        None | Some(MqttSession::Clean) => Session::Clean,
        Some(MqttSession::Keep) => Session::Keep,
    };
    if let Some(keep_alive) = access.keep_alive {
        settings.keep_alive = keep_alive.0;
    }
    Ok(settings)
}

fn stop(error: &BusError) -> Stop {
    let hint = error.advice().unwrap_or("start the broker, or leave --mqtt out to use the embedded one");
    let mut stop = Stop::unavailable(error.code(), chain(error)).hint(hint);
    if matches!(error, BusError::Settings { .. }) {
        stop.exit = Exit::Usage;
        stop.failure.class = Class::Permanent;
    }
    stop
}
