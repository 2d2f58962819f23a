//! A broker that goes and comes back, on the same port.

use tokio::time::timeout;

use super::super::{Broker, BrokerHandle, Bus, BusStatus, EmbeddedBroker, Message, Properties, Qos};
use super::{PATIENCE, broker, connect, connected, payload, status};

async fn again(addr: std::net::SocketAddr) -> BrokerHandle {
    EmbeddedBroker.start(addr).await.unwrap()
}

#[tokio::test]
async fn subscriptions_are_renewed_and_publishes_flow_again() {
    let mut broker = broker().await;
    let addr = broker.addr;
    let (speaker, listener) = (connect(addr).await, connect(addr).await);
    let filters = [("a/+", Qos::AtLeastOnce), ("b", Qos::AtLeastOnce)];
    let mut here = listener.subscribe_many(&filters).await.unwrap();
    for round in 2..5 {
        let mut states = listener.status();
        broker.shutdown().await;
        let lost = status(&mut states, |status| !status.is_connected()).await;
        assert!(matches!(lost, BusStatus::Connecting { .. }), "{lost:?}");
        broker = again(addr).await;
        let back = connected(&listener, round).await;
        assert!(matches!(back, BusStatus::Connected { generation, .. } if generation == round), "{back:?}");
        connected(&speaker, round).await;
        // Its SUBACK comes after those of the renewed ones, which were asked for before.
        let probe = listener.subscribe("probe", Qos::AtLeastOnce).await.unwrap();
        speaker.publish(Message::new("a/1", format!("a{round}"))).unwrap();
        speaker.publish(Message::new("b", format!("b{round}"))).unwrap();
        assert_eq!(payload(&mut here).await, format!("a{round}"));
        assert_eq!(payload(&mut here).await, format!("b{round}"));
        drop(probe);
    }
    broker.shutdown().await;
}

#[tokio::test]
async fn what_was_published_meanwhile_goes_out_later_in_order() {
    let first = broker().await;
    let addr = first.addr;
    let speaker = connect(addr).await;
    let mut states = speaker.status();
    first.shutdown().await;
    status(&mut states, |status| !status.is_connected()).await;
    let expired = Properties { expiry: Some(1), ..Properties::default() };
    speaker.publish(Message::new("late", "gone").with_properties(expired)).unwrap();
    for index in 0..100 {
        speaker.publish(Message::new("late", index.to_string()).retained()).unwrap();
    }
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let second = again(addr).await;
    connected(&speaker, 2).await;
    let listener = connect(addr).await;
    let mut here = listener.subscribe("late", Qos::AtLeastOnce).await.unwrap();
    speaker.publish(Message::new("late", "end")).unwrap();
    let (mut before, mut count) = (-1, 0);
    loop {
        let text = payload(&mut here).await;
        if text == "end" {
            break;
        }
        let index: i32 = text.parse().unwrap();
        // What is kept may be told to a new subscriber and come to it once more.
        assert!(index >= before, "{index} after {before}");
        (before, count) = (index, count + 1);
    }
    assert!(count >= 1 && before == 99);
    assert_eq!(speaker.counts().left_out, 1);
    second.shutdown().await;
}

#[tokio::test]
async fn a_subscription_asked_for_without_a_connection_is_granted_later() {
    let first = broker().await;
    let addr = first.addr;
    let listener = connect(addr).await;
    let mut states = listener.status();
    first.shutdown().await;
    status(&mut states, |status| !status.is_connected()).await;
    let asked = timeout(PATIENCE, listener.subscribe("x", Qos::AtLeastOnce));
    let (second, granted) = tokio::join!(again(addr), asked);
    let mut here = granted.unwrap().unwrap();
    listener.publish(Message::new("x", "1")).unwrap();
    assert_eq!(payload(&mut here).await, "1");
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_under_load_are_survived() {
    let mut broker = broker().await;
    let addr = broker.addr;
    let (speaker, listener) = (connect(addr).await, connect(addr).await);
    let mut here = listener.subscribe("load", Qos::AtLeastOnce).await.unwrap();
    let (heard, mut hearing) = tokio::sync::watch::channel(0);
    let reader = tokio::spawn(async move {
        while payload(&mut here).await != "end" {
            heard.send_modify(|count| *count += 1);
        }
    });
    let rounds = if std::env::var("PACKHORSE_FULL").is_ok_and(|full| full == "1") { 100 } else { 10 };
    for round in 2..2 + rounds {
        // The queue is full when the broker goes: everything that can be in flight is.
        while speaker.publish(Message::new("load", "x")).is_ok() {}
        let before = *hearing.borrow();
        timeout(PATIENCE, hearing.wait_for(|count| *count > before)).await.unwrap().unwrap();
        let mut states = [listener.status(), speaker.status()];
        broker.shutdown().await;
        for states in &mut states {
            status(states, |status| !status.is_connected()).await;
        }
        broker = again(addr).await;
        connected(&listener, round).await;
        connected(&speaker, round).await;
    }
    let _probe = listener.subscribe("probe", Qos::AtLeastOnce).await.unwrap();
    while speaker.publish(Message::new("load", "end")).is_err() {
        timeout(PATIENCE, speaker.ready()).await.unwrap();
    }
    timeout(PATIENCE, reader).await.unwrap().unwrap();
    assert_eq!(speaker.counts().left_out, 0);
    broker.shutdown().await;
}
