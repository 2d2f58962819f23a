//! The subscriptions of one connection: who holds which filter, what the broker has yet to be told, who waits for it.
//!
//! One SUBSCRIBE or UNSUBSCRIBE is outstanding at a time, so that its answer needs no packet id; whatever changes
//! meanwhile gathers and goes out together, up to [`BATCH_FILTERS`] a packet.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use super::routes::{Routes, Target};
use super::subscription::Inlet;
use super::wire::INFLIGHT;
use super::{BusError, Delivery, Message, Qos, Reason, Receipt, topic};

/// Filters in one packet. Ten thousand subscriptions take 40 round trips after a reconnect.
const BATCH_FILTERS: usize = 256;

/// Messages that are held for nobody; more than a broker sends without an acknowledgement.
const STRAYS: usize = 4 * INFLIGHT as usize;

/// Bytes of filters in one packet, far below the smallest packet limit that brokers set.
const BATCH_BYTES: usize = 32 << 10;

/// What the broker is asked. A `Subscribe` is one packet, answered by one reason a filter; an `Unsubscribe` is a packet
/// a filter (rumqttc cannot put several into one), each answered by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    Subscribe(Vec<(Arc<str>, Qos)>),
    Unsubscribe(Vec<Arc<str>>),
}

/// The broker's answer to one filter.
pub(super) type Answer = Result<(), Reason>;

/// Shared by the bus, its connection and every subscription.
#[derive(Debug, Default)]
pub(super) struct Registry {
    state: Mutex<State>,
    /// Woken when there may be a request to send.
    pub(super) changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    routes: Routes,
    filters: HashMap<Arc<str>, Filter>,
    held: HashMap<u64, Vec<Arc<str>>>,
    /// Filters that the broker must be told about.
    dirty: VecDeque<Arc<str>>,
    outstanding: Option<Outstanding>,
    next: u64,
    closed: bool,
    /// The present broker takes no wildcards: filters with some are refused without asking.
    plain_only: bool,
    /// Messages that may be wanted by whoever has not subscribed yet, as long as they are held.
    strays: Option<VecDeque<Stray>>,
    /// Whoever wants messages that the broker had kept has subscribed: only what nobody hears is held.
    complete: bool,
}

/// A message that came before all had subscribed who want it.
#[derive(Debug)]
struct Stray {
    message: Message,
    receipt: Receipt,
    /// Somebody has it.
    heard: bool,
}

#[derive(Debug)]
enum Outstanding {
    Subscribe(Vec<(Arc<str>, Qos)>),
    /// How many answers are still to come.
    Unsubscribe(usize),
}

#[derive(Debug, Default)]
struct Filter {
    qos: Qos,
    holders: Vec<u64>,
    waiting: Vec<oneshot::Sender<Result<(), BusError>>>,
    /// How many of `waiting` the outstanding request answers.
    asked: usize,
    dirty: bool,
    /// A SUBSCRIBE went out on this connection.
    known: bool,
}

/// Takes the filters of one subscription back when it is dropped.
#[derive(Debug)]
pub(super) struct Hold {
    registry: Arc<Registry>,
    subscription: u64,
}

/// One answer for each filter asked for.
pub(super) type Answers = Vec<oneshot::Receiver<Result<(), BusError>>>;

impl Registry {
    /// Adds a subscription: messages flow from now on, the broker is asked when there is a connection.
    pub(super) fn register(
        self: &Arc<Self>,
        filters: &[(Arc<str>, Qos)],
        inlet: &Inlet,
    ) -> Result<(Hold, Answers), BusError> {
        if filters.is_empty() {
            return Err(BusError::InvalidFilter { filter: String::new(), reason: "no filter was given" });
        }
        for (filter, _) in filters {
            topic::check_filter(filter)
                .map_err(|reason| BusError::InvalidFilter { filter: filter.to_string(), reason })?;
        }
        let mut state = self.lock();
        if state.closed {
            return Err(BusError::Closed);
        }
        let answers = state.add(filters, inlet);
        state.replay(filters, inlet);
        let hold = Hold { registry: self.clone(), subscription: state.next };
        drop(state);
        self.changed.notify_one();
        Ok((hold, answers))
    }

    /// Routes one message; says whether somebody has it, or it is held for who may come.
    pub(super) fn deliver(
        &self,
        topic: &str,
        receipt: Option<&Receipt>,
        make: impl FnOnce(Arc<str>) -> Message,
    ) -> bool {
        let mut state = self.lock();
        let State { routes, strays, complete, .. } = &mut *state;
        let (Some(strays), Some(receipt)) = (strays.as_mut().filter(|strays| strays.len() < STRAYS), receipt) else {
            return routes.deliver(topic, receipt, make).is_ok();
        };
        let message = make(Arc::from(topic));
        let heard = routes.deliver(topic, Some(receipt), |_| message.clone()).is_ok();
        if !(heard && *complete) {
            strays.push_back(Stray { message, receipt: receipt.clone(), heard });
        }
        true
    }

    /// Whether messages for nobody are held: the broker may still be sending what it had kept.
    pub(super) fn holds_strays(&self) -> bool {
        self.lock().strays.is_some()
    }

    /// Lets go of what was held, and holds no more; says how many messages nobody has heard.
    pub(super) fn release(&self) -> usize {
        let strays = self.lock().strays.take();
        strays.iter().flatten().filter(|stray| !stray.heard).count()
    }

    /// Whoever wants messages that the broker had kept has subscribed: what was held is let go, and the broker is told to keep nothing more under
    /// these filters of an earlier process, but for those that somebody holds. Says how many messages nobody has heard.
    pub(super) fn complete(&self, left: &[Arc<str>]) -> usize {
        let mut state = self.lock();
        state.complete = true;
        for name in left.iter().filter(|name| topic::check_filter(name).is_ok()) {
            if !state.filters.contains_key(name) {
                state.filters.insert(name.clone(), Filter { known: true, ..Filter::default() });
                state.mark(name);
            }
        }
        drop(state);
        self.changed.notify_one();
        self.release()
    }

    /// The next request to send, if none is outstanding and there is something to say.
    pub(super) fn request(&self) -> Option<Request> {
        self.lock().request()
    }

    /// The answer to a SUBSCRIBE, one entry a filter.
    pub(super) fn subscribed(&self, answers: impl IntoIterator<Item = Answer>) {
        let mut state = self.lock();
        if let Some(Outstanding::Subscribe(filters)) = &mut state.outstanding {
            let filters = std::mem::take(filters);
            state.outstanding = None;
            let short = std::iter::repeat_with(|| Err(Reason::ProtocolError));
            for ((filter, _), answer) in filters.iter().zip(answers.into_iter().chain(short)) {
                state.answer(filter, answer);
            }
        }
        drop(state);
        self.changed.notify_one();
    }

    /// The answer to one UNSUBSCRIBE, whatever it says.
    pub(super) fn unsubscribed(&self) {
        let mut state = self.lock();
        if let Some(Outstanding::Unsubscribe(left)) = &mut state.outstanding {
            *left -= 1;
            if *left == 0 {
                state.outstanding = None;
                self.changed.notify_one();
            }
        }
    }

    /// Whether the broker owes an answer.
    pub(super) fn waits(&self) -> bool {
        self.lock().outstanding.is_some()
    }

    /// A connection begins, and the broker knows none of our filters: all are to be asked for again. `wildcards` says
    /// whether it takes filters with some, `kept` whether it may send what it had kept for us.
    pub(super) fn renew(&self, wildcards: bool, kept: bool) {
        let mut state = self.lock();
        let state = &mut *state;
        state.plain_only = !wildcards;
        state.strays = kept.then(VecDeque::new);
        state.outstanding = None;
        state.dirty.clear();
        state.filters.retain(|_, filter| !filter.holders.is_empty());
        for (name, filter) in &mut state.filters {
            filter.asked = 0;
            filter.known = false;
            filter.dirty = true;
            state.dirty.push_back(name.clone());
        }
        self.changed.notify_one();
    }

    /// Ends every subscription and refuses new ones.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.routes.clear();
        state.dirty.clear();
        for (_, filter) in state.filters.drain() {
            for waiter in filter.waiting {
                let _ = waiter.send(Err(BusError::Closed));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the tables whole: each change is made by calls that do not panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, filters: &[(Arc<str>, Qos)], inlet: &Inlet) -> Answers {
        self.next += 1;
        let subscription = self.next;
        self.held.insert(subscription, filters.iter().map(|(filter, _)| filter.clone()).collect());
        let mut answers = Vec::with_capacity(filters.len());
        for (index, (name, qos)) in filters.iter().enumerate() {
            self.routes.insert(name, Target { subscription, filter: index, qos: *qos, inlet: inlet.clone() });
            let (sender, answer) = oneshot::channel();
            answers.push(answer);
            let filter = self.filters.entry(name.clone()).or_default();
            filter.qos = if filter.holders.is_empty() { *qos } else { filter.qos.max(*qos) };
            filter.holders.push(subscription);
            filter.waiting.push(sender);
            self.mark(name);
        }
        answers
    }

    /// What came for a new subscription before it was there.
    fn replay(&mut self, filters: &[(Arc<str>, Qos)], inlet: &Inlet) {
        let Some(strays) = &mut self.strays else { return };
        let matching = |topic: &str| filters.iter().position(|(filter, _)| topic::matches(filter, topic));
        for stray in strays {
            // It stays, for others who come later: their filters may overlap.
            let Some(filter) = matching(&stray.message.topic) else { continue };
            stray.heard = true;
            inlet.offer(Delivery { filter, message: stray.message.clone(), receipt: Some(stray.receipt.clone()) });
        }
    }

    fn drop_subscription(&mut self, subscription: u64) {
        for name in self.held.remove(&subscription).unwrap_or_default() {
            self.routes.remove(&name, subscription);
            let Some(filter) = self.filters.get_mut(&name) else { continue };
            filter.holders.retain(|holder| *holder != subscription);
            if !filter.holders.is_empty() {
                continue;
            }
            if filter.known {
                self.mark(&name);
            } else if !filter.dirty {
                self.filters.remove(&name);
            }
        }
    }

    fn mark(&mut self, name: &Arc<str>) {
        if let Some(filter) = self.filters.get_mut(name)
            && !filter.dirty
        {
            filter.dirty = true;
            self.dirty.push_back(name.clone());
        }
    }

    fn request(&mut self) -> Option<Request> {
        if self.outstanding.is_some() {
            return None;
        }
        let (mut subscribe, mut unsubscribe, mut bytes) = (Vec::new(), Vec::new(), 0);
        while let Some(name) = self.dirty.front().cloned() {
            let wanted = self.filters.get(&name).is_some_and(|filter| !filter.holders.is_empty());
            let other_kind = if wanted { !unsubscribe.is_empty() } else { !subscribe.is_empty() };
            let count = subscribe.len() + unsubscribe.len();
            bytes += name.len();
            if other_kind || count == BATCH_FILTERS || (count > 0 && bytes > BATCH_BYTES) {
                break;
            }
            self.dirty.pop_front();
            if wanted && self.plain_only && topic::has_wildcard(&name) {
                self.turn_down(&name);
            } else if let Some(qos) = self.ask(&name) {
                subscribe.push((name, qos));
            } else if self.filters.remove(&name).is_some_and(|filter| filter.known) {
                unsubscribe.push(name);
            }
        }
        if !subscribe.is_empty() {
            self.outstanding = Some(Outstanding::Subscribe(subscribe.clone()));
            return Some(Request::Subscribe(subscribe));
        }
        if unsubscribe.is_empty() {
            return None;
        }
        self.outstanding = Some(Outstanding::Unsubscribe(unsubscribe.len()));
        Some(Request::Unsubscribe(unsubscribe))
    }

    /// Notes that a filter goes into a SUBSCRIBE; `None` when nobody holds it any more.
    fn ask(&mut self, name: &Arc<str>) -> Option<Qos> {
        let filter = self.filters.get_mut(name).filter(|filter| !filter.holders.is_empty())?;
        filter.dirty = false;
        filter.known = true;
        filter.asked = filter.waiting.len();
        Some(filter.qos)
    }

    /// Answers in the broker's place, as asking would make it hang up.
    fn turn_down(&mut self, name: &Arc<str>) {
        self.ask(name);
        if let Some(filter) = self.filters.get_mut(name) {
            filter.known = false;
        }
        self.answer(name, Err(Reason::WildcardSubscriptionsNotSupported));
    }

    fn answer(&mut self, name: &Arc<str>, answer: Answer) {
        let Some(filter) = self.filters.get_mut(name) else { return };
        let result = answer.map_err(|reason| BusError::SubscriptionRefused { filter: name.clone(), reason });
        let asked = filter.asked.min(filter.waiting.len());
        filter.asked = 0;
        for waiter in filter.waiting.drain(..asked) {
            let _ = waiter.send(result.clone());
        }
        if let Err(error) = result {
            tracing::warn!(%error, "subscription ended");
            filter.known = false;
            for subscription in filter.holders.clone() {
                self.drop_subscription(subscription);
            }
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.registry.lock().drop_subscription(self.subscription);
        self.registry.changed.notify_one();
    }
}

#[cfg(test)]
mod tests;
