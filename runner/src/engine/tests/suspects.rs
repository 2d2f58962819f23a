//! Runs that may be why the process died: whose turn it is, and who is paused in the end.

use super::*;
use packhorse_core::run::Reason;

fn hanging(message: &str) -> NewRun {
    new_run(&format!("steps: [{{ id: a, uses: log, with: {{ message: {message} }} }}]"))
}

async fn recovered(path: &Path, stage: &Arc<Stage>) -> EngineHandle {
    let engine = on_disk(path, stage);
    let (taken, failed) = engine.recover_all().await.expect("recovered");
    assert_eq!((taken.len(), failed.len()), (2, 0));
    engine
}

/// Two runs that were at work through two deaths of their process.
async fn suspects(path: &Path, stage: &Arc<Stage>) -> [RunId; 2] {
    let engine = on_disk(path, stage);
    let first = engine.start(hanging("a")).await.expect("started");
    let second = engine.start(hanging("b")).await.expect("started");
    at_work(stage, 1).await;
    kill(engine).await;
    let engine = recovered(path, stage).await;
    at_work(stage, 2).await;
    kill(engine).await;
    [first, second]
}

async fn at_work(stage: &Stage, times: usize) {
    stage.until("a", times).await;
    stage.until("b", times).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_third_death_pauses_the_one_whose_turn_it_was_and_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    let stage =
        Stage::new(&[("a", &[Act::Hang, Act::Hang, Act::Hang, Act::Good]), ("b", &[Act::Hang, Act::Hang, Act::Good])]);
    let [first, second] = suspects(&path, &stage).await;
    let engine = recovered(&path, &stage).await;
    stage.until("a", 3).await;
    let waiting = engine.view(&second).await.expect("readable").view.unfinished.expect("why");
    assert_eq!((waiting.reason, waiting.behind.as_deref()), (Reason::Parked, Some(first.as_str())));
    assert_eq!(stage.played("b"), 2, "it is not its turn");
    kill(engine).await;
    let engine = recovered(&path, &stage).await;
    let paused = engine.wait(&first).await.expect("rests").view;
    let why = paused.unfinished.expect("why").reason;
    assert_eq!((paused.status, why, stage.played("a")), (RunStatus::Paused, Reason::CrashLoop, 3));
    assert_eq!(paused.error.expect("a code").failure.code, "PH4008");
    assert_eq!(engine.wait(&second).await.expect("ends").view.status, RunStatus::Succeeded);
    engine.resume(&first).await.expect("goes on");
    let ended = engine.wait(&first).await.expect("ends").view;
    assert_eq!((ended.status, ended.steps[0].attempts), (RunStatus::Succeeded, 2));
    engine.shutdown().await.expect("parked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_one_has_its_turn_when_one_is_over_or_a_person_wants_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    let stage = Stage::new(&[("a", &[Act::Hang]), ("b", &[Act::Hang])]);
    let [first, second] = suspects(&path, &stage).await;
    let engine = recovered(&path, &stage).await;
    stage.until("a", 3).await;
    engine.resume(&second).await.expect("a person does not wait");
    stage.until("b", 3).await;
    engine.shutdown().await.expect("parked");
    kill(engine).await;
    let engine = recovered(&path, &stage).await;
    stage.until("a", 4).await;
    assert_eq!(stage.played("b"), 3, "an orderly stop clears nobody");
    engine.cancel(&first, None).await.expect("heard");
    stage.until("b", 4).await;
    let view = engine.view(&second).await.expect("readable").view;
    assert_eq!((view.status, view.unfinished.expect("why").behind), (RunStatus::Running, None));
    kill(engine).await;
}
