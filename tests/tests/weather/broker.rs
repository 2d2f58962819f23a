//! A real mosquitto that is killed again and again with a full window, that gives our session to another, and at the end of a bad line.

use crate::drive;
use packhorse_tests::proxy::{Fault, Kind, Proxy, Sky};
use packhorse_tests::station::SIZE;
use packhorse_tests::world::{done, number};
use packhorse_tests::{Child, Mosquitto, Service, Station, World, count};
use rumqttc::v5::{Client, MqttOptions};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Two keep-alives of the runner and the device: after a restart of the broker bytes go on within this time.
const RESUMED: Duration = Duration::from_secs(60);
/// Packets in flight, and the bytes of file in one.
const WINDOW: u64 = 16;
const PACKET: u64 = 640;
/// What a line between continents does to each read, in bytes a second and milliseconds: a window of packets is under way all the time.
const FAR: Fault = Fault::Slow(10_000_000, 60);

/// A push alone; at the rate it takes some seconds.
fn push(rate: &str) -> String {
    let rate = if rate.is_empty() { String::new() } else { format!(", rate: {rate}") };
    format!(
        "kind: workflow/v1\nname: push\ninputs:\n  image: {{ type: file }}\ncodec: json-base64\ntimeout: 20m\nsteps:\n  - id: push\n    \
         uses: transfer.push\n    with: {{ device: dev-1, file: \"${{{{ inputs.image }}}}\", window: {WINDOW}{rate} }}\n    \
         retry: {{ max_attempts: 3, backoff: {{ initial: 200ms, factor: 2, max: 1s }} }}\n"
    )
}

/// A station whose runner goes through a proxy; the device goes to the broker itself.
fn among(broker: &Mosquitto, codec: &'static str) -> (Station, Proxy, Service) {
    let world = World::new();
    let kept = world.services();
    let proxy = Proxy::before(broker.address().parse().unwrap(), 1);
    let services = Service::at(&proxy.address.to_string(), &kept.tracker);
    let station = Station::among(world, services, &broker.url(), &broker.address(), codec, &[]);
    (station, proxy, kept)
}

#[test]
fn restarts_with_a_full_window_and_a_lost_session_wedge_no_run() {
    let (lanes, restarts) = (count(4, 10), count(2, 10));
    let resumed = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for lane in 0..lanes as u64 {
            let resumed = &resumed;
            scope.spawn(move || {
                let took = restarted(1000 + 100 * lane, restarts);
                resumed.lock().unwrap().extend(took);
            });
        }
    });
    let mut took = resumed.into_inner().unwrap();
    took.sort();
    let at = |part: usize| took[(took.len() - 1) * part / 100];
    println!(
        "{} restarts of {lanes} brokers, each at a full window of {WINDOW} packets; until bytes went on: half within {:?}, 90 % \
         within {:?}, the longest {:?}",
        took.len(),
        at(50),
        at(90),
        at(100)
    );
    assert_eq!(took.len(), lanes * restarts);
    assert!(at(100) <= RESUMED, "bytes went on after more than two keep-alives: {took:?}");
}

/// Kills a broker so often in the middle of pushes, whenever a whole window is under way; gives how long it took each time until
/// bytes went on.
fn restarted(seed: u64, restarts: usize) -> Vec<Duration> {
    let mut broker = Mosquitto::plain();
    let (mut station, proxy, _kept) = among(&broker, "json-base64");
    proxy.set(Sky::All(FAR));
    station.workflow(&push(""));
    let (mut runs, mut took) = (0, Vec::new());
    while took.len() < restarts {
        station.begin(seed + runs);
        let mut run = station.go(&[]);
        while took.len() < restarts {
            let full = |run: &Value| {
                let text = run.pointer("/progress/text").and_then(Value::as_str)?;
                done(run).filter(|done| *done > WINDOW * PACKET && text.ends_with(&format!("in flight {WINDOW}")))
            };
            let Some(at) = station.world.until(&mut run, full) else { break };
            if at > SIZE as u64 * 8 / 10 {
                break;
            }
            broker.kill();
            broker.start();
            let since = Instant::now();
            let further = station.world.until(&mut run, |run| done(run).filter(|done| *done > at + WINDOW * PACKET));
            took.push(since.elapsed());
            assert!(further.is_some(), "ended at byte {at}:\n{}", run.err());
        }
        run.end().exits(0);
        station.arrived();
        runs += 1;
    }
    took
}

#[test]
fn a_stolen_session_is_noticed_without_a_war() {
    let broker = Mosquitto::plain();
    let (mut station, proxy, _kept) = among(&broker, "json-base64");
    station.workflow(&push("96KiB/s"));
    station.begin(1);
    let mut run = station.go(&[("PACKHORSE_LOG", "debug")]);
    station.world.until(&mut run, |run| done(run).filter(|done| *done > 0)).expect("it has begun");
    let id = client_id(&broker);
    let before = proxy.connections();
    let (stolen, thief) = thieve(&broker, &id, Duration::from_secs(count(3, 20) as u64));
    let tries = proxy.connections() - before;
    println!("client id {id} was taken {stolen} times by {thief}; the runner connected {tries} times meanwhile");
    assert!(stolen > 0, "nobody took the session");
    assert!(tries <= 12, "{tries} connections: a war over the session");
    let ended = run.end().exits(0);
    assert!(ended.err.contains("no MQTT connection"), "nobody was told:\n{}", ended.err);
    station.arrived();
}

/// The runner's own, from the broker's log.
fn client_id(broker: &Mosquitto) -> String {
    let log = broker.log();
    let found = log.lines().rev().filter(|line| line.contains("New client connected")).find_map(|line| {
        let id = line.split(" as ").nth(1)?.split(' ').next()?;
        (id.starts_with("packhorse-") && !line.contains("dev-1")).then(|| id.to_owned())
    });
    found.unwrap_or_else(|| panic!("no runner in the broker's log:\n{log}"))
}

/// Connects under this id and stays for some time; gives how often the broker took it in.
fn thieve(broker: &Mosquitto, id: &str, stays: Duration) -> (usize, String) {
    let mut options = MqttOptions::new(id, "127.0.0.1", broker.port());
    options.set_keep_alive(Duration::from_secs(30));
    let (client, mut connection) = Client::new(options, 16);
    let until = Instant::now() + stays;
    let mut taken = 0;
    while Instant::now() < until {
        match connection.recv_timeout(Duration::from_millis(200)) {
            Ok(Ok(rumqttc::v5::Event::Incoming(rumqttc::v5::mqttbytes::v5::Packet::ConnAck(_)))) => taken += 1,
            Ok(Err(_)) => std::thread::sleep(Duration::from_millis(500)),
            _ => {}
        }
    }
    drop(client);
    (taken, "a thief".to_owned())
}

/// Cut, reset, slow and split, at random bytes; the other kinds are struck in `services`.
#[test]
fn a_bad_line_to_the_broker_loses_nothing() {
    let broker = Mosquitto::plain();
    let (mut station, proxy, _kept) = among(&broker, "acme-tlv");
    let kinds = [Kind::Cut, Kind::Reset, Kind::Split, Kind::Slow];
    let mut whole = 0;
    for round in 0..count(4, 40) as u64 {
        station.begin(2000 + round);
        proxy.turn(Sky::Seeded(vec![kinds[round as usize % 4]], 2_000..200_000));
        let mut run: Child = station.go(&[]);
        drive::until(&mut run, Duration::from_secs(3), || false);
        proxy.turn(Sky::Clear);
        let ended = run.end();
        if ended.code == Some(69) {
            // It could not come in when it started: it says so, and the next start is another one.
            ended.says(&["PH1006"]);
            let run = station.go(&[]).end().exits(0).json();
            station.is_whole(&run);
        } else {
            let run = ended.exits(0).json();
            station.is_whole(&run);
            assert!(number(&run, "/traffic/payload_bytes") >= SIZE as u64, "{run:#}");
        }
        whole += 1;
    }
    println!("{whole} runs whole; {}", proxy.told());
    for kind in kinds {
        assert!(proxy.struck(kind) > 0, "{kind:?} never struck");
    }
}
