//! Which job is the one that begins the run's first transfer, and may have the message that started the run.

use super::*;

const PULLS: &str = "codec: acme
steps:
  - { id: a, uses: transfer.pull, with: { device: dev-1, file_type: log }, on_error: continue, retry: { max_attempts: 3, backoff: { initial: 1ms } } }
  - { id: b, uses: transfer.pull, with: { device: dev-1, file_type: log } }
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_transfer_is_begun_until_a_checkpoint_of_it_was_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    let acts = [Act::Hang, Act::Bad(Class::Transient), Act::Hang, Act::Count, Act::Count, Act::Good];
    let stage = Stage::new(&[("a", &acts)]);
    let engine = on_disk(&path, &stage);
    let run = engine.start(new_run(PULLS)).await.expect("started");
    stage.until("a", 1).await;
    kill(engine).await;
    // Killed before anything was kept; then failed before that; then killed again.
    let engine = on_disk(&path, &stage);
    engine.resume(&run).await.expect("taken up");
    stage.until("a", 3).await;
    kill(engine).await;
    let engine = on_disk(&path, &stage);
    engine.resume(&run).await.expect("taken up");
    stage.until("a", 4).await;
    // It keeps a checkpoint, and is parked.
    engine.shutdown().await.expect("parked");
    drop(engine);
    let engine = on_disk(&path, &stage);
    engine.resume(&run).await.expect("taken up");
    stage.until("a", 5).await;
    engine.shutdown().await.expect("parked");
    drop(engine);
    let engine = on_disk(&path, &stage);
    engine.resume(&run).await.expect("taken up");
    engine.wait(&run).await.expect("ends");
    let firsts = stage.firsts.lock().unwrap().clone();
    assert_eq!(firsts, [true, true, true, true, false, false, false], "six times `a`, and `b`");
}
