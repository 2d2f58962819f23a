//! Plugins that failed with several devices: they are not begun any more until a person has decided.
//!
//! What ends a transfer or a step by traps is remembered for a day, by the digest of the plugin's bytes; the third device makes it a
//! quarantine, which stays. Other bytes are another plugin.

use super::World;
use crate::store::{KeyValue, KvError, steady, wall};
use packhorse_core::effect::KvRequest;
use packhorse_core::failure::{Class, Failure, chain};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Devices after which a plugin is quarantined.
const DEVICES: usize = 3;
/// How long a device's trap is remembered after the last one.
const MEMORY: Duration = Duration::from_secs(86_400);
/// What is kept of the last words, in bytes.
const WORDS: usize = 512;

/// Beside the index of files, whose keys begin with the same byte.
const TRAPS: &str = "\u{1}traps:";
const QUARANTINE: &str = "\u{1}quarantine:";

/// A plugin by its bytes and by its name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) digest: &'a str,
    pub(super) title: &'a str,
}

/// Why a plugin is quarantined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// Name, and version where it says one.
    pub plugin: String,
    /// SHA-256 of its bytes, in hex.
    pub digest: String,
    /// Devices with which it failed.
    pub devices: Vec<String>,
    /// What it failed with last.
    pub words: String,
    /// Since when, UTC in milliseconds.
    pub since: u64,
}

impl World {
    /// Refuses a plugin that is quarantined.
    pub(super) async fn free(&self, plugin: Named<'_>) -> Result<(), Failure> {
        let found = quarantine(self.index.as_ref(), plugin.digest).await.map_err(|error| store(&error))?;
        found.map_or(Ok(()), |quarantine| Err(refused(&quarantine)))
    }

    /// Remembers that a plugin's traps ended what it did with a device (or, where there is none, with a run).
    pub(super) async fn trapped(&self, plugin: Named<'_>, device: &str, failure: &Failure) {
        if let Err(error) = remember(self.index.as_ref(), plugin, device, &failure.message).await {
            tracing::warn!(plugin = plugin.title, %error, "a plugin's trap cannot be remembered");
        }
    }
}

async fn remember(index: &dyn KeyValue, plugin: Named<'_>, device: &str, words: &str) -> Result<(), KvError> {
    let key = format!("{TRAPS}{}", plugin.digest);
    let words = words[..words.floor_char_boundary(WORDS)].to_owned();
    let set = KvRequest::Hset { key: key.clone(), field: device.to_owned(), value: words.clone() };
    index.operate(set, steady()).await?;
    index.operate(KvRequest::Expire { key: key.clone(), after: MEMORY }, steady()).await?;
    let all = index.operate(KvRequest::Hgetall { key }, steady()).await?;
    let devices: Vec<String> = all.as_object().into_iter().flatten().map(|(device, _)| device.clone()).collect();
    if devices.len() < DEVICES {
        return Ok(());
    }
    tracing::error!(plugin = plugin.title, ?devices, "a plugin is quarantined");
    let quarantine = Quarantine {
        plugin: plugin.title.to_owned(),
        digest: plugin.digest.to_owned(),
        devices,
        words,
        since: wall().0,
    };
    let value = serde_json::to_string(&quarantine).unwrap_or_default();
    let set = KvRequest::Set { key: format!("{QUARANTINE}{}", plugin.digest), value, expire: None };
    index.operate(set, steady()).await.map(drop)
}

/// Why the plugin with these bytes is quarantined, where it is.
pub async fn quarantine(index: &dyn KeyValue, digest: &str) -> Result<Option<Quarantine>, KvError> {
    let kept = index.operate(KvRequest::Get { key: format!("{QUARANTINE}{digest}") }, steady()).await?;
    // What cannot be read was written by a later version: it is a quarantine all the same.
    Ok(kept.as_str().map(|text| {
        serde_json::from_str(text).unwrap_or_else(|_| Quarantine {
            plugin: digest.to_owned(),
            digest: digest.to_owned(),
            devices: Vec::new(),
            words: text.to_owned(),
            since: 0,
        })
    }))
}

/// Forgets the traps of the plugin with these bytes; gives the quarantine that it was in.
pub async fn release(index: &dyn KeyValue, digest: &str) -> Result<Option<Quarantine>, KvError> {
    let found = quarantine(index, digest).await?;
    for prefix in [QUARANTINE, TRAPS] {
        index.operate(KvRequest::Del { key: format!("{prefix}{digest}") }, steady()).await?;
    }
    Ok(found)
}

fn refused(quarantine: &Quarantine) -> Failure {
    let Quarantine { plugin, digest, devices, words, .. } = quarantine;
    let message = format!("plugin {plugin} is quarantined: it failed with {}; last: {words}", devices.join(", "));
    let hint = format!(
        "put a mended file into the plugins folder and start a new run; or, to try these bytes again, `packhorse plugin release {digest}`, then `packhorse resume`"
    );
    Failure::new("PH6007", Class::Operator, message).hint(hint)
}

fn store(error: &KvError) -> Failure {
    Failure::new("PH7002", Class::Transient, chain(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryKeyValue;

    const PLUGIN: Named<'_> = Named { digest: "aa", title: "bad 1.0.0" };

    #[tokio::test]
    async fn the_third_device_makes_a_quarantine_and_a_release_ends_it() {
        let index = MemoryKeyValue::default();
        for device in ["dev-1", "dev-2", "dev-1", "dev-2"] {
            remember(&index, PLUGIN, device, "it gave up").await.unwrap();
        }
        assert_eq!(quarantine(&index, "aa").await.unwrap(), None, "two devices, however often");
        remember(&index, PLUGIN, "dev-3", "it gave up").await.unwrap();
        let found = quarantine(&index, "aa").await.unwrap().unwrap();
        assert_eq!(found.devices.len(), 3);
        let failure = refused(&found);
        assert_eq!((failure.code.as_str(), failure.class), ("PH6007", Class::Operator));
        assert!(failure.hint.unwrap().contains("plugin release aa`"));
        assert_eq!(quarantine(&index, "bb").await.unwrap(), None, "other bytes are another plugin");
        assert!(release(&index, "aa").await.unwrap().is_some());
        assert_eq!(release(&index, "aa").await.unwrap(), None);
        remember(&index, PLUGIN, "dev-4", "it gave up").await.unwrap();
        assert_eq!(quarantine(&index, "aa").await.unwrap(), None, "the count begins anew");
    }

    #[tokio::test]
    async fn a_quarantine_that_cannot_be_read_is_one() {
        let index = MemoryKeyValue::default();
        let set = KvRequest::Set { key: format!("{QUARANTINE}aa"), value: "{\"v\":9}".to_owned(), expire: None };
        index.operate(set, steady()).await.unwrap();
        assert!(quarantine(&index, "aa").await.unwrap().is_some());
    }
}
