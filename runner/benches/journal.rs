//! How many facts a second the journal's writer makes durable, over many runs, on the embedded store and on a Redis server of one's own
//! (append-only file, flushed each second, and with each write).

use criterion::measurement::WallTime as Clock;
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput};
use packhorse::store::{
    Append, Claim, EmbeddedStore, Journal, Mark, RedisJournal, RedisJournalOptions, RedisSettings, Token, Writer,
};
use packhorse_core::run::{RunId, WallTime};
use std::any::Any;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

#[path = "../src/store/redis/testing.rs"]
#[expect(dead_code, reason = "tests use more of it")]
mod testing;

const RUNS: u32 = 1_000;
/// As a step writes them in one go: ready, attempt; then ended, succeeded.
const FACTS_AT_ONCE: u64 = 2;
const ROUNDS: u64 = 10;
/// Bytes of an ordinary fact.
const FACT: usize = 180;

fn claims(store: &dyn Journal) -> Vec<(RunId, Token)> {
    let run = |number: u32| -> RunId { format!("run_{number:026}").parse().expect("digits are Base32") };
    let claim =
        |number| Claim { run: run(number), owner: "bench".to_owned(), ttl: Duration::from_secs(60), now: WallTime(0) };
    let claims: Vec<Claim> = (0..RUNS).map(claim).collect();
    let tokens = store.claim_many(&claims).expect("the store works");
    claims.into_iter().zip(tokens).map(|(claim, token)| (claim.run, token.expect("free"))).collect()
}

/// Each run appends when its last append is durable, as the engine does.
fn write(writer: &Writer, runs: &[(RunId, Token)]) {
    let (durable, released) = channel();
    let append = |place: usize, expected: u64| {
        let (run, token) = runs[place].clone();
        let facts = vec![vec![b'x'; FACT]; FACTS_AT_ONCE as usize];
        let durable = durable.clone();
        let append = Append { run, token, expected, facts, checkpoint: None, mark: Mark::Unfinished };
        writer.append(append, move |committed| {
            durable.send((place, committed.expect("durable"))).expect("the bench listens");
        });
    };
    (0..runs.len()).for_each(|place| append(place, 0));
    let mut open = runs.len();
    while open > 0 {
        let (place, count) = released.recv().expect("all appends are answered");
        if count < ROUNDS * FACTS_AT_ONCE { append(place, count) } else { open -= 1 }
    }
}

/// A store, and what it lies on.
type Made = (Arc<dyn Journal>, Box<dyn Any>);

fn bench(group: &mut BenchmarkGroup<'_, Clock>, name: &str, make: impl Fn() -> Made) {
    group.bench_function(format!("facts over 1000 runs, {name}"), |bench| {
        bench.iter_batched(
            || {
                let (store, ground) = make();
                let runs = claims(&*store);
                let (writer, _thread) = Writer::start(store).expect("a thread");
                (ground, writer, runs)
            },
            |(ground, writer, runs)| {
                write(&writer, &runs);
                ground
            },
            BatchSize::PerIteration,
        );
    });
}

fn embedded() -> Made {
    let folder = tempfile::tempdir().expect("a folder");
    let store = EmbeddedStore::open(&folder.path().join("store.redb")).expect("a store");
    (Arc::new(store), Box::new(folder))
}

fn redis(fsync: &str) -> Made {
    let server = testing::RedisServer::with(&["--save", "", "--appendonly", "yes", "--appendfsync", fsync]);
    let folder = tempfile::tempdir().expect("a folder");
    let patience = Duration::from_secs(10);
    let options = RedisJournalOptions { journal: "bench".to_owned(), data: folder.path().to_owned(), patience };
    let store = RedisJournal::open(&RedisSettings::new(server.url()), &options).expect("a journal");
    (Arc::new(store), Box::new((folder, server)))
}

fn main() {
    let mut criterion =
        Criterion::default().sample_size(10).measurement_time(Duration::from_secs(8)).configure_from_args();
    let mut group = criterion.benchmark_group("journal");
    group.throughput(Throughput::Elements(u64::from(RUNS) * ROUNDS * FACTS_AT_ONCE));
    bench(&mut group, "embedded, durable", embedded);
    bench(&mut group, "Redis, flushed each second", || redis("everysec"));
    bench(&mut group, "Redis, flushed with each write", || redis("always"));
    group.finish();
    criterion.final_summary();
}
