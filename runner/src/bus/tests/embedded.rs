//! The embedded broker: its port, its other protocol version, its limits.

use std::time::Duration;

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::super::{Broker, BrokerError, Bus, BusStatus, EmbeddedBroker, Message, Qos};
use super::{PATIENCE, broker, connect, loopback, next};

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = TcpListener::bind(loopback()).await.unwrap();
    let addr = taken.local_addr().unwrap();
    let error = EmbeddedBroker.start(addr).await.unwrap_err();
    assert!(matches!(error, BrokerError::AddressInUse { addr: named } if named == addr), "{error}");
    assert!(error.to_string().contains(&addr.to_string()));
}

#[tokio::test]
async fn an_address_that_is_not_ours_is_told_from_a_taken_one() {
    let error = EmbeddedBroker.start(([192, 0, 2, 1], 1883).into()).await.unwrap_err();
    assert!(matches!(error, BrokerError::Bind { .. }), "{error}");
}

#[tokio::test]
async fn the_port_is_free_again_after_shutdown() {
    let first = broker().await;
    let addr = first.addr;
    assert_ne!(addr.port(), 0);
    let _client = connect(addr).await;
    first.shutdown().await;
    EmbeddedBroker.start(addr).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn it_announces_its_packet_limit_and_keeps_no_session() {
    let broker = broker().await;
    let bus = connect(broker.addr).await;
    let status = bus.status().borrow().clone();
    let BusStatus::Connected { limits, session_present, generation, .. } = status else { panic!("{status:?}") };
    assert_eq!((limits.max_packet_size, session_present, generation), (Some(1 << 20), false, 1));
    broker.shutdown().await;
}

#[tokio::test]
async fn mqtt_3_clients_share_the_port() {
    let broker = broker().await;
    let bus = connect(broker.addr).await;
    let mut here = bus.subscribe("from/old", Qos::AtLeastOnce).await.unwrap();
    let mut options = MqttOptions::new("old", broker.addr.ip().to_string(), broker.addr.port());
    options.set_keep_alive(Duration::from_secs(30));
    let (client, mut events) = AsyncClient::new(options, 10);
    client.subscribe("to/old", QoS::AtLeastOnce).await.unwrap();
    let heard = async {
        loop {
            match events.poll().await.unwrap() {
                Event::Incoming(Packet::SubAck(_)) => bus.publish(Message::new("to/old", "hello")).unwrap(),
                Event::Incoming(Packet::Publish(publish)) => {
                    assert_eq!(publish.payload, "hello");
                    client.try_publish("from/old", QoS::AtLeastOnce, false, "hi").unwrap();
                }
                Event::Incoming(Packet::PubAck(_)) => break,
                _ => {}
            }
        }
    };
    timeout(PATIENCE, heard).await.unwrap();
    assert_eq!(next(&mut here).await.message.payload, "hi");
    broker.shutdown().await;
}

#[tokio::test]
async fn a_crowd_from_one_address_is_let_in() {
    let broker = broker().await;
    let bus = connect(broker.addr).await;
    let mut hello = bus.subscribe("crowd/+", Qos::AtLeastOnce).await.unwrap();
    let mut crowd = tokio::task::JoinSet::new();
    for index in 0..300 {
        let addr = broker.addr;
        crowd.spawn(async move {
            let member = connect(addr).await;
            member.publish(Message::new(format!("crowd/{index}"), "here")).unwrap();
            member
        });
    }
    let members = timeout(PATIENCE, crowd.join_all()).await.unwrap();
    let mut seen = std::collections::HashSet::new();
    while seen.len() < members.len() {
        seen.insert(next(&mut hello).await.message.topic);
    }
    broker.shutdown().await;
}

#[tokio::test]
async fn no_files_and_no_sys_topics() {
    let broker = broker().await;
    let bus = connect(broker.addr).await;
    let mut sys = bus.subscribe_many(&[("$SYS/#", Qos::AtLeastOnce), ("end", Qos::AtLeastOnce)]).await.unwrap();
    bus.publish(Message::new("kept", "x").retained()).unwrap();
    bus.publish(Message::new("end", "")).unwrap();
    assert_eq!(next(&mut sys).await.filter, 1);
    broker.shutdown().await;
    assert!(!std::path::Path::new("mqtt_storage").exists());
}
