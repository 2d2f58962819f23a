//! What is edited under a running process: which content of each name counts after another look at the folder.
//!
//! The last good content of a name stays live until a later good one takes its place or its file is gone. Bad content is told once,
//! and told again only when it is other content or bad for another reason.

use crate::failure::Failure;
use crate::run::WallTime;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What lies under one name now.
#[derive(Debug)]
pub enum Seen<T> {
    /// A content that was judged.
    Content {
        /// SHA-256 of the bytes in hex; empty where they could not be read.
        digest: String,
        /// What it is, or why it is nothing.
        verdict: Result<Arc<T>, Failure>,
    },
    /// It is being written, or not judged yet: nothing changes for this name.
    Unsettled,
}

/// The content that counts.
#[derive(Debug)]
pub struct Live<T> {
    /// SHA-256 of its bytes in hex.
    pub digest: String,
    /// What it is.
    pub value: Arc<T>,
    /// Since when it counts.
    pub since: WallTime,
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self { digest: self.digest.clone(), value: Arc::clone(&self.value), since: self.since }
    }
}

/// The newest content, where it does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// SHA-256 of its bytes in hex; empty where they could not be read.
    pub digest: String,
    /// Why.
    pub failure: Failure,
    /// Since when.
    pub since: WallTime,
}

/// One name.
#[derive(Debug)]
pub struct Entry<T> {
    /// What counts; absent where no content was good yet.
    pub live: Option<Live<T>>,
    /// Why the newest content does not count. With `live`, that one is stale.
    pub refused: Option<Refused>,
}

impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        Self { live: self.live.clone(), refused: self.refused.clone() }
    }
}

impl<T> Entry<T> {
    /// Whether something older than the newest content counts.
    pub const fn is_stale(&self) -> bool {
        self.live.is_some() && self.refused.is_some()
    }
}

/// What a look changed; for logs, events and whoever asked for it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A new name.
    Added,
    /// Another content counts.
    Replaced,
    /// The content that counts is the newest one again.
    Healed,
    /// The name is gone: no new runs of it.
    Removed,
    /// Bad content that was not told yet.
    Refused {
        /// Why.
        failure: Failure,
        /// Whether an earlier content goes on to count.
        kept: bool,
    },
}

/// Everything of one kind, by name. Immutable: [`Catalog::next`] makes the next one.
#[derive(Debug)]
pub struct Catalog<T> {
    entries: BTreeMap<String, Entry<T>>,
}

impl<T> Default for Catalog<T> {
    fn default() -> Self {
        Self { entries: BTreeMap::new() }
    }
}

impl<T> Clone for Catalog<T> {
    fn clone(&self) -> Self {
        Self { entries: self.entries.clone() }
    }
}

impl<T> Catalog<T> {
    /// The content that counts under a name.
    pub fn live(&self, name: &str) -> Option<&Live<T>> {
        self.entries.get(name)?.live.as_ref()
    }

    /// One name.
    pub fn entry(&self, name: &str) -> Option<&Entry<T>> {
        self.entries.get(name)
    }

    /// All names, in their order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&str, &Entry<T>)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// Names of which some content counts.
    pub fn live_count(&self) -> usize {
        self.entries.values().filter(|entry| entry.live.is_some()).count()
    }

    /// Names of which something older than the newest content counts, or nothing.
    pub fn refused(&self) -> usize {
        self.entries.values().filter(|entry| entry.refused.is_some()).count()
    }

    /// What counts after `seen`, which holds every name that is there; and what changed.
    #[must_use]
    pub fn next(&self, seen: BTreeMap<String, Seen<T>>, now: WallTime) -> (Self, Vec<(String, Change)>) {
        let mut changes: Vec<(String, Change)> = Vec::new();
        // Also what never counted: it would be shown as bad for ever.
        for name in self.entries.keys().filter(|name| !seen.contains_key(*name)) {
            changes.push((name.clone(), Change::Removed));
        }
        let mut entries = BTreeMap::new();
        for (name, seen) in seen {
            let before = self.entries.get(&name);
            let Some((entry, change)) = step(before, seen, now) else { continue };
            changes.extend(change.map(|change| (name.clone(), change)));
            entries.insert(name, entry);
        }
        (Self { entries }, changes)
    }
}

fn step<T>(before: Option<&Entry<T>>, seen: Seen<T>, now: WallTime) -> Option<(Entry<T>, Option<Change>)> {
    match seen {
        Seen::Unsettled => before.cloned().map(|entry| (entry, None)),
        Seen::Content { digest, verdict: Ok(value) } => Some(good(before, digest, value, now)),
        Seen::Content { digest, verdict: Err(failure) } => Some(bad(before, digest, failure, now)),
    }
}

fn good<T>(before: Option<&Entry<T>>, digest: String, value: Arc<T>, now: WallTime) -> (Entry<T>, Option<Change>) {
    let live = before.and_then(|entry| entry.live.as_ref());
    let same = live.is_some_and(|live| live.digest == digest);
    let change = match (live, same) {
        (None, _) => Some(Change::Added),
        (Some(_), false) => Some(Change::Replaced),
        (Some(_), true) => before.is_some_and(|entry| entry.refused.is_some()).then_some(Change::Healed),
    };
    let live = match live {
        Some(live) if same => live.clone(),
        _ => Live { digest, value, since: now },
    };
    (Entry { live: Some(live), refused: None }, change)
}

fn bad<T>(before: Option<&Entry<T>>, digest: String, failure: Failure, now: WallTime) -> (Entry<T>, Option<Change>) {
    let live = before.and_then(|entry| entry.live.clone());
    let told = before.and_then(|entry| entry.refused.as_ref());
    let told = told.filter(|told| told.digest == digest && told.failure.code == failure.code);
    let change = told.is_none().then(|| Change::Refused { failure: failure.clone(), kept: live.is_some() });
    let since = told.map_or(now, |told| told.since);
    (Entry { live, refused: Some(Refused { digest, failure, since }) }, change)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Class;

    type Told = Vec<(String, Change)>;

    fn at(ms: u64) -> WallTime {
        WallTime(ms)
    }

    fn fine(digest: &str) -> Seen<String> {
        Seen::Content { digest: digest.into(), verdict: Ok(Arc::new(digest.to_owned())) }
    }

    fn broken(digest: &str) -> Seen<String> {
        Seen::Content { digest: digest.into(), verdict: Err(Failure::new("PH2001", Class::Permanent, "no")) }
    }

    fn look(catalog: &mut Catalog<String>, seen: Option<Seen<String>>, ms: u64) -> Told {
        let seen = seen.map(|seen| ("a".to_owned(), seen)).into_iter().collect();
        let (next, changes) = catalog.next(seen, at(ms));
        *catalog = next;
        changes
    }

    fn change(changes: &Told) -> Option<&Change> {
        assert!(changes.len() <= 1, "{changes:?}");
        changes.first().map(|(_, change)| change)
    }

    #[test]
    fn the_last_good_content_stays_and_a_good_one_heals() {
        let mut catalog = Catalog::default();
        assert_eq!(change(&look(&mut catalog, Some(fine("1")), 1)), Some(&Change::Added));
        assert_eq!(change(&look(&mut catalog, Some(fine("1")), 2)), None, "the same content is no news");
        let told = look(&mut catalog, Some(broken("2")), 3);
        assert!(matches!(change(&told), Some(Change::Refused { kept: true, .. })), "{told:?}");
        assert_eq!(change(&look(&mut catalog, Some(broken("2")), 4)), None, "told once per content");
        let entry = catalog.entry("a").unwrap();
        assert_eq!(entry.live.as_ref().map(|live| (live.digest.as_str(), live.since)), Some(("1", at(1))));
        assert_eq!(entry.refused.as_ref().map(|refused| refused.since), Some(at(3)));
        assert!(entry.is_stale() && catalog.refused() == 1);
        assert!(look(&mut catalog, Some(broken("3")), 5).len() == 1, "other bad content is told");
        assert_eq!(change(&look(&mut catalog, Some(fine("1")), 6)), Some(&Change::Healed));
        assert_eq!(catalog.live("a").map(|live| live.since), Some(at(1)), "it counted all the time");
        assert_eq!(change(&look(&mut catalog, Some(fine("4")), 7)), Some(&Change::Replaced));
        assert_eq!((catalog.refused(), catalog.live("a").unwrap().value.as_str()), (0, "4"));
    }

    #[test]
    fn what_is_gone_is_gone_and_what_is_being_written_is_not() {
        let mut catalog = Catalog::default();
        look(&mut catalog, Some(fine("1")), 1);
        assert_eq!(change(&look(&mut catalog, Some(Seen::Unsettled), 2)), None);
        assert!(catalog.live("a").is_some());
        assert_eq!(change(&look(&mut catalog, None, 3)), Some(&Change::Removed));
        assert!(catalog.entry("a").is_none());
        assert_eq!(change(&look(&mut catalog, Some(Seen::Unsettled), 4)), None);
        assert!(catalog.entry("a").is_none(), "nothing is known of it yet");
    }

    #[test]
    fn bad_content_from_the_start_is_told_and_nothing_counts() {
        let mut catalog = Catalog::default();
        let told = look(&mut catalog, Some(broken("1")), 1);
        assert!(matches!(change(&told), Some(Change::Refused { kept: false, .. })), "{told:?}");
        assert!(catalog.live("a").is_none() && !catalog.entry("a").unwrap().is_stale());
        assert_eq!(change(&look(&mut catalog, None, 2)), Some(&Change::Removed), "it is shown no more");
        assert!(catalog.entry("a").is_none() && catalog.refused() == 0);
        assert_eq!(change(&look(&mut catalog, Some(fine("2")), 3)), Some(&Change::Added));
    }
}
