//! The topic on which devices tell whether they are there: one name of it, or one level of it that is the device's id.

use crate::registry::Pattern;
use crate::workflow::format;
use serde::Serialize;

/// The level that stands for the device.
const DEVICE: &str = "{device}";
/// Most levels.
const MAX_LEVELS: usize = 128;

/// A topic with `{device}` as one whole level, or without it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Topic(String);

impl Topic {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        format::topic(text).map_err(|why| why.replace(" that is published to", " of presence"))?;
        if text == "$share" || text.starts_with("$share/") {
            return Err("shared subscriptions are not supported".to_owned());
        }
        let levels: Vec<&str> = text.split('/').collect();
        if levels.len() > MAX_LEVELS {
            return Err(format!("a topic has {MAX_LEVELS} levels at the most"));
        }
        let named = levels.iter().filter(|level| **level == DEVICE).count();
        if named > 1 {
            return Err(format!("`{DEVICE}` stands in it {named} times; once is enough"));
        }
        if levels.iter().any(|level| *level != DEVICE && level.contains(['{', '}'])) {
            return Err(format!("braces can stand in it as one whole level `{DEVICE}` only"));
        }
        Ok(Self(text.to_owned()))
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it holds `{device}`; without it, it is the topic of the ids in whose entries it stands.
    pub fn names_device(&self) -> bool {
        self.0.split('/').any(|level| level == DEVICE)
    }

    /// What is subscribed to.
    pub fn filter(&self) -> String {
        let levels = self.0.split('/').map(|level| if level == DEVICE { "+" } else { level });
        levels.collect::<Vec<_>>().join("/")
    }

    /// The device that a topic names; nothing where this is not one of ours, or names what is no device id.
    pub fn device<'a>(&self, name: &'a str) -> Option<&'a str> {
        let (ours, theirs) = (self.0.split('/'), name.split('/'));
        if ours.clone().count() != theirs.clone().count() {
            return None;
        }
        let mut device = None;
        for (own, other) in ours.zip(theirs) {
            match own {
                DEVICE => device = Some(other),
                _ if own == other => {}
                _ => return None,
            }
        }
        device.filter(|id| Pattern::parse(id).is_ok_and(|pattern| pattern.is_exact()))
    }
}
