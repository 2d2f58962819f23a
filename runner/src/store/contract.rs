//! What every store must do, whatever it lies on. A new one adds a line to [`journals`] or [`key_values`].

use super::*;
use packhorse_core::effect::KvRequest;
use packhorse_core::run::{RunId, WallTime};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const TTL: Duration = Duration::from_secs(60);

fn journals() -> Vec<(&'static str, Arc<dyn Journal>, Option<TempDir>)> {
    let folder = tempfile::tempdir().expect("a folder");
    let embedded = EmbeddedStore::open(&folder.path().join("store.redb")).expect("a new store");
    vec![("memory", Arc::new(MemoryJournal::default()), None), ("embedded", Arc::new(embedded), Some(folder))]
}

fn key_values() -> Vec<(&'static str, Arc<dyn KeyValue>, Option<TempDir>)> {
    let folder = tempfile::tempdir().expect("a folder");
    let embedded = EmbeddedStore::open(&folder.path().join("store.redb")).expect("a new store");
    vec![("memory", Arc::new(MemoryKeyValue::default()), None), ("embedded", Arc::new(embedded), Some(folder))]
}

pub(super) fn run(number: u32) -> RunId {
    format!("run_{number:026}").parse().expect("digits are Base32")
}

fn at(seconds: u64) -> WallTime {
    WallTime(seconds * 1_000)
}

pub(super) fn facts(number: u32, token: Token, expected: Seq, facts: &[&str]) -> Append {
    Append {
        run: run(number),
        token,
        expected,
        facts: facts.iter().map(|fact| fact.as_bytes().to_vec()).collect(),
        checkpoint: None,
        mark: Mark::Unfinished,
    }
}

fn one(journal: &dyn Journal, append: Append) -> Result<Seq, AppendError> {
    journal.append_many(&[append]).expect("the store works").remove(0)
}

#[test]
fn facts_come_back_in_order_and_from_any_place() {
    for (name, journal, _folder) in journals() {
        let token = journal.claim(&run(1), "a", TTL, at(0)).expect("free");
        assert_eq!(one(&*journal, facts(1, token, 0, &["x", "y"])), Ok(2), "{name}");
        assert_eq!(one(&*journal, facts(1, token, 2, &["z"])), Ok(3), "{name}");
        assert_eq!(journal.read(&run(1), 0).expect("readable"), [b"x", b"y", b"z"], "{name}");
        assert_eq!(journal.read(&run(1), 2).expect("readable"), [b"z"], "{name}");
        assert_eq!(journal.read(&run(1), 9).expect("readable"), Vec::<Vec<u8>>::new(), "{name}");
        assert_eq!(journal.read(&run(2), 0).expect("readable"), Vec::<Vec<u8>>::new(), "{name}");
    }
}

#[test]
fn appends_of_a_batch_stand_or_fall_by_themselves() {
    for (name, journal, _folder) in journals() {
        let one = journal.claim(&run(1), "a", TTL, at(0)).expect("free");
        let two = journal.claim(&run(2), "a", TTL, at(0)).expect("free");
        let batch = [
            facts(1, one, 0, &["x"]),
            facts(2, two, 7, &["late"]),
            facts(1, one, 1, &["y"]),
            facts(3, Token(1), 0, &["no claim"]),
        ];
        let judged = journal.append_many(&batch).expect("the store works");
        let conflict = AppendError::Conflict { run: run(2), expected: 7, found: 0 };
        let fenced = AppendError::Fenced { run: run(3) };
        assert_eq!(judged, [Ok(1), Err(conflict), Ok(2), Err(fenced)], "{name}");
        assert_eq!(journal.read(&run(1), 0).expect("readable").len(), 2, "{name}");
        assert_eq!(journal.read(&run(2), 0).expect("readable").len(), 0, "{name}");
    }
}

#[test]
fn a_later_claim_fences_the_earlier_owner() {
    for (name, journal, _folder) in journals() {
        let old = journal.claim(&run(1), "a", TTL, at(0)).expect("free");
        one(&*journal, facts(1, old, 0, &["x"])).expect("claimed");
        let held = journal.claim(&run(1), "b", TTL, at(59));
        assert!(matches!(held, Err(StoreError::Held { owner, .. }) if owner == "a"), "{name}");
        let new = journal.claim(&run(1), "b", TTL, at(60)).expect("expired");
        assert!(new > old, "{name}");
        assert_eq!(one(&*journal, facts(1, old, 1, &["y"])), Err(AppendError::Fenced { run: run(1) }), "{name}");
        assert_eq!(one(&*journal, facts(1, new, 1, &["y"])), Ok(2), "{name}");
        let again = journal.claim(&run(1), "b", TTL, at(61)).expect("its own");
        assert!(again > new, "{name}: tokens only grow");
    }
}

#[test]
fn unfinished_and_recent_runs_are_listed_page_by_page() {
    for (name, journal, _folder) in journals() {
        for number in 0..10 {
            let token = journal.claim(&run(number), "a", TTL, at(0)).expect("free");
            let mark = if number % 3 == 0 { Mark::Finished } else { Mark::Unfinished };
            one(&*journal, Append { mark, ..facts(number, token, 0, &["x"]) }).expect("claimed");
        }
        journal.claim(&run(99), "a", TTL, at(0)).expect("claimed, without facts: no run yet");
        let first = journal.unfinished(None, 4).expect("readable");
        assert_eq!(first, [run(1), run(2), run(4), run(5)], "{name}");
        assert_eq!(journal.unfinished(first.last(), 4).expect("readable"), [run(7), run(8)], "{name}");
        let newest = journal.recent(None, 3).expect("readable");
        assert_eq!(newest, [run(9), run(8), run(7)], "{name}");
        assert_eq!(journal.recent(newest.last(), 2).expect("readable"), [run(6), run(5)], "{name}");
    }
}

#[test]
fn a_finished_run_can_be_unfinished_again() {
    for (name, journal, _folder) in journals() {
        let token = journal.claim(&run(1), "a", TTL, at(0)).expect("free");
        one(&*journal, Append { mark: Mark::Finished, ..facts(1, token, 0, &["x"]) }).expect("claimed");
        assert_eq!(journal.unfinished(None, 9).expect("readable"), [], "{name}");
        one(&*journal, facts(1, token, 1, &["retried"])).expect("claimed");
        assert_eq!(journal.unfinished(None, 9).expect("readable"), [run(1)], "{name}");
    }
}

#[test]
fn the_latest_checkpoint_wins() {
    for (name, journal, _folder) in journals() {
        let token = journal.claim(&run(1), "a", TTL, at(0)).expect("free");
        assert_eq!(journal.checkpoint(&run(1)).expect("readable"), None, "{name}");
        let with = |round, bytes: &[u8], facts| Append {
            checkpoint: Some(StoredCheckpoint { step: "push".to_owned(), round, bytes: bytes.to_vec() }),
            ..facts
        };
        one(&*journal, with(1, b"one", facts(1, token, 0, &["x"]))).expect("claimed");
        one(&*journal, with(2, b"", facts(1, token, 77, &[]))).expect("a checkpoint alone asks for no place");
        one(&*journal, facts(1, token, 1, &["y"])).expect("claimed");
        let kept = journal.checkpoint(&run(1)).expect("readable").expect("stored");
        assert_eq!((kept.step.as_str(), kept.round, kept.bytes.as_slice()), ("push", 2, &b""[..]), "{name}");
        assert!(one(&*journal, with(3, b"z", facts(1, Token(0), 0, &[]))).is_err(), "{name}: fenced");
    }
}

#[test]
fn objects_are_kept_under_their_digest() {
    let digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    for (name, journal, _folder) in journals() {
        assert_eq!(journal.get_object(digest).expect("readable"), None, "{name}");
        let wrong = journal.put_object(digest, b"hallo");
        assert!(matches!(wrong, Err(StoreError::WrongDigest { .. })), "{name}");
        journal.put_object(digest, b"hello").expect("kept");
        journal.put_object(digest, b"hello").expect("kept already");
        assert_eq!(journal.get_object(digest).expect("readable").as_deref(), Some(&b"hello"[..]), "{name}");
    }
}

/// Operations on the key-value store, one a line: seconds, command, what comes of it.
async fn check(script: &str) {
    for (name, store, _folder) in key_values() {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (asked, expected) = line.split_once(" -> ").expect("an operation and what comes of it");
            let words: Vec<&str> = asked.split_whitespace().collect();
            let came = match store.operate(request(&words[1..]), at(words[0].parse().expect("seconds"))).await {
                Ok(value) => value.to_string(),
                Err(KvError::WrongType { .. }) => "wrong type".to_owned(),
                Err(KvError::NotAnInteger { .. }) => "not an integer".to_owned(),
                Err(error @ KvError::Store(_)) => panic!("{name}: {error}"),
            };
            assert_eq!(came, expected, "{name}: {line}");
        }
    }
}

fn request(words: &[&str]) -> KvRequest {
    let text = |place: usize| words[place].to_owned();
    match words {
        ["get", _] => KvRequest::Get { key: text(1) },
        ["set", _, _] => KvRequest::Set { key: text(1), value: text(2), expire: None },
        ["set", _, _, seconds] => {
            let expire = Some(Duration::from_secs(seconds.parse().expect("seconds")));
            KvRequest::Set { key: text(1), value: text(2), expire }
        }
        ["del", _] => KvRequest::Del { key: text(1) },
        ["incr", _, by] => KvRequest::Incr { key: text(1), by: by.parse().expect("a number") },
        ["hset", _, _, _] => KvRequest::Hset { key: text(1), field: text(2), value: text(3) },
        ["hget", _, _] => KvRequest::Hget { key: text(1), field: text(2) },
        ["hgetall", _] => KvRequest::Hgetall { key: text(1) },
        _ => panic!("unknown operation {words:?}"),
    }
}

#[tokio::test]
async fn text_is_set_read_and_removed() {
    check(
        r#"
        0 get a -> null
        0 set a 1 -> null
        0 get a -> "1"
        0 set a 2 -> null
        0 get a -> "2"
        0 del a -> 1
        0 del a -> 0
        0 get a -> null
        "#,
    )
    .await;
}

#[tokio::test]
async fn numbers_are_counted() {
    check(
        "
        0 incr n 5 -> 5
        0 incr n -7 -> -2
        0 get n -> \"-2\"
        0 set n 9223372036854775807 -> null
        0 incr n 1 -> not an integer
        0 get n -> \"9223372036854775807\"
        0 set n word -> null
        0 incr n 1 -> not an integer
        ",
    )
    .await;
}

#[tokio::test]
async fn hashes_have_fields_of_their_own() {
    check(
        r#"
        0 hgetall h -> {}
        0 hget h x -> null
        0 hset h x 1 -> 1
        0 hset h x 2 -> 0
        0 hset h y 3 -> 1
        0 hset hh x other -> 1
        0 hget h x -> "2"
        0 hget h z -> null
        0 hgetall h -> {"x":"2","y":"3"}
        0 del h -> 1
        0 hgetall h -> {}
        0 hgetall hh -> {"x":"other"}
        "#,
    )
    .await;
}

#[tokio::test]
async fn text_and_hashes_are_not_mixed_up() {
    check(
        r#"
        0 set t 1 -> null
        0 hset t x 1 -> wrong type
        0 hget t x -> wrong type
        0 hgetall t -> wrong type
        0 hset h x 1 -> 1
        0 get h -> wrong type
        0 incr h 1 -> wrong type
        0 set h text -> null
        0 get h -> "text"
        0 del h -> 1
        0 hset h y 1 -> 1
        0 hgetall h -> {"y":"1"}
        "#,
    )
    .await;
}

#[tokio::test]
async fn keys_expire_and_what_was_there_is_gone() {
    check(
        r#"
        0 set a 1 10 -> null
        9 get a -> "1"
        9 incr a 1 -> 2
        10 get a -> null
        10 del a -> 0
        10 incr a 1 -> 1
        99 get a -> "1"
        0 set b 1 10 -> null
        5 set b 2 -> null
        99 get b -> "2"
        0 set c 1 10 -> null
        10 hset c x 1 -> 1
        10 hgetall c -> {"x":"1"}
        "#,
    )
    .await;
}

#[tokio::test]
async fn keys_of_any_text_do_not_touch_each_other() {
    for (name, store, _folder) in key_values() {
        let keys = ["", "a", "a\0", "a\0b", "é", "\u{10ffff}"];
        for key in keys {
            for field in keys {
                let value = format!("{key}/{field}");
                let set = KvRequest::Hset { key: key.to_owned(), field: field.to_owned(), value };
                assert_eq!(store.operate(set, at(0)).await.expect("works"), json!(1), "{name}");
            }
        }
        for key in keys {
            let all = store.operate(KvRequest::Hgetall { key: key.to_owned() }, at(0)).await.expect("works");
            let expected: Value =
                keys.iter().map(|field| ((*field).to_owned(), json!(format!("{key}/{field}")))).collect();
            assert_eq!(all, expected, "{name}: {key:?}");
        }
    }
}
