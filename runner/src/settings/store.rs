//! Where runs are kept, for how long, and how much room stays free.

use super::address::SettingError;
use super::value::{Lookup, bytes, length, word};
use packhorse_core::run::Retention;
use serde::Deserialize;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

/// The journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// On what.
    pub kind: StoreKind,
    /// On Redis: the name of the journal, so that several can lie on one server.
    pub journal: String,
    /// On Redis: how long a server that is away is waited for.
    pub patience: Duration,
    /// No run begins when less than so many bytes are free beside the data folder.
    pub reserve: u64,
}

/// On what a journal lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// A file in the data folder.
    Embedded,
    /// The Redis server that `redis` names.
    Redis,
}

/// `store:` of `packhorse.yaml`, where it is a map.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoreFile {
    kind: Option<String>,
    journal: Option<String>,
    patience: Option<String>,
    reserve: Option<String>,
}

/// `retention:` of `packhorse.yaml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RetentionFile {
    succeeded: Option<String>,
    failed: Option<String>,
}

impl StoreFile {
    /// A kind alone, or a map.
    pub(super) fn read(value: Option<serde_yaml::Value>) -> Result<Self, String> {
        match value {
            None | Some(serde_yaml::Value::Null) => Ok(Self::default()),
            Some(serde_yaml::Value::String(kind)) => Ok(Self { kind: Some(kind), ..Self::default() }),
            Some(map) => serde_yaml::from_value(map).map_err(|error| format!("store: {error}")),
        }
    }
}

/// Joins what was given, the variables and the file.
pub(super) fn store(given: Option<String>, file: StoreFile, lookup: Lookup<'_>) -> Result<StoreSettings, SettingError> {
    let kind = match given.or(file.kind).as_deref() {
        None | Some("embedded") => StoreKind::Embedded,
        Some("redis") => StoreKind::Redis,
        Some(text) => {
            let expected = "expected `embedded` or `redis`";
            return Err(SettingError::Address { what: "store", text: text.to_owned(), expected });
        }
    };
    let journal = word("STORE__JOURNAL", lookup).or(file.journal).unwrap_or_else(|| "packhorse".to_owned());
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if journal.is_empty() || journal.len() > 64 || !journal.bytes().all(fits) {
        let expected = "expected up to 64 letters, digits, `-` and `_`";
        return Err(SettingError::Address { what: "name of a journal", text: journal, expected });
    }
    Ok(StoreSettings {
        kind,
        journal,
        patience: length("STORE__PATIENCE", file.patience, Duration::from_secs(600), lookup)?,
        reserve: bytes("STORE__RESERVE", file.reserve, 64 << 20, lookup)?,
    })
}

/// Joins the variables and the file.
pub(super) fn retention(file: RetentionFile, lookup: Lookup<'_>) -> Result<Retention, SettingError> {
    Ok(Retention {
        succeeded: length("RETENTION__SUCCEEDED", file.succeeded, 30 * DAY, lookup)?,
        failed: length("RETENTION__FAILED", file.failed, 90 * DAY, lookup)?,
    })
}
