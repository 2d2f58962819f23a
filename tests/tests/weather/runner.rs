//! SIGKILL to the runner: at each failpoint the first, a middle and the last time, at random moments, while it starts and while it
//! stops. After each it is taken up again: every byte is right, and little was sent twice, as a listener on the wire counts it.

use packhorse::failpoint::{ALL, Point};
use packhorse_tests::station::{BATCH, WINDOW};
use packhorse_tests::{Station, count};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Where only bad files come by: `failing` strikes there.
const BAD: [Point; 2] = [Point::PullQuarantine, Point::PullQuarantined];
/// Trips at once: they wait more than they work.
const LANES: usize = 4;

/// One kill.
#[derive(Debug, Clone, Copy)]
enum Strike {
    /// At a failpoint, the how manieth time.
    At(&'static str, u64),
    /// So many microseconds after its start.
    After(u64),
    /// So many microseconds after it was asked to stop in the middle.
    Stopping(u64),
}

/// How often a trip that nobody disturbs passes each place.
fn passed(station: &mut Station) -> BTreeMap<String, u64> {
    station.begin(0);
    let hits = station.world.path("hits");
    let run = station.go(&[("PACKHORSE_FAILPOINT_HITS", &hits.display().to_string())]).end().exits(0).json();
    station.is_whole(&run);
    let mut counts = BTreeMap::new();
    for name in std::fs::read_to_string(&hits).unwrap().lines() {
        *counts.entry(name.to_owned()).or_default() += 1;
    }
    counts
}

/// What a lane does and finds.
struct Lane<'a> {
    station: Station,
    struck: &'a Mutex<BTreeMap<&'static str, usize>>,
    most: &'a AtomicUsize,
}

impl Lane<'_> {
    /// One trip that is struck once, and then taken up to its end.
    fn trip(&mut self, seed: u64, strike: Strike) {
        self.station.begin(seed);
        let struck = match strike {
            Strike::At(name, at) => self.strike_at(seed, name, at),
            Strike::After(micros) => {
                let run = self.station.go(&[]);
                std::thread::sleep(Duration::from_micros(micros));
                run.kill().then_some(if micros < 100_000 { "boot" } else { "random" })
            }
            Strike::Stopping(micros) => {
                let run = self.station.go(&[]);
                std::thread::sleep(Duration::from_millis(300 + seed % 300));
                run.signal(Signal::TERM);
                std::thread::sleep(Duration::from_micros(micros));
                run.kill().then_some("stopping")
            }
        };
        if let Some(kind) = struck {
            *self.struck.lock().unwrap().entry(kind).or_default() += 1;
        }
        let run = self.station.go(&[]).end().exits(0).json();
        self.station.is_whole(&run);
        let again = self.station.again();
        let bound = (WINDOW + BATCH) * again.piece;
        assert!(again.bytes <= bound, "{strike:?}: {} bytes were sent again, above {bound}", again.bytes);
        self.most.fetch_max(again.bytes as usize, Ordering::Relaxed);
    }

    /// Strikes at a place; where this trip passes it less often, at an earlier time of another one.
    fn strike_at(&mut self, mut seed: u64, name: &'static str, mut at: u64) -> Option<&'static str> {
        loop {
            let ended = self.station.go(&[("PACKHORSE_FAILPOINT", &format!("{name}:{at}"))]).end();
            if ended.code.is_none() {
                return Some(name);
            }
            ended.exits(0);
            if at == 1 {
                return None;
            }
            at -= at.div_ceil(4);
            // Another file: a device may know the one before by its digest, whatever its name is now.
            seed += 1_000_000;
            self.station.begin(seed);
        }
    }
}

/// Every place the first, a middle and the last time (one of these on an ordinary day), and other moments besides.
fn strikes(counts: &BTreeMap<String, u64>, random: &mut impl rand::Rng, others: usize) -> Vec<Strike> {
    let mut strikes = Vec::new();
    for point in ALL.iter().filter(|point| !BAD.contains(point)) {
        let Some(passed) = counts.get(point.name()).copied() else { continue };
        let times = [1, passed.div_ceil(2), passed];
        let chosen = count(1, 3);
        let first = if chosen == 1 { random.random_range(0..3) } else { 0 };
        strikes.extend((0..chosen).map(|index| Strike::At(point.name(), times[(first + index) % 3])));
    }
    strikes.extend((0..others).map(|index| match index % 4 {
        0 => Strike::After(random.random_range(1_000..100_000)),
        1 => Strike::Stopping(random.random_range(0..20_000)),
        _ => Strike::After(random.random_range(100_000..1_400_000)),
    }));
    strikes.shuffle(random);
    strikes
}

/// All of them, in several lanes; each lane has a station of its own.
pub(crate) fn kills(seed: u64, others: usize, station: impl Fn(&'static str) -> Station + Sync) {
    let mut first = station("json-base64");
    let (counts, on_redis) = (passed(&mut first), first.on_redis());
    let comes_by = |point: &Point| !BAD.contains(point) && (!on_redis || !point.name().starts_with("store."));
    let missed: Vec<_> = ALL.iter().filter(|point| comes_by(point) && !counts.contains_key(point.name())).collect();
    assert!(missed.is_empty(), "no run comes by these places: {missed:?}");
    let mut random = rand::rngs::SmallRng::seed_from_u64(seed);
    let strikes = Mutex::new(strikes(&counts, &mut random, others).into_iter().enumerate());
    let (struck, most) = (Mutex::new(BTreeMap::new()), AtomicUsize::new(0));
    let all = Mutex::new(Some(first));
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            let (strikes, struck, most, all, station) = (&strikes, &struck, &most, &all, &station);
            scope.spawn(move || {
                let own = all.lock().unwrap().take().unwrap_or_else(|| station(["json-base64", "acme-tlv"][lane % 2]));
                let mut lane = Lane { station: own, struck, most };
                loop {
                    let next = strikes.lock().unwrap().next();
                    let Some((number, strike)) = next else { return };
                    lane.trip(seed * 10_000 + number as u64 + 1, strike);
                }
            });
        }
    });
    let struck = struck.into_inner().unwrap();
    let total: usize = struck.values().sum();
    println!("seed {seed}: {total} kills struck, at most {} bytes sent again after one: {struck:?}", most.into_inner());
    let places = counts.keys().map(String::as_str).chain(["boot", "random", "stopping"]);
    let spared: Vec<_> = places.filter(|name| !struck.contains_key(name)).collect();
    assert!(spared.is_empty(), "no kill struck at {spared:?}");
}

#[test]
fn kills_everywhere_lose_nothing_on_the_embedded_store() {
    for round in 0..count(1, 2) as u64 {
        kills(round + 1, count(12, 180), Station::new);
    }
}
