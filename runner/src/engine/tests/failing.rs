//! A journal that cannot be written any more, and one that takes its time.

use super::*;
use crate::store::{Append, AppendError, Claim, Seq, StoreError, Token};
use std::sync::Condvar;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A journal whose commits fail after so many, and in which checkpoints alone wait at a gate.
struct Failing {
    inner: MemoryJournal,
    left: AtomicUsize,
    /// Whether it is open.
    gate: (Mutex<bool>, Condvar),
    /// Checkpoints that came alone.
    checkpoints: AtomicUsize,
}

impl Failing {
    fn new(left: usize, open: bool) -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryJournal::default(),
            left: AtomicUsize::new(left),
            gate: (Mutex::new(open), Condvar::new()),
            checkpoints: AtomicUsize::new(0),
        })
    }

    fn open(&self) {
        *self.gate.0.lock().unwrap() = true;
        self.gate.1.notify_all();
    }
}

impl Journal for Failing {
    fn claim_many(&self, claims: &[Claim]) -> Result<Vec<Result<Token, StoreError>>, StoreError> {
        self.inner.claim_many(claims)
    }

    fn append_many(&self, batch: &[Append]) -> Result<Vec<Result<Seq, AppendError>>, StoreError> {
        let alone = batch.iter().filter(|append| append.facts.is_empty()).count();
        self.checkpoints.fetch_add(alone, Ordering::SeqCst);
        if alone == batch.len() {
            drop(self.gate.1.wait_while(self.gate.0.lock().unwrap(), |open| !*open).unwrap());
        }
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match left {
            Ok(_) => self.inner.append_many(batch),
            Err(_) => Err(StoreError::Failed { action: "commit".to_owned(), source: "no space left".into() }),
        }
    }

    fn read(&self, run: &RunId, from: Seq) -> Result<Vec<Vec<u8>>, StoreError> {
        self.inner.read(run, from)
    }

    fn unfinished(&self, cursor: Option<&RunId>, limit: usize) -> Result<Vec<RunId>, StoreError> {
        self.inner.unfinished(cursor, limit)
    }

    fn recent(&self, cursor: Option<&RunId>, limit: usize) -> Result<Vec<RunId>, StoreError> {
        self.inner.recent(cursor, limit)
    }

    fn checkpoint(&self, run: &RunId) -> Result<Option<StoredCheckpoint>, StoreError> {
        self.inner.checkpoint(run)
    }

    fn forget(&self, run: &RunId, token: Token) -> Result<Result<(), AppendError>, StoreError> {
        self.inner.forget(run, token)
    }

    fn put_object(&self, sha256: &str, bytes: &[u8], now: WallTime) -> Result<(), StoreError> {
        self.inner.put_object(sha256, bytes, now)
    }

    fn objects(&self) -> Result<Vec<(String, WallTime)>, StoreError> {
        self.inner.objects()
    }

    fn remove_object(&self, sha256: &str, before: WallTime) -> Result<bool, StoreError> {
        self.inner.remove_object(sha256, before)
    }

    fn get_object(&self, sha256: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get_object(sha256)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_commit_stops_everything_and_no_effect_begins_without_its_facts() {
    let stage = Stage::new(&[]);
    let journal = Failing::new(2, true);
    let engine = engine(journal.clone(), &stage);
    let run = engine.start(new_run(THREE)).await.expect("the first commit is good");
    assert!(engine.stopped().await.contains("no space left"));
    assert!(matches!(engine.wait(&run).await, Err(EngineError::Stopped(_))));
    assert_eq!((stage.played("a"), stage.played("b"), stage.played("c")), (1, 1, 0));
    assert_eq!(journal.left.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_journal_gets_the_last_checkpoint_and_not_each() {
    let stage = Stage::new(&[("a", &[Act::Chatter])]);
    let journal = Failing::new(usize::MAX, false);
    let engine = engine(journal.clone(), &stage);
    let run = engine.start(new_run(THREE)).await.expect("started");
    let mut views = engine.subscribe(&run).await.expect("live");
    let all = |view: &LiveView| view.progress.as_ref().is_some_and(|progress| progress.done == CHECKPOINTS);
    views.wait_for(all).await.expect("the engine has seen them all");
    let under_way = journal.checkpoints.load(Ordering::SeqCst);
    assert_eq!(under_way, 1, "one is on its way to the journal, the others were overtaken");
    journal.open();
    engine.shutdown().await.expect("parked");
    assert!(journal.checkpoints.load(Ordering::SeqCst) <= 3);
    let kept = journal.checkpoint(&run).expect("it is read").expect("there is one");
    assert_eq!(kept.bytes, CHECKPOINTS.to_le_bytes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_runs_are_found_behind_any_number_of_finished_ones() {
    let stage = Stage::new(&[("a", &[Act::Hang, Act::Hang, Act::Good])]);
    let engine = in_memory(&stage);
    let mut waiting = Vec::new();
    for times in 1..=2 {
        waiting.push(engine.start(new_run(THREE)).await.expect("started"));
        stage.until("a", times).await;
    }
    for _ in 0..5 {
        let run = engine.start(new_run(THREE)).await.expect("started");
        engine.wait(&run).await.expect("ends");
    }
    let (runs, in_all) = engine.unfinished(9).await.expect("listed");
    let ids: Vec<RunId> = runs.into_iter().map(|run| run.view.run).collect();
    assert_eq!((ids, in_all), (vec![waiting[1].clone(), waiting[0].clone()], 2), "newest first");
    let (runs, in_all) = engine.unfinished(1).await.expect("listed");
    assert_eq!((runs[0].view.run.clone(), runs.len(), in_all), (waiting[1].clone(), 1, 2));
}
