//! Where a Redis server is: a URL, and beside it what a URL should not or cannot hold.

use super::address::{SettingError, without_password};
use super::value::{Lookup, length, secret, word};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The key-value store of workflows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisAt {
    /// The data folder's own.
    Embedded,
    /// Somebody's.
    Server(RedisServer),
}

/// A Redis server and how to speak to it.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisServer {
    /// `redis://` or `rediss://`; with Sentinels the host is the name of the master.
    pub url: String,
    /// Goes before the URL's.
    pub password: Option<String>,
    /// Roots of trust, PEM.
    pub ca: Option<PathBuf>,
    /// `HOST[:PORT]`.
    pub sentinels: Vec<String>,
    /// Of the Sentinels.
    pub sentinel_password: Option<String>,
    /// Bounds connecting.
    pub connect_timeout: Duration,
    /// Bounds the wait for an answer.
    pub timeout: Duration,
}

impl std::fmt::Debug for RedisServer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RedisServer").field("url", &without_password(&self.url)).finish_non_exhaustive()
    }
}

/// `redis:` of `packhorse.yaml`, where it is a map.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RedisFile {
    url: Option<String>,
    password: Option<String>,
    password_file: Option<PathBuf>,
    ca: Option<PathBuf>,
    sentinels: Option<Vec<String>>,
    sentinel_password: Option<String>,
    sentinel_password_file: Option<PathBuf>,
    connect_timeout: Option<String>,
    timeout: Option<String>,
}

impl RedisFile {
    /// A URL alone, or a map.
    pub(super) fn read(value: Option<serde_yaml::Value>) -> Result<Self, String> {
        match value {
            None | Some(serde_yaml::Value::Null) => Ok(Self::default()),
            Some(serde_yaml::Value::String(url)) => Ok(Self { url: Some(url), ..Self::default() }),
            Some(map) => serde_yaml::from_value(map).map_err(|error| format!("redis: {error}")),
        }
    }
}

/// Joins what was given, the variables and the file; paths of the file count from `base`.
pub(super) fn redis(
    given: Option<String>,
    file: RedisFile,
    base: &Path,
    lookup: Lookup<'_>,
) -> Result<RedisAt, SettingError> {
    let url = match given.or(file.url) {
        None => return Ok(RedisAt::Embedded),
        Some(url) if url == "embedded" => return Ok(RedisAt::Embedded),
        Some(url) => url,
    };
    if !url.starts_with("redis://") && !url.starts_with("rediss://") {
        let expected = "expected `embedded`, `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]` or `rediss://…`";
        return Err(SettingError::Address { what: "Redis address", text: without_password(&url), expected });
    }
    let listed =
        |text: String| text.split(',').map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect();
    Ok(RedisAt::Server(RedisServer {
        url,
        password: secret("REDIS__PASSWORD", file.password, file.password_file, base, lookup)?,
        ca: word("REDIS__CA", lookup).map(PathBuf::from).or_else(|| file.ca.map(|path| base.join(path))),
        sentinels: word("REDIS__SENTINELS", lookup).map(listed).or(file.sentinels).unwrap_or_default(),
        sentinel_password: secret(
            "REDIS__SENTINEL_PASSWORD",
            file.sentinel_password,
            file.sentinel_password_file,
            base,
            lookup,
        )?,
        connect_timeout: length("REDIS__CONNECT_TIMEOUT", file.connect_timeout, Duration::from_secs(5), lookup)?,
        timeout: length("REDIS__TIMEOUT", file.timeout, Duration::from_secs(10), lookup)?,
    }))
}
