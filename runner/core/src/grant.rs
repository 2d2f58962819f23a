//! What a step plugin may ask of the outside: granted by the operator, judged before anything is done.

use crate::effect::{Effect, KvRequest};
use serde::{Deserialize, Serialize};

/// What one plugin was granted. Nothing, by default: no interface is there for it then.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants {
    /// MQTT topics.
    pub mqtt: Option<MqttGrant>,
    /// Keys.
    pub redis: Option<RedisGrant>,
    /// Groups of the file store.
    pub fastdfs: Option<FastdfsGrant>,
    /// Whether it may write to the log.
    pub log: bool,
    /// How much it may ask for in one attempt of a step.
    pub budget: CallBudget,
}

/// Topics, as MQTT filters in which `{device}` stands for the run's device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MqttGrant {
    /// Where it may publish.
    pub publish: Vec<String>,
    /// Where it may listen.
    pub receive: Vec<String>,
}

/// Beginnings of keys, in which `{device}` stands for the run's device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RedisGrant {
    /// A key must begin with one of them.
    pub prefixes: Vec<String>,
}

/// Groups of the file store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FastdfsGrant {
    /// Whose files it may store, read, append to and delete.
    pub groups: Vec<String>,
}

/// How much a plugin may ask for in one run of a workflow, over all of its attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallBudget {
    /// Calls, refused ones included.
    pub calls: u32,
    /// Bytes of payloads, values and files, both directions together.
    pub bytes: u64,
}

impl Default for CallBudget {
    fn default() -> Self {
        Self { calls: 1000, bytes: 1 << 20 }
    }
}

/// What a plugin has asked for in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Calls, refused ones included.
    pub calls: u32,
    /// Bytes, both directions together.
    pub bytes: u64,
}

impl Usage {
    /// What is written down, before more is used, by one who has used this: ahead of it, so that few calls wait for the store, and a
    /// process that dies has used no more than was written.
    #[must_use]
    pub fn ahead(self, budget: CallBudget) -> Self {
        let calls = self.calls.saturating_add(budget.calls / SHARES).min(budget.calls).max(self.calls);
        let bytes = self.bytes.saturating_add(budget.bytes / u64::from(SHARES)).min(budget.bytes).max(self.bytes);
        Self { calls, bytes }
    }

    /// Whether this is no more than that.
    #[must_use]
    pub const fn is_within(self, other: Self) -> bool {
        self.calls <= other.calls && self.bytes <= other.bytes
    }
}

/// So many times a budget is written down on the way through it.
const SHARES: u32 = 16;

/// A call that a step plugin was refused, as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedCall {
    /// Whose.
    pub plugin: String,
    /// What it wanted: `mqtt.publish other/topic`; control characters escaped, cut at 256 bytes.
    pub call: String,
    /// Why it was refused.
    pub why: String,
}

/// Most bytes of a refused call's words that are kept.
const WORDS: usize = 256;

impl RefusedCall {
    /// Words that come from a plugin are made harmless here.
    pub fn new(plugin: &str, call: &str, why: &str) -> Self {
        let short = |text: &str| {
            let escaped = text.escape_debug().to_string();
            escaped[..escaped.floor_char_boundary(WORDS)].to_owned()
        };
        Self { plugin: plugin.to_owned(), call: short(call), why: short(why) }
    }
}

impl Grants {
    /// Whether `effect` is within what was granted; otherwise why not. `device` is the run's.
    ///
    /// # Errors
    /// In words that name the setting, below `plugins.NAME.grants`.
    pub fn allows(&self, effect: &Effect, device: Option<&str>) -> Result<(), String> {
        match effect {
            Effect::Publish(request) => self.publishes(&request.topic, device),
            Effect::Request(request) => {
                self.publishes(&request.publish.topic, device)?;
                self.receives(&request.reply_topic, device)
            }
            Effect::Wait(request) => self.receives(&request.topic, device),
            Effect::Kv(request) => self.has_key(key(request), device),
            Effect::BlobPut { .. } => match self.groups() {
                [] => Err(not_in("the file store", "fastdfs.groups")),
                _ => Ok(()),
            },
            Effect::BlobAppend { uri, .. } | Effect::BlobRead { uri, .. } | Effect::BlobDelete { uri } => {
                self.has_group(uri)
            }
            Effect::Log { .. } if self.log => Ok(()),
            Effect::Log { .. } => Err(not_in("the log", "log")),
            Effect::Transfer(_)
            | Effect::Upload { .. }
            | Effect::Download { .. }
            | Effect::BlobInfo { .. }
            | Effect::Digest { .. }
            | Effect::PluginRun(_) => Err("no plugin may ask for that".to_owned()),
        }
    }

    /// Whether a file in the file store is in a group that was granted.
    ///
    /// # Errors
    /// As [`Grants::allows`].
    pub fn has_group(&self, uri: &str) -> Result<(), String> {
        let group = uri.strip_prefix("fastdfs:").and_then(|id| id.split_once('/')).map(|(group, _)| group);
        match group {
            Some(group) if self.groups().iter().any(|granted| granted == group) => Ok(()),
            Some(group) => Err(not_in(&format!("group {group}"), "fastdfs.groups")),
            None => Err("the uri is none of the file store: it begins with fastdfs:GROUP/".to_owned()),
        }
    }

    fn groups(&self) -> &[String] {
        self.fastdfs.as_ref().map_or(&[], |grant| &grant.groups)
    }

    fn publishes(&self, topic: &str, device: Option<&str>) -> Result<(), String> {
        let filters = self.mqtt.as_ref().map_or(&[][..], |grant| &grant.publish);
        covered(filters, topic, device, "mqtt.publish")
    }

    fn receives(&self, topic: &str, device: Option<&str>) -> Result<(), String> {
        let filters = self.mqtt.as_ref().map_or(&[][..], |grant| &grant.receive);
        covered(filters, topic, device, "mqtt.receive")
    }

    fn has_key(&self, key: &str, device: Option<&str>) -> Result<(), String> {
        if key.chars().any(char::is_control) {
            // The program's own keys, which may lie in the same store, begin with one.
            return Err("a key holds a control character".to_owned());
        }
        let prefixes = self.redis.iter().flat_map(|grant| &grant.prefixes);
        let mut prefixes = prefixes.filter_map(|prefix| filled(prefix, device));
        if prefixes.any(|prefix| key.starts_with(&prefix)) { Ok(()) } else { Err(not_in("the key", "redis.prefixes")) }
    }
}

fn not_in(what: &str, setting: &str) -> String {
    format!("{what} is not within `{setting}` of its grants")
}

fn covered(filters: &[String], topic: &str, device: Option<&str>, setting: &str) -> Result<(), String> {
    crate::workflow::format::topic(topic)?;
    if filters.iter().filter_map(|filter| filled(filter, device)).any(|filter| covers(&filter, topic)) {
        return Ok(());
    }
    Err(not_in("the topic", setting))
}

/// With the run's device; nothing where the run has none, or one that would be more than a part of a level.
fn filled(pattern: &str, device: Option<&str>) -> Option<String> {
    if !pattern.contains("{device}") {
        return Some(pattern.to_owned());
    }
    let device = device.filter(|device| !device.is_empty() && !device.contains(['/', '+', '#', '{', '}']))?;
    Some(pattern.replace("{device}", device))
}

/// Whether an MQTT filter covers a topic (MQTT 5, section 4.7): no wildcard at the beginning covers a topic that begins with `$`.
fn covers(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && !filter.starts_with('$') {
        return false;
    }
    let mut levels = topic.split('/');
    for part in filter.split('/') {
        match (part, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (part, Some(level)) if part == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// What is wrong with a topic filter of a grant.
///
/// # Errors
/// In words, without the filter.
pub fn check_filter(filter: &str) -> Result<(), String> {
    if filter.is_empty() || filter.len() > 1024 || filter.chars().any(char::is_control) {
        return Err("a topic filter has 1 to 1024 bytes and no control characters".to_owned());
    }
    let levels: Vec<&str> = filter.split('/').collect();
    let wild = |level: &&str| level.contains(['+', '#']);
    if levels.iter().filter(|level| wild(level)).any(|level| level.len() > 1) {
        return Err("a wildcard stands for a whole level".to_owned());
    }
    if levels.iter().rev().skip(1).any(|level| *level == "#") {
        return Err("`#` stands at the end".to_owned());
    }
    if filter.replace("{device}", "").contains(['{', '}']) {
        return Err("the only name in braces is {device}".to_owned());
    }
    Ok(())
}

fn key(request: &KvRequest) -> &str {
    match request {
        KvRequest::Get { key }
        | KvRequest::Set { key, .. }
        | KvRequest::Del { key }
        | KvRequest::Incr { key, .. }
        | KvRequest::Hset { key, .. }
        | KvRequest::Hget { key, .. }
        | KvRequest::Hgetall { key }
        | KvRequest::Hdel { key, .. }
        | KvRequest::Expire { key, .. }
        | KvRequest::Xadd { key, .. } => key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::{LogLevel, PublishRequest, WaitRequest};
    use crate::transfer::Qos;
    use std::collections::BTreeMap;
    use std::time::Duration;

    fn publish(topic: &str) -> Effect {
        Effect::Publish(PublishRequest {
            topic: topic.to_owned(),
            payload: Vec::new(),
            qos: Qos::AtLeastOnce,
            retain: false,
        })
    }

    fn wait(topic: &str) -> Effect {
        Effect::Wait(WaitRequest { topic: topic.to_owned(), wait: Duration::from_secs(1) })
    }

    fn granted() -> Grants {
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Grants {
            mqtt: Some(MqttGrant {
                publish: list(&["auth/{device}/+", "$own/a"]),
                receive: list(&["auth/{device}/#"]),
            }),
            redis: Some(RedisGrant { prefixes: list(&["session:{device}:", "shared:"]) }),
            fastdfs: Some(FastdfsGrant { groups: list(&["group1"]) }),
            log: false,
            budget: CallBudget::default(),
        }
    }

    #[test]
    fn a_topic_is_within_its_filter_or_refused() {
        let grants = granted();
        let allows = |effect: &Effect| grants.allows(effect, Some("dev-1")).is_ok();
        for good in ["auth/dev-1/hello", "auth/dev-1/", "$own/a"] {
            assert!(allows(&publish(good)), "{good}");
        }
        let bad = ["auth/dev-2/hello", "auth/dev-1", "auth/dev-1/a/b", "auth/+/a", "auth/dev-1/#", "$SYS/a", "", "x\0"];
        for bad in bad {
            assert!(!allows(&publish(bad)), "{bad:?}");
        }
        assert!(allows(&wait("auth/dev-1")) && allows(&wait("auth/dev-1/a/b")) && !allows(&wait("auth")));
    }

    #[test]
    fn a_pattern_with_the_device_grants_nothing_without_one() {
        let grants = granted();
        for device in [None, Some(""), Some("+"), Some("a/b"), Some("#")] {
            assert!(grants.allows(&publish("auth//hello"), device).is_err(), "{device:?}");
            assert!(grants.allows(&publish("auth/+/hello"), device).is_err(), "{device:?}");
            assert!(grants.allows(&publish("auth/a/b"), device).is_err(), "{device:?}");
        }
    }

    #[test]
    fn keys_groups_and_the_log_are_judged() {
        let grants = granted();
        let get = |key: &str| Effect::Kv(KvRequest::Get { key: key.to_owned() });
        let allows = |effect: Effect| grants.allows(&effect, Some("dev-1")).is_ok();
        assert!(allows(get("session:dev-1:key")) && allows(get("shared:")));
        assert!(!allows(get("session:dev-2:key")) && !allows(get("other")) && !allows(get("shared:\u{1}")));
        let delete = |uri: &str| Effect::BlobDelete { uri: uri.to_owned() };
        assert!(allows(delete("fastdfs:group1/M00/00/00/x")));
        for bad in ["fastdfs:group2/M00/x", "fastdfs:group1", "packets:fastdfs:group1/x", "file:/etc/passwd", ""] {
            assert!(!allows(delete(bad)), "{bad}");
        }
        assert!(!allows(Effect::Log { level: LogLevel::Info, message: String::new(), fields: BTreeMap::new() }));
        assert!(!allows(Effect::BlobInfo { uri: "fastdfs:group1/M00/x".to_owned() }));
    }

    #[test]
    fn filters_of_grants_are_checked() {
        for good in ["a", "+", "#", "a/+/b", "a/#", "{device}/x", "a-{device}/#"] {
            assert_eq!(check_filter(good), Ok(()), "{good}");
        }
        for bad in ["", "a+", "#/a", "a/#/b", "a/b#", "{devise}/x", "a\n"] {
            assert!(check_filter(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn words_of_a_plugin_are_escaped_and_cut() {
        let refused = RefusedCall::new("p", "mqtt.publish a\u{1b}[2J\n", &"ä".repeat(400));
        assert_eq!(refused.call, "mqtt.publish a\\u{1b}[2J\\n");
        assert!(refused.why.len() <= WORDS && refused.why.chars().all(|letter| letter == 'ä'));
    }
}
