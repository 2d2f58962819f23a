//! How many facts a second the journal's writer makes durable, over many runs on one embedded store.

use criterion::{BatchSize, Criterion, Throughput};
use packhorse::store::{Append, Claim, EmbeddedStore, Journal, Mark, Token, Writer};
use packhorse_core::run::{RunId, WallTime};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

const RUNS: u32 = 1_000;
/// As a step writes them in one go: ready, attempt; then ended, succeeded.
const FACTS_AT_ONCE: u64 = 2;
const ROUNDS: u64 = 10;
/// Bytes of an ordinary fact.
const FACT: usize = 180;

fn claims(store: &EmbeddedStore) -> Vec<(RunId, Token)> {
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

fn main() {
    let mut criterion =
        Criterion::default().sample_size(10).measurement_time(Duration::from_secs(8)).configure_from_args();
    let mut group = criterion.benchmark_group("journal");
    group.throughput(Throughput::Elements(u64::from(RUNS) * ROUNDS * FACTS_AT_ONCE));
    group.bench_function("facts over 1000 runs, durable", |bench| {
        bench.iter_batched(
            || {
                let folder = tempfile::tempdir().expect("a folder");
                let store = EmbeddedStore::open(&folder.path().join("store.redb")).expect("a store");
                let runs = claims(&store);
                let (writer, _thread) = Writer::start(Arc::new(store)).expect("a thread");
                (folder, writer, runs)
            },
            |(folder, writer, runs)| {
                write(&writer, &runs);
                folder
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
    criterion.final_summary();
}
