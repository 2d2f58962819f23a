//! Runs that wait for each other, for holds, and through a death.

use super::*;
use packhorse_core::admission::{Group, Hold, OnConflict, Priority, Terms};
use packhorse_core::run::Reason;

const ONE: &str = "steps: [{ id: a, uses: log, with: { message: a } }]";

fn grouped(on_conflict: OnConflict) -> NewRun {
    let group = Some(Group { name: "g".to_owned(), limit: 1, on_conflict });
    let mut new = new_run(ONE);
    new.created.terms = Terms { group, ..Terms::default() };
    new
}

fn everything() -> Hold {
    let (id, selector, by) = ("hold_1".to_owned(), "all".to_owned(), "me".to_owned());
    Hold { id, selector, reason: None, by, since: WallTime(0), still: false }
}

async fn reason(engine: &EngineHandle, run: &RunId) -> Option<Reason> {
    engine.view(run).await.expect("readable").view.unfinished.map(|unfinished| unfinished.reason)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_group_keeps_the_next_one_waiting_and_refuses_who_does_not_wait() {
    let stage = Stage::new(&[("a", &[Act::Hang, Act::Good])]);
    let engine = in_memory(&stage);
    let first = engine.start(grouped(OnConflict::Queue)).await.expect("started");
    stage.until("a", 1).await;
    let second = engine.start(grouped(OnConflict::Queue)).await.expect("accepted");
    assert_eq!(reason(&engine, &second).await, Some(Reason::ConcurrencyLimit));
    let refused = engine.start(grouped(OnConflict::Reject)).await;
    assert!(matches!(refused, Err(EngineError::GroupFull { .. })), "{refused:?}");
    engine.cancel(&first, None).await.expect("heard");
    assert_eq!(engine.wait(&second).await.expect("ends").view.status, RunStatus::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_stops_before_the_next_step_and_a_release_goes_on() {
    let stage = Stage::new(&[]);
    let engine = in_memory(&stage);
    engine.hold(vec![everything()]).await.expect("heard");
    let run = engine.start(new_run(ONE)).await.expect("accepted");
    let view = engine.view(&run).await.expect("readable");
    assert_eq!((view.view.status, stage.played("a")), (RunStatus::Queued, 0));
    assert_eq!(view.view.unfinished.expect("why").behind.as_deref(), Some("hold_1"));
    engine.hold(Vec::new()).await.expect("heard");
    assert_eq!(engine.wait(&run).await.expect("ends").view.status, RunStatus::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seats_are_kept_through_a_death() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    let stage = Stage::new(&[("a", &[Act::Hang, Act::Hang, Act::Good])]);
    let engine = on_disk(&path, &stage);
    let first = engine.start(grouped(OnConflict::Queue)).await.expect("started");
    stage.until("a", 1).await;
    let mut urgent = grouped(OnConflict::Queue);
    urgent.created.terms.priority = Priority::High;
    let second = engine.start(urgent).await.expect("accepted");
    kill(engine).await;
    let engine = on_disk(&path, &stage);
    let (taken, _) = engine.recover_all().await.expect("recovered");
    assert_eq!(taken.len(), 2);
    stage.until("a", 2).await;
    assert_eq!(reason(&engine, &second).await, Some(Reason::ConcurrencyLimit), "the seat is the first one's");
    engine.cancel(&first, None).await.expect("heard");
    assert_eq!(engine.wait(&second).await.expect("ends").view.status, RunStatus::Succeeded);
}

const TIDY: &str = "
steps: [{ id: a, uses: log, with: { message: a } }]
finally: [{ id: tidy, uses: log, with: { message: tidy } }]
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clean_up_goes_on_after_a_death_unless_everything_is_to_be_still() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    let stage = Stage::new(&[("tidy", &[Act::Hang, Act::Hang, Act::Good])]);
    let engine = on_disk(&path, &stage);
    let run = engine.start(new_run(TIDY)).await.expect("started");
    stage.until("tidy", 1).await;
    kill(engine).await;
    let engine = on_disk(&path, &stage);
    engine.hold(vec![everything()]).await.expect("heard");
    engine.recover_all().await.expect("recovered");
    stage.until("tidy", 2).await;
    kill(engine).await;
    let engine = on_disk(&path, &stage);
    engine.hold(vec![Hold { still: true, ..everything() }]).await.expect("heard");
    engine.recover_all().await.expect("recovered");
    assert_eq!((reason(&engine, &run).await, stage.played("tidy")), (Some(Reason::Parked), 2));
    engine.hold(Vec::new()).await.expect("heard");
    assert_eq!(engine.wait(&run).await.expect("ends").view.status, RunStatus::Succeeded);
}
