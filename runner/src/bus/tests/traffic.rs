//! Much traffic: windows, back-pressure, many subscriptions.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::timeout;

use super::super::{Bus, BusError, Message, Qos};
use super::{PATIENCE, broker, connect, next};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_of_32_moves_20_000_messages_in_order() {
    let broker = broker().await;
    let (sender, device) = (connect(broker.addr).await, connect(broker.addr).await);
    let mut down = device.subscribe("down", Qos::AtLeastOnce).await.unwrap();
    let mut up = sender.subscribe("up", Qos::AtLeastOnce).await.unwrap();
    let echo = tokio::spawn(async move {
        let mut batch = Vec::new();
        let mut expected = 0_u32;
        while expected < 20_000 {
            down.recv_many(&mut batch, 64).await;
            for delivery in batch.drain(..) {
                let payload = delivery.message.payload;
                assert_eq!(payload[..4], expected.to_be_bytes());
                device.publish(Message::new("up", payload.slice(..4))).unwrap();
                expected += 1;
            }
        }
        device
    });
    let piece = vec![7; 1024];
    let (mut sent, mut acknowledged) = (0_u32, 0_u32);
    while acknowledged < 20_000 {
        while sent < 20_000 && sent < acknowledged + 32 {
            let payload = [&sent.to_be_bytes()[..], &piece].concat();
            sender.publish(Message::new("down", payload)).unwrap();
            sent += 1;
        }
        assert_eq!(next(&mut up).await.message.payload[..], acknowledged.to_be_bytes());
        acknowledged += 1;
    }
    let device = timeout(PATIENCE, echo).await.unwrap().unwrap();
    assert_eq!((device.counts().unrouted, up.dropped()), (0, 0));
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_without_pauses_is_held_back_and_loses_nothing() {
    let broker = broker().await;
    let (sender, device) = (connect(broker.addr).await, connect(broker.addr).await);
    let mut down = device.subscribe("flood", Qos::AtLeastOnce).await.unwrap();
    let reader = tokio::spawn(async move {
        let (mut received, mut before) = (0, None);
        // A reader that the machine held up for long has its overflow counted, so that the sum stays right.
        while received + down.dropped() < 30_000 {
            let Ok(Some(delivery)) = timeout(Duration::from_millis(100), down.recv()).await else { continue };
            let index = u32::from_be_bytes(delivery.message.payload[..].try_into().unwrap());
            assert!(before < Some(index), "{index} after {before:?}");
            (received, before) = (received + 1, Some(index));
        }
    });
    let mut held_back = 0;
    for index in 0..30_000_u32 {
        let message = Message::new("flood", index.to_be_bytes().to_vec());
        while let Err(error) = sender.publish(message.clone()) {
            assert!(matches!(error, BusError::Busy), "{error}");
            held_back += 1;
            timeout(PATIENCE, sender.ready()).await.unwrap();
        }
    }
    timeout(PATIENCE, reader).await.unwrap().unwrap();
    assert!(held_back > 0);
    broker.shutdown().await;
}

#[tokio::test]
async fn thousands_of_subscriptions_come_and_go() {
    let broker = broker().await;
    let (sender, device) = (connect(broker.addr).await, connect(broker.addr).await);
    let filters: Vec<_> = (0..3000).map(|index| format!("many/{index}")).collect();
    let mut asked = tokio::task::JoinSet::new();
    let device = std::sync::Arc::new(device);
    for filter in filters.clone() {
        let device = device.clone();
        asked.spawn(async move { device.subscribe(&filter, Qos::AtLeastOnce).await.unwrap() });
    }
    let held = timeout(PATIENCE, asked.join_all()).await.unwrap();
    let mut all = device.subscribe("many/+", Qos::AtLeastOnce).await.unwrap();
    for filter in &filters[..500] {
        sender.publish(Message::new(filter.as_str(), "x")).unwrap();
    }
    let mut seen = HashSet::new();
    while seen.len() < 500 {
        seen.insert(next(&mut all).await.message.topic);
    }
    drop(held);
    let mut one = device.subscribe("many/7", Qos::AtLeastOnce).await.unwrap();
    sender.publish(Message::new("many/7", "again")).unwrap();
    assert_eq!(next(&mut one).await.message.payload, "again");
    broker.shutdown().await;
}
