//! A journal that cannot be written any more.

use super::*;
use crate::store::{Append, AppendError, Claim, Seq, StoreError, Token};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A journal whose commits fail after so many.
struct Failing {
    inner: MemoryJournal,
    left: AtomicUsize,
}

impl Journal for Failing {
    fn claim_many(&self, claims: &[Claim]) -> Result<Vec<Result<Token, StoreError>>, StoreError> {
        self.inner.claim_many(claims)
    }

    fn append_many(&self, batch: &[Append]) -> Result<Vec<Result<Seq, AppendError>>, StoreError> {
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
    let journal = Arc::new(Failing { inner: MemoryJournal::default(), left: AtomicUsize::new(2) });
    let engine = engine(journal.clone(), &stage);
    let run = engine.start(new_run(THREE)).await.expect("the first commit is good");
    assert!(engine.stopped().await.contains("no space left"));
    assert!(matches!(engine.wait(&run).await, Err(EngineError::Stopped(_))));
    assert_eq!((stage.played("a"), stage.played("b"), stage.played("c")), (1, 1, 0));
    assert_eq!(journal.left.load(Ordering::SeqCst), 0);
}
