//! What every journal must do, whatever it lies on. A new one adds a line to [`journals`], or to `key_values` in `keys`.

mod damage;
mod keys;

pub(super) use damage::a_damaged_run_stays_alone;
pub(super) use keys::LONG;

use super::redis::testing::RedisServer;
use super::*;
use packhorse_core::run::{RunId, WallTime};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const TTL: Duration = Duration::from_secs(60);

/// What a journal lies on; gone with it.
type Ground = (TempDir, Option<RedisServer>);

fn journals() -> Vec<(&'static str, Arc<dyn Journal>, Option<Ground>)> {
    let folder = tempfile::tempdir().expect("a folder");
    let embedded = EmbeddedStore::open(&folder.path().join("store.redb")).expect("a new store");
    let server = RedisServer::start();
    let data = tempfile::tempdir().expect("a folder");
    let options = RedisJournalOptions {
        journal: "contract".to_owned(),
        data: data.path().to_owned(),
        patience: Duration::from_secs(10),
    };
    let redis = RedisJournal::open(&RedisSettings::new(server.url()), &options).expect("a new journal");
    vec![
        ("memory", Arc::new(MemoryJournal::default()), None),
        ("embedded", Arc::new(embedded), Some((folder, None))),
        ("redis", Arc::new(redis), Some((data, Some(server)))),
    ]
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
        let wrong = journal.put_object(digest, b"hallo", at(0));
        assert!(matches!(wrong, Err(StoreError::WrongDigest { .. })), "{name}");
        journal.put_object(digest, b"hello", at(0)).expect("kept");
        journal.put_object(digest, b"hello", at(0)).expect("kept already");
        assert_eq!(journal.get_object(digest).expect("readable").as_deref(), Some(&b"hello"[..]), "{name}");
    }
}

#[test]
fn only_finished_runs_are_forgotten_and_with_all_they_had() {
    for (name, journal, _ground) in journals() {
        let token = journal.claim(&run(1), "a", TTL, at(0)).expect("free");
        let checkpoint = Some(StoredCheckpoint { step: "push".to_owned(), round: 1, bytes: b"z".to_vec() });
        one(&*journal, Append { checkpoint, ..facts(1, token, 0, &["x", "y"]) }).expect("claimed");
        let unfinished = Err(AppendError::Unfinished { run: run(1) });
        assert_eq!(journal.forget(&run(1), token).expect("the store works"), unfinished, "{name}");
        one(&*journal, Append { mark: Mark::Finished, ..facts(1, token, 2, &["z"]) }).expect("claimed");
        let fenced = Err(AppendError::Fenced { run: run(1) });
        assert_eq!(journal.forget(&run(1), Token(0)).expect("the store works"), fenced, "{name}");
        assert_eq!(journal.forget(&run(1), token).expect("the store works"), Ok(()), "{name}");
        assert_eq!(journal.read(&run(1), 0).expect("readable"), Vec::<Vec<u8>>::new(), "{name}");
        assert_eq!(journal.checkpoint(&run(1)).expect("readable"), None, "{name}");
        assert_eq!(journal.recent(None, 9).expect("readable"), [], "{name}");
        assert_eq!(journal.forget(&run(1), token).expect("the store works"), fenced, "{name}");
    }
}

#[test]
fn objects_go_when_nobody_put_them_lately() {
    let digest = row::sha256(b"hello");
    for (name, journal, _ground) in journals() {
        journal.put_object(&digest, b"hello", at(5)).expect("kept");
        journal.put_object(&digest, b"hello", at(9)).expect("kept already");
        journal.put_object(&digest, b"hello", at(7)).expect("kept already");
        assert_eq!(journal.objects().expect("readable"), [(digest.clone(), at(9))], "{name}");
        assert!(!journal.remove_object(&digest, at(9)).expect("the store works"), "{name}");
        assert!(journal.remove_object(&digest, at(10)).expect("the store works"), "{name}");
        assert!(!journal.remove_object(&digest, at(10)).expect("the store works"), "{name}");
        assert_eq!(journal.get_object(&digest).expect("readable"), None, "{name}");
        assert_eq!(journal.objects().expect("readable"), [], "{name}");
    }
}
