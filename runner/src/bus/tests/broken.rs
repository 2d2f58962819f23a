//! Brokers that refuse, fall silent or never existed.

use std::error::Error;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::timeout;

use super::super::{Bus, BusError, BusStatus, Message, Properties, Qos, RumqttcBus, Settings};
use super::fake::{Fake, Manner};
use super::{PATIENCE, connect, connected, loopback, settings, status};

#[tokio::test]
async fn no_broker_at_start_names_address_and_attempts() {
    let addr = TcpListener::bind(loopback()).await.unwrap().local_addr().unwrap();
    let settings = Settings { connect_timeout: Duration::from_millis(700), ..settings(addr) };
    let error = RumqttcBus::connect(settings).await.unwrap_err();
    let BusError::Unreachable { address, attempts, source, .. } = &error else { panic!("{error}") };
    assert_eq!(*address, addr.to_string());
    assert!(*attempts > 1);
    let cause = source.as_ref().and_then(|error| error.source()).map(ToString::to_string).unwrap_or_default();
    assert!(cause.contains("refused"), "{cause}");
}

#[tokio::test]
async fn a_broker_that_never_answers_is_unreachable() {
    let fake = Fake::start(vec![Manner::Mute]).await;
    let settings = Settings {
        connect_timeout: Duration::from_millis(1500),
        attempt_timeout: Duration::from_secs(1),
        ..settings(fake.addr)
    };
    let error = RumqttcBus::connect(settings).await.unwrap_err();
    let BusError::Unreachable { source: Some(source), .. } = &error else { panic!("{error}") };
    assert!(source.to_string().contains("no answer in time"), "{source}");
}

#[tokio::test]
async fn lasting_refusals_end_the_wait_at_once() {
    for (code, words) in [(0x86, "bad user name or password"), (0x87, "not authorised"), (0x85, "client identifier")] {
        let fake = Fake::start(vec![Manner::Refuse(code)]).await;
        let error = RumqttcBus::connect(settings(fake.addr)).await.unwrap_err();
        assert!(matches!(error, BusError::Refused { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.to_string().contains(&fake.addr.to_string()), "{error}");
        assert_eq!(fake.connections(), 1);
    }
}

#[tokio::test]
async fn passing_refusals_and_garbage_are_tried_again() {
    let manners = vec![Manner::Refuse(0x89), Manner::Refuse(0x88), Manner::Garbage, Manner::Subscribe(1)];
    let fake = Fake::start(manners).await;
    let bus = connect(fake.addr).await;
    assert_eq!(fake.connections(), 4);
    drop(bus);
}

#[tokio::test]
async fn a_refused_subscription_is_an_error() {
    let fake = Fake::start(vec![Manner::Subscribe(0x87)]).await;
    let bus = connect(fake.addr).await;
    let error = bus.subscribe("secret/+", Qos::AtLeastOnce).await.unwrap_err();
    assert!(matches!(&error, BusError::SubscriptionRefused { filter, .. } if &**filter == "secret/+"), "{error}");
    assert!(error.to_string().contains("not authorised"), "{error}");
}

#[tokio::test]
async fn a_subscription_that_is_not_renewed_ends() {
    let fake = Fake::start(vec![Manner::HangUpAfterSubscribe, Manner::Subscribe(0x87)]).await;
    let bus = connect(fake.addr).await;
    let mut here = bus.subscribe("mine", Qos::AtLeastOnce).await.unwrap();
    assert_eq!(timeout(PATIENCE, here.recv()).await.unwrap(), None);
    assert!(bus.status().borrow().is_connected(), "the bus itself goes on");
}

#[tokio::test]
async fn silence_is_noticed_and_a_new_connection_made() {
    let fake = Fake::start(vec![Manner::Silent, Manner::Subscribe(1)]).await;
    let bus = connect(fake.addr).await;
    let mut states = bus.status();
    let lost = status(&mut states, |status| matches!(status, BusStatus::Connecting { .. })).await;
    let BusStatus::Connecting { last_error: Some(error), .. } = lost else { panic!("{lost:?}") };
    assert!(error.to_string().contains("ping"), "{error}");
    connected(&bus, 2).await;
}

#[tokio::test]
async fn unacknowledged_publishes_rebuild_the_connection_and_go_again_in_order() {
    let fake = Fake::start(vec![Manner::OnlyPings, Manner::Acknowledge]).await;
    let bus = connect(fake.addr).await;
    let sent: Vec<_> = (0..10).map(|index| index.to_string()).collect();
    for text in &sent {
        bus.publish(Message::new("t", text.clone())).unwrap();
    }
    let mut states = bus.status();
    let lost = status(&mut states, |status| matches!(status, BusStatus::Connecting { .. })).await;
    let BusStatus::Connecting { last_error: Some(error), .. } = lost else { panic!("{lost:?}") };
    assert!(error.to_string().contains("two keep-alives"), "{error}");
    connected(&bus, 2).await;
    bus.close().await;
    assert_eq!(*fake.notes.lock().unwrap(), sent);
    assert_eq!(bus.counts().left_out, 0);
}

/// rumqttc's issue 1056: its own reconnect would keep the collision and publish nothing more.
#[tokio::test]
async fn a_packet_id_collision_does_not_outlive_its_connection() {
    let fake = Fake::start(vec![Manner::SkipFirst, Manner::SkipFirst, Manner::Acknowledge]).await;
    let bus = connect(fake.addr).await;
    for index in 0..10 {
        bus.publish(Message::new("t", index.to_string())).unwrap();
    }
    connected(&bus, 3).await;
    bus.close().await;
    // Each of the first two acknowledged its second message only.
    assert_eq!(*fake.notes.lock().unwrap(), ["0", "3", "4", "5", "6", "7", "8", "9"]);
    assert_eq!(bus.counts().left_out, 0);
}

#[tokio::test]
async fn what_expired_in_flight_is_not_sent_again() {
    let fake = Fake::start(vec![Manner::OnlyPings, Manner::Acknowledge]).await;
    let bus = connect(fake.addr).await;
    let expiring = Properties { expiry: Some(1), ..Properties::default() };
    bus.publish(Message::new("t", "old").with_properties(expiring)).unwrap();
    bus.publish(Message::new("t", "lasting")).unwrap();
    // The watchdog takes two keep-alives of a second to see that nothing is acknowledged.
    connected(&bus, 2).await;
    bus.close().await;
    assert_eq!((&*fake.notes.lock().unwrap(), bus.counts().left_out), (&vec!["lasting".to_owned()], 1));
}

#[tokio::test]
async fn a_peer_that_stops_reading_is_given_up() {
    let fake = Fake::start(vec![Manner::Deaf, Manner::Acknowledge]).await;
    let bus = connect(fake.addr).await;
    for _ in 0..40 {
        bus.publish(Message::new("t", vec![b'x'; 512 << 10])).unwrap();
    }
    connected(&bus, 2).await;
    bus.close().await;
    assert_eq!(fake.notes.lock().unwrap().len(), 40);
}

#[tokio::test]
async fn a_message_at_which_the_broker_hangs_up_is_not_repeated_for_ever() {
    let fake = Fake::start([[Manner::HangUpAtPublish; 5].as_slice(), &[Manner::Acknowledge]].concat()).await;
    let bus = connect(fake.addr).await;
    bus.publish(Message::new("t", "poison")).unwrap();
    connected(&bus, 6).await;
    bus.publish(Message::new("t", "food")).unwrap();
    bus.close().await;
    assert_eq!(*fake.notes.lock().unwrap(), ["food"]);
    assert_eq!(bus.counts().left_out, 1);
}

#[tokio::test]
async fn an_idle_connection_is_left_alone() {
    let fake = Fake::start(vec![Manner::OnlyPings]).await;
    let bus = connect(fake.addr).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(fake.connections(), 1);
    assert!(bus.status().borrow().is_connected());
}
