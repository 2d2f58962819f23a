//! Runs that wait for a device which is not there, and all go on when it is heard.

use super::*;
use packhorse_core::run::{Fact, Reason};

fn with(device: &str, message: &str) -> NewRun {
    let mut new = new_run(&format!("steps: [{{ id: a, uses: log, with: {{ message: {message} }} }}]"));
    new.created.device = serde_json::json!({ "id": device });
    new
}

async fn until_absent(engine: &EngineHandle, run: &RunId) {
    let mut views = engine.subscribe(run).await.expect("it is live");
    let absent = |view: &LiveView| {
        view.view.unfinished.as_ref().is_some_and(|unfinished| unfinished.reason == Reason::DeviceOffline)
    };
    views.wait_for(absent).await.expect("it waits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_run_that_waits_for_a_device_goes_on_when_it_is_heard_and_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    let acts = [Act::Absent, Act::Good];
    let stage = Stage::new(&[("one", &acts), ("two", &acts), ("other", &acts)]);
    let engine = on_disk(&path, &stage);
    let mut runs = Vec::new();
    for (device, message) in [("gw-1", "one"), ("gw-1", "two"), ("gw-2", "other")] {
        runs.push(engine.start(with(device, message)).await.expect("started"));
    }
    for run in &runs {
        until_absent(&engine, run).await;
    }
    kill(engine).await;
    let engine = on_disk(&path, &stage);
    engine.recover_all().await.expect("recovered");
    engine.device_heard("gw-3".to_owned()).await.expect("heard");
    assert_eq!((stage.played("one"), stage.played("two"), stage.played("other")), (1, 1, 1), "they wait as before");
    engine.device_heard("gw-1".to_owned()).await.expect("heard");
    for run in &runs[..2] {
        let view = engine.wait(run).await.expect("ends");
        assert_eq!((view.view.status, view.view.steps[0].attempts), (RunStatus::Succeeded, 1));
        let records = engine.records(run, 0, 100).await.expect("readable");
        let due = records.iter().find_map(|record| match &record.fact {
            Fact::WaitSet { timer, .. } => Some(timer.at),
            _ => None,
        });
        assert!(records.last().expect("it ended").at < due.expect("it waited"), "it did not wait for its timer");
    }
    assert_eq!(stage.played("other"), 1, "its device was not heard");
    until_absent(&engine, &runs[2]).await;
    engine.shutdown().await.expect("parked");
}
