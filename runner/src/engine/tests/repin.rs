//! Another build of a run's codec: who is given it, and from which checkpoint.

use super::*;
use packhorse_core::run::{CodecPin, Refused};

const PULL: &str = "codec: acme\nsteps: [{ id: a, uses: transfer.pull, with: { device: dev-1, file_type: log }, retry: { max_attempts: 1 } }]";

fn pin(digest: &str) -> CodecPin {
    CodecPin { name: "acme".to_owned(), version: "0.1.0".to_owned(), digest: digest.to_owned() }
}

fn pinned() -> NewRun {
    let mut new = new_run(PULL);
    new.created.codec = Some(pin("old"));
    new
}

fn codecs(stage: &Stage) -> Vec<String> {
    stage.codecs.lock().unwrap().iter().flatten().cloned().collect()
}

/// A run whose transfer is under way, through the codec that it began with.
async fn at_work(path: &Path) -> (Arc<Stage>, EngineHandle, RunId) {
    let stage = Stage::new(&[("a", &[Act::Count])]);
    let engine = on_disk(path, &stage);
    let run = engine.start(pinned()).await.expect("started");
    stage.until("a", 1).await;
    (stage, engine, run)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_begins_again_through_the_other_build_and_keeps_to_it_over_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    let (stage, engine, run) = at_work(&path).await;
    let refused = engine.repin(&run, "other", pin("new")).await;
    let because = Refused::OtherCodec(pin("old"));
    assert!(matches!(&refused, Err(EngineError::Refused { source, .. }) if *source == because), "{refused:?}");
    engine.repin(&run, "old", pin("new")).await.expect("moved");
    stage.until("a", 2).await;
    let view = engine.view(&run).await.expect("readable");
    assert_eq!((view.view.codec, view.view.repinned_from), (Some(pin("new")), Some(pin("old"))));
    assert_eq!((view.view.status, view.view.steps[0].attempts), (RunStatus::Running, 1));
    kill(engine).await;
    let engine = on_disk(&path, &stage);
    engine.resume(&run).await.expect("taken up");
    stage.until("a", 3).await;
    assert_eq!(codecs(&stage), ["old", "new", "new"]);
    let given = stage.given.lock().unwrap().clone();
    assert_eq!((&given[0].2, &given[1].2), (&None, &Some(vec![1])), "from where the old build had come to");
    assert!(given.windows(2).all(|two| two[0].1 < two[1].1), "each session has an epoch of its own: {given:?}");
    engine.shutdown().await.expect("parked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_writes_it_down_begins_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    let (stage, engine, run) = at_work(&path).await;
    kill(engine).await;
    let engine = on_disk(&path, &stage);
    engine.stand_still().await.expect("heard");
    engine.repin(&run, "old", pin("new")).await.expect("moved");
    engine.shutdown().await.expect("parked");
    drop(engine);
    assert_eq!(stage.played("a"), 1);
    let engine = on_disk(&path, &stage);
    engine.resume(&run).await.expect("taken up");
    stage.until("a", 2).await;
    assert_eq!(codecs(&stage), ["old", "new"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_run_is_moved_and_its_end_is_told_once_for_each_time_that_it_ends() {
    let stage = Stage::new(&[("a", &[Act::Bad(Class::Permanent)])]);
    let (ended, mut ends) = tokio::sync::mpsc::unbounded_channel();
    let engine = EngineHandle::launch(Parts {
        journal: Arc::new(MemoryJournal::default()),
        performer: stage.clone(),
        compile: Arc::new(compile),
        owner: "test".to_owned(),
        durability: packhorse_core::run::Durability::Synced,
        jobs: tokio::runtime::Handle::current(),
        ended: Some(ended),
    })
    .expect("an engine");
    let run = engine.start(pinned()).await.expect("started");
    assert_eq!(engine.wait(&run).await.expect("ends").view.status, RunStatus::Failed);
    assert_eq!(ends.recv().await.expect("told").view.run, run);
    engine.repin(&run, "old", pin("new")).await.expect("moved");
    assert_eq!(engine.view(&run).await.expect("readable").view.codec, Some(pin("new")));
    assert!(ends.try_recv().is_err(), "it did not end once more");
    engine.retry(&run).await.expect("retried");
    assert_eq!(ends.recv().await.expect("told").view.status, RunStatus::Failed);
    assert_eq!(codecs(&stage), ["old", "new"]);
}
