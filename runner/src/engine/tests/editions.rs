//! A workflow and its codec that change while runs of them are under way and the process dies: each run is of what it began with, to its end.

use super::*;
use packhorse_core::run::CodecPin;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use std::sync::atomic::{AtomicU64, Ordering};

/// Runs of one world, which has one journal.
const RUNS: usize = 500;
/// Deaths in one world: of a third, runs at work would be suspects.
const DEATHS: usize = 2;

/// Worlds: 2 000 runs on an ordinary day, 100 000 where the whole count is asked for.
fn worlds() -> u64 {
    if std::env::var("PACKHORSE_FULL").is_ok_and(|value| value == "1") { 200 } else { 4 }
}

/// The steps of an edition: how many there are, and in which order their ids come, is not the same twice in a row.
fn steps(edition: u64) -> u64 {
    2 + edition % 3
}

fn edition(edition: u64) -> NewRun {
    let steps: String = (0..steps(edition))
        .map(|at| {
            let id = (at + edition) % steps(edition);
            format!("  - {{ id: s{id}, uses: log, with: {{ message: '{edition} {at}' }} }}\n")
        })
        .collect();
    let mut new = new_run(&format!("codec: acme\nsteps:\n{steps}outputs: {{ edition: '{edition}' }}\n"));
    new.created.codec =
        Some(CodecPin { name: "acme".to_owned(), version: "0.1.0".to_owned(), digest: format!("codec {edition}") });
    new
}

/// Notes what each run is asked to do, in its order.
struct Witness {
    random: AtomicU64,
    done: Mutex<HashMap<RunId, Vec<String>>>,
}

impl Performer for Witness {
    fn perform(&self, job: Job) -> crate::store::BoxFuture<'static, JobEnd> {
        let Effect::Log { message, .. } = &job.effect else { panic!("only logs: {:?}", job.effect) };
        let codec = job.run.codec.as_ref().map(|codec| codec.digest.clone());
        let edition = message.split(' ').next().expect("an edition");
        assert_eq!(codec, Some(format!("codec {edition}")), "{message}: the codec is of another edition");
        self.done.lock().unwrap().entry(job.id.run.clone()).or_default().push(message.clone());
        // Most are over at once; in the middle of others the process dies.
        let random = SmallRng::seed_from_u64(self.random.fetch_add(1, Ordering::Relaxed)).random_range(0..10_u64);
        Box::pin(async move {
            if random > 6 {
                tokio::time::sleep(Duration::from_millis(random)).await;
            }
            JobEnd::Outcome(Ok(Reply::Done), traffic(0))
        })
    }
}

/// What a world came to.
#[derive(Debug, Default)]
struct Told {
    runs: usize,
    editions: u64,
    taken_up: usize,
    again: usize,
}

/// Starts runs of what counts, which changes after every few, until a death; the next process takes up what was left.
async fn world(seed: u64) -> Told {
    let mut random = SmallRng::seed_from_u64(seed);
    let journal = Arc::new(MemoryJournal::default());
    let witness = Arc::new(Witness { random: AtomicU64::new(seed << 32), done: Mutex::default() });
    let mut told = Told::default();
    let mut began: HashMap<RunId, u64> = HashMap::new();
    let mut counts = edition(0);
    for death in 0..=DEATHS {
        let engine = engine(journal.clone(), &witness);
        let (taken, failed) = engine.recover_all().await.expect("recovered");
        assert!(failed.is_empty(), "seed {seed}: {failed:?}");
        told.taken_up += taken.len();
        while began.len() < RUNS * (death + 1) / (DEATHS + 1) {
            if random.random_ratio(1, 4) {
                told.editions += 1;
                counts = edition(told.editions);
            }
            let created = Created { run: new_run_id(), ..counts.created.clone() };
            began.insert(created.run.clone(), told.editions);
            let new = NewRun { workflow: counts.workflow.clone(), source: counts.source.clone(), created };
            engine.start(new).await.expect("started");
        }
        if death < DEATHS {
            kill(engine).await;
            continue;
        }
        for (run, edition) in &began {
            let view = engine.wait(run).await.expect("ends").view;
            assert_eq!(view.status, RunStatus::Succeeded, "seed {seed}: {view:?}");
            assert_eq!(view.outputs["edition"], edition.to_string(), "seed {seed}: {run}");
            assert_eq!(view.steps.len() as u64, steps(*edition), "seed {seed}: {run}");
        }
        engine.shutdown().await.expect("parked");
    }
    for (run, edition) in &began {
        let mut done = witness.done.lock().unwrap().remove(run).expect("it did something");
        let all = done.len();
        // What was under way at a death is done once more, and nothing else.
        done.dedup();
        told.again += all - done.len();
        let wanted: Vec<String> = (0..steps(*edition)).map(|at| format!("{edition} {at}")).collect();
        assert_eq!(done, wanted, "seed {seed}: {run} is of edition {edition}");
    }
    told.runs = began.len();
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_run_ever_mixes_two_editions_of_a_workflow_or_its_codec() {
    let mut all = Told::default();
    for seed in 1..=worlds() {
        let told = world(seed).await;
        assert!(told.taken_up > 0 && told.editions > 10, "seed {seed}: {told:?}");
        all.runs += told.runs;
        all.editions += told.editions;
        all.taken_up += told.taken_up;
        all.again += told.again;
    }
    assert!(all.again > 0, "no death struck in the middle of a step: {all:?}");
    println!(
        "{} runs, {} editions, {} deaths: {} runs taken up, {} steps done once more, none of another edition",
        all.runs,
        all.editions,
        worlds() * DEATHS as u64,
        all.taken_up,
        all.again
    );
}
