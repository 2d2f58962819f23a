//! A file store that is gone, dies in the middle, answers by half, is full, or turns bits over on the way.

use crate::drive::{self, Outcome};
use crate::room::Room;
use packhorse_tests::proxy::{Fault, Kind, Proxy, Sky, Way};
use packhorse_tests::world::done;
use packhorse_tests::{Child, Service, Station, World, count};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Tracker and storage in a process of their own, each behind a proxy. The tracker tells clients another address of loopback for the
/// storage, where the proxy is: nothing on the way is rewritten.
pub(crate) struct Depot {
    server: Option<Child>,
    ports: [SocketAddr; 2],
    path: PathBuf,
    pub(crate) tracker: Proxy,
    pub(crate) storage: Proxy,
}

impl Depot {
    pub(crate) fn start(world: &World, path: PathBuf, seed: u64, more: &[&str]) -> Self {
        let (server, ports) = serve(world, &path, ["127.0.0.1:0".to_owned(), "127.0.0.1:0".to_owned()], more);
        let tracker = Proxy::before(ports[0], seed);
        let storage = Proxy::at(([127, 0, 0, 2], ports[1].port()).into(), ports[1], seed + 1);
        Self { server: Some(server), ports, path, tracker, storage }
    }

    fn kill(&mut self) {
        assert!(self.server.take().unwrap().kill(), "the server was running");
    }

    fn restart(&mut self, world: &World) {
        self.server = Some(serve(world, &self.path, self.ports.map(|address| address.to_string()), &[]).0);
    }

    fn told(&self) -> String {
        format!("tracker: {}; storage: {}", self.tracker.told(), self.storage.told())
    }
}

fn serve(
    world: &World,
    path: &std::path::Path,
    [tracker, storage]: [String; 2],
    more: &[&str],
) -> (Child, [SocketAddr; 2]) {
    let path = path.display().to_string();
    let ports = ["--tracker", &tracker, "--storage", &storage, "--advertise", "127.0.0.2", "--path", &path];
    let mut server = world.start(&[&["fastdfs", "serve"][..], &ports[..], more].concat());
    let told = ["tracker ", "storage "]
        .map(|what| server.line(|line| line.strip_prefix(what).and_then(|address| address.trim().parse().ok())));
    (server, told)
}

fn station(codec: &'static str, seed: u64) -> (Station, Depot, Service) {
    let world = World::new();
    let kept = world.services();
    let depot = Depot::start(&world, world.path("depot"), seed, &[]);
    let services = Service::at(&kept.broker, &depot.tracker.address.to_string());
    (Station::among(world, services, &kept.mqtt, &kept.broker, codec, &[]), depot, kept)
}

/// Ends a trip that may have suffered: it is whole, or failed with a reason of the file store's and is said to.
#[track_caller]
fn ends(station: &Station, run: Child) -> bool {
    match drive::judged(run.end()) {
        Outcome::Good(run) => {
            station.is_whole(&run);
            true
        }
        Outcome::Failed { code, text, exit } => {
            println!("exit {exit}: {code} {text}");
            assert!(code.starts_with("PH4") || code == "PH5009", "{code} {text}");
            false
        }
    }
}

#[test]
fn a_tracker_that_is_gone_at_the_start_or_in_the_middle_is_waited_for() {
    let (mut station, depot, _kept) = station("json-base64", 10);
    for (round, fault) in [Fault::Refuse, Fault::BlackHole].into_iter().enumerate() {
        station.begin(3000 + round as u64);
        depot.tracker.turn(Sky::All(fault));
        let mut run = station.go(&[]);
        drive::until(&mut run, Duration::from_secs(30), || depot.tracker.struck(fault.kind()) > 0);
        std::thread::sleep(Duration::from_millis(500));
        depot.tracker.turn(Sky::Clear);
        station.world.until(&mut run, |run| done(run).filter(|done| *done > 100_000)).expect("it goes on");
        depot.tracker.turn(Sky::All(fault));
        let before = depot.tracker.struck(fault.kind());
        drive::until(&mut run, Duration::from_secs(30), || depot.tracker.struck(fault.kind()) > before);
        std::thread::sleep(Duration::from_millis(500));
        depot.tracker.turn(Sky::Clear);
        assert!(ends(&station, run), "the tracker was back");
    }
    println!("{}", depot.told());
    assert!(depot.tracker.struck(Kind::Refuse) >= 2 && depot.tracker.struck(Kind::BlackHole) >= 2, "{}", depot.told());
}

#[test]
fn a_storage_that_dies_in_an_upload_or_before_its_reply_leaves_no_wrong_file() {
    let (mut station, depot, _kept) = station("acme-tlv", 20);
    let faults = [
        Fault::Reset(Way::Up, 100_000),
        Fault::Cut(Way::Up, 300_000),
        Fault::Reset(Way::Down, 0),
        Fault::Cut(Way::Down, 0),
        Fault::Cut(Way::Down, 12),
        Fault::Reset(Way::Down, 200_000),
    ];
    let rounds = count(faults.len(), faults.len() * 6);
    let mut whole = 0;
    for round in 0..rounds {
        station.begin(3100 + round as u64);
        let fault = faults[round % faults.len()];
        let before = depot.storage.struck(fault.kind());
        depot.storage.turn(Sky::All(fault));
        let mut run = station.go(&[]);
        drive::until(&mut run, Duration::from_secs(20), || depot.storage.struck(fault.kind()) > before);
        depot.storage.set(Sky::Clear);
        whole += usize::from(ends(&station, run));
    }
    println!("{whole} of {rounds} whole; {}", depot.told());
    assert!(depot.storage.struck(Kind::Cut) > 0 && depot.storage.struck(Kind::Reset) > 0 && whole * 2 > rounds);
}

#[test]
fn a_server_that_is_killed_and_comes_back_is_waited_for() {
    let (mut station, mut depot, _kept) = station("json-base64", 30);
    let rounds = count(3, 30);
    for round in 0..rounds {
        station.begin(3200 + round as u64);
        let run = station.go(&[]);
        std::thread::sleep(Duration::from_millis(30 + 97 * round as u64 % 900));
        depot.kill();
        std::thread::sleep(Duration::from_millis(400));
        depot.restart(&station.world);
        assert!(ends(&station, run), "the server was back");
    }
    println!("{rounds} kills of the server; {}", depot.told());
}

#[test]
fn a_storage_that_swallows_everything_hangs_nobody() {
    let (mut station, depot, _kept) = station("json-base64", 40);
    station.begin(3300);
    depot.storage.turn(Sky::All(Fault::BlackHole));
    let mut run = station.go(&[]);
    drive::until(&mut run, Duration::from_secs(30), || depot.storage.struck(Kind::BlackHole) > 0);
    // On a full day its patience ends by itself, on an ordinary one the hole does.
    let patience = Duration::from_secs(count(2, 75) as u64);
    drive::until(&mut run, patience, || depot.storage.struck(Kind::BlackHole) > 1);
    depot.storage.turn(Sky::Clear);
    ends(&station, run);
    println!("{}", depot.told());
    assert!(depot.storage.struck(Kind::BlackHole) > count(0, 1), "{}", depot.told());
}

#[test]
fn bits_turned_over_on_the_way_never_become_a_good_file() {
    let (mut station, depot, _kept) = station("acme-tlv", 50);
    let places =
        [(Way::Up, 5), (Way::Up, 20_000), (Way::Up, 200_000), (Way::Down, 9), (Way::Down, 30), (Way::Down, 150_000)];
    let rounds = count(places.len(), places.len() * 6);
    let (mut whole, mut caught) = (0, 0);
    for round in 0..rounds {
        station.begin(3400 + round as u64);
        let (way, byte) = places[round % places.len()];
        let before = depot.storage.struck(Kind::Flip);
        depot.storage.turn(Sky::All(Fault::Flip(way, byte + round as u64 / places.len() as u64)));
        let mut run = station.go(&[]);
        drive::until(&mut run, Duration::from_secs(20), || depot.storage.struck(Kind::Flip) > before);
        depot.storage.set(Sky::Clear);
        if ends(&station, run) { whole += 1 } else { caught += 1 }
    }
    println!("{whole} whole, {caught} failed with a reason; {}", depot.told());
    assert!(depot.storage.struck(Kind::Flip) >= rounds / 2);
}

#[test]
fn a_full_file_store_is_waited_for_until_there_is_room() {
    let world = World::new();
    let kept = world.services();
    let room = Room::of(&world, "depot", 16 << 20);
    // Where nothing can be mounted, the server keeps more free than there is.
    let more: &[&str] = if room.is_disk() { &[] } else { &["--reserve", "1000000000"] };
    let mut depot = Depot::start(&world, room.path().join("store"), 60, more);
    let services = Service::at(&kept.broker, &depot.tracker.address.to_string());
    let mut station = Station::among(world, services, &kept.mqtt, &kept.broker, "json-base64", &[]);
    station.begin(3500);
    let mut run = station.go(&[]);
    if room.is_disk() {
        station.world.until(&mut run, |run| done(run).filter(|done| *done > 0)).expect("it has begun");
    }
    room.fill(100_000);
    let Outcome::Failed { exit, code, text } = drive::judged(run.end()) else { panic!("the disk was not full") };
    println!("disk full by {}: exit {exit}: {code} {text}", room.way());
    assert!((exit, code.as_str()) == (6, "PH4104"), "exit {exit}: {code} {text}");
    room.free();
    if !room.is_disk() {
        depot.kill();
        depot.restart(&station.world);
    }
    let run = station.go(&[]).end().exits(0).json();
    station.is_whole(&run);
}
