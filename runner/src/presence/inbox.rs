//! What came to a topic and was not judged yet: of each name the newest message, so that it never holds more than there are devices.

use crate::bus::Message;
use std::collections::HashMap;

/// Names at the most; what comes beyond is dropped.
const MOST: usize = 100_000;

/// Messages by topic name.
#[derive(Debug, Default)]
pub(super) struct Inbox(HashMap<String, Message>);

impl Inbox {
    /// Puts a message in; false where there is no room. An older one of the same name is worth nothing any more.
    pub(super) fn put(&mut self, message: Message) -> bool {
        if self.0.len() >= MOST && !self.0.contains_key(&*message.topic) {
            return false;
        }
        self.0.insert(message.topic.to_string(), message);
        true
    }

    /// Takes one out.
    pub(super) fn take(&mut self) -> Option<Message> {
        let name = self.0.keys().next()?.clone();
        self.0.remove(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_each_name_counts() {
        let mut inbox = Inbox::default();
        for (topic, payload) in [("a", "1"), ("b", "1"), ("a", "2")] {
            assert!(inbox.put(Message::new(topic, payload)));
        }
        let mut taken = [inbox.take(), inbox.take()].map(|message| message.expect("there are two"));
        taken.sort_by(|one, other| one.topic.cmp(&other.topic));
        assert_eq!(taken.map(|message| message.payload), ["2", "1"]);
        assert!(inbox.take().is_none());
    }
}
