//! The one task that writes the mirror, pipelined and best effort: a Redis that is away stops and slows nobody, and is brought up to
//! date when it is back. Who lives by which key is kept in the state store, so that the last run to end lets a key expire.

use super::entries::Written;
use super::queue::{Queue, Waiting, requests};
use crate::store::{KeyValue, KvError, steady};
use packhorse_core::effect::KvRequest;
use packhorse_core::failure::chain;
use packhorse_core::run::RunId;
use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Keys of one pipeline.
const BATCH: usize = 256;
/// How long a pipeline may take.
const LIMIT: Duration = Duration::from_secs(5);
/// Waits between tries while Redis is away, shortest and longest.
const AWAY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long the program waits at its end for what is not written yet.
const PARTING: Duration = Duration::from_secs(2);
/// Hashes of the state store: the keys of a run, the runs of a key.
const OF_RUN: &str = "\u{1}mirror:run:";
const OF_KEY: &str = "\u{1}mirror:key:";

/// Keys with what waits for them.
type Batch = Vec<(String, Waiting)>;

/// The mirror; its task ends with it.
pub struct Mirror {
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    redis: Arc<dyn KeyValue>,
    /// The state store.
    index: Arc<dyn KeyValue>,
    state: Mutex<State>,
    /// Held while it is noted who lives by what.
    noting: tokio::sync::Mutex<()>,
    wake: Notify,
    /// Told when everything is written.
    idle: Notify,
    /// Ends a wait for a Redis that is away.
    hurry: Notify,
    away: AtomicBool,
    failures: AtomicU64,
}

#[derive(Default)]
struct State {
    queue: Queue,
    /// Runs and keys that they have written in this process.
    lives: HashSet<(String, String)>,
    /// Of these, what the state store has not heard of.
    unknown: Vec<(String, String)>,
    writing: bool,
    /// Runs that have ended, whose keys could not be looked up yet.
    late: BTreeSet<String>,
}

impl Mirror {
    /// A mirror in `redis`, with its own notes in `index`.
    pub fn start(redis: Arc<dyn KeyValue>, index: Arc<dyn KeyValue>) -> Self {
        let shared = Arc::new(Shared {
            redis,
            index,
            state: Mutex::default(),
            noting: tokio::sync::Mutex::default(),
            wake: Notify::new(),
            idle: Notify::new(),
            hurry: Notify::new(),
            away: AtomicBool::new(false),
            failures: AtomicU64::new(0),
        });
        let task = tokio::spawn(Arc::clone(&shared).work());
        Self { shared, task }
    }

    /// Where others may read it.
    pub(in super::super) fn redis(&self) -> &dyn KeyValue {
        self.shared.redis.as_ref()
    }

    /// A key has another state, by the doing of this run. Never waits.
    pub(in super::super) fn put(&self, run: &str, written: Written) {
        let mut state = self.shared.state();
        let life = (run.to_owned(), written.0.clone());
        let anew = state.lives.insert(life.clone());
        if anew {
            state.unknown.push(life);
        }
        state.queue.put(written, anew);
        drop(state);
        self.shared.wake.notify_one();
    }

    /// A run has ended: keys by which no other run lives expire from now on. May be told again.
    pub(in super::super) async fn over(&self, run: &str) {
        match self.shared.over(run).await {
            Ok(()) => drop(self.shared.state().late.remove(run)),
            Err(error) => {
                tracing::warn!(
                    error = chain(&error),
                    run,
                    "the mirror's keys of a run that ended cannot be looked up; it is tried again"
                );
                self.shared.state().late.insert(run.to_owned());
            }
        }
        self.shared.wake.notify_one();
    }

    /// Tries again what could not be done when runs ended; also for these, which are forgotten now.
    pub async fn sweep(&self, forgotten: &[RunId]) {
        let mut late = self.shared.state().late.clone();
        late.extend(forgotten.iter().map(ToString::to_string));
        for run in late {
            self.over(&run).await;
        }
    }

    /// Waits a moment for what is not written yet, then lets it be.
    pub async fn close(&self) {
        let hurry = async {
            loop {
                self.shared.hurry.notify_one();
                tokio::time::sleep(AWAY.0).await;
            }
        };
        tokio::select! {
            () = self.shared.written() => {}
            () = hurry => {}
            () = tokio::time::sleep(PARTING) => {}
        }
        self.task.abort();
        let (left, dropped) = {
            let state = self.shared.state();
            (state.queue.len(), state.queue.dropped())
        };
        if left > 0 || dropped > 0 {
            let failures = self.shared.failures.load(Ordering::Relaxed);
            tracing::warn!(left, dropped, failures, "the mirror in Redis is not up to date");
        }
    }

    /// Pipelines that failed so far.
    pub fn failures(&self) -> u64 {
        self.shared.failures.load(Ordering::Relaxed)
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn work(self: Arc<Self>) {
        let mut pause = AWAY.0;
        loop {
            let noting = self.noting.lock().await;
            let (lives, batch) = self.take();
            let nothing = batch.is_empty() && lives.is_empty();
            let noted = self.note(lives).await;
            drop(noting);
            if let Err(error) = &noted {
                tracing::warn!(error = chain(error), "the keys of the mirror cannot be noted yet; it is tried again");
            }
            if nothing {
                self.idle.notify_waiters();
                self.wake.notified().await;
                continue;
            }
            match self.write(&batch).await {
                Ok(()) => {
                    self.state().writing = false;
                    if noted.is_err() {
                        pause = self.wait(pause).await;
                    } else {
                        pause = AWAY.0;
                    }
                    if self.away.swap(false, Ordering::Relaxed) {
                        tracing::info!("Redis is back: the mirror is brought up to date");
                    }
                }
                Err(why) => {
                    self.failed(&why, batch);
                    pause = self.wait(pause).await;
                }
            }
        }
    }

    /// Waits; gives how long to wait the next time.
    async fn wait(&self, pause: Duration) -> Duration {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.hurry.notified() => {}
        }
        (pause * 2).min(AWAY.1)
    }

    /// What is to be looked up, and what is to be written.
    fn take(&self) -> (Vec<(String, String)>, Batch) {
        let mut state = self.state();
        let batch = state.queue.take(BATCH);
        state.writing = !batch.is_empty();
        (std::mem::take(&mut state.unknown), batch)
    }

    fn failed(&self, why: &str, batch: Vec<(String, Waiting)>) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        state.queue.put_back(batch);
        state.writing = false;
        if !self.away.swap(true, Ordering::Relaxed) {
            tracing::warn!(why, "the mirror cannot be written to Redis; transfers go on, and it is tried again");
        }
    }

    async fn write(&self, batch: &[(String, Waiting)]) -> Result<(), String> {
        let requests: Vec<KvRequest> = batch.iter().flat_map(requests).collect();
        if requests.is_empty() {
            return Ok(());
        }
        let done = tokio::time::timeout(LIMIT, self.redis.operate_many(requests, steady())).await;
        let results = done.map_err(|_| format!("no answer within {LIMIT:?}"))?.map_err(|error| chain(&error))?;
        for result in results {
            match result {
                Ok(_) => {}
                // A key of another kind is somebody else's: leave it.
                Err(error @ KvError::WrongType { .. }) => {
                    tracing::debug!(%error, "a key of the mirror was not written");
                }
                // Each of our commands may be repeated, also where nobody knows whether it was done.
                Err(error) => return Err(chain(&error)),
            }
        }
        Ok(())
    }

    /// Writes down who lives by what; what cannot be is to be written down later.
    async fn note(&self, lives: Vec<(String, String)>) -> Result<(), KvError> {
        let hset = |key: String, field: &String| KvRequest::Hset { key, field: field.clone(), value: "1".to_owned() };
        let both =
            |(run, key): &(String, String)| [hset(format!("{OF_RUN}{run}"), key), hset(format!("{OF_KEY}{key}"), run)];
        let requests: Vec<KvRequest> = lives.iter().flat_map(both).collect();
        if requests.is_empty() {
            return Ok(());
        }
        let noted = self.index.operate_many(requests, steady()).await.map_err(KvError::from);
        let noted = noted.and_then(|all| all.into_iter().find_map(Result::err).map_or(Ok(()), Err));
        if noted.is_err() {
            // Each may be repeated.
            self.state().unknown.extend(lives);
        }
        noted
    }

    async fn over(&self, run: &str) -> Result<(), KvError> {
        let _noting = self.noting.lock().await;
        let lives = std::mem::take(&mut self.state().unknown);
        self.note(lives).await?;
        let of_run = format!("{OF_RUN}{run}");
        let noted = self.index.fields(of_run.clone(), steady()).await?;
        let mut keys: BTreeSet<String> = noted.into_iter().map(|(key, _)| key).collect();
        keys.extend(self.state().lives.iter().filter(|(of, _)| of == run).map(|(_, key)| key.clone()));
        for key in keys {
            let of_key = format!("{OF_KEY}{key}");
            let hdel = KvRequest::Hdel { key: of_key.clone(), field: run.to_owned() };
            self.index.operate(hdel, steady()).await?;
            if self.index.fields(of_key, steady()).await?.is_empty() {
                self.state().queue.expire(key);
            }
        }
        self.index.operate(KvRequest::Del { key: of_run }, steady()).await?;
        self.state().lives.retain(|(of, _)| of != run);
        Ok(())
    }

    /// Resolves when nothing waits to be written.
    async fn written(&self) {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            {
                let state = self.state();
                if state.queue.is_empty() && !state.writing && state.unknown.is_empty() {
                    return;
                }
            }
            idle.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::entries::Entry;
    use super::*;
    use crate::store::{BoxFuture, MemoryKeyValue, StoreError};
    use packhorse_core::run::WallTime;
    use serde_json::Value;
    use std::collections::BTreeMap;

    /// A Redis that may be away.
    #[derive(Default)]
    struct Redis {
        values: MemoryKeyValue,
        away: AtomicBool,
        pipelines: AtomicU64,
    }

    impl KeyValue for Redis {
        fn operate(&self, request: KvRequest, now: WallTime) -> BoxFuture<'_, Result<Value, KvError>> {
            self.values.operate(request, now)
        }

        fn fields(&self, key: String, now: WallTime) -> BoxFuture<'_, Result<Vec<(String, String)>, KvError>> {
            self.values.fields(key, now)
        }

        fn operate_many(
            &self,
            requests: Vec<KvRequest>,
            now: WallTime,
        ) -> BoxFuture<'_, Result<Vec<Result<Value, KvError>>, StoreError>> {
            self.pipelines.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                if self.away.load(Ordering::Relaxed) {
                    let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
                    return Err(StoreError::Failed { action: "reach Redis".to_owned(), source: refused.into() });
                }
                self.values.operate_many(requests, now).await
            })
        }
    }

    /// As a server's client tells errors: each operation by itself, never of the whole.
    #[derive(Default)]
    struct Index(Redis);

    impl KeyValue for Index {
        fn operate(&self, request: KvRequest, now: WallTime) -> BoxFuture<'_, Result<Value, KvError>> {
            if self.0.away.load(Ordering::Relaxed) {
                return Box::pin(std::future::ready(Err(StoreError::Stopped.into())));
            }
            self.0.values.operate(request, now)
        }

        fn fields(&self, key: String, now: WallTime) -> BoxFuture<'_, Result<Vec<(String, String)>, KvError>> {
            if self.0.away.load(Ordering::Relaxed) {
                return Box::pin(std::future::ready(Err(StoreError::Stopped.into())));
            }
            self.0.values.fields(key, now)
        }
    }

    #[tokio::test]
    async fn a_run_that_ends_while_the_notes_cannot_be_read_is_not_forgotten() {
        for known in [false, true] {
            let (redis, index) = (Arc::new(Redis::default()), Arc::new(Index::default()));
            let mirror = Mirror::start(redis.clone(), index.clone());
            index.0.away.store(!known, Ordering::Relaxed);
            mirror.put("run-1", split("a", "1/2"));
            while get(&redis, "a", Duration::ZERO).await.is_none() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            index.0.away.store(true, Ordering::Relaxed);
            mirror.over("run-1").await;
            index.0.away.store(false, Ordering::Relaxed);
            assert!(get(&redis, "a", 8 * DAY).await.is_some(), "it lives as long as nobody knows whose it is");
            mirror.sweep(&[]).await;
            mirror.close().await;
            assert!(get(&redis, "a", 6 * DAY).await.is_some() && get(&redis, "a", 8 * DAY).await.is_none(), "{known}");
        }
    }

    fn mirror(redis: &Arc<Redis>, index: &Arc<MemoryKeyValue>) -> Mirror {
        Mirror::start(redis.clone(), index.clone())
    }

    fn split(md5: &str, text: &str) -> Written {
        (format!("file:md5:split:{md5}"), Entry::Text(text.to_owned()))
    }

    async fn get(redis: &Redis, md5: &str, after: Duration) -> Option<String> {
        let now = WallTime(steady().0 + u64::try_from(after.as_millis()).unwrap());
        let value = redis.operate(KvRequest::Get { key: format!("file:md5:split:{md5}") }, now).await.unwrap();
        value.as_str().map(str::to_owned)
    }

    const DAY: Duration = Duration::from_secs(86_400);

    #[tokio::test]
    async fn a_redis_that_was_away_gets_the_newest_state_only() {
        let (redis, index) = (Arc::new(Redis::default()), Arc::new(MemoryKeyValue::default()));
        let mirror = mirror(&redis, &index);
        redis.away.store(true, Ordering::Relaxed);
        for done in 0..1_000 {
            mirror.put("run-1", split("a", &format!("{done}/1000")));
            mirror.put("run-1", split("b", &format!("{done}/1000")));
            tokio::task::yield_now().await;
        }
        while mirror.failures() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(get(&redis, "a", Duration::ZERO).await, None);
        let tries = mirror.failures();
        assert!(tries < 100, "{tries} tries, one for each state");
        redis.away.store(false, Ordering::Relaxed);
        mirror.shared.written().await;
        assert_eq!(get(&redis, "a", Duration::ZERO).await.as_deref(), Some("999/1000"));
        assert_eq!(get(&redis, "b", Duration::ZERO).await.as_deref(), Some("999/1000"));
        assert_eq!(redis.pipelines.load(Ordering::Relaxed), tries + 1, "both in one pipeline");
    }

    #[tokio::test]
    async fn keys_live_as_long_as_a_run_does_and_seven_days_more() {
        let (redis, index) = (Arc::new(Redis::default()), Arc::new(MemoryKeyValue::default()));
        let first = mirror(&redis, &index);
        first.put("run-1", split("a", "1/9"));
        first.put("run-2", split("a", "2/9"));
        first.shared.written().await;
        assert!(get(&redis, "a", 400 * DAY).await.is_some(), "it does not expire while a run lives");
        first.over("run-1").await;
        first.shared.written().await;
        assert!(get(&redis, "a", 400 * DAY).await.is_some(), "the other one lives");
        drop(first);
        let later = mirror(&redis, &index);
        later.over("run-2").await;
        later.shared.written().await;
        assert!(get(&redis, "a", 7 * DAY - Duration::from_secs(5)).await.is_some());
        assert_eq!(get(&redis, "a", 7 * DAY).await, None, "the last one has ended, in another process");
        later.put("run-3", split("a", "0/9"));
        later.shared.written().await;
        assert!(get(&redis, "a", 400 * DAY).await.is_some(), "a new run lives by it");
    }

    #[tokio::test]
    async fn a_new_run_takes_away_what_an_earlier_one_left_in_the_hash() {
        let (redis, index) = (Arc::new(Redis::default()), Arc::new(MemoryKeyValue::default()));
        let mirror = mirror(&redis, &index);
        let fields = |offsets: &[u64]| -> Written {
            let fields: BTreeMap<_, _> = offsets.iter().map(|at| (*at, format!("group1/{at}"))).collect();
            ("file:md5:download:a".to_owned(), Entry::Fields(fields))
        };
        mirror.put("run-1", fields(&[0, 640]));
        mirror.put("run-1", fields(&[1280]));
        mirror.over("run-1").await;
        mirror.shared.written().await;
        let all = |redis: Arc<Redis>| async move {
            let request = KvRequest::Hgetall { key: "file:md5:download:a".to_owned() };
            let Value::Object(fields) = redis.operate(request, steady()).await.unwrap() else { panic!() };
            fields.keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(all(redis.clone()).await, ["0", "1280", "640"]);
        mirror.put("run-2", fields(&[0]));
        mirror.shared.written().await;
        assert_eq!(all(redis).await, ["0"]);
    }

    #[tokio::test]
    async fn closing_waits_a_moment_and_no_longer() {
        let (redis, index) = (Arc::new(Redis::default()), Arc::new(MemoryKeyValue::default()));
        let mirror = mirror(&redis, &index);
        redis.away.store(true, Ordering::Relaxed);
        mirror.put("run-1", split("a", "1/9"));
        mirror.close().await;
        assert_eq!(get(&redis, "a", Duration::ZERO).await, None);
        assert!(mirror.failures() > 0 && !mirror.shared.state().queue.is_empty(), "what is missing is known");
    }
}
