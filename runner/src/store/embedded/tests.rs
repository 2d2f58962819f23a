//! What is special to a store on a file: opening, damage, kills.

use super::*;
use crate::store::contract::{facts, run};
use crate::store::{Claim, Journal, KeyValue, Mark};
use packhorse_core::effect::KvRequest;
use packhorse_core::run::WallTime;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use redb::ReadableTable;
use std::time::Duration;

fn fill(path: &Path, runs: u32) -> EmbeddedStore {
    let store = EmbeddedStore::open(path).expect("a store");
    for number in 0..runs {
        let claim = Claim { run: run(number), owner: "a".to_owned(), ttl: Duration::from_secs(1), now: WallTime(0) };
        let token = store.claim_many(&[claim]).expect("works").remove(0).expect("free");
        let text = format!("a fact of run {number}: {}", "x".repeat(200));
        let append = facts(number, token, 0, &[&text, &text, &text]);
        store.append_many(&[append]).expect("works").remove(0).expect("claimed");
    }
    store
}

type Facts = Vec<Vec<u8>>;

/// Everything that the journal says.
fn dump(store: &EmbeddedStore) -> Result<Vec<(String, Facts)>, StoreError> {
    let runs = store.unfinished(None, usize::MAX)?;
    runs.into_iter().map(|run| Ok((run.to_string(), store.read(&run, 0)?))).collect()
}

#[test]
fn facts_are_there_after_the_store_is_opened_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    let before = dump(&fill(&path, 3)).expect("readable");
    assert_eq!(before.len(), 3);
    assert_eq!(dump(&EmbeddedStore::open(&path).expect("there")).expect("readable"), before);
}

#[test]
fn a_store_in_use_is_told_as_such() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    let _held = EmbeddedStore::open(&path).expect("a new store");
    assert!(matches!(EmbeddedStore::open(&path), Err(StoreError::Locked { .. })));
}

#[test]
fn a_kill_during_creation_leaves_nothing_in_the_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    for left in [&b""[..], b"half a file", &[0; 65_536]] {
        std::fs::write(path.with_extension("new"), left).expect("written");
        drop(EmbeddedStore::open(&path).expect("made anew"));
        assert!(!path.with_extension("new").exists());
        std::fs::remove_file(&path).expect("there");
    }
}

#[test]
fn what_is_no_store_is_told_as_such() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    for content in ["", "hello", &"hello ".repeat(10_000)] {
        std::fs::write(&path, content).expect("written");
        let error = EmbeddedStore::open(&path).expect_err("no store");
        assert!(
            matches!(error, StoreError::Damaged { .. } | StoreError::Failed { .. } | StoreError::Format { .. }),
            "{error}"
        );
        assert_eq!(std::fs::read_to_string(&path).expect("there").len(), content.len(), "it is left as it is");
    }
}

#[test]
fn a_later_format_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    let store = EmbeddedStore::open(&path).expect("a new store");
    let writing = store.database.begin_write().expect("writable");
    writing.open_table(META).expect("there").insert("format", FORMAT + 1).expect("writable");
    writing.commit().expect("committed");
    drop(store);
    assert!(matches!(EmbeddedStore::open(&path), Err(StoreError::Format { found: 3, known: 2, .. })));
}

#[test]
fn a_flipped_bit_is_always_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    let before = dump(&fill(&path, 20)).expect("readable");
    let whole = std::fs::read(&path).expect("readable");
    let used: Vec<usize> = (0..whole.len()).filter(|place| whole[*place] != 0).collect();
    let mut random = SmallRng::seed_from_u64(7);
    let (mut found, mut harmless) = (0, 0);
    for _ in 0..150 {
        let place = used[random.random_range(0..used.len())];
        let mut damaged = whole.clone();
        damaged[place] ^= 1 << random.random_range(0..8);
        std::fs::write(&path, &damaged).expect("writable");
        match EmbeddedStore::open(&path).and_then(|store| dump(&store)) {
            Ok(after) => {
                assert_eq!(after, before, "a bit at {place} changed what the journal says");
                harmless += 1;
            }
            Err(_) => found += 1,
        }
    }
    assert!(found > 50, "found {found}, harmless {harmless}");
}

#[test]
fn a_flipped_bit_in_a_value_is_found_without_the_help_of_the_database() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = fill(&folder.path().join("store.redb"), 2);
    let name = run(1).to_string();
    let flip = |table: TableDefinition<'_, (&'static str, u64), &'static [u8]>| {
        let writing = store.database.begin_write().expect("writable");
        {
            let mut table = writing.open_table(table).expect("there");
            let mut value = table.get((name.as_str(), 1)).expect("readable").expect("there").value().to_vec();
            value[20] ^= 4;
            table.insert((name.as_str(), 1), value.as_slice()).expect("writable");
        }
        writing.commit().expect("committed");
    };
    flip(FACTS);
    assert!(matches!(store.read(&run(1), 0), Err(StoreError::Damaged { .. })));
    assert_eq!(store.read(&run(0), 0).expect("others live").len(), 3);
}

#[test]
fn a_damaged_run_stays_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = EmbeddedStore::open(&folder.path().join("store.redb")).expect("a new store");
    let spoil = |run: &packhorse_core::run::RunId| {
        let writing = store.database.begin_write().expect("writable");
        writing.open_table(RUNS).expect("there").insert(run.as_str(), &b"....garbage"[..]).expect("writable");
        writing.commit().expect("committed");
    };
    crate::store::contract::a_damaged_run_stays_alone(&store, spoil);
}

#[tokio::test]
async fn keys_are_durable_with_the_next_append() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    let store = fill(&path, 1);
    let set = KvRequest::Set { key: "k".to_owned(), value: "v".to_owned(), expire: None };
    store.operate(set, WallTime(0)).await.expect("works");
    let claim = Claim { run: run(0), owner: "a".to_owned(), ttl: Duration::from_secs(1), now: WallTime(0) };
    let token = store.claim_many(&[claim]).expect("works").remove(0).expect("its own");
    let last = crate::store::Append { mark: Mark::Finished, ..facts(0, token, 3, &["done"]) };
    store.append_many(&[last]).expect("works").remove(0).expect("claimed");
    // What a kill leaves: the file as it is now, without the orderly end that dropping the store would bring.
    let copy = folder.path().join("copy.redb");
    std::fs::copy(&path, &copy).expect("copied");
    let after = EmbeddedStore::open(&copy).expect("opens after a kill");
    let get = KvRequest::Get { key: "k".to_owned() };
    assert_eq!(after.operate(get, WallTime(0)).await.expect("works"), serde_json::json!("v"));
    assert_eq!(after.read(&run(0), 0).expect("readable").len(), 4);
}

/// Writes until it is killed; tells each count of facts that is durable.
fn write_for_ever(path: &Path) {
    let store = EmbeddedStore::open(path).expect("a store");
    let claim = Claim { run: run(1), owner: "a".to_owned(), ttl: Duration::from_secs(1), now: WallTime(0) };
    let token = store.claim_many(&[claim]).expect("works").remove(0).expect("its own");
    let mut count = store.read(&run(1), 0).expect("readable").len() as u64;
    loop {
        let text = format!("fact {count} {}", "x".repeat(300));
        count =
            store.append_many(&[facts(1, token, count, &[&text, &text])]).expect("works").remove(0).expect("claimed");
        println!("durable {count}");
    }
}

#[test]
fn a_store_opens_after_every_kill_with_all_that_was_durable() {
    use std::io::{BufRead, BufReader};
    const CHILD: &str = "PACKHORSE_TEST_STORE_TO_FILL";
    if let Some(path) = std::env::var_os(CHILD) {
        write_for_ever(Path::new(&path));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    let mut known = 0;
    for kill in 1..=12_u64 {
        let this = std::env::current_exe().expect("this test");
        let name = "store::embedded::tests::a_store_opens_after_every_kill_with_all_that_was_durable";
        let mut child = std::process::Command::new(this)
            .args([name, "--exact", "--nocapture"])
            .env(CHILD, &path)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("a child");
        let told = BufReader::new(child.stdout.take().expect("piped")).lines();
        let counts =
            told.map_while(Result::ok).filter_map(|line| line.rsplit_once("durable ")?.1.parse::<usize>().ok());
        let mut counts = counts.take(usize::try_from(kill * 3).expect("small"));
        known = counts.by_ref().last().expect("the child writes");
        child.kill().expect("killed");
        child.wait().expect("ended");
        let store = EmbeddedStore::open(&path).expect("opens after a kill");
        let facts = store.read(&run(1), 0).expect("readable");
        assert!(facts.len() >= known, "{} facts of {known}", facts.len());
    }
    assert!(known > 12 * 6);
}

#[test]
fn a_store_of_the_first_layout_is_brought_up_to_this_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    let digest = crate::store::row::sha256(b"hello");
    let store = EmbeddedStore::open(&path).expect("a new store");
    store.put_object(&digest, b"hello", WallTime(5)).expect("kept");
    drop(store);
    let database = Database::open(&path).expect("a database");
    let writing = database.begin_write().expect("a change");
    writing.delete_table(PUT).expect("a table");
    writing.open_table(META).expect("a table").insert("format", 1).expect("written");
    writing.commit().expect("durable");
    drop(database);
    let store = EmbeddedStore::open(&path).expect("it is known");
    assert_eq!(store.get_object(&digest).expect("readable").as_deref(), Some(&b"hello"[..]));
    let objects = store.objects().expect("readable");
    assert!(objects.len() == 1 && objects[0].1 > WallTime(5), "{objects:?}: they count as put now");
    drop(store);
    EmbeddedStore::open(&path).expect("and stays so");
}
