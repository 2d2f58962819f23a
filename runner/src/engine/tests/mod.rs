//! Whole runs: the engine over a store, with a performer that plays a script.

mod admission;
mod away;
mod editions;
mod failing;
mod first;
mod repin;
mod suspects;

use super::*;
use crate::store::{EmbeddedStore, Journal, MemoryJournal, StoredCheckpoint};
use packhorse_core::effect::{Effect, Reply, Traffic};
use packhorse_core::failure::{Class, Failure};
use packhorse_core::run::{Created, RunId, RunStatus, StepStatus, WallTime};
use packhorse_core::workflow::{Workflow, check};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// What a scripted job does.
#[derive(Debug, Clone)]
enum Act {
    /// Notes a checkpoint after the one it was given, then does the next.
    Count,
    /// Notes many checkpoints, one after another, and waits.
    Chatter,
    /// Ends well.
    Good,
    /// Fails.
    Bad(Class),
    /// Fails because the device is known to be gone.
    Absent,
    /// Waits until it is asked to stop, and stops as asked.
    Hang,
    /// Waits until it is asked to stop, and does not.
    Stubborn,
    Panic,
}

/// Checkpoints of [`Act::Chatter`].
const CHECKPOINTS: u64 = 100;

type Given = (String, u32, Option<Vec<u8>>);

/// Plays for each message of a `log` step, and for each transfer, its acts; the last one again and again.
#[derive(Default)]
struct Stage {
    scripts: HashMap<String, Vec<Act>>,
    played: Mutex<BTreeMap<String, usize>>,
    /// What each job was given: its name, epoch and checkpoint.
    given: Mutex<Vec<Given>>,
    /// Digest of the codec that each job was given.
    codecs: Mutex<Vec<Option<String>>>,
    /// Whether each job was told to be the run's first transfer.
    firsts: Mutex<Vec<bool>>,
    begun: Notify,
}

impl Stage {
    fn new(scripts: &[(&str, &[Act])]) -> Arc<Self> {
        let scripts = scripts.iter().map(|(name, acts)| ((*name).to_owned(), acts.to_vec())).collect();
        Arc::new(Self { scripts, ..Self::default() })
    }

    fn played(&self, name: &str) -> usize {
        self.played.lock().unwrap().get(name).copied().unwrap_or(0)
    }

    /// Waits until a job of this name has begun so often.
    async fn until(&self, name: &str, times: usize) {
        loop {
            let begun = self.begun.notified();
            if self.played(name) >= times {
                return;
            }
            begun.await;
        }
    }
}

fn traffic(packets: u64) -> Traffic {
    Traffic { packets, ..Traffic::default() }
}

async fn play(act: Act, mut job: Job) -> JobEnd {
    let done = match &job.effect {
        Effect::Transfer(_) => Reply::Value { value: serde_json::Value::Null },
        _ => Reply::Done,
    };
    match act {
        Act::Good => JobEnd::Outcome(Ok(done), traffic(1)),
        Act::Bad(class) => JobEnd::Outcome(Err(Failure::new("PH5001", class, "it broke")), traffic(1)),
        Act::Absent => {
            let failure = Failure::new(packhorse_core::presence::TOLD_OFFLINE, Class::DeviceOffline, "it is gone");
            JobEnd::Outcome(Err(failure), Traffic::default())
        }
        Act::Panic => panic!("on purpose"),
        Act::Count => {
            let before = job.checkpoint.clone().unwrap_or_default().first().copied().unwrap_or(0);
            job.notes.send(Note::Checkpoint(vec![before + 1]));
            job.notes.send(Note::Progress(Progress { done: u64::from(before) + 1, total: 9, text: String::new() }));
            job.control.wait_for(|control| *control != Control::Go).await.expect("the engine lives");
            let spent = traffic(u64::from(before) + 1);
            match *job.control.borrow() {
                Control::Cancel => JobEnd::Cancelled(spent),
                _ => JobEnd::Parked(spent),
            }
        }
        Act::Chatter => {
            for count in 1..=CHECKPOINTS {
                job.notes.send(Note::Checkpoint(count.to_le_bytes().to_vec()));
                job.notes.send(Note::Progress(Progress { done: count, total: CHECKPOINTS, text: String::new() }));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            job.control.wait_for(|control| *control != Control::Go).await.expect("the engine lives");
            JobEnd::Parked(traffic(1))
        }
        Act::Hang => {
            job.control.wait_for(|control| *control != Control::Go).await.expect("the engine lives");
            match *job.control.borrow() {
                Control::Cancel => JobEnd::Cancelled(traffic(1)),
                _ => JobEnd::Parked(traffic(1)),
            }
        }
        Act::Stubborn => std::future::pending().await,
    }
}

impl Performer for Stage {
    fn perform(&self, job: Job) -> crate::store::BoxFuture<'static, JobEnd> {
        let name = match &job.effect {
            Effect::Log { message, .. } => message.clone(),
            _ => job.id.step.clone(),
        };
        let acts = self.scripts.get(&name).map_or(&[Act::Good][..], Vec::as_slice);
        let mut played = self.played.lock().unwrap();
        let times = played.entry(name.clone()).or_default();
        let act = acts[(*times).min(acts.len() - 1)].clone();
        *times += 1;
        drop(played);
        self.codecs.lock().unwrap().push(job.run.codec.as_ref().map(|codec| codec.digest.clone()));
        self.firsts.lock().unwrap().push(job.first);
        self.given.lock().unwrap().push((name, job.epoch, job.checkpoint.clone()));
        self.begun.notify_waiters();
        Box::pin(play(act, job))
    }
}

fn compile(source: &[u8]) -> Result<Workflow, Failure> {
    check(source, "test.yaml").map_err(|problems| Failure::new("PH0201", Class::Permanent, problems.to_string()))
}

fn new_run(source: &str) -> NewRun {
    let source = format!("kind: workflow/v1\nname: sample\n{source}").into_bytes();
    let workflow = on_large_stack({
        let source = source.clone();
        move || compile(&source)
    });
    let workflow = Arc::new(workflow.unwrap_or_else(|failure| panic!("{}", failure.message)));
    let digest = Sha256::digest(&source).iter().map(|byte| format!("{byte:02x}")).collect();
    let created = Created {
        run: new_run_id(),
        workflow: workflow.name.clone(),
        digest,
        engine: "0".to_owned(),
        inputs: serde_json::Map::new(),
        device: serde_json::Value::Null,
        trigger: serde_json::Value::Null,
        message: None,
        vars: BTreeMap::new(),
        codec: None,
        plugins: BTreeMap::new(),
        terms: packhorse_core::admission::Terms::default(),
    };
    NewRun { workflow, source, created }
}

fn on_large_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(64 << 20).spawn(work).expect("a thread").join().expect("no panic")
}

fn engine(journal: Arc<dyn Journal>, performer: &Arc<impl Performer + 'static>) -> EngineHandle {
    EngineHandle::launch(Parts {
        journal,
        performer: performer.clone(),
        compile: Arc::new(compile),
        owner: "test".to_owned(),
        durability: packhorse_core::run::Durability::Synced,
        jobs: tokio::runtime::Handle::current(),
        ended: None,
    })
    .expect("an engine")
}

fn in_memory(stage: &Arc<Stage>) -> EngineHandle {
    engine(Arc::new(MemoryJournal::default()), stage)
}

fn on_disk(path: &Path, stage: &Arc<Stage>) -> EngineHandle {
    engine(Arc::new(EmbeddedStore::open(path).expect("a store")), stage)
}

/// Drops an engine as a kill would, and waits until its threads have let go of its store.
async fn kill(engine: EngineHandle) {
    let ended = engine.into_ended();
    ended.await;
}

const THREE: &str = "
steps:
  - id: a
    uses: log
    with: { message: a }
  - id: b
    uses: log
    with: { message: b }
    retry: { max_attempts: 3, backoff: { initial: 1ms } }
  - id: c
    uses: log
    with: { message: c }
outputs:
  attempts: '${{ steps.b.attempts }}'
";

fn statuses(view: &LiveView) -> Vec<(&str, StepStatus)> {
    view.view.steps.iter().map(|step| (step.id.as_str(), step.status)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_goes_through_its_steps_and_retries() {
    let stage = Stage::new(&[("b", &[Act::Bad(Class::Transient), Act::Good])]);
    let engine = in_memory(&stage);
    let run = engine.start(new_run(THREE)).await.expect("started");
    let view = engine.wait(&run).await.expect("ends");
    assert_eq!(view.view.status, RunStatus::Succeeded);
    assert_eq!(view.view.outputs["attempts"], 2);
    assert_eq!(view.view.traffic.packets, 4);
    assert_eq!((stage.played("a"), stage.played("b"), stage.played("c")), (1, 2, 1));
    let json = serde_json::to_value(&view).expect("JSON");
    assert_eq!(json["run"], run.as_str());
    assert_eq!(json["steps"][1]["uses"], "log");
    assert!(json.get("unfinished").is_none() && json.get("error").is_none());
    engine.shutdown().await.expect("parked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_run_is_retried_at_the_failed_step() {
    let stage = Stage::new(&[("b", &[Act::Bad(Class::Permanent), Act::Good])]);
    let engine = in_memory(&stage);
    let run = engine.start(new_run(THREE)).await.expect("started");
    let view = engine.wait(&run).await.expect("ends");
    assert_eq!(view.view.status, RunStatus::Failed);
    let error = view.view.error.as_ref().expect("an error");
    assert_eq!((error.failure.code.as_str(), error.step.as_deref()), ("PH5001", Some("b")));
    assert_eq!(statuses(&view), [("a", StepStatus::Succeeded), ("b", StepStatus::Failed), ("c", StepStatus::Skipped)]);
    engine.retry(&run).await.expect("retried");
    assert_eq!(engine.wait(&run).await.expect("ends").view.status, RunStatus::Succeeded);
    assert_eq!(stage.played("a"), 1);
    assert!(matches!(engine.retry(&run).await, Err(EngineError::Refused { .. })));
    assert!(matches!(engine.retry(&new_run_id()).await, Err(EngineError::Unknown(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_stops_the_effect_and_keeps_finally() {
    let source = "
steps:
  - { id: a, uses: log, with: { message: a } }
  - { id: b, uses: log, with: { message: b } }
finally:
  - { id: tidy, uses: log, with: { message: tidy } }
";
    let stage = Stage::new(&[("a", &[Act::Hang])]);
    let engine = in_memory(&stage);
    let run = engine.start(new_run(source)).await.expect("started");
    stage.until("a", 1).await;
    engine.cancel(&run, Some("wrong image".to_owned())).await.expect("heard");
    let view = engine.wait(&run).await.expect("ends");
    assert_eq!(view.view.status, RunStatus::Cancelled);
    assert_eq!(view.view.error.as_ref().expect("why").failure.message, "cancelled: wrong image");
    assert_eq!(
        statuses(&view),
        [("a", StepStatus::Cancelled), ("b", StepStatus::Skipped), ("tidy", StepStatus::Succeeded)]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_parks_and_a_resume_goes_on_from_the_checkpoint() {
    let stage = Stage::new(&[("a", &[Act::Count, Act::Count, Act::Good])]);
    let engine = in_memory(&stage);
    let run = engine.start(new_run(THREE)).await.expect("started");
    for times in 1..=2 {
        stage.until("a", times).await;
        engine.pause(&run).await.expect("heard");
        let view = engine.wait(&run).await.expect("rests");
        assert_eq!(view.view.status, RunStatus::Paused);
        engine.resume(&run).await.expect("goes on");
    }
    let view = engine.wait(&run).await.expect("ends");
    assert_eq!(view.view.status, RunStatus::Succeeded);
    let given = stage.given.lock().unwrap();
    let checkpoints: Vec<_> = given.iter().filter(|(name, ..)| name == "a").map(|(.., bytes)| bytes.clone()).collect();
    assert_eq!(checkpoints, [None, Some(vec![1]), Some(vec![2])]);
    assert_eq!(view.view.steps[0].attempts, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_fails_the_run_as_a_bug_and_nothing_else() {
    let stage = Stage::new(&[("b", &[Act::Panic])]);
    let engine = in_memory(&stage);
    let run = engine.start(new_run(THREE)).await.expect("started");
    let view = engine.wait(&run).await.expect("ends");
    assert_eq!(view.view.status, RunStatus::Failed);
    assert_eq!(view.view.error.expect("why").failure.message, "a bug: on purpose");
    let fine = engine.start(new_run("steps: [{ id: z, uses: log, with: { message: z } }]")).await.expect("started");
    assert_eq!(engine.wait(&fine).await.expect("ends").view.status, RunStatus::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_is_shown_live() {
    let stage = Stage::new(&[("a", &[Act::Count])]);
    let engine = in_memory(&stage);
    let run = engine.start(new_run(THREE)).await.expect("started");
    let mut views = engine.subscribe(&run).await.expect("live");
    let seen = views.wait_for(|view| view.progress.is_some()).await.expect("shown").clone();
    assert_eq!(seen.progress.expect("some").done, 1);
    let listed = engine.list(10).await.expect("listed");
    assert_eq!(listed[0].view.run, run);
    assert_eq!(listed[0].view.status, RunStatus::Running);
    engine.shutdown().await.expect("parked");
    assert!(matches!(engine.view(&run).await, Err(EngineError::Stopped(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_parks_and_the_next_process_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    let stage = Stage::new(&[("b", &[Act::Count, Act::Good])]);
    let run = {
        let engine = on_disk(&path, &stage);
        let run = engine.start(new_run(THREE)).await.expect("started");
        stage.until("b", 1).await;
        engine.shutdown().await.expect("parked");
        assert!(matches!(engine.start(new_run(THREE)).await, Err(EngineError::Stopped(_))));
        run
    };
    let engine = on_disk(&path, &stage);
    let parked = engine.view(&run).await.expect("readable");
    assert_eq!(parked.view.status, RunStatus::Waiting);
    assert_eq!(statuses(&parked)[2], ("c", StepStatus::Pending));
    let (taken, failed) = engine.recover_all().await.expect("recovered");
    assert_eq!((taken, failed.len()), (vec![run.clone()], 0));
    assert_eq!(engine.wait(&run).await.expect("ends").view.status, RunStatus::Succeeded);
    let given = stage.given.lock().unwrap();
    assert_eq!(given.iter().filter(|(name, ..)| name == "a").count(), 1);
    assert_eq!(given.iter().rfind(|(name, ..)| name == "b").expect("twice").2, Some(vec![1]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_engine_continues_at_the_first_unfinished_step() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    let stage = Stage::new(&[("b", &[Act::Hang, Act::Hang, Act::Hang, Act::Good])]);
    let engine = on_disk(&path, &stage);
    let run = engine.start(new_run(THREE)).await.expect("started");
    stage.until("b", 1).await;
    kill(engine).await;
    for times in 2..=4 {
        let engine = on_disk(&path, &stage);
        engine.resume(&run).await.expect("taken up");
        stage.until("b", times).await;
        if times == 4 {
            let view = engine.wait(&run).await.expect("ends");
            assert_eq!(view.view.status, RunStatus::Succeeded);
            assert_eq!(view.view.outputs["attempts"], 1, "a crash burns no attempt");
        }
        kill(engine).await;
    }
    assert_eq!((stage.played("a"), stage.played("b"), stage.played("c")), (1, 4, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wishes_reach_runs_that_nobody_works_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    let stage = Stage::new(&[("a", &[Act::Hang])]);
    let engine = on_disk(&path, &stage);
    let run = engine.start(new_run(THREE)).await.expect("started");
    stage.until("a", 1).await;
    kill(engine).await;
    let engine = on_disk(&path, &stage);
    let (one, two) = tokio::join!(engine.cancel(&run, None), engine.recover(&run));
    one.expect("heard");
    two.expect("heard");
    assert_eq!(engine.wait(&run).await.expect("ends").view.status, RunStatus::Cancelled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_runs_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    let stage = Stage::new(&[("b", &[Act::Bad(Class::Transient), Act::Good])]);
    let engine = on_disk(&path, &stage);
    let template = new_run(THREE);
    let mut runs = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let created = Created { run: new_run_id(), ..template.created.clone() };
        let new = NewRun { workflow: template.workflow.clone(), source: template.source.clone(), created };
        let engine = engine.clone();
        runs.spawn(async move {
            let run = engine.start(new).await.expect("started");
            engine.wait(&run).await.expect("ends").view.status
        });
    }
    let ends = runs.join_all().await;
    assert_eq!(ends, vec![RunStatus::Succeeded; 1_000]);
    assert_eq!(stage.played("a"), 1_000);
    engine.shutdown().await.expect("parked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_out_ends_an_attempt() {
    let source = "
steps:
  - id: a
    uses: log
    with: { message: a }
    timeout: 20ms
";
    let stage = Stage::new(&[("a", &[Act::Hang])]);
    let engine = in_memory(&stage);
    let run = engine.start(new_run(source)).await.expect("started");
    let view = engine.wait(&run).await.expect("ends");
    assert_eq!(view.view.error.expect("why").failure.code, "PH4004");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_another_process_took_over_is_let_go() {
    let stage = Stage::new(&[("a", &[Act::Count]), ("b", &[Act::Good])]);
    let journal = Arc::new(MemoryJournal::default());
    let engine = engine(journal.clone(), &stage);
    let run = engine.start(new_run(THREE)).await.expect("started");
    stage.until("a", 1).await;
    let later = WallTime(u64::MAX / 2);
    journal.claim(&run, "another", Duration::from_secs(60), later).expect("the claim has run out");
    let refused = engine.pause(&run).await;
    assert!(matches!(refused, Err(EngineError::Unreadable { .. })), "{refused:?}");
    assert_eq!(stage.played("b"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_time_is_over_does_not_wait_for_a_stubborn_job_at_shutdown_for_ever() {
    let stage = Stage::new(&[("a", &[Act::Stubborn])]);
    let engine = in_memory(&stage);
    let run = engine.start(new_run(THREE)).await.expect("started");
    stage.until("a", 1).await;
    // The grace of 30 s is not waited for here: dropping every handle ends the engine at once and drops the job.
    let watched = engine.subscribe(&run).await.expect("live");
    kill(engine).await;
    assert!(watched.has_changed().is_err(), "the sender is gone");
}
