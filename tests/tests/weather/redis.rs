//! A journal on Redis whose server stops, slows down, loses writes, evicts, is full, or is reached over a bad line.

use crate::drive::{self, Outcome};
use packhorse_tests::proxy::{Fault, Kind, Proxy, Sky, Way};
use packhorse_tests::station::SIZE;
use packhorse_tests::world::done;
use packhorse_tests::{Child, Redis, Station, World, count};
use std::time::{Duration, Instant};

/// A station whose journal is on Redis behind a proxy, each trip in a journal of its own.
struct Cloud {
    station: Station,
    redis: Redis,
    proxy: Proxy,
}

impl Cloud {
    fn new(redis: Redis, codec: &'static str, seed: u64) -> Self {
        let proxy = Proxy::before(redis.address(), seed);
        let world = World::new();
        let services = world.services();
        let (mqtt, broker) = (services.mqtt.clone(), services.broker.clone());
        let url = format!("redis://{}/0", proxy.address);
        let env = [("PACKHORSE_STORE", "redis"), ("PACKHORSE_REDIS", &url)];
        let station = Station::among(world, services, &mqtt, &broker, codec, &env);
        Self { station, redis, proxy }
    }

    /// Starts a trip and waits until a third of the push is done.
    fn begun(&mut self, seed: u64) -> Child {
        self.station.begin(seed);
        let mut run = self.station.go(&[]);
        let third = |run: &serde_json::Value| done(run).filter(|done| *done > SIZE as u64 / 3);
        self.station
            .world
            .until(&mut run, third)
            .unwrap_or_else(|| panic!("it ended too soon:\n{}\n{}", run.out(), run.err()));
        run
    }

    /// Ends a trip: whole at once, or with words and then whole after it was taken up. Gives what it said.
    #[track_caller]
    fn ends(&self, run: Child) -> Option<String> {
        match drive::judged(run.end()) {
            Outcome::Good(run) => {
                self.station.is_whole(&run);
                None
            }
            Outcome::Failed { exit, code, text } => {
                println!("exit {exit}: {code} {}", text.lines().last().unwrap_or_default());
                let run = self.station.go(&[]).end().exits(0).json();
                self.station.is_whole(&run);
                Some(code)
            }
        }
    }
}

#[test]
fn kills_everywhere_lose_nothing_on_redis() {
    let redis = Redis::durable();
    let url = redis.url();
    let station = |codec| {
        let world = World::new();
        let services = world.services();
        let (mqtt, broker) = (services.mqtt.clone(), services.broker.clone());
        let env = [("PACKHORSE_STORE", "redis"), ("PACKHORSE_REDIS", &*url)];
        Station::among(world, services, &mqtt, &broker, codec, &env)
    };
    crate::runner::kills(11, count(8, 360), station);
    println!("{} commands on the server", redis.info("total_commands_processed"));
}

#[test]
fn a_server_that_stops_or_stands_still_is_waited_for() {
    let mut cloud = Cloud::new(Redis::durable(), "json-base64", 1);
    let rounds = count(2, 20);
    let mut told = Vec::new();
    for round in 0..rounds as u64 {
        let run = cloud.begun(5000 + round);
        let away = Duration::from_millis(1000 + 300 * (round % 4));
        if round % 2 == 0 {
            cloud.redis.kill();
            std::thread::sleep(away);
            cloud.redis.start();
        } else {
            cloud.redis.freeze();
            std::thread::sleep(away);
            cloud.redis.thaw();
        }
        told.extend(cloud.ends(run));
    }
    println!("{rounds} servers away; {} runs had to be taken up: {told:?}; {}", told.len(), cloud.proxy.told());
}

#[test]
fn a_bad_line_to_the_server_loses_nothing() {
    let mut cloud = Cloud::new(Redis::durable(), "acme-tlv", 2);
    let kinds = [Kind::Cut, Kind::Reset, Kind::Split, Kind::Slow];
    let rounds = count(4, 60);
    let mut told = Vec::new();
    for round in 0..rounds as u64 {
        let run = cloud.begun(5100 + round);
        cloud.proxy.turn(Sky::Seeded(vec![kinds[round as usize % 4]], 0..4_000));
        std::thread::sleep(Duration::from_secs(2));
        cloud.proxy.turn(Sky::Clear);
        told.extend(cloud.ends(run));
    }
    println!("{rounds} bad lines; {} runs had to be taken up: {told:?}; {}", told.len(), cloud.proxy.told());
    assert!(cloud.proxy.struck(Kind::Cut) > 0 && cloud.proxy.struck(Kind::Reset) > 0, "{}", cloud.proxy.told());
}

#[test]
fn an_answer_that_is_lost_at_any_byte_leaves_no_doubt_about_the_run() {
    let mut cloud = Cloud::new(Redis::durable(), "json-base64", 3);
    cloud.station.set("PACKHORSE_LOG", "info");
    // A client says who it is first; what comes after these answers is the commit's.
    let greeting = |name| cloud.redis.tell(&["CLIENT", "SETINFO", name, "x"]).len() as u64 + 2;
    let greetings = greeting("LIB-NAME") + greeting("LIB-VER");
    let rounds = count(6, 120) as u64;
    let (mut commits, mut told) = (0, Vec::new());
    for round in 0..rounds {
        let mut run = cloud.begun(5200 + round);
        let before = cloud.proxy.struck(Kind::Reset);
        let byte = if round % 3 == 2 { round * 37 % greetings } else { greetings + round * 5 % 14 };
        cloud.proxy.turn(Sky::All(Fault::Reset(Way::Down, byte)));
        let waits = |run: &Child| run.err().lines().any(|line| line.contains("waiting for the Redis server"));
        let begun = Instant::now();
        while run.runs() && !waits(&run) && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(run.runs() && waits(&run), "byte {byte}: it waits:\n{}\n{}", run.out(), run.err());
        assert!(cloud.proxy.struck(Kind::Reset) > before, "byte {byte}: {}", cloud.proxy.told());
        cloud.proxy.set(Sky::Clear);
        let ended = run.end();
        commits += usize::from(ended.err.contains("a commit whose answer was lost had been made"));
        match drive::judged(ended) {
            Outcome::Good(run) => cloud.station.is_whole(&run),
            Outcome::Failed { exit, code, text } => {
                println!("byte {byte}: exit {exit}: {code} {}", text.lines().last().unwrap_or_default());
                let run = cloud.station.go(&[]).end().exits(0).json();
                cloud.station.is_whole(&run);
                told.push(code);
            }
        }
    }
    println!(
        "{commits} commits' answers lost in {rounds} rounds; {} runs had to be taken up: {told:?}; {}",
        told.len(),
        cloud.proxy.told()
    );
    assert!(commits > 0, "no commit was struck: {}", cloud.proxy.told());
}

#[test]
fn writes_that_were_acknowledged_and_lost_are_noticed() {
    let mut cloud = Cloud::new(Redis::with(&["--save", "", "--appendonly", "no"]), "json-base64", 4);
    let rounds = count(2, 20);
    let (mut kept, mut gone) = (0, 0);
    for round in 0..rounds as u64 {
        let mut run = cloud.begun(5300 + round);
        cloud.redis.save();
        let later = |run: &serde_json::Value| done(run).filter(|done| *done > SIZE as u64 * 2 / 3);
        cloud.station.world.until(&mut run, later).expect("it is slow enough");
        if round % 2 == 0 {
            cloud.redis.back();
            kept += 1;
        } else {
            cloud.redis.tell(&["FLUSHALL"]);
            gone += 1;
        }
        match drive::judged(run.end()) {
            Outcome::Failed { exit: 69, code, text } => {
                println!("{code} {}", text.lines().last().unwrap_or_default());
                assert_eq!(code, "PH7013", "{text}");
            }
            other => panic!("nobody noticed that writes were lost: {other:?}"),
        }
        // Where the run itself is gone, this is a new one.
        let run = cloud.station.go(&[]).end().exits(0).json();
        cloud.station.is_whole(&run);
    }
    println!("{kept} servers put back, {gone} emptied");
    assert!(kept > 0 && gone > 0);
}

#[test]
fn a_server_that_evicts_is_told_at_the_start() {
    let evicting = ["--save", "", "--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"];
    let mut cloud = Cloud::new(Redis::with(&evicting), "json-base64", 5);
    cloud.station.begin(5400);
    let ended = cloud.station.go(&[]).end();
    println!("exit {:?}: {}", ended.code, ended.err.lines().next().unwrap_or_default());
    assert!(ended.err.contains("noeviction") || ended.out.contains("noeviction"), "{}\n{}", ended.out, ended.err);
    assert!(matches!(ended.code, Some(0 | 69)), "{:?}", ended.code);
}

#[test]
fn a_full_server_is_told_and_goes_on_when_it_has_room() {
    let mut cloud = Cloud::new(Redis::with(&["--save", "", "--maxmemory-policy", "noeviction"]), "json-base64", 6);
    let mut told = Vec::new();
    let rounds = count(1, 10) as u64;
    for round in 0..rounds {
        let mut run = cloud.begun(5500 + round);
        cloud.redis.tell(&["CONFIG", "SET", "maxmemory", "1"]);
        let waits = |run: &Child| {
            run.err().lines().any(|line| line.contains("waiting for the Redis server") && line.contains("OOM"))
        };
        let begun = Instant::now();
        while run.runs() && !waits(&run) && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(run.runs() && waits(&run), "it waits, and says for what:\n{}\n{}", run.out(), run.err());
        cloud.redis.tell(&["CONFIG", "SET", "maxmemory", "0"]);
        told.extend(cloud.ends(run));
    }
    let refused = cloud.redis.refused("OOM");
    println!("{rounds} runs waited for room, {refused} commands refused; {} had to be taken up: {told:?}", told.len());
    assert!(refused >= rounds, "{refused} commands refused");
}
