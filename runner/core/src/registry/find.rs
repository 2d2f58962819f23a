//! All files together: which entry a device has, and which new files fit beside the others.

use super::{Devices, Entry};
use crate::presence::{Rule, Topic};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// An entry and the file in which it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Name of the file, without extension.
    pub file: String,
    /// The entry.
    pub entry: Arc<Entry>,
}

/// Every entry that counts.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    exact: HashMap<String, Placed>,
    /// The nearest first.
    globs: Vec<Placed>,
    /// Topics of presence, each once, with the ids in whose entries those stand that name no device.
    statuses: BTreeMap<Topic, BTreeSet<String>>,
}

impl Registry {
    /// Of files, by name, among which there is no [`Clash`].
    pub fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a Devices)>) -> Self {
        let mut registry = Self::default();
        for (file, devices) in files {
            for entry in &devices.entries {
                let placed = Placed { file: file.to_owned(), entry: Arc::clone(entry) };
                if let Some(rule) = &entry.presence {
                    let ids = registry.statuses.entry(rule.topic.clone()).or_default();
                    ids.extend((!rule.topic.names_device()).then(|| entry.pattern.as_str().to_owned()));
                }
                if entry.pattern.is_exact() {
                    registry.exact.insert(entry.pattern.as_str().to_owned(), placed);
                } else {
                    registry.globs.push(placed);
                }
            }
        }
        registry.globs.sort_by_key(|placed| Reverse(placed.entry.pattern.nearness()));
        registry
    }

    /// The entry of a device: the nearest that means it.
    pub fn find(&self, id: &str) -> Option<&Placed> {
        self.exact.get(id).or_else(|| self.globs.iter().find(|placed| placed.entry.pattern.matches(id)))
    }

    /// Topics on which devices tell whether they are there, each once.
    pub fn statuses(&self) -> impl Iterator<Item = &Topic> {
        self.statuses.keys()
    }

    /// How a device tells whether it is there.
    pub fn rule(&self, id: &str) -> Option<&Arc<Rule>> {
        self.find(id)?.entry.presence.as_ref()
    }

    /// Whom a message named `name`, which came to a topic of [`Registry::statuses`], is of, with the rule that judges it: devices whose own
    /// entry names that topic.
    pub fn told_by(&self, topic: &Topic, name: &str) -> Vec<(String, Arc<Rule>)> {
        let ids: Vec<&str> = if topic.names_device() {
            topic.device(name).into_iter().collect()
        } else {
            let ids = self.statuses.get(topic).filter(|_| topic.as_str() == name);
            ids.into_iter().flatten().map(String::as_str).collect()
        };
        let told = ids.into_iter().filter_map(|id| Some((id.to_owned(), Arc::clone(self.rule(id)?))));
        told.filter(|(_, rule)| rule.topic == *topic).collect()
    }

    /// Every entry: ids in their order, then globs, the nearest first.
    pub fn all(&self) -> Vec<&Placed> {
        let mut all: Vec<&Placed> = self.exact.values().collect();
        all.sort_by(|a, b| a.entry.pattern.cmp(&b.entry.pattern));
        all.extend(&self.globs);
        all
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.exact.len() + self.globs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Two entries of which neither is nearer, for a device that both mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// The one that is refused.
    pub own: Arc<Entry>,
    /// Name of the other one's file, without extension.
    pub file: String,
    /// The other one.
    pub other: Arc<Entry>,
}

/// Whether neither of two entries is nearer for some device.
pub(super) fn tied(one: &Entry, two: &Entry) -> bool {
    let (one, two) = (&one.pattern, &two.pattern);
    if one.is_exact() || two.is_exact() { one == two } else { one.nearness() == two.nearness() && one.meets(two) }
}

/// Which of the files that are `new` clash with one of those that count, and with which entry. Whoever was there first stays: a
/// new file must fit beside what goes on to count. Files that fit together and only together are taken together.
pub fn clashes(
    counting: &BTreeMap<String, Arc<Devices>>,
    new: &BTreeMap<String, Arc<Devices>>,
) -> BTreeMap<String, Clash> {
    let mut together = counting.clone();
    together.extend(new.iter().map(|(name, devices)| (name.clone(), Arc::clone(devices))));
    if new.iter().all(|(name, devices)| clash(name, devices, &together).is_none()) {
        return BTreeMap::new();
    }
    let (mut taken, mut open) = (counting.clone(), new.clone());
    loop {
        let mut refused = BTreeMap::new();
        for (name, devices) in &open {
            match clash(name, devices, &taken) {
                Some(clash) => drop(refused.insert(name.clone(), clash)),
                None => drop(taken.insert(name.clone(), Arc::clone(devices))),
            }
        }
        if refused.is_empty() || refused.len() == open.len() {
            return refused;
        }
        open.retain(|name, _| refused.contains_key(name));
    }
}

fn clash(name: &str, devices: &Devices, among: &BTreeMap<String, Arc<Devices>>) -> Option<Clash> {
    let others = among.iter().filter(|(other, _)| *other != name);
    for (file, other) in others {
        // Ids are looked up, so that only globs are compared one by one.
        let ids: HashMap<&str, &Arc<Entry>> =
            other.entries.iter().map(|entry| (entry.pattern.as_str(), entry)).collect();
        for own in &devices.entries {
            let tie = if own.pattern.is_exact() {
                ids.get(own.pattern.as_str()).copied()
            } else {
                other.entries.iter().find(|entry| tied(own, entry))
            };
            if let Some(other) = tie {
                return Some(Clash { own: Arc::clone(own), file: file.clone(), other: Arc::clone(other) });
            }
        }
    }
    None
}

impl std::fmt::Display for Clash {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { own, file, other } = self;
        let (own, line) = (&own.pattern, own.line);
        write!(
            formatter,
            "`{own}` in line {line} and `{}` of file {file}, line {}, can mean the same device, and neither is nearer",
            other.pattern, other.line
        )
    }
}
