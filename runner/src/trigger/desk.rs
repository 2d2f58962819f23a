//! The queue before a trigger: what came waits for its turn, as fast as the trigger may start runs and the process can.

use super::books::Name;
use super::inbox::Inbox;
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

/// What waits for its turn.
struct Waits {
    order: Order,
    /// Its number in the inbox.
    kept: Option<u64>,
    /// How often it was tried and may go well yet. What was tried has its token.
    tries: u32,
    /// When what was tried is tried again; others have their turn meanwhile.
    again: Instant,
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
    /// The trigger's pace does not let anything new begin sooner.
    not_before: Instant,
    /// That pace.
    pace: u32,
}

impl Desk {
    pub(super) fn new(shared: Arc<Shared>, name: Name, definition: watch::Receiver<Definition>) -> Self {
        let most = definition.borrow().trigger.max_rate;
        let (rate, letters) = (Rate::new(pace(most), now()), Rate::new(pace(LETTERS), now()));
        let (queue, not_before) = (VecDeque::new(), Instant::now());
        Self { shared, name, definition, queue, inbox: None, rate, letters, not_before, pace: most }
    }

    /// One whose messages outlive the process.
    pub(super) fn with_inbox(shared: Arc<Shared>, name: Name, definition: watch::Receiver<Definition>) -> Self {
        let inbox = Inbox::new(Arc::clone(&shared), &name);
        Self { inbox: Some(inbox), ..Self::new(shared, name, definition) }
    }

    /// Takes up what an earlier process left, or this trigger under another topic.
    pub(super) async fn load(&mut self) -> Result<(), Failure> {
        let Some(inbox) = &mut self.inbox else { return Ok(()) };
        for (number, came) in inbox.load().await? {
            let mark = came.message.as_ref().map(|message| message.mark(&self.name));
            let waiting = self.queue.len();
            self.take(Came { mark, ..came }).await;
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
                let order = Order { came, start };
                self.queue.push_back(Waits { order, kept: None, tries: 0, again: Instant::now() });
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
        let Some(first) = self.queue.iter().map(|waits| self.due(waits)).min() else {
            return std::future::pending().await;
        };
        let mut changes = self.definition.clone();
        tokio::select! {
            () = tokio::time::sleep_until(first) => {}
            // Another pace counts at once; whatever else is edited hurries nothing.
            () = paced(&mut changes, self.pace) => {}
        }
    }

    fn due(&self, waits: &Waits) -> Instant {
        if waits.tries == 0 { self.not_before } else { waits.again }
    }

    /// Starts the first of those whose turn it is, or finds out when that is.
    pub(super) async fn begin(&mut self) {
        let (most, moment) = (self.definition.borrow().trigger.max_rate, Instant::now());
        if self.pace != most {
            (self.pace, self.not_before) = (most, moment);
        }
        let Some(place) = self.queue.iter().position(|waits| self.due(waits) <= moment) else { return };
        if self.queue[place].tries == 0
            && let Err(ms) = self.rate.take(pace(most), now())
        {
            self.not_before = moment + wait(ms);
            return self.keep().await;
        }
        let order = self.queue[place].order.clone();
        match self.shared.begin(&self.name, &order).await {
            Ok(_) => self.over(place).await,
            Err(failure) if passes(&failure) && self.queue[place].tries < TRIES => {
                self.shared.tell(&self.name, &order.came.source, &failure);
                self.put_off(place);
                self.keep().await;
            }
            Err(failure) => {
                self.shared.bury(&self.name, &self.definition(), &order.came, &failure).await;
                self.over(place).await;
            }
        }
    }

    /// To the end of the queue, and not before its time.
    fn put_off(&mut self, place: usize) {
        let Some(mut waits) = self.queue.remove(place) else { return };
        waits.tries += 1;
        waits.again = Instant::now() + Duration::from_millis(250 << (2 * waits.tries));
        self.queue.push_back(waits);
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

    /// Makes durable what waits, for whoever listens next; where that fails, the broker has it as long as this is not dropped.
    pub(super) async fn leave(mut self) {
        self.keep().await;
        if self.queue.iter().any(|waits| waits.kept.is_none()) {
            let shared = Arc::clone(&self.shared);
            shared.leave(self);
        }
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

    async fn over(&mut self, place: usize) {
        let kept = self.queue.remove(place).and_then(|waits| waits.kept);
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

/// Resolves when the trigger has another pace.
async fn paced(definition: &mut watch::Receiver<Definition>, pace: u32) {
    while definition.borrow_and_update().trigger.max_rate == pace {
        if definition.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}
