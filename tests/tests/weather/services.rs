//! Every kind of bad line before every service: broker, journal on Redis, file store. One kind at one service at a time, from the start
//! of a run until it has struck; whatever still hangs then has to be noticed by the runner itself.
//!
//! A bit that is turned over is found by TLS on the way to the broker and to Redis, where it is as good as a cut; neither protocol could
//! tell by itself. FastDFS knows no TLS: there the checksums of names and files must find it.

use crate::drive::{self, Outcome};
use crate::fastdfs::Depot;
use packhorse_tests::certificates::{Authority, Pair, Valid};
use packhorse_tests::mosquitto::{Options, Tls};
use packhorse_tests::proxy::{KINDS, Kind, Proxy, Sky};
use packhorse_tests::{Mosquitto, Redis, Service, Station, World, count};
use std::net::TcpListener;
use std::ops::Range;
use std::sync::Mutex;
use std::time::Duration;

const SERVICES: [&str; 3] = ["broker", "redis", "fastdfs"];
/// After how many bytes a connection to each service suffers: behind a TLS handshake, within what a trip moves.
const BYTES: [Range<u64>; 3] = [8_000..150_000, 4_000..12_000, 1_000..200_000];

/// A runner whose three services each lie behind a proxy of their own; the device is at the broker itself.
struct Country {
    station: Station,
    proxies: [Proxy; 2],
    depot: Depot,
    _services: (Mosquitto, Redis),
}

impl Country {
    fn new(seed: u64) -> Self {
        let world = World::new();
        let ours = Authority::new(world.folder(), "ours");
        let pair = ours.sign("server", &["127.0.0.1"], Valid::Now);
        let plain = free_port();
        let broker = broker(&ours, &pair, plain);
        let (redis, tls_port) = redis(&ours, &pair);
        let proxies = [
            Proxy::before(broker.address().parse().unwrap(), seed),
            Proxy::before(([127, 0, 0, 1], tls_port).into(), seed + 1),
        ];
        let depot = Depot::start(&world, world.path("depot"), seed + 2, &[]);
        let mut services = Service::at(&proxies[0].address.to_string(), &depot.tracker.address.to_string());
        services.mqtt = format!("mqtts://{}", proxies[0].address);
        let ca = ours.file.display().to_string();
        let env = [
            ("PACKHORSE_MQTT__CA_FILE", &*ca),
            ("PACKHORSE_MQTT__KEEP_ALIVE", "5s"),
            ("PACKHORSE_STORE", "redis"),
            ("PACKHORSE_REDIS", &format!("rediss://{}/0", proxies[1].address)),
            ("PACKHORSE_REDIS__CA", &*ca),
            ("PACKHORSE_REDIS__TIMEOUT", "3s"),
        ];
        let device = format!("127.0.0.1:{plain}");
        let station = Station::among(world, services, &format!("mqtt://{device}"), &device, "json-base64", &env);
        Self { station, proxies, depot, _services: (broker, redis) }
    }

    fn proxy(&self, service: usize) -> &Proxy {
        self.proxies.get(service).unwrap_or(&self.depot.storage)
    }

    /// A trip that is struck once or more; gives how often, and what it said where it did not get through at once.
    fn trip(&mut self, seed: u64, service: usize, kind: Kind) -> (usize, Option<String>) {
        self.station.begin(seed);
        let before = self.proxy(service).struck(kind);
        self.proxy(service).set(Sky::Seeded(vec![kind], BYTES[service].clone()));
        let mut run = self.station.go(&[]);
        let proxy = self.proxy(service);
        drive::until(&mut run, Duration::from_secs(120), || proxy.struck(kind) > before);
        // Those that suffer keep what they have.
        proxy.set(Sky::Clear);
        let said = match drive::judged(run.end()) {
            Outcome::Good(run) => {
                self.station.is_whole(&run);
                None
            }
            Outcome::Failed { code, text, .. } => Some(format!("{code} {text}")),
        };
        let struck = proxy.struck(kind) - before;
        if said.is_some() {
            if self.station.run().is_some_and(|(_, status)| status == "failed") {
                self.station.begin(seed + 500_000);
            }
            let run = self.station.go(&[]).end().exits(0).json();
            self.station.is_whole(&run);
        }
        (struck, said)
    }
}

fn broker(ours: &Authority, pair: &Pair, plain: u16) -> Mosquitto {
    let (certificate, key) = (pair.certificate.clone(), pair.key.clone());
    let tls = Tls { ca: ours.file.clone(), certificate, key, require: false };
    Options::default().tls(tls).line(&format!("listener {plain} 127.0.0.1")).start()
}

/// A server with TLS beside its plain port.
fn redis(ours: &Authority, pair: &Pair) -> (Redis, u16) {
    let port = free_port();
    let texts = [&pair.certificate, &pair.key, &ours.file].map(|path| path.display().to_string());
    let [certificate, key, ca] = texts.each_ref().map(String::as_str);
    let number = port.to_string();
    let tls = ["--tls-port", &number, "--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", ca];
    let kept = ["--tls-auth-clients", "no", "--appendonly", "yes", "--appendfsync", "always", "--save", ""];
    (Redis::with(&[tls, kept].concat()), port)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap().port()
}

#[test]
fn every_kind_of_bad_line_before_every_service_loses_nothing() {
    let rounds = count(1, 5) as u64;
    let table = Mutex::new([[0; SERVICES.len()]; KINDS.len()]);
    std::thread::scope(|scope| {
        for (service, name) in SERVICES.into_iter().enumerate() {
            let table = &table;
            scope.spawn(move || {
                let mut country = Country::new(7_000 + 10 * service as u64);
                for (round, (row, kind)) in
                    (0..rounds).flat_map(|round| KINDS.iter().enumerate().map(move |kind| (round, kind)))
                {
                    let seed = 8_000 + 1_000 * service as u64 + 10 * round + row as u64;
                    let (struck, said) = country.trip(seed, service, *kind);
                    if let Some(said) = said {
                        println!("{kind:?} before {name}: {said}; then whole");
                    }
                    table.lock().unwrap()[row][service] += struck;
                }
            });
        }
    });
    let table = table.into_inner().unwrap();
    println!("struck     {:>8} {:>8} {:>8}", SERVICES[0], SERVICES[1], SERVICES[2]);
    for (kind, row) in KINDS.iter().zip(table) {
        println!("{:<10} {:>8} {:>8} {:>8}", format!("{kind:?}"), row[0], row[1], row[2]);
    }
    for (kind, row) in KINDS.iter().zip(table) {
        assert!(row.iter().all(|struck| *struck > 0), "{kind:?} struck {row:?} times before {SERVICES:?}");
    }
}
