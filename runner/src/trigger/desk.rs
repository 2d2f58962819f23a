//! The queue before a trigger: what came waits for its turn, as fast as the trigger may start runs and the process can.

use super::books::Name;
use super::judge::Definition;
use super::shared::{Came, Order, Shared, now, passes, wait};
use packhorse_core::failure::{Class, Failure};
use packhorse_core::rate::Rate;
use packhorse_core::trigger::pace;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Starts that may wait.
const MOST: usize = 1_000;
/// Tries of a start that may go well later.
const TRIES: u32 = 5;
/// Letters a minute, twice as many at once: a storm must not keep the store busy.
const LETTERS: u32 = 60;

/// One trigger's queue.
pub(super) struct Desk {
    shared: Arc<Shared>,
    name: Name,
    definition: watch::Receiver<Definition>,
    queue: VecDeque<Order>,
    rate: Rate,
    letters: Rate,
    not_before: Instant,
    tries: u32,
}

impl Desk {
    pub(super) fn new(shared: Arc<Shared>, name: Name, definition: watch::Receiver<Definition>) -> Self {
        let rate = Rate::new(pace(definition.borrow().trigger.max_rate), now());
        let (letters, not_before) = (Rate::new(pace(LETTERS), now()), Instant::now());
        Self { shared, name, definition, queue: VecDeque::new(), rate, letters, not_before, tries: 0 }
    }

    pub(super) fn definition(&self) -> Definition {
        self.definition.borrow().clone()
    }

    /// Takes what came: judges it, and puts it at the end of the queue.
    pub(super) async fn take(&mut self, came: Came) {
        match self.shared.judged(&self.name, &self.definition(), &came).await {
            Ok(None) => {}
            Ok(Some(start)) if self.queue.len() < MOST => {
                self.queue.push_back(Order { came, start });
                self.count();
            }
            Ok(Some(_)) => {
                let message = format!("{MOST} starts wait for this trigger, and there is no room for more");
                self.refuse(&came, &Failure::new("PH8502", Class::Operator, message)).await;
            }
            Err(failure) => self.refuse(&came, &failure).await,
        }
    }

    /// Keeps what no run can be made of; in a storm it is only counted.
    pub(super) async fn refuse(&mut self, came: &Came, failure: &Failure) {
        if self.letters.take(pace(LETTERS), now()).is_ok() {
            return self.shared.bury(&self.name, &self.definition(), came, failure).await;
        }
        self.shared.books.note(&self.name, |page| page.counts.dropped += 1);
        self.shared.tell(&self.name, &came.source, failure);
    }

    /// Resolves when something can be started. Safe to cancel.
    pub(super) async fn ready(&self) {
        if self.queue.is_empty() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep_until(self.not_before).await;
    }

    /// Starts the first of the queue, or finds out when it may.
    pub(super) async fn begin(&mut self) {
        let most = self.definition.borrow().trigger.max_rate;
        // A start that is tried again has its token.
        if self.tries == 0
            && let Err(ms) = self.rate.take(pace(most), now())
        {
            self.not_before = Instant::now() + wait(ms);
            return;
        }
        let Some(order) = self.queue.front().cloned() else { return };
        match self.shared.begin(&self.name, &order).await {
            Ok(_) => self.over(),
            Err(failure) if passes(&failure) && self.tries < TRIES => {
                self.tries += 1;
                self.not_before = Instant::now() + Duration::from_millis(250 << (2 * self.tries));
                self.shared.tell(&self.name, &order.came.source, &failure);
            }
            Err(failure) => {
                self.shared.bury(&self.name, &self.definition(), &order.came, &failure).await;
                self.over();
            }
        }
    }

    /// What still waits.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    fn over(&mut self) {
        self.queue.pop_front();
        self.tries = 0;
        self.count();
    }

    fn count(&self) {
        let waiting = self.queue.len() as u64;
        self.shared.books.note(&self.name, |page| page.waiting = waiting);
    }
}
