//! What waits to be written into the mirror: of each key the newest state only, and no more keys than there is room for. Pure.

use super::entries::{Entry, Written};
use packhorse_core::effect::KvRequest;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Keys that may wait.
const MOST: usize = 10_000;
/// How long the mirror outlives the runs that it is of.
const KEPT: Duration = Duration::from_secs(7 * 86_400);

/// Keys that wait, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Queue {
    order: VecDeque<String>,
    waiting: HashMap<String, Waiting>,
    /// States that were dropped because there was no room.
    dropped: u64,
}

/// What is to become of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Waiting {
    entry: Option<Entry>,
    /// What an earlier run left there is to go first.
    anew: bool,
    /// Nobody lives by the key any more.
    over: bool,
}

impl Queue {
    /// A key has another state. `anew`: it is the first time that this run writes it.
    pub(super) fn put(&mut self, (key, entry): Written, anew: bool) {
        let Some(waiting) = self.slot(key) else { return };
        waiting.over = false;
        waiting.anew |= anew;
        match (&mut waiting.entry, entry) {
            (Some(Entry::Fields(held)), Entry::Fields(more)) if !anew => held.extend(more),
            (held, entry) => *held = Some(entry),
        }
    }

    /// A key is to go when its time is over.
    pub(super) fn expire(&mut self, key: String) {
        if let Some(waiting) = self.slot(key) {
            waiting.over = true;
        }
    }

    fn slot(&mut self, key: String) -> Option<&mut Waiting> {
        if !self.waiting.contains_key(&key) {
            if self.waiting.len() >= MOST {
                self.dropped += 1;
                return None;
            }
            self.order.push_back(key.clone());
        }
        Some(self.waiting.entry(key).or_default())
    }

    /// Takes so many keys out, oldest first.
    pub(super) fn take(&mut self, most: usize) -> Vec<(String, Waiting)> {
        let keys: Vec<String> = self.order.drain(..most.min(self.order.len())).collect();
        keys.into_iter().filter_map(|key| self.waiting.remove_entry(&key)).collect()
    }

    /// Puts back what could not be written, as far as nothing newer has come meanwhile.
    pub(super) fn put_back(&mut self, taken: Vec<(String, Waiting)>) {
        for (key, mut old) in taken.into_iter().rev() {
            let newer = self.waiting.remove(&key);
            let fresh = newer.is_none();
            if let Some(newer) = newer {
                old.anew |= newer.anew;
                old.over = newer.over || (old.over && newer.entry.is_none());
                match (&mut old.entry, newer.entry) {
                    (Some(Entry::Fields(held)), Some(Entry::Fields(more))) if !newer.anew => held.extend(more),
                    (held, Some(entry)) => *held = Some(entry),
                    (_, None) => {}
                }
            }
            if fresh {
                self.order.push_front(key.clone());
            }
            self.waiting.insert(key, old);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// The commands that make a key what it is to be.
pub(super) fn requests((key, waiting): &(String, Waiting)) -> Vec<KvRequest> {
    let key = || key.clone();
    let mut requests = Vec::new();
    let expire = waiting.over.then_some(KEPT);
    match &waiting.entry {
        Some(Entry::Text(text)) => requests.push(KvRequest::Set { key: key(), value: text.clone(), expire }),
        Some(Entry::Fields(fields)) => {
            requests.extend(waiting.anew.then(|| KvRequest::Del { key: key() }));
            let set = |(offset, path): (&u64, &String)| KvRequest::Hset {
                key: key(),
                field: offset.to_string(),
                value: path.clone(),
            };
            requests.extend(fields.iter().map(set));
            requests.extend(expire.map(|after| KvRequest::Expire { key: key(), after }));
        }
        None => requests.extend(expire.map(|after| KvRequest::Expire { key: key(), after })),
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn text(value: &str) -> Written {
        ("k".to_owned(), Entry::Text(value.to_owned()))
    }

    fn fields(offsets: &[u64]) -> Written {
        ("h".to_owned(), Entry::Fields(offsets.iter().map(|at| (*at, format!("p{at}"))).collect::<BTreeMap<_, _>>()))
    }

    fn said(queue: &mut Queue) -> Vec<String> {
        let taken = queue.take(usize::MAX);
        let words = |request: &KvRequest| match request {
            KvRequest::Set { key, value, expire } => format!("set {key} {value} {}", expire.map_or(0, |e| e.as_secs())),
            KvRequest::Hset { key, field, value } => format!("hset {key} {field} {value}"),
            KvRequest::Del { key } => format!("del {key}"),
            KvRequest::Expire { key, after } => format!("expire {key} {}", after.as_secs()),
            other => panic!("{other:?}"),
        };
        taken.iter().flat_map(|waiting| requests(waiting).iter().map(words).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn the_newest_state_of_a_key_is_written_once() {
        let mut queue = Queue::default();
        queue.put(text("1/9"), true);
        queue.put(text("2/9"), false);
        assert_eq!(said(&mut queue), ["set k 2/9 0"]);
        assert!(queue.is_empty() && said(&mut queue).is_empty());
    }

    #[test]
    fn keys_expire_with_the_last_run_and_live_again_with_the_next() {
        let mut queue = Queue::default();
        queue.put(text("9/9"), false);
        queue.expire("k".to_owned());
        assert_eq!(said(&mut queue), ["set k 9/9 604800"]);
        queue.expire("k".to_owned());
        assert_eq!(said(&mut queue), ["expire k 604800"]);
        queue.expire("k".to_owned());
        queue.put(text("0/9"), true);
        assert_eq!(said(&mut queue), ["set k 0/9 0"], "a new run has begun before the old key was given its time");
        queue.put(fields(&[0]), true);
        queue.expire("h".to_owned());
        assert_eq!(said(&mut queue), ["del h", "hset h 0 p0", "expire h 604800"]);
    }

    #[test]
    fn fields_gather_and_a_new_run_begins_anew() {
        let mut queue = Queue::default();
        queue.put(fields(&[0, 640]), false);
        queue.put(fields(&[1280]), false);
        assert_eq!(said(&mut queue), ["hset h 0 p0", "hset h 640 p640", "hset h 1280 p1280"]);
        queue.put(fields(&[0, 640]), false);
        queue.put(fields(&[0]), true);
        assert_eq!(said(&mut queue), ["del h", "hset h 0 p0"]);
    }

    #[test]
    fn what_could_not_be_written_comes_back_unless_something_newer_is_there() {
        let mut queue = Queue::default();
        queue.put(text("1/9"), true);
        queue.put(fields(&[0]), true);
        let taken = queue.take(10);
        queue.put(text("2/9"), false);
        queue.put(fields(&[640]), false);
        queue.put_back(taken);
        assert_eq!(queue.len(), 2);
        assert_eq!(said(&mut queue), ["set k 2/9 0", "del h", "hset h 0 p0", "hset h 640 p640"]);
        queue.put(text("3/9"), false);
        queue.expire("k".to_owned());
        let taken = queue.take(10);
        queue.put(text("0/5"), true);
        queue.put_back(taken);
        assert_eq!(said(&mut queue), ["set k 0/5 0"], "another run lives by the key");
    }

    #[test]
    fn there_is_room_for_so_many_keys_and_the_rest_is_counted() {
        let mut queue = Queue::default();
        for at in 0..MOST + 5 {
            queue.put((format!("k{at}"), Entry::Text(String::new())), false);
        }
        assert_eq!((queue.len(), queue.dropped()), (MOST, 5));
        queue.put(("k3".to_owned(), Entry::Text("new".to_owned())), false);
        assert_eq!(queue.dropped(), 5, "a key that waits takes its newest state");
        assert_eq!(queue.take(2).len(), 2);
        queue.expire("late".to_owned());
        assert_eq!(queue.len(), MOST - 1);
    }
}
