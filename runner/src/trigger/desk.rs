//! The queue before a trigger: what came waits for its turn, as fast as the trigger may start runs and the process can.

use super::books::Name;
use super::inbox::Inbox;
use super::judge::Definition;
use super::shared::{Came, Order, Shared, now, passes, wait};
use crate::bus::topic;
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

/// What waits for its turn.
struct Waits {
    order: Order,
    /// Its number in the inbox.
    kept: Option<u64>,
}

/// One trigger's queue.
pub(super) struct Desk {
    shared: Arc<Shared>,
    name: Name,
    definition: watch::Receiver<Definition>,
    queue: VecDeque<Waits>,
    /// Where messages that wait are durable; other things have places of their own to be found in.
    inbox: Option<Inbox>,
    rate: Rate,
    letters: Rate,
    not_before: Instant,
    tries: u32,
}

impl Desk {
    pub(super) fn new(shared: Arc<Shared>, name: Name, definition: watch::Receiver<Definition>) -> Self {
        let rate = Rate::new(pace(definition.borrow().trigger.max_rate), now());
        let (letters, not_before) = (Rate::new(pace(LETTERS), now()), Instant::now());
        Self { shared, name, definition, queue: VecDeque::new(), inbox: None, rate, letters, not_before, tries: 0 }
    }

    /// One whose messages outlive the process.
    pub(super) fn with_inbox(shared: Arc<Shared>, name: Name, definition: watch::Receiver<Definition>) -> Self {
        let inbox = Inbox::new(Arc::clone(&shared), &name);
        Self { inbox: Some(inbox), ..Self::new(shared, name, definition) }
    }

    /// Takes up what an earlier process left of messages that match.
    pub(super) async fn load(&mut self, filter: &str) -> Result<(), Failure> {
        let Some(inbox) = &mut self.inbox else { return Ok(()) };
        for (number, came) in inbox.load().await? {
            let message = came.message.as_ref().filter(|message| topic::matches(filter, &message.topic));
            let mark = message.map(|message| message.mark(&self.name));
            let waiting = self.queue.len();
            if mark.is_some() {
                self.take(Came { mark, ..came }).await;
            }
            let waits = self.queue.len() > waiting;
            match self.queue.back_mut().filter(|_| waits) {
                Some(waits) => waits.kept = Some(number),
                None => self.forget(number).await,
            }
        }
        Ok(())
    }

    pub(super) fn name(&self) -> &Name {
        &self.name
    }

    pub(super) fn definition(&self) -> Definition {
        self.definition.borrow().clone()
    }

    /// Takes what came: judges it, and puts it at the end of the queue.
    pub(super) async fn take(&mut self, came: Came) {
        match self.shared.judged(&self.name, &self.definition(), &came).await {
            Ok(None) => {}
            Ok(Some(start)) if self.queue.len() < MOST => {
                self.queue.push_back(Waits { order: Order { came, start }, kept: None });
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
        let mut changes = self.definition.clone();
        tokio::select! {
            () = tokio::time::sleep_until(self.not_before) => {}
            // Another rate counts at once.
            Ok(()) = changes.changed() => {}
        }
    }

    /// Starts the first of the queue, or finds out when it may.
    pub(super) async fn begin(&mut self) {
        let most = self.definition.borrow_and_update().trigger.max_rate;
        // A start that is tried again has its token.
        if self.tries == 0
            && let Err(ms) = self.rate.take(pace(most), now())
        {
            self.not_before = Instant::now() + wait(ms);
            return self.keep().await;
        }
        let Some(order) = self.queue.front().map(|waits| waits.order.clone()) else { return };
        match self.shared.begin(&self.name, &order).await {
            Ok(_) => self.over().await,
            Err(failure) if passes(&failure) && self.tries < TRIES => {
                self.tries += 1;
                self.not_before = Instant::now() + Duration::from_millis(250 << (2 * self.tries));
                self.shared.tell(&self.name, &order.came.source, &failure);
                self.keep().await;
            }
            Err(failure) => {
                self.shared.bury(&self.name, &self.definition(), &order.came, &failure).await;
                self.over().await;
            }
        }
    }

    /// What still waits.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Makes durable what cannot be started at once.
    pub(super) async fn keep_late(&mut self) {
        if self.not_before > Instant::now() {
            self.keep().await;
        }
    }

    /// Makes durable what waits, for the next process; where that fails, the broker has it as long as this is not dropped.
    pub(super) async fn leave(mut self) -> Self {
        self.keep().await;
        self
    }

    /// Where this fails the broker still has the messages.
    async fn keep(&mut self) {
        let Some(inbox) = &mut self.inbox else { return };
        let mut waiting: Vec<&mut Waits> = self.queue.iter_mut().filter(|waits| waits.kept.is_none()).collect();
        if waiting.is_empty() {
            return;
        }
        let mut came: Vec<&mut Came> = waiting.iter_mut().map(|waits| &mut waits.order.came).collect();
        match inbox.keep(&mut came).await {
            Ok(numbers) => waiting.iter_mut().zip(numbers).for_each(|(waits, number)| waits.kept = Some(number)),
            Err(failure) => self.shared.tell(&self.name, "the inbox", &failure),
        }
    }

    async fn over(&mut self) {
        let kept = self.queue.pop_front().and_then(|waits| waits.kept);
        self.tries = 0;
        self.count();
        if let Some(number) = kept {
            self.forget(number).await;
        }
    }

    async fn forget(&mut self, number: u64) {
        if let Some(inbox) = &mut self.inbox {
            inbox.drop(number).await;
        }
    }

    fn count(&self) {
        let waiting = self.queue.len() as u64;
        self.shared.books.note(&self.name, |page| page.waiting = waiting);
    }
}
