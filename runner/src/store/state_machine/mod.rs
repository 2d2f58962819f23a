//! Every store plays the same random sequences of claims, appends, checkpoints, objects and keys, with restarts in between, beside one plain
//! model: none may be told from another.

mod model;

use super::contract::{LONG, run};
use super::redis::testing::RedisServer;
use super::*;
use model::{Act, Machine, Model, Piece, RUNS, digest, fix};
use packhorse_core::effect::KvRequest;
use packhorse_core::run::{RunId, WallTime};
use proptest::prelude::*;
use proptest_state_machine::{StateMachineTest, prop_state_machine};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// The three stores.
struct Stores {
    folder: TempDir,
    server: RedisServer,
    stores: Vec<Store>,
    runtime: tokio::runtime::Runtime,
    now: u64,
    acts: u64,
    tokens: BTreeMap<u32, u64>,
    counts: BTreeMap<u32, u64>,
}

struct Store {
    name: &'static str,
    journal: Option<Arc<dyn Journal>>,
    keys: Option<Arc<dyn KeyValue>>,
}

static ACTS: AtomicU64 = AtomicU64::new(0);
static REOPENED: AtomicU64 = AtomicU64::new(0);

impl Stores {
    fn embedded(&self) -> Store {
        let store = Arc::new(EmbeddedStore::open(&self.folder.path().join("store.redb")).expect("a store"));
        Store { name: "embedded", journal: Some(store.clone()), keys: Some(store) }
    }

    fn redis(&self) -> Store {
        // Apart from each other: the clock of the keys is moved.
        let of = |database: u8| RedisSettings::new(format!("redis://127.0.0.1:{}/{database}", self.server.port()));
        let data = self.folder.path().to_owned();
        let options = RedisJournalOptions { journal: "test".to_owned(), data, patience: Duration::from_secs(30) };
        let journal = RedisJournal::open(&of(1), &options).expect("a journal");
        assert!(!journal.is_in_doubt(), "nothing was lost");
        let keys = RedisKeyValue::new(&of(0)).expect("a url");
        Store { name: "redis", journal: Some(Arc::new(journal)), keys: Some(Arc::new(keys)) }
    }

    fn act(&mut self, place: usize, act: &Act) -> Vec<String> {
        let (now, acts) = (WallTime(self.now * LONG * 1_000), self.acts);
        let store = &self.stores[place];
        let journal = store.journal.clone().expect("open");
        match act {
            Act::Claim { run: number, owner, ttl } => {
                let claimed = journal.claim(&run(*number), &owner.to_string(), Duration::from_secs(ttl * LONG), now);
                vec![match claimed {
                    Ok(token) => format!("token {}", token.0),
                    Err(StoreError::Held { owner, .. }) => format!("held by {owner}"),
                    Err(error) => panic!("{}: {error}", store.name),
                }]
            }
            Act::Append(pieces) => {
                let pieces = fix(pieces);
                let batch: Vec<Append> = pieces
                    .iter()
                    .enumerate()
                    .map(|(place, piece)| self.piece(piece, &format!("{acts}.{place}")))
                    .collect();
                let judged = journal.append_many(&batch).expect("the store works");
                let told = |judged| match judged {
                    Ok(count) => format!("now {count}"),
                    Err(AppendError::Fenced { .. }) => "fenced".to_owned(),
                    Err(AppendError::Conflict { expected, found, .. }) => format!("conflict {expected} {found}"),
                    Err(error @ (AppendError::Unfinished { .. } | AppendError::Damaged { .. })) => panic!("{error}"),
                };
                judged.into_iter().map(told).collect()
            }
            Act::Forget { run: number, token } => {
                let token = Token(token.of(self.tokens.get(number).copied().unwrap_or_default()));
                vec![match journal.forget(&run(*number), token).expect("the store works") {
                    Ok(()) => "forgotten".to_owned(),
                    Err(AppendError::Fenced { .. }) => "fenced".to_owned(),
                    Err(AppendError::Unfinished { .. }) => "unfinished".to_owned(),
                    Err(error @ (AppendError::Conflict { .. } | AppendError::Damaged { .. })) => panic!("{error}"),
                }]
            }
            Act::PutObject(object) => {
                journal.put_object(&digest(*object), &[*object], now).expect("kept");
                Vec::new()
            }
            Act::RemoveObject { object, back } => {
                let before = WallTime(self.now.saturating_sub(*back) * LONG * 1_000);
                vec![journal.remove_object(&digest(*object), before).expect("the store works").to_string()]
            }
            Act::Key(request) => {
                let keys = store.keys.clone().expect("open");
                let came = self.runtime.block_on(keys.operate(request.clone(), now));
                vec![match came {
                    Ok(Value::String(_)) if matches!(request, KvRequest::Xadd { .. }) => "an id".to_owned(),
                    Ok(value) => value.to_string(),
                    Err(KvError::WrongType { .. }) => "wrong type".to_owned(),
                    Err(KvError::NotAnInteger { .. }) => "not an integer".to_owned(),
                    Err(error) => panic!("{}: {error}", store.name),
                }]
            }
            Act::Wait(_) | Act::Reopen => Vec::new(),
        }
    }

    fn piece(&self, piece: &Piece, text: &str) -> Append {
        let right = |of: &BTreeMap<u32, u64>| of.get(&piece.run).copied().unwrap_or_default();
        Append {
            run: run(piece.run),
            token: Token(piece.token.of(right(&self.tokens))),
            expected: piece.place.of(right(&self.counts)),
            facts: (0..piece.facts).map(|fact| format!("{text} {fact}").into_bytes()).collect(),
            checkpoint: piece.checkpoint.then(|| StoredCheckpoint {
                step: "push".to_owned(),
                round: 1,
                bytes: text.as_bytes().to_vec(),
            }),
            mark: if piece.finished { Mark::Finished } else { Mark::Unfinished },
        }
    }

    fn seen(&self, place: usize) -> Vec<String> {
        let journal = self.stores[place].journal.as_ref().expect("open");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let mut seen = Vec::new();
        for number in 0..RUNS {
            let facts = journal.read(&run(number), 0).expect("readable").into_iter().map(text).collect::<Vec<_>>();
            let checkpoint = journal.checkpoint(&run(number)).expect("readable").map(|kept| text(kept.bytes));
            seen.push(format!("{number}: {facts:?} {checkpoint:?}"));
        }
        let number = |run: &RunId| run.as_str()[4..].parse::<u32>().expect("a number");
        let mut unfinished: Vec<RunId> = Vec::new();
        loop {
            let page = journal.unfinished(unfinished.last(), 2).expect("readable");
            if page.is_empty() {
                break;
            }
            unfinished.extend(page);
        }
        let recent = journal.recent(None, 100).expect("readable");
        let numbers = |runs: &[RunId]| runs.iter().map(number).collect::<Vec<_>>();
        seen.push(format!("{:?} {:?}", numbers(&unfinished), numbers(&recent)));
        let objects = journal.objects().expect("readable");
        let objects: Vec<_> = objects.into_iter().map(|(name, put)| (name, put.0 / LONG / 1_000)).collect();
        seen.push(format!("{objects:?}"));
        seen
    }

    /// What has a disk is closed and opened again; the server of the keys is killed and started again.
    fn reopen(&mut self) {
        REOPENED.fetch_add(1, Ordering::Relaxed);
        for store in self.stores.iter_mut().skip(1) {
            // Keys and claims of the embedded store are durable with the next commit.
            store.journal.as_ref().expect("open").append_many(&[]).expect("the store works");
            (store.journal, store.keys) = (None, None);
        }
        self.server.kill();
        self.server.start_again();
        self.stores[1] = self.embedded();
        self.stores[2] = self.redis();
    }

    fn wait(&mut self, seconds: u64) {
        self.now += seconds;
        let script = "for _, key in ipairs(redis.call('KEYS', '*')) do local left = redis.call('PTTL', key) \
            if left >= 0 then redis.call('PEXPIRE', key, left - ARGV[1]) end end return 1";
        assert_eq!(self.server.tell(&["EVAL", script, "0", &(seconds * LONG * 1_000).to_string()]), ":1");
    }
}

impl StateMachineTest for Stores {
    type SystemUnderTest = Self;
    type Reference = Machine;

    fn init_test(model: &Model) -> Self {
        let server = RedisServer::with(&["--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
        let memory: (Arc<dyn Journal>, Arc<dyn KeyValue>) =
            (Arc::new(MemoryJournal::default()), Arc::new(MemoryKeyValue::default()));
        let memory = Store { name: "memory", journal: Some(memory.0), keys: Some(memory.1) };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let mut stores = Self {
            folder: tempfile::tempdir().expect("a folder"),
            server,
            stores: vec![memory],
            runtime: runtime.expect("a runtime"),
            now: model.now,
            acts: 0,
            tokens: BTreeMap::new(),
            counts: BTreeMap::new(),
        };
        stores.stores.push(stores.embedded());
        stores.stores.push(stores.redis());
        stores
    }

    fn apply(mut stores: Self, model: &Model, act: Act) -> Self {
        ACTS.fetch_add(1, Ordering::Relaxed);
        stores.acts += 1;
        match &act {
            Act::Wait(seconds) => stores.wait(*seconds),
            Act::Reopen => stores.reopen(),
            _ => {}
        }
        for place in 0..stores.stores.len() {
            let told = stores.act(place, &act);
            let name = stores.stores[place].name;
            assert_eq!(told, model.told, "{name} at {act:?}");
            assert_eq!(stores.seen(place), model.seen(), "{name} after {act:?}");
        }
        stores.tokens = model.runs.iter().map(|(number, run)| (*number, run.token)).collect();
        stores.counts = model.runs.iter().map(|(number, run)| (*number, run.facts.len() as u64)).collect();
        stores
    }
}

fn cases() -> u32 {
    if std::env::var("PACKHORSE_FULL").is_ok_and(|full| full == "1") { 60 } else { 12 }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() })]

    fn stores_that_play(sequential 20..80 => Stores);
}

#[test]
fn no_store_can_be_told_from_another() {
    stores_that_play();
    let (acts, reopened) = (ACTS.load(Ordering::Relaxed), REOPENED.load(Ordering::Relaxed));
    println!("{acts} acts on each of 3 stores, {reopened} restarts");
    assert!(acts > 100 && reopened > 0, "too little was played");
}
