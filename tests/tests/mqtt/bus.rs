//! The bus alone beside mosquitto: sessions, restarts, two clients of one id, what a broker does not offer.

use packhorse::bus::{
    Acknowledge, Bus, BusStatus, Message, Qos, Receipt, RumqttcBus, Session, Settings, Version, install_crypto,
};
use packhorse_tests::mosquitto::Options;
use packhorse_tests::{Mosquitto, count};
use std::time::{Duration, Instant};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

fn settings(broker: &Mosquitto) -> Settings {
    install_crypto();
    Settings {
        backoff: (Duration::from_millis(20), Duration::from_millis(100)),
        connect_timeout: PATIENCE,
        ..Settings::parse(&broker.url()).unwrap()
    }
}

async fn until(bus: &RumqttcBus, wanted: impl FnMut(&BusStatus) -> bool) -> BusStatus {
    let mut states = bus.status();
    timeout(PATIENCE, states.wait_for(wanted)).await.expect("in time").expect("a bus").clone()
}

#[tokio::test]
async fn a_session_is_kept_or_not_as_the_settings_and_the_broker_say() {
    for (persistent, session, kept) in
        [(true, Session::Keep, true), (false, Session::Keep, false), (true, Session::Clean, false)]
    {
        let options = if persistent { Options::default().persistent() } else { Options::default() };
        let mut broker = options.start();
        let ours = || Settings { client_id: "keeper".to_owned(), session, ..settings(&broker) };
        let first = RumqttcBus::connect(ours()).await.unwrap();
        let here = first.subscribe("meanwhile", Qos::AtLeastOnce).await.unwrap();
        // Killed, not closed.
        drop(first);
        let speaker = RumqttcBus::connect(settings(&broker)).await.unwrap();
        speaker.publish(Message::new("meanwhile", "news")).unwrap();
        speaker.close().await;
        drop(here);
        let again = ours();
        broker.stop();
        broker.start();
        let second = RumqttcBus::connect(again).await.unwrap();
        let BusStatus::Connected { session_present, .. } = *second.status().borrow() else { panic!() };
        assert_eq!(session_present, kept, "persistence {persistent}, {session:?}: {}", broker.log());
        let mut here = second.subscribe("probe", Qos::AtLeastOnce).await.unwrap();
        second.publish(Message::new("probe", "flows")).unwrap();
        assert!(timeout(PATIENCE, here.recv()).await.unwrap().is_some());
        assert_eq!(second.counts().unrouted, u64::from(kept), "what came meanwhile was kept, or not");
        second.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_with_a_full_window_and_the_session_lost_wedge_nothing() {
    for session in [Session::Clean, Session::Keep] {
        let mut broker = Mosquitto::plain();
        let ours = Settings { client_id: "restarted".to_owned(), session, ..settings(&broker) };
        let bus = RumqttcBus::connect(ours).await.unwrap();
        let mut here = bus.subscribe("load", Qos::AtLeastOnce).await.unwrap();
        let rounds = count(5, 100);
        for round in 0..rounds {
            while bus.publish(Message::new("load", round.to_string())).is_ok() {}
            if round % 2 == 0 {
                broker.kill()
            } else {
                broker.stop()
            }
            until(&bus, |status| !status.is_connected()).await;
            broker.start();
            until(&bus, BusStatus::is_connected).await;
            let flows = async {
                // Its answer comes after everything that was queued, and after the renewed subscription.
                let probe = bus.subscribe("probe", Qos::AtLeastOnce).await.unwrap();
                let last = format!("last {round}");
                while bus.publish(Message::new("load", last.clone())).is_err() {
                    bus.ready().await;
                }
                while here.recv().await.expect("the subscription lives").message.payload != last.as_bytes() {}
                drop(probe);
            };
            timeout(PATIENCE, flows).await.unwrap_or_else(|_| panic!("wedged in round {round}"));
        }
        println!("{session:?}: {rounds} restarts, nothing wedged; {:?}", bus.counts());
        bus.close().await;
    }
}

/// This mosquitto closes the older connection without a word (0x8e would end the fight): the waits must slow it down.
#[tokio::test]
async fn two_clients_of_one_id_fight_no_faster_than_their_waits() {
    let broker = Mosquitto::plain();
    let ours = || Settings { client_id: "twice".to_owned(), ..settings(&broker) };
    let begun = Instant::now();
    let (one, two) = (RumqttcBus::connect(ours()).await.unwrap(), RumqttcBus::connect(ours()).await.unwrap());
    let fights = || broker.log().matches("already connected, closing old connection").count();
    while fights() < 10 && begun.elapsed() < PATIENCE && !matches!(*one.status().borrow(), BusStatus::GivenUp(_)) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The shortest wait is half of 20 ms, and there are two of them.
    let most = 2 + 2 * begun.elapsed().as_millis() / 10;
    println!("{} take-overs in {:?}", fights(), begun.elapsed());
    assert!((1..=most).contains(&(fights() as u128)), "{} take-overs", fights());
    drop(two);
}

#[tokio::test]
async fn qos_is_lowered_and_retain_refused_where_the_broker_says_so() {
    let options = Options::default().line("max_qos 0").line("retain_available false");
    let broker = options.start();
    let bus = RumqttcBus::connect(settings(&broker)).await.unwrap();
    let mut here = bus.subscribe("t", Qos::AtLeastOnce).await.unwrap();
    bus.publish(Message::new("t", "x")).unwrap();
    let delivery = timeout(PATIENCE, here.recv()).await.unwrap().unwrap();
    assert_eq!(delivery.message.qos, Qos::AtMostOnce);
    let error = bus.publish(Message::new("t", "x").retained()).unwrap_err();
    assert!(error.to_string().contains("retain not supported (0x9a)"), "{error}");
    assert!(bus.status().borrow().is_connected());
    bus.close().await;
}

/// mosquitto answers what is above its `message_size_limit` with 0x95: that message is refused, and nobody else is disturbed. Without
/// a bound on its queues mosquitto 2.0.11 hangs up as well, once.
#[tokio::test]
async fn a_message_above_the_brokers_limit_is_refused_and_the_others_flow() {
    for (queue, most) in [("max_queued_messages 1000", 1), ("max_queued_messages 0", 2)] {
        let broker = Options::default().line("message_size_limit 300").line(queue).start();
        refused_and_the_others_flow(&broker, most).await;
    }
}

async fn refused_and_the_others_flow(broker: &Mosquitto, most: usize) {
    let bus = RumqttcBus::connect(settings(broker)).await.unwrap();
    let begun = Instant::now();
    // On a connection of its own: between two connections nobody keeps what is published.
    let theirs = RumqttcBus::connect(settings(broker)).await.unwrap();
    let mut here = theirs.subscribe("small", Qos::AtLeastOnce).await.unwrap();
    for number in 0..500 {
        bus.publish(Message::new("small", number.to_string())).unwrap();
        bus.publish(Message::new("large", vec![b'x'; 301])).unwrap();
    }
    let mut came = std::collections::BTreeSet::new();
    while came.len() < 500 {
        let delivery = timeout(PATIENCE, here.recv()).await.unwrap_or_else(|_| panic!("{}", broker.log()));
        came.insert(delivery.expect("the bus lives").message.payload);
    }
    let told = bus.refusal("large", begun).expect("it is told");
    assert!(told.code() == "PH5110" && told.to_string().contains("packet too large (0x95)"), "{told}");
    bus.close().await;
    assert_eq!((bus.counts().refused, bus.counts().left_out), (500, 0));
    let connections = broker.log().matches("New client connected").count();
    assert!(connections <= 1 + most, "{connections} connections: {}", broker.log());
}

/// Waits until the broker has read so many acknowledgements of this client.
async fn acknowledged(broker: &Mosquitto, client_id: &str, count: usize) {
    let (begun, line) = (Instant::now(), format!("Received PUBACK from {client_id} "));
    while broker.log().matches(&line).count() < count {
        assert!(begun.elapsed() < PATIENCE, "fewer than {count}: {}", broker.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A kept session, and messages that are acknowledged when they were dealt with: what was not comes again, and nothing else, though
/// nobody has subscribed to it yet when it does.
#[tokio::test]
async fn a_message_that_was_not_dealt_with_comes_again_in_either_version() {
    let broker = Mosquitto::plain();
    for version in [Version::Five, Version::Three] {
        let topic = format!("work/{version:?}");
        let ours = || Settings {
            client_id: format!("worker{version:?}"),
            session: Session::Keep,
            receipts: Acknowledge::WhenDropped,
            version,
            ..settings(&broker)
        };
        let theirs = RumqttcBus::connect(settings(&broker)).await.unwrap();
        let say = |numbers: std::ops::Range<usize>| {
            numbers.for_each(|number| theirs.publish(Message::new(topic.as_str(), number.to_string())).unwrap());
        };
        let first = RumqttcBus::connect(ours()).await.unwrap();
        let mut work = first.subscribe(&topic, Qos::AtLeastOnce).await.unwrap();
        say(0..10);
        let mut held = Vec::new();
        for _ in 0..10 {
            held.push(timeout(PATIENCE, work.recv()).await.unwrap().unwrap());
        }
        assert!(held.iter().all(|delivery| delivery.receipt.as_ref().is_some_and(|receipt| !receipt.is_kept())));
        // 0 to 4 are done, and 7 too, which has to wait for 5 and 6.
        drop(held.remove(7));
        held.drain(..5);
        acknowledged(&broker, &ours().client_id, 5).await;
        drop(first);
        say(10..13);
        let second = RumqttcBus::connect(ours()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut work = second.subscribe(&topic, Qos::AtLeastOnce).await.unwrap();
        let mut again = Vec::new();
        while again.last() != Some(&12) {
            let delivery = timeout(PATIENCE, work.recv()).await.unwrap().unwrap();
            assert!(delivery.receipt.as_ref().is_some_and(Receipt::is_kept));
            again.push(std::str::from_utf8(&delivery.message.payload).unwrap().parse::<usize>().unwrap());
        }
        assert_eq!(again, [5, 6, 7, 8, 9, 10, 11, 12], "{version:?}");
        drop(held);
        // Until nobody else may come for them, they are held, though they were dealt with.
        second.complete(&[]);
        second.close().await;
        // A client that comes back sooner than the broker reads its goodbye takes the session over, acknowledgements unread.
        acknowledged(&broker, &ours().client_id, 13).await;
        let third = RumqttcBus::connect(ours()).await.unwrap();
        let mut work = third.subscribe(&topic, Qos::AtLeastOnce).await.unwrap();
        say(13..14);
        let delivery = timeout(PATIENCE, work.recv()).await.unwrap().unwrap();
        assert_eq!(&delivery.message.payload[..], b"13", "the goodbye came after the acknowledgements");
        third.close().await;
        theirs.close().await;
    }
}
