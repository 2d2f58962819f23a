//! Messages that come while no daemon is there, or that wait for their turn when it dies: each starts its run, and none a second one.

use crate::client::get;
use crate::daemon::Daemon;
use crate::triggers::{listens, trigger, until};
use packhorse_tests::child::PATIENCE;
use packhorse_tests::client::Stranger;
use packhorse_tests::mosquitto::Options;
use packhorse_tests::{Mosquitto, count};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

fn orders(rate: u32, topic: &str) -> String {
    named("orders", rate, topic)
}

fn named(name: &str, rate: u32, topic: &str) -> String {
    format!(
        "kind: workflow/v1
name: {name}
inputs: {{ number: {{ type: string }} }}
triggers:
  - id: order
    mqtt: {{ topic: \"{topic}\", max_rate: {rate}, inputs: {{ number: \"${{{{ trigger.payload }}}}\" }} }}
steps:
  - uses: log
    with: {{ message: \"order ${{{{ inputs.number }}}}\" }}
outputs: {{ number: \"${{{{ inputs.number }}}}\" }}
"
    )
}

/// The trigger.
const ORDER: (&str, &str) = ("orders", "order");

fn order(daemon: &Daemon) -> Option<Value> {
    trigger(daemon, ORDER.0, ORDER.1)
}

/// How many runs there are of each order; of those that have not succeeded the number is not known.
fn runs(daemon: &Daemon, workflow: &str) -> BTreeMap<Option<String>, usize> {
    let at = daemon.http();
    let (mut runs, mut cursor) = (BTreeMap::new(), String::new());
    loop {
        let page = get(&at, &format!("/v1/runs?limit=200&workflow={workflow}{cursor}")).is(200).json();
        for run in page["items"].as_array().expect("a list") {
            let shown = get(&at, &format!("/v1/runs/{}", run["run"].as_str().unwrap())).is(200).json();
            *runs.entry(shown["outputs"]["number"].as_str().map(str::to_owned)).or_default() += 1;
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return runs,
        }
    }
}

/// Waits until there are as many, and sees that each has one.
fn one_each(daemon: &Daemon, orders: usize) {
    one_each_of(daemon, ORDER.0, orders);
}

fn one_each_of(daemon: &Daemon, workflow: &str, orders: usize) {
    let begun = Instant::now();
    let mut found = runs(daemon, workflow);
    while found.len() < orders || found.contains_key(&None) {
        assert!(begun.elapsed() < PATIENCE, "{} of {orders} orders: {:#?}", found.len(), order(daemon));
        std::thread::sleep(Duration::from_millis(100));
        found = runs(daemon, workflow);
    }
    assert!(found.len() == orders && found.values().all(|count| *count == 1), "{found:?}");
}

/// Publishes orders of these numbers, and waits until the broker has them.
fn say(broker: &Mosquitto, numbers: std::ops::Range<usize>) {
    let heard = Stranger::connect(&broker.address(), &["orders/#"]);
    let device = Stranger::connect(&broker.address(), &[]);
    for number in numbers.clone() {
        device.say(&format!("orders/{}", number % 3), format!("\"n{number}\""));
    }
    for number in numbers {
        assert!(heard.hear(PATIENCE).is_some(), "order {number} never came to the broker");
    }
}

#[test]
fn what_is_said_while_no_daemon_is_there_is_done_when_it_comes() {
    let broker = Mosquitto::plain();
    let mut daemon = Daemon::beside(&broker);
    daemon.save("orders", &orders(6_000, "orders/+"));
    listens(&daemon, ORDER.0, ORDER.1);
    let many = count(20, 200);
    let rounds = count(2, 5);
    for round in 0..rounds {
        // By turns stopped in order and killed, with messages on their way to it.
        say(&broker, 2 * round * many..(2 * round + 1) * many);
        if round % 2 == 0 {
            daemon.stop();
        } else {
            one_each(&daemon, (2 * round + 1) * many);
            daemon.kill();
        }
        say(&broker, (2 * round + 1) * many..(2 * round + 2) * many);
        daemon.begin();
        one_each(&daemon, (2 * round + 2) * many);
    }
    println!("{} orders, half of them said while no daemon was there: a run each", 2 * rounds * many);
    daemon.stop();
}

#[test]
fn what_waits_for_its_turn_outlives_the_process() {
    let mut broker = Options::default().start();
    let mut daemon = Daemon::beside(&broker);
    // Two runs at once, then one a minute.
    daemon.save("orders", &orders(1, "orders/+"));
    listens(&daemon, ORDER.0, ORDER.1);
    say(&broker, 0..40);
    until(&daemon, ORDER, |trigger| trigger["waiting"].as_u64() >= Some(37));
    let begun = Instant::now();
    while broker.log().matches("Received PUBACK from packhorseT").count() < 40 {
        assert!(begun.elapsed() < PATIENCE, "{}", broker.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    daemon.kill();
    // The broker forgets everything: what it was told about is not its affair any more.
    broker.kill();
    broker.start();
    daemon.begin();
    let begun = Instant::now();
    while order(&daemon).is_none_or(|trigger| trigger["waiting"].as_u64() < Some(30)) {
        assert!(begun.elapsed() < PATIENCE, "{:?}", order(&daemon));
        std::thread::sleep(Duration::from_millis(50));
    }
    daemon.stop();
    daemon.begin();
    daemon.save("orders", &orders(6_000, "orders/+"));
    one_each(&daemon, 40);
    until(&daemon, ORDER, |trigger| trigger["waiting"] == 0);
    // And nothing of it comes again.
    daemon.kill();
    daemon.begin();
    listens(&daemon, ORDER.0, ORDER.1);
    assert_eq!(order(&daemon).unwrap()["waiting"], 0);
    one_each(&daemon, 40);
    daemon.stop();
}

#[test]
fn what_waits_stays_when_the_topic_is_edited_and_when_the_file_is_gone_for_a_while() {
    let broker = Mosquitto::plain();
    let mut daemon = Daemon::beside(&broker);
    // Two runs at once, then one a minute.
    daemon.save("orders", &orders(1, "orders/+"));
    listens(&daemon, ORDER.0, ORDER.1);
    say(&broker, 0..20);
    until(&daemon, ORDER, |trigger| trigger["waiting"].as_u64() >= Some(17));
    let file = daemon.save("orders", &orders(1, "other/+"));
    until(&daemon, ORDER, |trigger| trigger["what"] == "other/+" && trigger["waiting"].as_u64() >= Some(15));
    std::fs::remove_file(file).unwrap();
    let begun = Instant::now();
    while order(&daemon).is_some() {
        assert!(begun.elapsed() < PATIENCE, "{:?}", order(&daemon));
        std::thread::sleep(Duration::from_millis(50));
    }
    daemon.save("orders", &orders(6_000, "other/+"));
    one_each(&daemon, 20);
    daemon.stop();
}

#[test]
fn what_the_broker_had_kept_comes_to_each_trigger_whose_topic_it_matches() {
    let broker = Mosquitto::plain();
    let mut daemon = Daemon::beside(&broker);
    // One of each key: a broker may send a message once for each filter that matches.
    let keyed = |name: &str, topic: &str| {
        named(name, 6_000, topic).replace("max_rate:", "dedupe_key: \"${{ trigger.payload }}\", max_rate:")
    };
    let all = [("gone", "+/0"), ("orders", "orders/+"), ("wide", "orders/#"), ("wider", "#")];
    for (name, topic) in all {
        daemon.save(name, &keyed(name, topic));
        listens(&daemon, name, ORDER.1);
    }
    for round in 0..3 {
        daemon.stop();
        if round == 0 {
            std::fs::remove_file(daemon.world.path("workflows/gone.yaml")).unwrap();
        }
        say(&broker, 20 * round..20 * (round + 1));
        daemon.begin();
        for (name, _) in &all[1..] {
            one_each_of(&daemon, name, 20 * (round + 1));
        }
    }
    daemon.stop();
}

#[test]
fn a_broker_keeps_nothing_for_triggers_that_were_taken_away_while_no_daemon_was_there() {
    let broker = Mosquitto::plain();
    let mut daemon = Daemon::beside(&broker);
    daemon.save("orders", &orders(6_000, "orders/+"));
    listens(&daemon, ORDER.0, ORDER.1);
    daemon.kill();
    daemon.save("orders", &orders(6_000, "other/+"));
    say(&broker, 0..5);
    daemon.begin();
    listens(&daemon, ORDER.0, ORDER.1);
    broker.wait_for("orders/+");
    let begun = Instant::now();
    while !broker.log().contains("Received UNSUBSCRIBE from packhorseT") {
        assert!(begun.elapsed() < PATIENCE, "{}", broker.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let device = Stranger::connect(&broker.address(), &[]);
    device.say("other/1", b"\"m\"".to_vec());
    one_each(&daemon, 1);
    daemon.stop();
}
