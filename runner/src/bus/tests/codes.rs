//! Every reason code of MQTT 5 in every packet that a broker sends: each a typed error, none a spin.

use std::time::{Duration, Instant};

use packhorse_core::failure::Class;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::super::{Bus, BusError, BusStatus, Carrier, Message, Qos, Reason, RumqttcBus, Settings, Version};
use super::fake::{Fake, Manner};
use super::{PATIENCE, settings, status};

/// First and longest ceiling of the wait between attempts here; waits before the first connection are a tenth of it.
const BACKOFF: Duration = Duration::from_millis(50);

fn five(fake: &Fake) -> Settings {
    Settings { version: Version::Five, backoff: (BACKOFF, 4 * BACKOFF), ..settings(fake.addr) }
}

/// Connects to who lets nobody in: not for long, and anew where the machine was too busy for even one answer. Gives the number of tries.
async fn attempt(fake: &Fake) -> (usize, Result<RumqttcBus, BusError>) {
    let settings = Settings { connect_timeout: Duration::from_millis(400), ..five(fake) };
    let (begun, mut tries) = (Instant::now(), 0);
    loop {
        tries += 1;
        match RumqttcBus::connect(settings.clone()).await {
            Err(BusError::Unreachable { source: None, .. }) if begun.elapsed() < PATIENCE => {}
            result => return (tries, result),
        }
    }
}

/// Not one attempt more than the waits allow, the shortest of which is half of `first`.
fn no_spin(fake: &Fake, begun: Instant, first: Duration) {
    let most = 2 + begun.elapsed().as_micros() / (first / 2).as_micros();
    assert!((fake.connections() as u128) <= most, "{} connections", fake.connections());
}

async fn lost(bus: &RumqttcBus) -> BusError {
    let lost = status(&mut bus.status(), |status| !status.is_connected()).await;
    match lost {
        BusStatus::Connecting { last_error: Some(error), .. } | BusStatus::GivenUp(error) => (*error).clone(),
        other => panic!("{other:?}"),
    }
}

/// The error names the code, or, where the packet may not hold it, that it has no place there.
fn names(error: &BusError, code: u8, carrier: Carrier) {
    let reason = Reason::from_code(code).unwrap();
    let told = match error {
        BusError::Refused { reason, .. } | BusError::Ended { reason, .. } => reason.code(),
        BusError::TakenOver { .. } => 0x8e,
        BusError::Misplaced { code, .. } => {
            // 0x8c in DISCONNECT is in one of the standard's tables and not in the other.
            assert!(!reason.in_packet(carrier) || code == &0x8c, "{carrier:?} {reason}: {error}");
            *code
        }
        other => panic!("{carrier:?} {reason}: {other:?}"),
    };
    assert_eq!(told, code, "{carrier:?}: {error}");
    assert!(error.to_string().contains(reason.name()) || told == 0x8e, "{error}");
}

async fn connack(reason: Reason) {
    let fake = Fake::start(vec![Manner::Refuse(reason.code())]).await;
    let begun = Instant::now();
    let (tries, result) = attempt(&fake).await;
    no_spin(&fake, begun, BACKOFF / 10);
    if reason == Reason::Success {
        // The fake hangs up after it: whether the welcome is seen before the end is a matter of luck.
        return;
    }
    let at_once = reason.in_packet(Carrier::ConnAck) && reason.class() != Class::Transient;
    match result {
        Ok(_) => panic!("{reason} is no welcome"),
        Err(BusError::Unreachable { source: Some(source), .. }) => {
            assert!(!at_once, "{reason}");
            names(&source, reason.code(), Carrier::ConnAck);
        }
        Err(error) => {
            assert!(at_once && fake.connections() <= tries, "{error}");
            names(&error, reason.code(), Carrier::ConnAck);
            assert!(error.advice().is_some() && error.class() != Class::Transient, "{error}");
        }
    }
}

/// Whether its place is here or not (mosquitto says 0x95, whose place it is not): the answer is about one message.
async fn puback(reason: Reason) {
    let fake = Fake::start(vec![Manner::PubAck(reason.code())]).await;
    let (bus, begun) = (RumqttcBus::connect(five(&fake)).await.unwrap(), Instant::now());
    bus.publish(Message::new("data", "x")).unwrap();
    let refusal = async {
        while bus.refusal("data", begun).is_none() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        bus.refusal("data", begun)
    };
    if reason.is_error() {
        let refusal = timeout(PATIENCE, refusal).await.unwrap();
        assert!(
            matches!(&refusal, Some(BusError::PublishRefused { reason: why, .. }) if *why == reason),
            "{refusal:?}"
        );
    } else {
        bus.close().await;
        assert!(bus.refusal("data", begun).is_none());
    }
    assert_eq!((bus.counts().refused, fake.connections()), (u64::from(reason.is_error()), 1), "{reason}");
}

async fn suback(reason: Reason) {
    let fake = Fake::start(vec![Manner::Subscribe(reason.code())]).await;
    let (bus, begun) = (RumqttcBus::connect(five(&fake)).await.unwrap(), Instant::now());
    let asked = bus.subscribe("mine", Qos::AtLeastOnce);
    if !reason.in_packet(Carrier::SubAck) {
        let error = tokio::select! {
            answer = asked => panic!("{reason}: {answer:?}"),
            error = lost(&bus) => error,
        };
        names(&error, reason.code(), Carrier::SubAck);
        return no_spin(&fake, begun, BACKOFF);
    }
    match timeout(PATIENCE, asked).await.unwrap() {
        Ok(_) => assert!(!reason.is_error(), "{reason}"),
        Err(error) => {
            assert!(matches!(&error, BusError::SubscriptionRefused { reason: why, .. } if *why == reason), "{error}");
            assert!(error.to_string().contains(reason.name()));
        }
    }
    assert_eq!(fake.connections(), 1, "{reason}");
}

async fn unsuback(reason: Reason) {
    let fake = Fake::start(vec![Manner::UnsubAck(reason.code())]).await;
    let (bus, begun) = (RumqttcBus::connect(five(&fake)).await.unwrap(), Instant::now());
    drop(timeout(PATIENCE, bus.subscribe("mine", Qos::AtLeastOnce)).await.unwrap().unwrap());
    if reason.in_packet(Carrier::UnsubAck) {
        // The next request waits for the answer to the one before.
        drop(timeout(PATIENCE, bus.subscribe("mine", Qos::AtLeastOnce)).await.unwrap().unwrap());
        assert_eq!(fake.connections(), 1, "{reason}");
    } else {
        names(&lost(&bus).await, reason.code(), Carrier::UnsubAck);
        tokio::time::sleep(4 * BACKOFF).await;
        no_spin(&fake, begun, BACKOFF);
    }
}

async fn disconnect(reason: Reason) {
    let fake = Fake::start(vec![Manner::Disconnect(reason.code())]).await;
    let begun = Instant::now();
    // Depends on which is seen first, the welcome or the end.
    let error = match attempt(&fake).await.1 {
        Ok(bus) => lost(&bus).await,
        Err(BusError::Unreachable { source: Some(source), .. }) => (*source).clone(),
        Err(error) => error,
    };
    names(&error, reason.code(), Carrier::Disconnect);
    no_spin(&fake, begun, BACKOFF / 10);
}

#[tokio::test]
async fn a_code_that_no_table_has_refuses_one_message() {
    for (code, refused) in [(0x05, false), (0x7f, false), (0xa3, true), (0xff, true)] {
        let fake = Fake::start(vec![Manner::PubAck(code)]).await;
        let (bus, begun) = (RumqttcBus::connect(five(&fake)).await.unwrap(), Instant::now());
        bus.publish(Message::new("data", "x")).unwrap();
        bus.close().await;
        let refusal = bus.refusal("data", begun);
        assert!(
            match &refusal {
                Some(BusError::PublishRefused { reason, .. }) => refused && *reason == Reason::Unspecified,
                None => !refused,
                _ => false,
            },
            "0x{code:02x}: {refusal:?}"
        );
        assert_eq!((bus.counts().refused, fake.connections()), (u64::from(refused), 1), "0x{code:02x}");
    }
}

/// Small messages in order, with large ones and small ones for the same topic between them; a fake that refuses those of more than
/// 1 000 bytes. Gives the bus, and what the fake took of the small ones.
async fn among_large_ones(fake: &Fake, count: usize) -> (RumqttcBus, Vec<String>) {
    let (bus, begun) = (RumqttcBus::connect(five(fake)).await.unwrap(), Instant::now());
    let small: Vec<_> = (0..count).map(|index| index.to_string()).collect();
    for (index, text) in small.iter().enumerate() {
        bus.publish(Message::new("small", text.clone())).unwrap();
        if index % 10 == 0 {
            bus.publish(Message::new("large", vec![b'x'; 1001])).unwrap();
            // Small talk on the same topic does not take the refusal back.
            bus.publish(Message::new("large", "")).unwrap();
        }
    }
    let whole = || fake.notes.lock().unwrap().iter().any(|text| Some(text) == small.last());
    while !whole() && begun.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    bus.close().await;
    let refusal = bus.refusal("large", begun).expect("it is told");
    assert!(
        matches!(&refusal, BusError::PublishRefused { reason: Reason::PacketTooLarge, .. })
            && refusal.code() == "PH5110",
        "{refusal}"
    );
    assert!(bus.refusal("small", begun).is_none());
    let mut notes: Vec<_> = fake.notes.lock().unwrap().iter().filter(|text| !text.is_empty()).cloned().collect();
    assert!(notes.iter().all(|text| text.len() <= 1000), "nothing large was taken");
    notes.sort_by_key(|text| text.parse::<usize>().unwrap());
    notes.dedup();
    assert!(notes == small, "each is there");
    (bus, notes)
}

/// Its neighbours on the connection go on, and the connection is the first one still.
#[tokio::test]
async fn a_message_that_is_too_large_for_the_broker_disturbs_no_other() {
    let fake = Fake::start(vec![Manner::Above(1000, 0x95)]).await;
    let (bus, _) = among_large_ones(&fake, 2000).await;
    assert_eq!((bus.counts().refused, bus.counts().left_out, fake.connections()), (200, 0, 1));
}

/// Where the broker hangs up as well, it does so once: what was sent behind the first is not sent again.
#[tokio::test]
async fn a_broker_that_hangs_up_at_large_messages_does_so_once() {
    let fake = Fake::start(vec![Manner::AboveAndEnd(1000, 0x95)]).await;
    let (bus, _) = among_large_ones(&fake, 100).await;
    assert_eq!((bus.counts().refused, bus.counts().left_out, fake.connections()), (10, 0, 2));
}

#[tokio::test]
async fn every_reason_code_in_every_packet_is_a_typed_error_and_no_spin() {
    let mut all = JoinSet::new();
    for reason in Reason::ALL {
        all.spawn(connack(reason));
        all.spawn(puback(reason));
        all.spawn(suback(reason));
        all.spawn(unsuback(reason));
        all.spawn(disconnect(reason));
    }
    let (count, done) = (all.len(), timeout(PATIENCE, all.join_all()).await.expect("all in time"));
    assert_eq!((count, done.len()), (5 * 43, 5 * 43));
    println!("{count} reason codes in packets, each a typed error");
}
