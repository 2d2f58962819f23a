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
mod tests {
    use super::super::receipts::Receipts;
    use super::super::subscription;
    use super::*;

    fn wants(names: &[&str]) -> Option<Request> {
        Some(Request::Subscribe(names.iter().map(|name| (Arc::from(*name), Qos::AtLeastOnce)).collect()))
    }

    fn hold(registry: &Arc<Registry>, names: &[&str]) -> (Hold, Answers) {
        let filters: Vec<_> = names.iter().map(|name| (Arc::from(*name), Qos::AtLeastOnce)).collect();
        registry.register(&filters, &subscription::channel().0).unwrap()
    }

    #[test]
    fn changes_gather_while_a_request_is_outstanding() {
        let registry = Arc::new(Registry::default());
        let (_a, mut first) = hold(&registry, &["a"]);
        assert_eq!(registry.request(), wants(&["a"]));
        let (_b, mut second) = hold(&registry, &["b", "c"]);
        let (_c, mut third) = hold(&registry, &["a"]);
        assert_eq!(registry.request(), None);
        registry.subscribed([Ok(())]);
        assert!(first[0].try_recv().unwrap().is_ok());
        assert!(second[0].try_recv().is_err() && third[0].try_recv().is_err(), "not asked for yet");
        assert_eq!(registry.request(), wants(&["b", "c", "a"]));
        registry.subscribed([Ok(()), Err(Reason::NotAuthorized), Ok(())]);
        assert!(second[0].try_recv().unwrap().is_ok());
        assert!(matches!(second[1].try_recv().unwrap(), Err(BusError::SubscriptionRefused { .. })));
        assert!(third[0].try_recv().unwrap().is_ok());
    }

    #[test]
    fn the_last_holder_unsubscribes() {
        let registry = Arc::new(Registry::default());
        let (one, _) = hold(&registry, &["a"]);
        registry.request();
        registry.subscribed([Ok(())]);
        let (two, _) = hold(&registry, &["a"]);
        drop(one);
        assert_eq!(registry.request(), wants(&["a"]));
        registry.subscribed([Ok(())]);
        drop(two);
        assert_eq!(registry.request(), Some(Request::Unsubscribe(vec!["a".into()])));
        assert!(registry.waits());
        registry.unsubscribed();
        assert_eq!(registry.request(), None);
        assert!(registry.lock().filters.is_empty() && registry.lock().held.is_empty());
    }

    #[test]
    fn a_filter_given_up_before_it_was_asked_for_is_never_sent() {
        let registry = Arc::new(Registry::default());
        drop(hold(&registry, &["a"]));
        assert_eq!(registry.request(), None);
        assert!(registry.lock().filters.is_empty() && registry.lock().dirty.is_empty());
    }

    #[test]
    fn a_filter_taken_again_while_it_is_unsubscribed_is_subscribed_after() {
        let registry = Arc::new(Registry::default());
        let (one, _) = hold(&registry, &["a"]);
        registry.request();
        registry.subscribed([Ok(())]);
        drop(one);
        registry.request();
        let (_two, _) = hold(&registry, &["a"]);
        registry.unsubscribed();
        assert_eq!(registry.request(), wants(&["a"]));
    }

    #[test]
    fn a_new_connection_asks_for_everything_held_and_keeps_the_waiting() {
        let registry = Arc::new(Registry::default());
        let (_a, mut answers) = hold(&registry, &["a"]);
        let (gone, _) = hold(&registry, &["b"]);
        registry.request();
        drop(gone);
        registry.renew(true, false);
        assert_eq!(registry.request(), wants(&["a"]));
        registry.subscribed([Ok(())]);
        assert!(answers[0].try_recv().unwrap().is_ok());
        assert_eq!(registry.request(), None);
    }

    #[test]
    fn a_broker_without_wildcards_is_not_asked_for_some() {
        let registry = Arc::new(Registry::default());
        registry.renew(false, false);
        let (_a, mut answers) = hold(&registry, &["a/+"]);
        let (_b, _) = hold(&registry, &["b"]);
        assert_eq!(registry.request(), wants(&["b"]));
        let refused = answers[0].try_recv().unwrap();
        let reason = Reason::WildcardSubscriptionsNotSupported;
        assert!(matches!(refused, Err(BusError::SubscriptionRefused { reason: why, .. }) if why == reason));
        assert_eq!(registry.lock().filters.len(), 1, "it is asked for no more");
    }

    fn topics(end: &mut crate::bus::Subscription) -> Vec<(usize, String)> {
        let deliveries = std::iter::from_fn(|| end.try_recv());
        deliveries
            .inspect(|delivery| assert!(delivery.receipt.as_ref().is_some_and(Receipt::is_kept)))
            .map(|delivery| (delivery.filter, delivery.message.topic.to_string()))
            .collect()
    }

    #[test]
    fn what_comes_before_all_have_subscribed_is_held_for_each_of_them_and_in_the_end_let_go() {
        let (registry, receipts) = (Arc::new(Registry::default()), Arc::new(Receipts::default()));
        registry.renew(true, true);
        let come = |packet_id, topic: &str| {
            let receipt = receipts.begin(packet_id, registry.holds_strays());
            assert!(registry.deliver(topic, Some(&receipt), |name| Message::new(name, "kept")));
        };
        [(1, "a/x"), (2, "b"), (3, "a/y")].into_iter().for_each(|(id, topic)| come(id, topic));
        assert!(!registry.deliver("a/x", None, |name| Message::new(name, "QoS 0")), "nobody hears it");
        let subscribe = |names: [&str; 2]| {
            let (inlet, open) = subscription::channel();
            let filters = names.map(|name| (Arc::from(name), Qos::AtLeastOnce));
            let (hold, _) = registry.register(&filters, &inlet).unwrap();
            open(Box::new(hold))
        };
        let mut first = subscribe(["q", "a/+"]);
        come(4, "a/z");
        let mut second = subscribe(["a/#", "q"]);
        let all = |filter: usize| ["a/x", "a/y", "a/z"].map(|topic| (filter, topic.to_owned()));
        assert_eq!((topics(&mut first), topics(&mut second)), (all(1).to_vec(), all(0).to_vec()));
        assert_eq!(receipts.take(), None, "a third one may come");
        assert_eq!((registry.complete(&[]), registry.release()), (1, 0));
        assert_eq!(std::iter::from_fn(|| receipts.take()).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert!(!registry.holds_strays());
        // After another connection only what nobody hears is held.
        registry.renew(true, true);
        receipts.renew();
        [(5, "a/x"), (6, "b")].into_iter().for_each(|(id, topic)| come(id, topic));
        assert_eq!((topics(&mut first).len(), topics(&mut second).len()), (1, 1));
        assert_eq!((receipts.take(), receipts.take()), (Some(5), None));
    }

    #[test]
    fn what_an_earlier_process_subscribed_to_is_unsubscribed_unless_it_is_held() {
        let registry = Arc::new(Registry::default());
        let (_hold, _) = hold(&registry, &["a"]);
        assert_eq!(registry.request(), wants(&["a"]));
        registry.subscribed([Ok(())]);
        let old = ["a", "old/+", "no#filter"].map(Arc::from);
        assert_eq!(registry.complete(&old), 0);
        assert_eq!(registry.request(), Some(Request::Unsubscribe(vec!["old/+".into()])));
        registry.unsubscribed();
        assert_eq!(registry.request(), None);
        assert_eq!(registry.lock().filters.len(), 1);
    }

    #[test]
    fn many_filters_go_in_several_packets() {
        let registry = Arc::new(Registry::default());
        let names: Vec<String> = (0..1000).map(|index| format!("device/{index}/up")).collect();
        let _hold = hold(&registry, &names.iter().map(String::as_str).collect::<Vec<_>>());
        let mut packets = 0;
        while let Some(Request::Subscribe(filters)) = registry.request() {
            packets += 1;
            registry.subscribed(filters.iter().map(|_| Ok(())));
        }
        assert_eq!(packets, 4);
    }
}
