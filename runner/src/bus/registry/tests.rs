//! Which requests subscriptions come to, and who gets what came before them.

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
