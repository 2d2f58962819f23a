//! What every bus must do, as one suite over the in-memory bus and over rumqttc with the embedded broker.

use std::sync::Arc;

use bytes::Bytes;

use super::super::{Bus, BusError, BusStatus, MemoryBus, Message, Properties, Qos, RumqttcBus, Settings, Version};
use super::{broker, next, payload, settings};

/// Two clients of one broker: the first speaks, the second listens. The rules of the second list need MQTT 5.
macro_rules! contract {
    ({ $($rule:ident)* } { $($five:ident)* }) => {
        mod memory {
            contract! { memory $($rule)* $($five)* }
        }
        mod rumqttc {
            contract! { Five $($rule)* $($five)* }
        }
        mod older {
            contract! { Three $($rule)* }
        }
    };
    (memory $($rule:ident)*) => {
        $(#[tokio::test]
        async fn $rule() {
            let bus = super::MemoryBus::new();
            super::$rule(&bus, &bus.clone()).await;
        })*
    };
    ($version:ident $($rule:ident)*) => {
        $(#[tokio::test]
        async fn $rule() {
            let broker = super::broker().await;
            let one = async || {
                let settings = super::Settings { version: super::Version::$version, ..super::settings(broker.addr) };
                super::RumqttcBus::connect(settings).await.unwrap()
            };
            let (speaker, listener) = (one().await, one().await);
            super::$rule(&speaker, &listener).await;
            broker.shutdown().await;
        })*
    };
}

contract! {
    {
    messages_arrive_whole
    wildcards_match_as_the_standard_says
    several_filters_feed_one_queue_in_order
    retained_messages_greet_new_subscriptions
    order_holds_within_a_topic
    the_lower_qos_wins
    a_dropped_subscription_hears_nothing_and_others_go_on
    a_cancelled_subscribe_leaves_nothing_behind
    overflow_drops_the_newest_and_counts
    bad_names_are_refused
    batches_are_taken_at_once
    a_closed_bus_refuses_and_ends_subscriptions
    closing_sends_what_is_queued
    }
    { properties_travel }
}

async fn messages_arrive_whole(speaker: &dyn Bus, listener: &dyn Bus) {
    let mut here = listener.subscribe("dev/1/up", Qos::AtLeastOnce).await.unwrap();
    for size in [0, 1, 127, 128, 1024, 64 << 10, 512 << 10] {
        let bytes: Vec<u8> = (0..size).map(|index: usize| (index * 31 % 251) as u8).collect();
        speaker.publish(Message::new("dev/1/up", bytes.clone())).unwrap();
        let message = next(&mut here).await.message;
        assert_eq!(message.payload, Bytes::from(bytes));
        assert_eq!((&*message.topic, message.qos, message.retain), ("dev/1/up", Qos::AtLeastOnce, false));
        assert_eq!(message.properties, None);
    }
}

async fn wildcards_match_as_the_standard_says(speaker: &dyn Bus, listener: &dyn Bus) {
    let topics = ["a", "a/b", "a/b/c", "/a", "a/", "b/b", "$x/b", "$x"];
    for (filter, expected) in [
        ("#", &["a", "a/b", "a/b/c", "/a", "a/", "b/b"][..]),
        ("+", &["a"]),
        ("+/b", &["a/b", "b/b"]),
        ("a/#", &["a", "a/b", "a/b/c", "a/"]),
        ("a/+", &["a/b", "a/"]),
        ("+/+", &["a/b", "/a", "a/", "b/b"]),
        ("$x/#", &["$x/b", "$x"]),
        ("$x/+", &["$x/b"]),
        ("a/b", &["a/b"]),
    ] {
        let mut here = listener.subscribe_many(&[(filter, Qos::AtLeastOnce), ("end", Qos::AtLeastOnce)]).await.unwrap();
        for topic in topics {
            speaker.publish(Message::new(topic, "x")).unwrap();
        }
        speaker.publish(Message::new("end", "")).unwrap();
        let mut heard = Vec::new();
        loop {
            let topic = next(&mut here).await.message.topic;
            if &*topic == "end" {
                break;
            }
            heard.push(topic);
        }
        heard.sort();
        let mut expected: Vec<Arc<str>> = expected.iter().map(|topic| Arc::from(*topic)).collect();
        if filter == "#" {
            // `end` matches twice there; some brokers then send it twice.
            heard.retain(|topic| &**topic != "end");
        }
        expected.sort();
        assert_eq!(heard, expected, "{filter}");
    }
}

async fn several_filters_feed_one_queue_in_order(speaker: &dyn Bus, listener: &dyn Bus) {
    let filters = [("up/+/data", Qos::AtLeastOnce), ("up/7/ack", Qos::AtLeastOnce)];
    let mut here = listener.subscribe_many(&filters).await.unwrap();
    for index in 0..100 {
        let topic = if index % 3 == 0 { "up/7/ack" } else { "up/7/data" };
        speaker.publish(Message::new(topic, index.to_string())).unwrap();
    }
    for index in 0..100 {
        let delivery = next(&mut here).await;
        assert_eq!(delivery.message.payload, Bytes::from(index.to_string()));
        assert_eq!(delivery.filter, usize::from(index % 3 == 0));
    }
}

async fn retained_messages_greet_new_subscriptions(speaker: &dyn Bus, listener: &dyn Bus) {
    let mut live = listener.subscribe("state/#", Qos::AtLeastOnce).await.unwrap();
    for (topic, text) in [("state/a", "old"), ("state/a", "new"), ("state/b", "b"), ("state/b", "")] {
        speaker.publish(Message::new(topic, text).retained()).unwrap();
        let message = next(&mut live).await.message;
        assert_eq!((message.payload.as_ref(), message.retain), (text.as_bytes(), false));
    }
    let mut late = listener.subscribe("state/+", Qos::AtLeastOnce).await.unwrap();
    let message = next(&mut late).await.message;
    assert_eq!((&*message.topic, message.payload.as_ref(), message.retain), ("state/a", &b"new"[..], true));
    speaker.publish(Message::new("state/c", "live")).unwrap();
    assert_eq!(payload(&mut late).await, "live", "the forgotten one does not come");
}

async fn order_holds_within_a_topic(speaker: &dyn Bus, listener: &dyn Bus) {
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let mut here = listener.subscribe("order", qos).await.unwrap();
        for index in 0..500 {
            speaker.publish(Message::new("order", index.to_string()).with_qos(qos)).unwrap();
        }
        for index in 0..500 {
            assert_eq!(payload(&mut here).await, index.to_string(), "{qos:?}");
        }
    }
}

async fn the_lower_qos_wins(speaker: &dyn Bus, listener: &dyn Bus) {
    let all = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];
    for asked in all {
        for sent in all {
            let mut here = listener.subscribe("qos", asked).await.unwrap();
            speaker.publish(Message::new("qos", "x").with_qos(sent)).unwrap();
            assert_eq!(next(&mut here).await.message.qos, asked.min(sent), "{asked:?} {sent:?}");
        }
    }
}

async fn properties_travel(speaker: &dyn Bus, listener: &dyn Bus) {
    let mut here = listener.subscribe("with", Qos::AtLeastOnce).await.unwrap();
    let properties = Properties {
        response_topic: Some("answer/here".into()),
        correlation: Some(Bytes::from_static(b"\0\xff7")),
        content_type: Some("application/json".to_owned()),
        user: [("a", "1"), ("b", ""), ("a", "2")].map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        expiry: Some(3600),
    };
    speaker.publish(Message::new("with", "x").with_properties(properties.clone())).unwrap();
    let mut arrived = *next(&mut here).await.message.properties.unwrap();
    let left = arrived.expiry.replace(3600);
    assert!(left.is_some_and(|left| (3500..=3600).contains(&left)), "{left:?}");
    assert_eq!(arrived, properties);
}

async fn a_dropped_subscription_hears_nothing_and_others_go_on(speaker: &dyn Bus, listener: &dyn Bus) {
    let first = listener.subscribe("shared/topic", Qos::AtLeastOnce).await.unwrap();
    let mut second = listener.subscribe("shared/topic", Qos::AtLeastOnce).await.unwrap();
    speaker.publish(Message::new("shared/topic", "1")).unwrap();
    assert_eq!(payload(&mut second).await, "1");
    drop(first);
    speaker.publish(Message::new("shared/topic", "2")).unwrap();
    assert_eq!(payload(&mut second).await, "2");
    drop(second);
    let mut third = listener.subscribe("shared/topic", Qos::AtLeastOnce).await.unwrap();
    speaker.publish(Message::new("shared/topic", "3")).unwrap();
    assert_eq!(payload(&mut third).await, "3");
}

async fn a_cancelled_subscribe_leaves_nothing_behind(speaker: &dyn Bus, listener: &dyn Bus) {
    drop(listener.subscribe("never", Qos::AtLeastOnce));
    {
        let mut asked = listener.subscribe("later", Qos::AtLeastOnce);
        // Polled once and dropped: with a broker far away, the answer is still under way.
        let _ = std::future::poll_fn(|context| std::task::Poll::Ready(asked.as_mut().poll(context).is_ready())).await;
    }
    let mut here = listener.subscribe("later", Qos::AtLeastOnce).await.unwrap();
    speaker.publish(Message::new("later", "once")).unwrap();
    speaker.publish(Message::new("later", "twice")).unwrap();
    assert_eq!(payload(&mut here).await, "once");
    assert_eq!(payload(&mut here).await, "twice");
}

async fn overflow_drops_the_newest_and_counts(speaker: &dyn Bus, listener: &dyn Bus) {
    let mut slow = listener.subscribe("flood", Qos::AtLeastOnce).await.unwrap();
    let mut other = listener.subscribe("end", Qos::AtLeastOnce).await.unwrap();
    for index in 0..super::super::QUEUE_MESSAGES + 10 {
        speaker.publish(Message::new("flood", index.to_string())).unwrap();
    }
    speaker.publish(Message::new("end", "")).unwrap();
    next(&mut other).await;
    assert_eq!(slow.dropped(), 10);
    for index in 0..super::super::QUEUE_MESSAGES {
        assert_eq!(payload(&mut slow).await, index.to_string());
    }
    assert_eq!(slow.try_recv(), None);
    for _ in 0..20 {
        speaker.publish(Message::new("flood", vec![0; 512 << 10])).unwrap();
    }
    speaker.publish(Message::new("end", "")).unwrap();
    next(&mut other).await;
    assert_eq!(slow.dropped(), 10 + 4, "16 messages of half a MiB fill the queue");
}

async fn bad_names_are_refused(speaker: &dyn Bus, listener: &dyn Bus) {
    for topic in ["", "a/+", "#", "a\0"] {
        assert!(matches!(speaker.publish(Message::new(topic, "x")), Err(BusError::InvalidTopic { .. })), "{topic}");
    }
    for filter in ["", "a#", "a/#/b", "$share/group/a"] {
        let result = listener.subscribe(filter, Qos::AtLeastOnce).await;
        assert!(matches!(result, Err(BusError::InvalidFilter { .. })), "{filter}");
    }
    assert!(matches!(listener.subscribe_many(&[]).await, Err(BusError::InvalidFilter { .. })));
    speaker.ready().await;
}

async fn batches_are_taken_at_once(speaker: &dyn Bus, listener: &dyn Bus) {
    let mut here = listener.subscribe("batch", Qos::AtLeastOnce).await.unwrap();
    let mut end = listener.subscribe("end", Qos::AtLeastOnce).await.unwrap();
    for index in 0..100 {
        speaker.publish(Message::new("batch", index.to_string())).unwrap();
    }
    speaker.publish(Message::new("end", "")).unwrap();
    next(&mut end).await;
    let mut batch = Vec::new();
    assert_eq!(here.recv_many(&mut batch, 64).await, 64);
    assert_eq!(here.recv_many(&mut batch, 64).await, 36);
    let texts: Vec<_> = batch.iter().map(|delivery| String::from_utf8_lossy(&delivery.message.payload)).collect();
    assert_eq!(texts, (0..100).map(|index| index.to_string()).collect::<Vec<_>>());
}

async fn a_closed_bus_refuses_and_ends_subscriptions(speaker: &dyn Bus, _: &dyn Bus) {
    let mut here = speaker.subscribe("end/of", Qos::AtLeastOnce).await.unwrap();
    assert!(speaker.status().borrow().is_connected());
    speaker.close().await;
    assert!(matches!(*speaker.status().borrow(), BusStatus::Closed));
    assert_eq!(here.recv().await, None);
    assert!(matches!(speaker.publish(Message::new("a", "x")), Err(BusError::Closed)));
    assert!(matches!(speaker.subscribe("a", Qos::AtLeastOnce).await, Err(BusError::Closed)));
    speaker.ready().await;
    speaker.close().await;
}

async fn closing_sends_what_is_queued(speaker: &dyn Bus, listener: &dyn Bus) {
    let mut here = listener.subscribe("last/words", Qos::AtLeastOnce).await.unwrap();
    for index in 0..1000 {
        speaker.publish(Message::new("last/words", index.to_string())).unwrap();
    }
    speaker.close().await;
    for index in 0..1000 {
        assert_eq!(payload(&mut here).await, index.to_string());
    }
}
