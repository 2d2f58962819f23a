//! The journal writer: a thread of its own that commits what has gathered, then releases it in order.

use super::journal::{Append, AppendError, Claim, Journal, Seq, StoreError, Token};
use crate::counts;
use crate::failpoint::Point;
use packhorse_core::failure::chain;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Facts in one commit at the most: bounds what a commit takes, thus what the next one waits.
const MOST_FACTS: usize = 1_024;

/// Checkpoints alone may wait so long for company: nothing depends on them, and a commit costs an fsync.
const LINGER: Duration = Duration::from_millis(50);

/// What became of an append.
pub type Committed = Result<Seq, WriteError>;

/// Why an append is not durable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// This one alone was refused.
    #[error(transparent)]
    Refused(#[from] AppendError),
    /// A commit failed: nothing is known of what was in it, and nothing is written after it.
    #[error("journal commit failed: {0}")]
    Stopped(Arc<str>),
}

type Release = Box<dyn FnOnce(Committed) + Send>;
type Claimed = Box<dyn FnOnce(Result<Token, StoreError>) + Send>;

enum Request {
    Append(Append, Release, Instant),
    Claim(Claim, Claimed),
}

/// Hands appends and claims to the writer's thread, which commits as soon as the one before is done: what comes meanwhile gathers. The
/// queue is not bounded: who appends waits for releases. The thread ends when the last handle is dropped and all is committed.
#[derive(Clone)]
pub struct Writer {
    requests: Sender<Request>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// Where the system gives no thread.
    pub fn start(journal: Arc<dyn Journal>) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (requests, queue) = channel();
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(move || work(&*journal, &queue))?;
        Ok((Self { requests }, thread))
    }

    /// Appends; `release` is called on the writer's thread when the facts are durable or refused, in the order of the calls.
    pub fn append(&self, append: Append, release: impl FnOnce(Committed) + Send + 'static) {
        if let Err(unsent) = self.requests.send(Request::Append(append, Box::new(release), Instant::now())) {
            refuse(unsent.0, &Arc::from("the writer has ended"));
        }
    }

    /// Claims; `done` is called on the writer's thread.
    pub fn claim(&self, claim: Claim, done: impl FnOnce(Result<Token, StoreError>) + Send + 'static) {
        if let Err(unsent) = self.requests.send(Request::Claim(claim, Box::new(done))) {
            refuse(unsent.0, &Arc::from("the writer has ended"));
        }
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Writer")
    }
}

fn work(journal: &dyn Journal, queue: &Receiver<Request>) {
    while let Ok(first) = queue.recv() {
        if let Err(why) = commit(journal, gather(first, queue)) {
            tracing::error!(%why, "journal commit failed: nothing more is written");
            // After a failed flush nobody knows what is on the disk: trying again could call lost facts durable.
            while let Ok(request) = queue.recv() {
                refuse(request, &why);
            }
        }
    }
}

/// What is there now, and for checkpoints alone what comes soon.
fn gather(first: Request, queue: &Receiver<Request>) -> Vec<Request> {
    let until = Instant::now() + LINGER;
    let mut facts = first.facts();
    let mut urgent = first.is_urgent();
    let mut batch = vec![first];
    while facts < MOST_FACTS {
        let wait = if urgent { Duration::ZERO } else { until.saturating_duration_since(Instant::now()) };
        match queue.recv_timeout(wait) {
            Ok(request) => {
                facts += request.facts();
                urgent |= request.is_urgent();
                batch.push(request);
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    batch
}

impl Request {
    /// As they count for the size of a commit; a checkpoint counts too.
    fn facts(&self) -> usize {
        match self {
            Self::Append(append, ..) => append.facts.len().max(1),
            Self::Claim(..) => 1,
        }
    }

    fn is_urgent(&self) -> bool {
        match self {
            // Neither facts nor a checkpoint: somebody asks whether the claim holds, and waits.
            Self::Append(append, ..) => !append.facts.is_empty() || append.checkpoint.is_none(),
            Self::Claim(..) => true,
        }
    }
}

fn commit(journal: &dyn Journal, batch: Vec<Request>) -> Result<(), Arc<str>> {
    let (mut appends, mut releases) = (Vec::new(), Vec::new());
    let (mut claims, mut claimed) = (Vec::new(), Vec::new());
    for request in batch {
        match request {
            Request::Append(append, release, handed) => {
                appends.push(append);
                releases.push((release, handed));
            }
            Request::Claim(claim, done) => {
                claims.push(claim);
                claimed.push(done);
            }
        }
    }
    // Appends first: a claim that came after them must not fence them off.
    let durable = if appends.is_empty() { Ok(Vec::new()) } else { append(journal, &keep_last_checkpoints(appends)) };
    let failed = durable.as_ref().err().map(|error| Arc::<str>::from(chain(error)));
    match durable {
        Ok(judged) => {
            for ((release, handed), judged) in releases.into_iter().zip(judged) {
                counts::appended(handed.elapsed());
                release(judged.map_err(WriteError::from));
            }
        }
        Err(_) => {
            let why = failed.clone().unwrap_or_default();
            releases.into_iter().for_each(|(release, _)| release(Err(WriteError::Stopped(why.clone()))));
        }
    }
    if let Some(why) = failed {
        claimed.into_iter().for_each(|done| done(Err(StoreError::Stopped)));
        return Err(why);
    }
    if claims.is_empty() {
        return Ok(());
    }
    match claim(journal, &claims) {
        Ok(tokens) => claimed.into_iter().zip(tokens).for_each(|(done, token)| done(token)),
        Err(error) => {
            let why = Arc::<str>::from(chain(&error));
            claimed.into_iter().for_each(|done| done(Err(StoreError::failed("claim a run", why.as_ref()))));
            return Err(why);
        }
    }
    Ok(())
}

fn append(journal: &dyn Journal, batch: &[Append]) -> Result<Vec<Result<Seq, AppendError>>, StoreError> {
    let checkpoints = batch.iter().all(|append| append.facts.is_empty());
    let point = if checkpoints { Point::JournalCheckpoint } else { Point::JournalCommit };
    point.attempt().map_err(|error| StoreError::failed("commit the journal", error))?;
    let begun = Instant::now();
    let judged = journal.append_many(batch)?;
    counts::committed(begun.elapsed());
    Point::JournalCommitted.pass();
    Ok(judged)
}

fn claim(journal: &dyn Journal, claims: &[Claim]) -> Result<Vec<Result<Token, StoreError>>, StoreError> {
    Point::JournalClaim.attempt().map_err(|error| StoreError::failed("claim runs", error))?;
    let tokens = journal.claim_many(claims)?;
    Point::JournalClaimed.pass();
    Ok(tokens)
}

/// Of each run only the last checkpoint is written.
fn keep_last_checkpoints(mut appends: Vec<Append>) -> Vec<Append> {
    let mut seen = HashSet::new();
    for append in appends.iter_mut().rev() {
        if append.checkpoint.is_some() && !seen.insert((append.run.clone(), append.token)) {
            append.checkpoint = None;
        }
    }
    appends
}

fn refuse(request: Request, why: &Arc<str>) {
    match request {
        Request::Append(_, release, _) => release(Err(WriteError::Stopped(why.clone()))),
        Request::Claim(_, done) => done(Err(StoreError::Stopped)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::{facts, run};
    use crate::store::{MemoryJournal, StoredCheckpoint};
    use packhorse_core::run::{RunId, WallTime};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A journal whose commits can be held up and can fail.
    struct Slow {
        inner: MemoryJournal,
        gate: Mutex<()>,
        commits: Mutex<Vec<Vec<Append>>>,
        good: AtomicUsize,
    }

    impl Slow {
        fn new(good: usize) -> Arc<Self> {
            let (inner, gate, commits) = (MemoryJournal::default(), Mutex::new(()), Mutex::new(Vec::new()));
            Arc::new(Self { inner, gate, commits, good: AtomicUsize::new(good) })
        }

        fn token(&self, number: u32) -> Token {
            self.inner.claim(&run(number), "a", Duration::from_secs(1), WallTime(0)).expect("free")
        }
    }

    impl Journal for Slow {
        fn claim_many(&self, claims: &[Claim]) -> Result<Vec<Result<Token, StoreError>>, StoreError> {
            self.inner.claim_many(claims)
        }

        fn append_many(&self, batch: &[Append]) -> Result<Vec<Result<Seq, AppendError>>, StoreError> {
            let _open = self.gate.lock().expect("no panic holds it");
            self.commits.lock().expect("no panic holds it").push(batch.to_vec());
            if self.good.load(Ordering::SeqCst) == 0 {
                return Err(StoreError::failed("commit", "no space left"));
            }
            self.good.fetch_sub(1, Ordering::SeqCst);
            self.inner.append_many(batch)
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

    /// Appends `count` facts to one run and gives what became of each, in the order of the releases.
    fn append_all(writer: &Writer, token: Token, count: u64, released: &Arc<Mutex<Vec<(u64, Committed)>>>) {
        for place in 0..count {
            let released = released.clone();
            writer.append(facts(1, token, place, &["x"]), move |committed| {
                released.lock().expect("no panic holds it").push((place, committed));
            });
        }
    }

    #[test]
    fn what_comes_during_a_commit_is_committed_together_and_released_in_order() {
        let journal = Slow::new(usize::MAX);
        let token = journal.token(1);
        let released = Arc::new(Mutex::new(Vec::new()));
        let (writer, thread) = Writer::start(journal.clone()).expect("a thread");
        let gate = journal.gate.lock().expect("no panic holds it");
        append_all(&writer, token, 3_000, &released);
        drop(gate);
        drop(writer);
        thread.join().expect("the writer ends");
        let released = released.lock().expect("no panic holds it");
        let expected: Vec<(u64, Committed)> = (0..3_000).map(|place| (place, Ok(place + 1))).collect();
        assert_eq!(*released, expected);
        let commits = journal.commits.lock().expect("no panic holds it");
        assert!(commits.len() <= 5, "{} commits", commits.len());
        assert!(commits.iter().all(|batch| batch.len() <= MOST_FACTS));
    }

    #[test]
    fn a_failed_commit_stops_everything_after_it_and_is_never_tried_again() {
        let journal = Slow::new(1);
        let token = journal.token(1);
        let released = Arc::new(Mutex::new(Vec::new()));
        let (writer, thread) = Writer::start(journal.clone()).expect("a thread");
        append_all(&writer, token, 3_000, &released);
        let (sender, claimed) = channel();
        let claim = Claim { run: run(2), owner: "a".to_owned(), ttl: Duration::ZERO, now: WallTime(0) };
        writer.claim(claim, move |token| drop(sender.send(token)));
        assert!(matches!(claimed.recv().expect("answered"), Err(StoreError::Stopped)));
        drop(writer);
        thread.join().expect("the writer ends");
        let released = released.lock().expect("no panic holds it");
        assert_eq!(released.len(), 3_000);
        let good = released.iter().take_while(|(_, committed)| committed.is_ok()).count();
        assert!(good > 0 && good <= MOST_FACTS);
        let why = WriteError::Stopped(Arc::from("cannot commit: no space left"));
        assert!(released[good..].iter().all(|(_, committed)| *committed == Err(why.clone())));
        assert_eq!(journal.commits.lock().expect("no panic holds it").len(), 2);
        assert_eq!(journal.read(&run(1), 0).expect("readable").len(), good);
    }

    #[test]
    fn of_many_checkpoints_the_last_is_kept() {
        let journal = Slow::new(usize::MAX);
        let token = journal.token(1);
        let (writer, thread) = Writer::start(journal.clone()).expect("a thread");
        let gate = journal.gate.lock().expect("no panic holds it");
        for number in 0..100_u8 {
            let checkpoint = Some(StoredCheckpoint { step: "push".to_owned(), round: 1, bytes: vec![number] });
            writer.append(Append { checkpoint, ..facts(1, token, 0, &[]) }, |_| {});
        }
        drop(gate);
        drop(writer);
        thread.join().expect("the writer ends");
        let kept = journal.checkpoint(&run(1)).expect("readable").expect("stored");
        assert_eq!(kept.bytes, [99]);
        let commits = journal.commits.lock().expect("no panic holds it");
        let written = commits.iter().flatten().filter(|append| append.checkpoint.is_some()).count();
        assert!(written <= commits.len());
    }
}
