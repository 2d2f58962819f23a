//! Which subscriptions a topic goes to: exact filters by hash map, filters with wildcards by a tree of levels.

use std::collections::HashMap;
use std::sync::Arc;

use super::subscription::Inlet;
use super::{Delivery, Message, Qos, Receipt, topic};

/// Where one filter of one subscription leads.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The subscription, to tell its targets from others'.
    pub(super) subscription: u64,
    /// Index of the filter within the subscription.
    pub(super) filter: usize,
    /// The highest QoS that this holder asked for.
    pub(super) qos: Qos,
    pub(super) inlet: Inlet,
}

/// All targets by filter.
#[derive(Debug, Default)]
pub(super) struct Routes {
    exact: HashMap<Arc<str>, Vec<Target>>,
    wild: Level,
}

#[derive(Debug, Default)]
struct Level {
    children: HashMap<Box<str>, Self>,
    plus: Option<Box<Self>>,
    here: Vec<Target>,
    below: Vec<Target>,
}

impl Routes {
    /// Adds a target under a valid filter.
    pub(super) fn insert(&mut self, filter: &Arc<str>, target: Target) {
        if topic::has_wildcard(filter) {
            self.wild.insert(filter.split('/'), target);
        } else {
            self.exact.entry(filter.clone()).or_default().push(target);
        }
    }

    /// Removes what one subscription has under a filter.
    pub(super) fn remove(&mut self, filter: &str, subscription: u64) {
        if topic::has_wildcard(filter) {
            self.wild.remove(filter.split('/'), subscription);
        } else if let Some(targets) = self.exact.get_mut(filter) {
            targets.retain(|target| target.subscription != subscription);
            if targets.is_empty() {
                self.exact.remove(filter);
            }
        }
    }

    /// Removes everything, which ends the subscriptions.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Hands a message to each subscription with a filter that matches, once each. `make` gets the topic, shared with the
    /// filter where they are the same, and is given back when nobody listens.
    pub(super) fn deliver<F>(&self, topic: &str, receipt: Option<&Receipt>, make: F) -> Result<(), F>
    where
        F: FnOnce(Arc<str>) -> Message,
    {
        let exact = self.exact.get_key_value(topic);
        if self.wild.is_empty() {
            let Some((name, targets)) = exact else { return Err(make) };
            send(targets.iter(), receipt, make(name.clone()));
            return Ok(());
        }
        let mut targets = Vec::new();
        self.wild.collect(topic.split('/'), topic.starts_with('$'), &mut targets);
        targets.extend(exact.iter().flat_map(|(_, targets)| *targets));
        if targets.is_empty() {
            return Err(make);
        }
        let name = exact.map_or_else(|| Arc::from(topic), |(name, _)| name.clone());
        send(targets.into_iter(), receipt, make(name));
        Ok(())
    }
}

fn send<'a>(mut targets: impl ExactSizeIterator<Item = &'a Target>, receipt: Option<&Receipt>, message: Message) {
    if targets.len() == 1
        && let Some(only) = targets.next()
    {
        return only.offer(message, receipt);
    }
    let mut targets: Vec<_> = targets.collect();
    targets.sort_unstable_by_key(|target| (target.subscription, target.filter));
    targets.dedup_by_key(|target| target.subscription);
    let Some((last, others)) = targets.split_last() else { return };
    for target in others {
        target.offer(message.clone(), receipt);
    }
    last.offer(message, receipt);
}

impl Target {
    fn offer(&self, mut message: Message, receipt: Option<&Receipt>) {
        message.qos = message.qos.min(self.qos);
        self.inlet.offer(Delivery { filter: self.filter, message, receipt: receipt.cloned() });
    }
}

impl Level {
    fn insert<'a>(&mut self, mut levels: impl Iterator<Item = &'a str>, target: Target) {
        let mut at = self;
        loop {
            at = match levels.next() {
                None => return at.here.push(target),
                Some("#") => return at.below.push(target),
                Some("+") => &mut **at.plus.get_or_insert_default(),
                Some(name) => at.children.entry(name.into()).or_default(),
            };
        }
    }

    fn remove<'a>(&mut self, mut levels: impl Iterator<Item = &'a str>, subscription: u64) {
        match levels.next() {
            None => self.here.retain(|target| target.subscription != subscription),
            Some("#") => self.below.retain(|target| target.subscription != subscription),
            Some("+") => {
                if let Some(plus) = &mut self.plus {
                    plus.remove(levels, subscription);
                    self.plus.take_if(|plus| plus.is_empty());
                }
            }
            Some(name) => {
                if let Some(child) = self.children.get_mut(name) {
                    child.remove(levels, subscription);
                    if child.is_empty() {
                        self.children.remove(name);
                    }
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.plus.is_none() && self.here.is_empty() && self.below.is_empty()
    }

    /// `hidden` at the first level of a `$` topic, which wildcards do not see.
    fn collect<'a>(&'a self, mut levels: std::str::Split<'_, char>, hidden: bool, found: &mut Vec<&'a Target>) {
        if !hidden {
            found.extend(&self.below);
        }
        let Some(name) = levels.next() else {
            found.extend(&self.here);
            return;
        };
        if let Some(child) = self.children.get(name) {
            child.collect(levels.clone(), false, found);
        }
        if let (Some(plus), false) = (&self.plus, hidden) {
            plus.collect(levels, false, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::subscription;
    use super::*;

    fn target(subscription: u64, filter: usize, inlet: Inlet) -> Target {
        Target { subscription, filter, qos: Qos::AtLeastOnce, inlet }
    }

    fn filters() -> impl Strategy<Value = Vec<String>> {
        let valid = "[ab+#/$]{1,6}".prop_filter("valid", |filter| topic::check_filter(filter).is_ok());
        prop::collection::vec(valid, 1..12)
    }

    proptest! {
        #[test]
        fn the_tree_agrees_with_the_plain_matcher(filters in filters(), removed in prop::collection::vec(any::<bool>(), 12), name in "[ab/$]{1,6}") {
            let mut routes = Routes::default();
            let mut ends = Vec::new();
            for (index, filter) in filters.iter().enumerate() {
                let (inlet, open) = subscription::channel();
                routes.insert(&Arc::from(filter.as_str()), target(index as u64, index, inlet));
                ends.push(open(Box::new(())));
            }
            for (index, filter) in filters.iter().enumerate().filter(|(index, _)| removed[*index]) {
                routes.remove(filter, index as u64);
            }
            let _ = routes.deliver(&name, None, |topic| Message::new(topic, "x"));
            for (index, filter) in filters.iter().enumerate() {
                let expected = !removed[index] && topic::matches(filter, &name);
                prop_assert_eq!(ends[index].try_recv().is_some(), expected, "{} {}", filter, name);
            }
            for (index, filter) in filters.iter().enumerate() {
                routes.remove(filter, index as u64);
            }
            prop_assert!(routes.exact.is_empty() && routes.wild.is_empty());
        }
    }

    #[test]
    fn a_subscription_gets_a_message_once_under_its_first_filter() {
        let mut routes = Routes::default();
        let (inlet, open) = subscription::channel();
        let mut end = open(Box::new(()));
        for (index, filter) in ["b", "a/#", "a/+", "a/x"].into_iter().enumerate() {
            routes.insert(&Arc::from(filter), target(7, index, inlet.clone()));
        }
        assert!(routes.deliver("a/x", None, |topic| Message::new(topic, "1")).is_ok());
        assert_eq!(end.try_recv().map(|delivery| delivery.filter), Some(1));
        assert_eq!(end.try_recv(), None);
    }
}
