//! The books of traffic: what went over the wire with each device, by day, month and run; kept in the state store.
//!
//! Transfers count in memory. What was counted goes to the store every 100 ms while a transfer has a budget, and whenever one ends;
//! the journal's next commit makes it durable.

use crate::link::Meter;
use crate::store::{BoxFuture, KeyValue, KvError, steady, wall};
use packhorse_core::effect::KvRequest;
use packhorse_core::failure::{Class, Failure, chain};
use packhorse_core::transfer::{Budget, Period, day_of, month_of};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Keys of the books begin with a byte that no workflow's key can begin with.
const KEY: &str = "\u{1}traffic:";
/// How long a day's, a month's and a run's figures are kept.
const KEPT: [(Period, Duration); 3] = [
    (Period::Day, Duration::from_secs(3 * 86_400)),
    (Period::Month, Duration::from_secs(63 * 86_400)),
    (Period::Run, Duration::from_secs(400 * 86_400)),
];
/// How often figures under a budget are written down.
const EVERY: Duration = Duration::from_millis(100);

/// The books of one data folder. One process owns it, so that nobody else writes them.
pub struct Ledger {
    index: Arc<dyn KeyValue>,
    books: Mutex<HashMap<String, Account>>,
    /// Held while figures are written, so that each is written once.
    writing: tokio::sync::Mutex<()>,
}

/// Wire bytes under one key.
#[derive(Debug, Clone, Copy, Default)]
struct Account {
    /// All that is known of.
    spent: u64,
    /// Of these, not written down yet.
    fresh: u64,
    /// Transfers that count here now.
    users: usize,
    kept: Duration,
}

/// One attempt of a transfer, in the books.
pub(super) struct Counted {
    ledger: Arc<Ledger>,
    device: String,
    run: String,
    /// Step, round and attempt: unlike those of every other attempt that a person let begin.
    attempt: String,
    budget: Option<Budget>,
    page: Mutex<Page>,
    /// Writes figures down while the transfer is under way.
    writer: Mutex<Option<tokio::task::AbortHandle>>,
}

/// The keys that count now.
#[derive(Debug, Default)]
struct Page {
    /// Until when they do, Unix milliseconds.
    until: u64,
    keys: Vec<(Period, String)>,
}

impl Ledger {
    /// Books in this store.
    pub fn new(index: Arc<dyn KeyValue>) -> Self {
        Self { index, books: Mutex::default(), writing: tokio::sync::Mutex::default() }
    }

    /// Books for one attempt of a transfer.
    pub(super) fn meter(
        self: &Arc<Self>,
        (run, attempt): (&str, String),
        device: &str,
        budget: Option<Budget>,
    ) -> Arc<Counted> {
        Arc::new(Counted {
            ledger: Arc::clone(self),
            device: device.to_owned(),
            run: run.to_owned(),
            attempt,
            budget,
            page: Mutex::default(),
            writer: Mutex::default(),
        })
    }

    /// Writes down all that is not written yet. What cannot be written is tried again the next time.
    pub(super) async fn write(&self) -> Result<(), Failure> {
        let _writing = self.writing.lock().await;
        let fresh: Vec<(String, Account)> = {
            let mut books = self.locked();
            books.retain(|_, account| account.users > 0 || account.fresh > 0);
            let changed = books.iter_mut().filter(|(_, account)| account.fresh > 0);
            changed.map(|(key, account)| (key.clone(), account.take())).collect()
        };
        for (at, (key, account)) in fresh.iter().enumerate() {
            if let Err(error) = self.add(key, account).await {
                let mut books = self.locked();
                for (key, account) in &fresh[at..] {
                    books.entry(key.clone()).or_default().fresh += account.fresh;
                }
                return Err(store(&error));
            }
        }
        Ok(())
    }

    async fn add(&self, key: &str, account: &Account) -> Result<(), KvError> {
        let by = i64::try_from(account.fresh).unwrap_or(i64::MAX);
        let total = self.index.operate(KvRequest::Incr { key: key.to_owned(), by }, steady()).await?;
        if total.as_i64() == Some(by) {
            // The first of its key: it is to go some day.
            let (value, expire) = (by.to_string(), Some(account.kept));
            self.index.operate(KvRequest::Set { key: key.to_owned(), value, expire }, steady()).await?;
        }
        Ok(())
    }

    async fn read(&self, key: &str) -> Result<u64, Failure> {
        let get = KvRequest::Get { key: key.to_owned() };
        let value = self.index.operate(get, steady()).await.map_err(|error| store(&error))?;
        Ok(value.as_str().and_then(|text| text.parse().ok()).unwrap_or(0))
    }

    async fn set(&self, key: &str, value: &str) -> Result<(), Failure> {
        let expire = Some(KEPT[2].1);
        let set = KvRequest::Set { key: key.to_owned(), value: value.to_owned(), expire };
        self.index.operate(set, steady()).await.map(drop).map_err(|error| store(&error))
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<String, Account>> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    fn key(&self, period: Period, now: u64) -> String {
        let device = &self.device;
        match period {
            Period::Run => format!("{KEY}run:{}:{device}", self.run),
            Period::Day => format!("{KEY}day:{}:{device}", day_of(now)),
            Period::Month => format!("{KEY}month:{}:{device}", month_of(now)),
        }
    }

    /// The attempt in which the run's budget was spent.
    fn grant_key(&self) -> String {
        format!("{KEY}spent:{}:{}", self.run, self.device)
    }

    fn keys(&self, now: u64) -> Vec<(Period, String)> {
        let run = self.budget.is_some_and(|budget| budget.per == Period::Run).then_some(Period::Run);
        [Period::Day, Period::Month].into_iter().chain(run).map(|period| (period, self.key(period, now))).collect()
    }

    /// Turns to the keys of now, where a day or a month has begun.
    fn turn(&self, page: &mut Page, now: u64) {
        let keys = self.keys(now);
        let mut books = self.ledger.locked();
        for (_, key) in page.keys.iter().filter(|old| !keys.contains(old)) {
            if let Some(account) = books.get_mut(key) {
                account.users = account.users.saturating_sub(1);
            }
        }
        for (period, key) in keys.iter().filter(|new| !page.keys.contains(new)) {
            let account = books.entry(key.clone()).or_default();
            account.users += 1;
            account.kept = KEPT.iter().find(|(kept, _)| kept == period).map_or(Duration::ZERO, |(_, kept)| *kept);
        }
        *page = Page { until: Period::Day.next(now).unwrap_or(u64::MAX), keys };
    }

    fn left(&self, page: &Page) -> Option<u64> {
        let budget = self.budget?;
        let (_, key) = page.keys.iter().find(|(period, _)| *period == budget.per)?;
        let spent = self.ledger.locked().get(key).map_or(0, |account| account.spent);
        Some(budget.bytes.saturating_sub(spent))
    }

    fn page(&self) -> std::sync::MutexGuard<'_, Page> {
        self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A person let the run go on after its budget was spent: it has the same again.
    async fn renew(&self) -> Result<(), Failure> {
        let get = KvRequest::Get { key: self.grant_key() };
        let spent_in = self.ledger.index.operate(get, steady()).await.map_err(|error| store(&error))?;
        if matches!(&spent_in, Value::String(attempt) if *attempt != self.attempt) {
            let key = self.key(Period::Run, wall().0);
            self.ledger.write().await?;
            self.ledger.set(&key, "0").await?;
            let del = KvRequest::Del { key: self.grant_key() };
            self.ledger.index.operate(del, steady()).await.map_err(|error| store(&error))?;
            self.ledger.locked().remove(&key);
        }
        Ok(())
    }

    async fn opened(&self) -> Result<Option<u64>, Failure> {
        if self.budget.is_some_and(|budget| budget.per == Period::Run) {
            self.renew().await?;
        }
        // What ended a moment ago is counted, too.
        self.ledger.write().await?;
        let now = wall().0;
        // First of all, so that nobody lets go of these accounts meanwhile.
        self.turn(&mut self.page(), now);
        for (_, key) in self.keys(now) {
            let spent = self.ledger.read(&key).await?;
            let mut books = self.ledger.locked();
            let account = books.entry(key).or_default();
            account.spent = account.spent.max(spent.saturating_add(account.fresh));
        }
        let left = self.left(&self.page());
        if left.is_some() {
            self.write_on();
        }
        Ok(left)
    }

    /// Has figures written down again and again, until the meter is gone.
    fn write_on(&self) {
        let ledger = Arc::clone(&self.ledger);
        let writer = tokio::spawn(async move {
            loop {
                tokio::time::sleep(EVERY).await;
                if let Err(failure) = ledger.write().await {
                    tracing::warn!(%failure, "traffic cannot be written down; it is tried again");
                }
            }
        });
        let before = self.writer.lock().unwrap_or_else(PoisonError::into_inner).replace(writer.abort_handle());
        if let Some(before) = before {
            before.abort();
        }
    }
}

impl Meter for Counted {
    fn open(&self) -> BoxFuture<'_, Result<Option<u64>, Failure>> {
        Box::pin(self.opened())
    }

    fn spend(&self, bytes: u64) -> Option<u64> {
        let now = wall().0;
        let mut page = self.page();
        if now >= page.until {
            self.turn(&mut page, now);
        }
        let mut books = self.ledger.locked();
        for (_, key) in &page.keys {
            if let Some(account) = books.get_mut(key) {
                account.spent = account.spent.saturating_add(bytes);
                account.fresh = account.fresh.saturating_add(bytes);
            }
        }
        drop(books);
        self.left(&page)
    }

    fn spent(&self) -> BoxFuture<'_, Failure> {
        Box::pin(async move {
            let Some(budget) = self.budget else {
                return Failure::new("PH9002", Class::Bug, "a transfer without a budget has spent it");
            };
            let (bytes, device) = (budget.bytes, &self.device);
            let message = format!(
                "the traffic budget of {bytes} bytes a {} with {device} is spent, as far as whole packets go",
                budget.per.as_str()
            );
            if let Some(next) = budget.per.next(wall().0) {
                let hint = "it goes on by itself when the next one begins (UTC); a new run may have a larger budget";
                return Failure::new("PH5040", Class::Transient, message).hint(hint).not_before(next);
            }
            if let Err(failure) = self.ledger.set(&self.grant_key(), &self.attempt).await {
                return failure;
            }
            let hint = "`packhorse resume` grants the run the same budget once more; `packhorse cancel` ends it";
            Failure::new("PH5041", Class::Operator, message).hint(hint)
        })
    }

    fn budget(&self) -> Option<u64> {
        self.budget.map(|budget| budget.bytes)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            writer.abort();
        }
        let keys = std::mem::take(&mut self.page().keys);
        let mut books = self.ledger.locked();
        for (_, key) in keys {
            if let Some(account) = books.get_mut(&key) {
                account.users = account.users.saturating_sub(1);
            }
        }
    }
}

impl Account {
    /// What is to be written down; counts as written from now on.
    fn take(&mut self) -> Self {
        let taken = *self;
        self.fresh = 0;
        taken
    }
}

fn store(error: &KvError) -> Failure {
    Failure::new("PH7002", Class::Transient, chain(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryKeyValue;

    fn meter(ledger: &Arc<Ledger>, run: &str, attempt: u32, budget: Option<(u64, Period)>) -> Arc<Counted> {
        let budget = budget.map(|(bytes, per)| Budget { bytes, per });
        ledger.meter((run, format!("push/1/{attempt}")), "dev-1", budget)
    }

    async fn left(meter: &Arc<Counted>) -> Option<u64> {
        meter.open().await.unwrap()
    }

    #[tokio::test]
    async fn a_day_is_shared_by_all_runs_and_outlives_the_process() {
        let index: Arc<dyn KeyValue> = Arc::new(MemoryKeyValue::default());
        let ledger = Arc::new(Ledger::new(index.clone()));
        let first = meter(&ledger, "run-1", 1, Some((1_000, Period::Day)));
        assert_eq!(left(&first).await, Some(1_000));
        assert_eq!(first.spend(300), Some(700));
        drop(first);
        let plain = meter(&ledger, "run-2", 1, None);
        assert_eq!((left(&plain).await, plain.spend(100)), (None, None));
        let third = meter(&ledger, "run-3", 1, Some((1_000, Period::Month)));
        assert_eq!(left(&third).await, Some(600), "a run without a budget is counted, too");
        third.spend(50);
        ledger.write().await.unwrap();
        drop((plain, third, ledger));
        let ledger = Arc::new(Ledger::new(index));
        let later = meter(&ledger, "run-4", 1, Some((1_000, Period::Day)));
        assert_eq!(left(&later).await, Some(550), "another process");
        assert_eq!(later.spend(5_000), Some(0));
        let other =
            ledger.meter(("run-4", "push/1/1".to_owned()), "dev-2", Some(Budget { bytes: 9, per: Period::Day }));
        assert_eq!(left(&other).await, Some(9), "another device");
    }

    #[tokio::test]
    async fn two_at_once_see_what_the_other_spends() {
        let ledger = Arc::new(Ledger::new(Arc::new(MemoryKeyValue::default())));
        let (one, two) = (
            meter(&ledger, "run-1", 1, Some((1_000, Period::Day))),
            meter(&ledger, "run-2", 1, Some((800, Period::Day))),
        );
        assert_eq!((left(&one).await, left(&two).await), (Some(1_000), Some(800)));
        assert_eq!(one.spend(200), Some(800));
        assert_eq!(two.spend(100), Some(500));
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (one, ledger) = (one.clone(), ledger.clone());
                tokio::spawn(async move {
                    for _ in 0..10 {
                        one.spend(1);
                        ledger.write().await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(left(&meter(&ledger, "run-3", 1, Some((1_000, Period::Day)))).await, Some(620));
        assert_eq!(ledger.read(&one.key(Period::Day, wall().0)).await.unwrap(), 380, "each byte is written once");
    }

    #[tokio::test]
    async fn a_new_day_begins_at_nothing_and_the_month_goes_on() {
        let ledger = Arc::new(Ledger::new(Arc::new(MemoryKeyValue::default())));
        let (day, month) = (
            meter(&ledger, "run-1", 1, Some((1_000, Period::Day))),
            meter(&ledger, "run-1", 1, Some((1_000, Period::Month))),
        );
        // 2026-03-30 12:00 and the noons after it.
        let noon = |days: u64| (20_542 + days) * 86_400_000 + 43_200_000;
        let spend = |meter: &Counted, now: u64, bytes: u64| {
            let mut page = meter.page();
            meter.turn(&mut page, now);
            let mut books = ledger.locked();
            for (_, key) in &page.keys {
                books.get_mut(key).unwrap().spent += bytes;
            }
            drop(books);
            meter.left(&page).unwrap()
        };
        assert_eq!(spend(&day, noon(0), 400), 600);
        assert_eq!(spend(&day, noon(1), 0), 1_000);
        assert_eq!(spend(&month, noon(1), 0), 600);
        assert_eq!(spend(&month, noon(2), 0), 1_000, "the first of April");
        assert_eq!(spend(&month, noon(1), 0), 600, "a clock that goes back finds the old page");
    }

    #[tokio::test]
    async fn a_spent_run_has_the_same_again_when_a_person_lets_it_go_on() {
        let ledger = Arc::new(Ledger::new(Arc::new(MemoryKeyValue::default())));
        let budget = Some((1_000, Period::Run));
        let first = meter(&ledger, "run-1", 1, budget);
        left(&first).await;
        first.spend(990);
        let failure = first.spent().await;
        assert_eq!((failure.code.as_str(), failure.class, failure.not_before), ("PH5041", Class::Operator, None));
        drop(first);
        assert_eq!(left(&meter(&ledger, "run-1", 1, budget)).await, Some(10), "the same attempt after a crash");
        assert_eq!(left(&meter(&ledger, "run-2", 1, budget)).await, Some(1_000), "another run has its own");
        let second = meter(&ledger, "run-1", 2, budget);
        assert_eq!(left(&second).await, Some(1_000));
        second.spend(400);
        drop(second);
        assert_eq!(left(&meter(&ledger, "run-1", 2, budget)).await, Some(600), "once");
        assert_eq!(left(&meter(&ledger, "run-1", 3, budget)).await, Some(600), "a retry is no person");
    }

    #[tokio::test]
    async fn a_spent_day_is_waited_for() {
        let ledger = Arc::new(Ledger::new(Arc::new(MemoryKeyValue::default())));
        let meter = meter(&ledger, "run-1", 1, Some((1_000, Period::Day)));
        let now = wall().0;
        let failure = meter.spent().await;
        let until = failure.not_before.unwrap();
        assert!(failure.code == "PH5040" && until > now && until <= now + 86_400_000 && until % 86_400_000 == 0);
    }
}
