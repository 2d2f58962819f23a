//! How much of the machine a plugin may use: granted by the operator, by the plugin's name.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a plugin may use. What that is in bytes and seconds is for its host to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// What a translation of packets needs.
    #[default]
    Standard,
    /// For languages that bring an interpreter along.
    Large,
}

/// Which plugin has which profile.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Profiles {
    /// By name.
    pub named: BTreeMap<String, Profile>,
    /// Of all others.
    pub others: Profile,
}

impl Profiles {
    /// Of the plugin that `name` names; a version behind `@` says nothing.
    pub fn of(&self, name: &str) -> Profile {
        let name = name.split('@').next().unwrap_or_default();
        self.named.get(name).copied().unwrap_or(self.others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_has_the_profile_of_its_name() {
        let profiles = Profiles { named: [("acme".to_owned(), Profile::Large)].into(), ..Profiles::default() };
        assert_eq!(profiles.of("acme@1.2.0"), Profile::Large);
        assert_eq!(profiles.of("acme-2"), Profile::Standard);
        assert_eq!(Profiles { others: Profile::Large, ..Profiles::default() }.of("x"), Profile::Large);
    }
}
