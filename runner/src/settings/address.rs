//! Addresses of services, from their text.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

/// Port of MQTT without TLS.
pub(super) const MQTT_PORT: u16 = 1883;
/// Port of a FastDFS tracker.
pub const TRACKER_PORT: u16 = 22_122;
/// Port of a FastDFS storage.
pub const STORAGE_PORT: u16 = 23_000;

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum SettingError {
    #[error("`{text}` is no {what}: {expected}")]
    Address { what: &'static str, text: String, expected: &'static str },
    #[error("`--store redis` keeps the journal on the Redis server that `--redis URL` names, and none is named")]
    NoRedis,
    #[error("{name}: {message}")]
    Variable { name: String, message: String },
    #[error("the settings of MQTT: {0}")]
    Mqtt(String),
    #[error("cannot read {path}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{path}: {message}")]
    File { path: PathBuf, message: String },
}

/// The broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MqttAt {
    /// Ours, listening here.
    Embedded(SocketAddr),
    /// Somebody's: `mqtt://` or `mqtts://`, several with commas between them.
    Url(String),
}

/// The file store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FastdfsAt {
    /// Ours: the tracker listens here; the storage on its default port beside the default tracker's, else on a free one.
    Embedded(SocketAddr),
    /// Trackers, `HOST:PORT`.
    Trackers(Vec<String>),
}

impl MqttAt {
    /// Reads `embedded`, `embedded://HOST:PORT`, or URLs with commas between them.
    pub fn parse(text: &str) -> Result<Self, SettingError> {
        if let Some(address) = embedded(text, MQTT_PORT)? {
            return Ok(Self::Embedded(address));
        }
        let is_url = |url: &str| url.trim().starts_with("mqtt://") || url.trim().starts_with("mqtts://");
        if text.split(',').all(is_url) {
            return Ok(Self::Url(text.to_owned()));
        }
        let expected = "expected `embedded`, `embedded://HOST:PORT`, or one or more of `mqtt://HOST[:PORT]` and `mqtts://HOST[:PORT]` with commas between them";
        Err(SettingError::Address { what: "MQTT address", text: without_password(text), expected })
    }
}

impl FastdfsAt {
    /// Reads `embedded`, `embedded://HOST:PORT` or a list of trackers.
    pub fn parse(text: &str) -> Result<Self, SettingError> {
        if let Some(address) = embedded(text, TRACKER_PORT)? {
            return Ok(Self::Embedded(address));
        }
        let trackers: Vec<String> = text.split(',').map(|tracker| tracker.trim().to_owned()).collect();
        let good = |tracker: &String| {
            tracker
                .rsplit_once(':')
                .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
        };
        if trackers.iter().all(good) {
            return Ok(Self::Trackers(trackers));
        }
        let expected = "expected `embedded`, `embedded://HOST:PORT` or trackers as `HOST:22122,HOST:22122`";
        Err(SettingError::Address { what: "FastDFS address", text: text.to_owned(), expected })
    }
}

fn embedded(text: &str, port: u16) -> Result<Option<SocketAddr>, SettingError> {
    if text == "embedded" {
        return Ok(Some(SocketAddr::from(([127, 0, 0, 1], port))));
    }
    let Some(address) = text.strip_prefix("embedded://") else { return Ok(None) };
    listen(address).map(Some)
}

/// An address to listen on.
pub fn listen(text: &str) -> Result<SocketAddr, SettingError> {
    let expected = "expected HOST:PORT, such as 127.0.0.1:1883; port 0 takes a free one";
    let wrong = || SettingError::Address { what: "listening address", text: text.to_owned(), expected };
    text.to_socket_addrs().ok().and_then(|mut all| all.next()).ok_or_else(wrong)
}

/// URLs with commas between them as they may be shown.
pub fn without_password(urls: &str) -> String {
    urls.split(',').map(one_without_password).collect::<Vec<_>>().join(",")
}

fn one_without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    match rest.rsplit_once('@') {
        Some((user, host)) => format!("{scheme}://{}:***@{host}", user.split(':').next().unwrap_or_default()),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_documented() {
        assert_eq!(MqttAt::parse("embedded").unwrap(), MqttAt::Embedded("127.0.0.1:1883".parse().unwrap()));
        assert_eq!(MqttAt::parse("embedded://127.0.0.1:0").unwrap(), MqttAt::Embedded("127.0.0.1:0".parse().unwrap()));
        let trackers = FastdfsAt::parse("a:22122, b:22122").unwrap();
        assert_eq!(trackers, FastdfsAt::Trackers(vec!["a:22122".into(), "b:22122".into()]));
        let two = "mqtt://u:secret@a:1,mqtts://b";
        assert_eq!(MqttAt::parse(two).unwrap(), MqttAt::Url(two.to_owned()));
        assert_eq!(without_password(two), "mqtt://u:***@a:1,mqtts://b");
        for bad in ["", "broker:1883", "http://x", "embedded://", "embedded://nowhere", "mqtt://a,b"] {
            assert!(MqttAt::parse(bad).is_err(), "{bad}");
        }
        for bad in ["", "a", "a:b", "a:0", ":22122"] {
            assert!(FastdfsAt::parse(bad).is_err(), "{bad}");
        }
    }
}
