//! A real mosquitto that is killed again and again with a full window, that forbids, limits, and gives our session to another.

use crate::drive::{self, Outcome};
use packhorse_tests::mosquitto::Options;
use packhorse_tests::proxy::Proxy;
use packhorse_tests::station::SIZE;
use packhorse_tests::world::{done, number};
use packhorse_tests::{Child, Mosquitto, Service, Station, World, count};
use rumqttc::v5::{Client, MqttOptions};
use std::time::{Duration, Instant};

/// Many keep-alives of the runner and the device: who goes on later, even on a busy machine, is wedged. The longest is printed.
const WEDGED: Duration = Duration::from_secs(180);

/// A push alone; at the rate it takes some seconds.
fn push(rate: &str, timeout: &str) -> String {
    format!(
        "kind: workflow/v1\nname: push\ninputs:\n  image: {{ type: file }}\ncodec: json-base64\ntimeout: {timeout}\nsteps:\n  - id: push\n    \
         uses: transfer.push\n    with: {{ device: dev-1, file: \"${{{{ inputs.image }}}}\", window: 16, rate: {rate} }}\n    \
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
    let worst = std::sync::Mutex::new((0, Duration::ZERO));
    std::thread::scope(|scope| {
        for lane in 0..lanes as u64 {
            let worst = &worst;
            scope.spawn(move || {
                let longest = restarted(1000 + 100 * lane, restarts);
                let mut worst = worst.lock().unwrap();
                *worst = (worst.0 + restarts, worst.1.max(longest));
            });
        }
    });
    let (struck, longest) = worst.into_inner().unwrap();
    println!("{struck} restarts of {lanes} brokers; the longest until bytes went on: {longest:?}");
    assert_eq!(struck, lanes * restarts);
}

/// Kills a broker so often in the middle of pushes; gives the longest time until bytes went on.
fn restarted(seed: u64, restarts: usize) -> Duration {
    let mut broker = Mosquitto::plain();
    let (mut station, _proxy, _kept) = among(&broker, "json-base64");
    station.workflow(&push("96KiB/s", "20m"));
    let (mut struck, mut runs, mut worst) = (0, 0, Duration::ZERO);
    while struck < restarts {
        station.begin(seed + runs);
        let mut run = station.go(&[]);
        while struck < restarts {
            let begun = |run: &serde_json::Value| done(run).filter(|done| *done > 16 * 640);
            let Some(at) = station.world.until(&mut run, begun) else { break };
            if at > SIZE as u64 * 8 / 10 {
                break;
            }
            broker.kill();
            broker.start();
            struck += 1;
            let since = Instant::now();
            let further = station.world.until(&mut run, |run| done(run).filter(|done| *done > at + 16 * 640));
            worst = worst.max(since.elapsed());
            assert!(since.elapsed() < WEDGED, "wedged at byte {at}, then {further:?}:\n{}", run.err());
        }
        run.end().exits(0);
        station.arrived();
        runs += 1;
    }
    worst
}

/// Runs a push that the broker will not have; gives how it ended.
fn refused(options: Options, timeout: &str, user: Option<&str>) -> (Outcome, u64) {
    let broker = options.start();
    let world = World::new();
    let kept = world.services();
    let proxy = Proxy::before(broker.address().parse().unwrap(), 1);
    let address = user.map_or_else(|| proxy.address.to_string(), |user| format!("{user}@{}", proxy.address));
    // The device has nothing to do with it: it is at another broker.
    let mut station =
        Station::among(world, Service::at(&address, &kept.tracker), &kept.mqtt, &kept.broker, "json-base64", &[]);
    station.workflow(&push("1MiB/s", timeout));
    station.begin(1);
    (drive::judged(station.go(&[]).end()), proxy.connections())
}

#[test]
fn who_may_not_come_in_or_speak_is_told_so_and_does_not_spin() {
    let stranger = refused(Options::default().user("runner", "right"), "20s", Some("runner:wrong"));
    let mute = refused(Options::default().acl("topic read #\ntopic read $SYS/#\n"), "10s", None);
    let deaf = refused(Options::default().acl("topic write #\n"), "10s", None);
    let narrow = refused(Options::default().line("max_packet_size 300"), "10s", None);
    let limited = refused(Options::default().line("message_size_limit 300"), "10s", None);
    let all =
        [("password", stranger), ("publish", mute), ("subscribe", deaf), ("packet", narrow), ("payload", limited)];
    for (what, (outcome, connections)) in &all {
        println!("{what}: {outcome:?}, {connections} connections");
    }
    for (what, (outcome, connections)) in all {
        let Outcome::Failed { code, text, .. } = outcome else { panic!("{what}: {outcome:?}") };
        assert!(code.starts_with("PH") && !text.is_empty(), "{what}: {code} {text}");
        assert!((1..=12).contains(&connections), "{what}: {connections} connections");
        assert!(!text.contains("wrong@") && !text.contains(":wrong"), "{what}: {text}");
    }
}

#[test]
fn a_stolen_session_is_noticed_without_a_war() {
    let broker = Mosquitto::plain();
    let (mut station, proxy, _kept) = among(&broker, "json-base64");
    station.workflow(&push("96KiB/s", "10m"));
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

/// Broker in the chaos proxy: cut, reset, slow, split, half open, at random bytes.
#[test]
fn a_bad_line_to_the_broker_loses_nothing() {
    use packhorse_tests::proxy::{Kind, Sky};
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
