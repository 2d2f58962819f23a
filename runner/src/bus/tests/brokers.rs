//! More than one broker, older ones, such that limit us, and such that another client has our id at.

use std::time::Duration;

use tokio::net::TcpListener;

use super::super::{
    Broker, Bus, BusError, BusStatus, EmbeddedBroker, Message, Protocol, Qos, Reason, RumqttcBus, Server, Session,
    Settings, Version,
};
use super::fake::{Fake, Manner};
use super::{broker, connect, connected, loopback, next, payload, settings, status};

fn both(first: std::net::SocketAddr, second: std::net::SocketAddr) -> Settings {
    let urls = format!("mqtt://{first},mqtt://{second}");
    Settings { servers: Settings::parse(&urls).unwrap().servers, ..settings(first) }
}

fn served_by(bus: &RumqttcBus) -> (String, Protocol) {
    match &*bus.status().borrow() {
        BusStatus::Connected { address, protocol, .. } => (address.to_string(), *protocol),
        other => panic!("{other:?}"),
    }
}

async fn nobody() -> std::net::SocketAddr {
    TcpListener::bind(loopback()).await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_broker_that_knows_only_3_1_1_is_served_in_it() {
    for manner in [Manner::Old, Manner::OldAndRude] {
        let fake = Fake::start(vec![manner]).await;
        let bus = connect(fake.addr).await;
        assert_eq!((served_by(&bus).1, fake.connections()), (Protocol::V311, 2), "{manner:?}");
        let _here = bus.subscribe("a/+", Qos::AtLeastOnce).await.unwrap();
        bus.publish(Message::new("t", "food")).unwrap();
        bus.close().await;
        assert_eq!(*fake.notes.lock().unwrap(), ["food"]);
        let fake = Fake::start(vec![manner]).await;
        let settings =
            Settings { version: Version::Five, connect_timeout: Duration::from_millis(300), ..settings(fake.addr) };
        assert!(RumqttcBus::connect(settings).await.is_err(), "{manner:?}: 5 was asked for");
        let bus =
            RumqttcBus::connect(Settings { version: Version::Three, ..super::settings(fake.addr) }).await.unwrap();
        assert_eq!(served_by(&bus).1, Protocol::V311);
    }
}

#[tokio::test]
async fn the_next_broker_serves_when_one_is_gone() {
    let (first, second) = (broker().await, broker().await);
    let bus = RumqttcBus::connect(both(first.addr, second.addr)).await.unwrap();
    assert_eq!(served_by(&bus), (first.addr.to_string(), Protocol::V5));
    let mut here = bus.subscribe("t", Qos::AtLeastOnce).await.unwrap();
    let gone = first.addr;
    first.shutdown().await;
    connected(&bus, 2).await;
    assert_eq!(served_by(&bus).0, second.addr.to_string());
    let probe = bus.subscribe("probe", Qos::AtLeastOnce).await.unwrap();
    bus.publish(Message::new("t", "again")).unwrap();
    assert_eq!(payload(&mut here).await, "again");
    drop(probe);
    let first = EmbeddedBroker.start(gone).await.unwrap();
    second.shutdown().await;
    connected(&bus, 3).await;
    assert_eq!(served_by(&bus).0, gone.to_string());
    first.shutdown().await;
}

#[tokio::test]
async fn refusals_are_final_only_when_every_broker_refuses() {
    let (one, two) = (Fake::start(vec![Manner::Refuse(0x86)]).await, Fake::start(vec![Manner::Refuse(0x87)]).await);
    let error = RumqttcBus::connect(both(one.addr, two.addr)).await.unwrap_err();
    assert!(matches!(error, BusError::Refused { reason: Reason::NotAuthorized, .. }), "{error}");
    assert_eq!((one.connections(), two.connections()), (1, 1));
    let one = Fake::start(vec![Manner::Refuse(0x86)]).await;
    let settings = Settings { connect_timeout: Duration::from_millis(500), ..both(one.addr, nobody().await) };
    let error = RumqttcBus::connect(settings).await.unwrap_err();
    assert!(matches!(&error, BusError::Unreachable { address, .. } if address.contains(", ")), "{error}");
    let good = broker().await;
    let bus = RumqttcBus::connect(both(one.addr, good.addr)).await.unwrap();
    assert_eq!(served_by(&bus).0, good.addr.to_string());
    good.shutdown().await;
}

#[tokio::test]
async fn a_server_reference_is_followed_among_ours_and_told_otherwise() {
    let good = broker().await;
    let decoy = Fake::start(vec![Manner::Refuse(0x89)]).await;
    let moved = Fake::start(vec![Manner::Moved(good.addr.port())]).await;
    let mut settings = both(moved.addr, decoy.addr);
    settings.servers.extend(Settings::parse(&format!("mqtt://{}", good.addr)).unwrap().servers);
    let bus = RumqttcBus::connect(settings).await.unwrap();
    status(
        &mut bus.status(),
        |status| matches!(status, BusStatus::Connected { address, .. } if **address == *good.addr.to_string()),
    )
    .await;
    assert_eq!(decoy.connections(), 0, "it was not its turn");
    let alone = Fake::start(vec![Manner::Moved(good.addr.port())]).await;
    let mut states = match RumqttcBus::connect(super::settings(alone.addr)).await {
        Err(error) => return assert!(error.to_string().contains(&good.addr.to_string()), "{error}"),
        Ok(bus) => bus.status(),
    };
    let lost = status(&mut states, |status| matches!(status, BusStatus::Connecting { .. } | BusStatus::Closed)).await;
    assert!(format!("{lost:?}").contains(&good.addr.to_string()) || matches!(lost, BusStatus::Closed), "{lost:?}");
    good.shutdown().await;
}

/// Maximum QoS 0, no retained messages, no wildcards, packets of at most 60 bytes.
const STINGY: &[u8] = &[0x24, 0, 0x25, 0, 0x28, 0, 0x27, 0, 0, 0, 60];

#[tokio::test]
async fn what_a_broker_does_not_offer_is_not_asked_of_it() {
    let fake = Fake::start(vec![Manner::Limits(STINGY)]).await;
    let bus = connect(fake.addr).await;
    let limits = bus.status().borrow().limits().unwrap();
    assert_eq!((limits.max_qos, limits.retain, limits.wildcards), (Qos::AtMostOnce, false, false));
    let error = bus.subscribe("a/+", Qos::AtLeastOnce).await.unwrap_err();
    let BusError::SubscriptionRefused { reason, .. } = error else { panic!("{error}") };
    assert_eq!(reason, Reason::WildcardSubscriptionsNotSupported);
    let _here = bus.subscribe("a/b", Qos::AtLeastOnce).await.unwrap();
    let error = bus.publish(Message::new("t", "x").retained()).unwrap_err();
    assert!(matches!(error, BusError::PublishRefused { reason: Reason::RetainNotSupported, .. }), "{error}");
    let error = bus.publish(Message::new("t", vec![b'x'; 60])).unwrap_err();
    assert!(matches!(error, BusError::TooLarge { limit: 60, .. }), "{error}");
    bus.publish(Message::new("t", "lowered")).unwrap();
    bus.close().await;
    // Noted only where it came as QoS 0: the fake acknowledges QoS 1 under a name of its own. Whoever closes does not wait for it.
    while fake.notes.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(*fake.notes.lock().unwrap(), ["lowered"]);
    assert_eq!(fake.connections(), 1);
}

#[tokio::test]
async fn a_receive_maximum_of_one_is_kept() {
    let fake = Fake::start(vec![Manner::Limits(&[0x21, 0, 1])]).await;
    let bus = connect(fake.addr).await;
    let sent: Vec<_> = (0..100).map(|index| index.to_string()).collect();
    for text in &sent {
        bus.publish(Message::new("t", text.clone())).unwrap();
    }
    bus.close().await;
    assert_eq!((&*fake.notes.lock().unwrap(), fake.connections()), (&sent, 1));
}

/// The other client comes back each time, as the broker tells. (The embedded broker tells it in the short form of DISCONNECT, which
/// rumqttc does not read: there the two are only slowed down.)
#[tokio::test]
async fn two_clients_of_one_id_do_not_fight_for_ever() {
    let fake = Fake::start(vec![Manner::Disconnect(0x8e)]).await;
    let backoff = (Duration::from_millis(10), Duration::from_millis(100));
    let ours = Settings { client_id: "twice".to_owned(), backoff, ..settings(fake.addr) };
    // Depends on which is seen first, the welcome or the end.
    let Ok(bus) = RumqttcBus::connect(ours).await else { return assert!(fake.connections() <= 2) };
    let mut states = bus.status();
    let last = states.wait_for(|status| matches!(status, BusStatus::GivenUp(_))).await.unwrap().clone();
    let BusStatus::GivenUp(error) = last else { unreachable!("it was waited for") };
    assert!(error.to_string().contains("twice") && error.to_string().contains("2 times"), "{error}");
    let refused = bus.publish(Message::new("t", "x")).unwrap_err();
    assert!(matches!(refused, BusError::TakenOver { .. }), "{refused}");
    let refused = bus.subscribe("t", Qos::AtLeastOnce).await.unwrap_err();
    assert!(matches!(refused, BusError::TakenOver { .. }), "{refused}");
    assert_eq!(fake.connections(), 2);
}

#[tokio::test]
async fn a_kept_session_holds_what_came_meanwhile() {
    let broker = broker().await;
    for (session, kept) in [(Session::Keep, true), (Session::Clean, false)] {
        let client_id = format!("runner-{kept}");
        let ours = || Settings { session, client_id: client_id.clone(), ..settings(broker.addr) };
        let first = RumqttcBus::connect(ours()).await.unwrap();
        let here = first.subscribe("meanwhile", Qos::AtLeastOnce).await.unwrap();
        // Killed, not closed: an unsubscribe would be what a person meant.
        drop(first);
        drop(here);
        let speaker = connect(broker.addr).await;
        speaker.publish(Message::new("meanwhile", "kept")).unwrap();
        speaker.close().await;
        let second = RumqttcBus::connect(ours()).await.unwrap();
        let BusStatus::Connected { session_present, .. } = *second.status().borrow() else { panic!() };
        assert_eq!(session_present, kept);
        let mut here = second.subscribe("other", Qos::AtLeastOnce).await.unwrap();
        second.publish(Message::new("other", "flows")).unwrap();
        assert_eq!(next(&mut here).await.message.payload, "flows");
        second.close().await;
    }
    broker.shutdown().await;
}

#[tokio::test]
async fn ipv6_is_spoken() {
    let broker = EmbeddedBroker.start("[::1]:0".parse().unwrap()).await.unwrap();
    let server = Server::parse(&format!("mqtt://{}", broker.addr)).unwrap();
    let bus = RumqttcBus::connect(Settings { servers: vec![server], ..settings(broker.addr) }).await.unwrap();
    assert_eq!(served_by(&bus).0, broker.addr.to_string());
    broker.shutdown().await;
}
