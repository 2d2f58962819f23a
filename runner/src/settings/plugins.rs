//! Where plugins lie, how much each may use, and what step plugins are granted: `plugins:` and `plugins_dir:` of `packhorse.yaml`.

use packhorse_core::grant::{CallBudget, FastdfsGrant, Grants, MqttGrant, RedisGrant, check_filter};
use packhorse_core::profile::{Profile, Profiles};
use packhorse_core::workflow::units;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Most bytes of one run that can be granted.
const MOST_BYTES: u64 = 1 << 30;

/// Both keys, read.
#[derive(Debug, Default, PartialEq)]
pub(super) struct PluginsFile {
    pub(super) folder: Option<PathBuf>,
    pub(super) grants: BTreeMap<String, Grants>,
    pub(super) profiles: Profiles,
    pub(super) downgrades: BTreeSet<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PluginFile {
    #[serde(default)]
    grants: GrantsFile,
    #[serde(default)]
    profile: Profile,
    #[serde(default)]
    allow_downgrade: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantsFile {
    mqtt: Option<MqttFile>,
    redis: Option<RedisFile>,
    fastdfs: Option<FastdfsFile>,
    #[serde(default)]
    log: bool,
    calls: Option<u32>,
    bytes: Option<serde_yaml::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MqttFile {
    #[serde(default)]
    publish: Vec<String>,
    #[serde(default)]
    receive: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RedisFile {
    prefixes: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FastdfsFile {
    groups: Vec<String>,
}

impl PluginsFile {
    /// `plugins` is a folder, or a map of plugins by name; beside a map, `plugins_dir` is the folder.
    pub(super) fn read(plugins: Option<serde_yaml::Value>, folder: Option<PathBuf>) -> Result<Self, String> {
        match (plugins, folder) {
            (Some(serde_yaml::Value::String(_)), Some(_)) => {
                Err("plugins, plugins_dir: both name the plugins folder; leave one out".to_owned())
            }
            (Some(serde_yaml::Value::String(path)), None) => Ok(Self { folder: Some(path.into()), ..Self::default() }),
            (None | Some(serde_yaml::Value::Null), folder) => Ok(Self { folder, ..Self::default() }),
            (Some(map), folder) => {
                let read: BTreeMap<String, PluginFile> =
                    serde_yaml::from_value(map).map_err(|error| format!("plugins: {error}"))?;
                let named = read.iter().map(|(name, plugin)| (name.clone(), plugin.profile)).collect();
                let back = read.iter().filter(|(_, plugin)| plugin.allow_downgrade);
                let downgrades = back.map(|(name, _)| name.clone()).collect();
                let profiles = Profiles { named, ..Profiles::default() };
                let grants = read.into_iter().map(|(name, plugin)| {
                    let granted = granted(plugin.grants).map_err(|why| format!("plugins.{name}.grants.{why}"))?;
                    Ok((name, granted))
                });
                Ok(Self { folder, grants: grants.collect::<Result<_, String>>()?, profiles, downgrades })
            }
        }
    }
}

fn granted(file: GrantsFile) -> Result<Grants, String> {
    let standard = CallBudget::default();
    let bytes = match file.bytes {
        None => standard.bytes,
        Some(value) => size(&value).ok_or_else(|| "bytes: expected a size such as 64KiB, at most 1GiB".to_owned())?,
    };
    let mqtt = file.mqtt.map(|mqtt| -> Result<MqttGrant, String> {
        filters("mqtt.publish", &mqtt.publish)?;
        filters("mqtt.receive", &mqtt.receive)?;
        Ok(MqttGrant { publish: mqtt.publish, receive: mqtt.receive })
    });
    let redis = file.redis.map(|redis| {
        let wrong = |prefix: &&String| prefix.is_empty() || prefix.chars().any(char::is_control);
        match redis.prefixes.iter().find(wrong) {
            Some(prefix) => Err(format!("redis.prefixes: {prefix:?} is empty or holds a control character")),
            None => Ok(RedisGrant { prefixes: redis.prefixes }),
        }
    });
    let fastdfs = file.fastdfs.map(|fastdfs| {
        let fits = |group: &&String| (1..=16).contains(&group.len()) && !group.contains(['/', ':']);
        match fastdfs.groups.iter().find(|group| !fits(group)) {
            Some(group) => Err(format!("fastdfs.groups: {group:?} is the name of no group")),
            None => Ok(FastdfsGrant { groups: fastdfs.groups }),
        }
    });
    Ok(Grants {
        mqtt: mqtt.transpose()?,
        redis: redis.transpose()?,
        fastdfs: fastdfs.transpose()?,
        log: file.log,
        budget: CallBudget { calls: file.calls.unwrap_or(standard.calls), bytes },
    })
}

fn filters(setting: &str, filters: &[String]) -> Result<(), String> {
    filters.iter().try_for_each(|filter| check_filter(filter).map_err(|why| format!("{setting}: {filter:?}: {why}")))
}

fn size(value: &serde_yaml::Value) -> Option<u64> {
    let bytes = match value {
        serde_yaml::Value::String(text) => units::size(text).ok().and_then(|bytes| u64::try_from(bytes).ok()),
        other => other.as_u64(),
    };
    bytes.filter(|bytes| *bytes <= MOST_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<PluginsFile, String> {
        PluginsFile::read(Some(serde_yaml::from_str(text).unwrap()), None)
    }

    #[test]
    fn a_folder_or_a_map_of_grants() {
        assert_eq!(read("vendor/plugins").unwrap().folder, Some("vendor/plugins".into()));
        let text = "handshake: { grants: { mqtt: { publish: ['a/{device}/#'], receive: [b] }, redis: { prefixes: ['s:'] }, fastdfs: { groups: [group1] }, log: true, calls: 5, bytes: 2KiB } }\nother: {}";
        let read = read(text).unwrap();
        let granted = &read.grants["handshake"];
        assert_eq!(granted.mqtt.as_ref().unwrap().publish, ["a/{device}/#"]);
        assert_eq!(granted.budget, CallBudget { calls: 5, bytes: 2048 });
        assert!(granted.log && granted.fastdfs.is_some() && granted.redis.is_some());
        assert_eq!(read.grants["other"], Grants::default());
    }

    #[test]
    fn a_profile_is_granted_by_name() {
        let read = read("json-py: { profile: large }\nacme: { profile: standard }\nother: {}").unwrap();
        let large = ["json-py", "json-py@0.1.0", "acme", "other", "nobody"].map(|name| read.profiles.of(name));
        assert_eq!(large.map(|profile| profile == Profile::Large), [true, true, false, false, false]);
    }

    #[test]
    fn a_plugin_may_go_back_where_it_is_said() {
        let downgrades = read("acme: { allow_downgrade: true }\nother: { allow_downgrade: false }").unwrap().downgrades;
        assert_eq!(downgrades.into_iter().collect::<Vec<_>>(), ["acme"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let table = [
            ("h: { grants: { mqtt: { publish: ['a/#/b'] } } }", "plugins.h.grants.mqtt.publish"),
            ("h: { grants: { mqtt: { listen: [a] } } }", "listen"),
            ("h: { grants: { redis: { prefixes: [''] } } }", "redis.prefixes"),
            ("h: { grants: { fastdfs: { groups: ['a/b'] } } }", "fastdfs.groups"),
            ("h: { grants: { bytes: 2TiB } }", "plugins.h.grants.bytes"),
            ("h: { grant: {} }", "grant"),
            ("h: { profile: huge }", "huge"),
            ("[a]", "plugins"),
        ];
        for (text, words) in table {
            let error = read(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
        assert!(PluginsFile::read(Some("a".into()), Some("b".into())).is_err());
    }
}
