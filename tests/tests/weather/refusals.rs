//! Brokers that forbid, limit and throw out: a real mosquitto where it can say it, a broker of a few bytes for the rest. Every run ends
//! by what the broker said, with its code, and none by its own time.

use crate::drive::{self, Outcome};
use crate::few_bytes::{FewBytes, Says};
use packhorse_tests::mosquitto::Options;
use packhorse_tests::proxy::Proxy;
use packhorse_tests::{Service, Station, World};

/// A push alone. Its time is far longer than anything here takes.
const PUSH: &str = "kind: workflow/v1
name: push
inputs:
  image: { type: file }
codec: json-base64
timeout: 30m
steps:
  - id: push
    uses: transfer.push
    with: { device: dev-1, file: \"${{ inputs.image }}\", window: 16, message_limit: 4KiB }
";

/// How a push ended, and how often the runner connected for it.
#[derive(Debug)]
struct Ended {
    outcome: Outcome,
    connections: u64,
}

/// A push whose runner and device are at one mosquitto, each with a user of its own.
fn at_mosquitto(options: Options, runner: &str) -> Ended {
    let broker = options.user("runner", "right").user("device", "right").start();
    let world = World::new();
    let kept = world.services();
    let proxy = Proxy::before(broker.address().parse().unwrap(), 1);
    let services = Service::at(&format!("{runner}@{}", proxy.address), &kept.tracker);
    let device = format!("mqtt://device:right@{}", broker.address());
    // Who listens to the wire has no password and is elsewhere: nothing is counted here.
    ended(Station::among(world, services, &device, &kept.broker, "json-base64", &[]), || proxy.connections())
}

/// A push to a broker that says one thing; no device is heard of.
fn at_few_bytes(says: Says) -> Ended {
    let broker = FewBytes::start(says);
    let world = World::new();
    let kept = world.services();
    let services = Service::at(&broker.address.to_string(), &kept.tracker);
    ended(Station::among(world, services, &kept.mqtt, &kept.broker, "json-base64", &[]), || broker.connections())
}

fn ended(mut station: Station, connections: impl Fn() -> u64) -> Ended {
    station.workflow(PUSH);
    station.begin(1);
    let outcome = drive::judged(station.go(&[]).end());
    Ended { outcome, connections: connections() }
}

/// What must be said, in how many connections at most.
#[track_caller]
fn told(what: &str, ended: &Ended, wanted: &str, words: &[&str], most: u64) {
    println!("{what}: {ended:?}");
    let Outcome::Failed { code, text, .. } = &ended.outcome else { panic!("{what}: {ended:?}") };
    assert_eq!(code, wanted, "{what}: {ended:?}");
    for word in words {
        assert!(text.contains(word), "{what}: `{word}` is not said: {text}");
    }
    assert!((1..=most).contains(&ended.connections), "{what}: {ended:?}");
    assert!(!text.contains("wrong"), "{what}: the password is told: {text}");
}

#[test]
fn a_mosquitto_that_refuses_is_heard() {
    let rights = "user device\ntopic readwrite #\nuser runner\ntopic read #\n";
    let plain = || Options::default().line("max_queued_messages 1000");
    let cases = [
        ("password", plain(), "runner:wrong", "PH1030", &["not authorised (0x87)"][..], 1),
        ("publish", plain().acl(rights), "runner:right", "PH5110", &["not authorised (0x87)"], 1),
        ("payload", plain().line("message_size_limit 300"), "runner:right", "PH5110", &["packet too large (0x95)"], 1),
        // Without a bound on its queues, this mosquitto hangs up after every refusal.
        ("payload, end", Options::default().line("message_size_limit 300"), "runner:right", "PH5110", &["(0x95)"], 3),
        ("packet", plain().line("max_packet_size 300"), "runner:right", "PH1034", &["300 bytes", "4096 bytes"], 1),
    ];
    std::thread::scope(|scope| {
        for (what, options, runner, code, words, most) in cases {
            scope.spawn(move || told(what, &at_mosquitto(options, runner), code, words, most));
        }
    });
}

#[test]
fn what_mosquitto_never_says_is_heard_from_a_broker_of_a_few_bytes() {
    let cases = [
        ("connect, quota", Says::Connack(0x97), "PH1030", "quota exceeded (0x97)", 1),
        ("connect, banned", Says::Connack(0x8a), "PH1030", "banned (0x8a)", 1),
        ("subscribe", Says::Suback(0x87), "PH5103", "not authorised (0x87)", 1),
        ("subscribe, quota", Says::Suback(0x97), "PH5103", "quota exceeded (0x97)", 1),
        ("publish, quota", Says::Puback(0x97), "PH5110", "quota exceeded (0x97)", 1),
        ("publish, topic", Says::Puback(0x90), "PH5110", "topic name invalid (0x90)", 1),
        ("publish, payload", Says::Puback(0x99), "PH5110", "payload format invalid (0x99)", 1),
        ("publish, large", Says::Puback(0x95), "PH5110", "packet too large (0x95)", 1),
        ("publish, no such code", Says::Puback(0xff), "PH5110", "unspecified error (0x80)", 1),
        ("taken over", Says::Disconnect(0x8e), "PH1032", "used twice", 2),
    ];
    std::thread::scope(|scope| {
        for (what, says, code, word, most) in cases {
            scope.spawn(move || told(what, &at_few_bytes(says), code, &[word], most));
        }
    });
}
