//! The spool on a real folder.

use super::*;

/// Returns when the writer's thread has ended; parts keep it alive.
fn close(spool: Spool) {
    let index = Arc::clone(&spool.index);
    drop(spool);
    while Arc::strong_count(&index) > 1 {
        std::thread::yield_now();
    }
}

async fn wait(notes: &mut mpsc::UnboundedReceiver<SpoolNote>, count: usize) {
    for _ in 0..count {
        assert!(matches!(notes.recv().await, Some(SpoolNote::Durable(_))));
    }
}

#[tokio::test]
async fn pieces_survive_a_restart_and_make_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..10_000_u32).flat_map(u32::to_le_bytes).collect();
    {
        let spool = Spool::open(folder.path()).unwrap();
        let (part, mut notes) = spool.part("run/pull");
        for (index, piece) in bytes.chunks(640).enumerate().filter(|(index, _)| index % 2 == 0) {
            part.write(index as u64 * 640, piece.to_vec()).await.unwrap();
        }
        wait(&mut notes, 32).await;
    }
    let spool = Spool::open(folder.path()).unwrap();
    let (part, mut notes) = spool.part("run/pull");
    let held = part.held();
    assert_eq!(held.covered(), 32 * 640 - 320);
    let gaps: Vec<Span> = held.gaps(Span::new(0, bytes.len() as u64)).collect();
    for gap in &gaps {
        part.write(gap.start, bytes[gap.start as usize..gap.end as usize].to_vec()).await.unwrap();
    }
    wait(&mut notes, gaps.len()).await;
    let to = folder.path().join("out");
    let made = part.assemble(bytes.len() as u64, &to, &[]).unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), bytes);
    assert_eq!(made.size, bytes.len() as u64);
}

#[tokio::test]
async fn a_torn_end_is_cut_and_the_rest_stays() {
    let folder = tempfile::tempdir().unwrap();
    {
        let spool = Spool::open(folder.path()).unwrap();
        let (part, mut notes) = spool.part("t");
        part.write(0, vec![1; 100]).await.unwrap();
        part.write(100, vec![2; 100]).await.unwrap();
        wait(&mut notes, 2).await;
    }
    let segment = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let file = std::fs::OpenOptions::new().write(true).open(&segment).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    let spool = Spool::open(folder.path()).unwrap();
    let (part, _notes) = spool.part("t");
    assert_eq!(part.held().covered(), 100);
    assert!(matches!(part.assemble(200, &folder.path().join("o"), &[]), Err(SpoolError::Hole { offset: 100 })));
}

#[tokio::test]
async fn truncate_and_forget_void_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path()).unwrap();
    let (part, mut notes) = spool.part("t");
    part.write(0, vec![1; 10]).await.unwrap();
    part.truncate().await.unwrap();
    part.write(50, vec![3; 10]).await.unwrap();
    wait(&mut notes, 2).await;
    assert_eq!(part.held().iter().collect::<Vec<_>>(), [Span::new(50, 60)]);
    drop((part, spool));
    let spool = Spool::open(folder.path()).unwrap();
    assert_eq!(spool.part("t").0.held().covered(), 10);
}

#[tokio::test]
async fn a_flipped_bit_is_found_when_the_file_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path()).unwrap();
    let (part, mut notes) = spool.part("t");
    part.write(0, vec![7; 100]).await.unwrap();
    wait(&mut notes, 1).await;
    let segment = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let mut raw = std::fs::read(&segment).unwrap();
    let last = raw.len() - 1;
    raw[last] ^= 1;
    std::fs::write(&segment, raw).unwrap();
    let reopened = Spool::open(folder.path()).unwrap();
    assert_eq!(reopened.part("t").0.held().covered(), 0, "the damaged record is not believed");
}

fn size(folder: &Path) -> u64 {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

fn bytes(seed: usize) -> Vec<u8> {
    (0..1_000).map(|index| (index * 7 + seed * 13) as u8).collect()
}

#[tokio::test]
async fn one_pull_that_stays_does_not_keep_the_bytes_of_all_others() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open_sized(folder.path(), 10_000).unwrap();
    let (stays, mut told) = spool.part("run-0/stays/1");
    stays.write(0, bytes(0)).await.unwrap();
    stays.truncate().await.unwrap();
    for round in 0..3 {
        stays.write(round * 1_000, bytes(round as usize)).await.unwrap();
    }
    wait(&mut told, 4).await;
    for pull in 1..200 {
        let (part, mut notes) = spool.part(&format!("run-{pull}/pull/1"));
        for piece in 0..5 {
            part.write(piece * 1_000, bytes(pull)).await.unwrap();
        }
        wait(&mut notes, 5).await;
        part.forget().await.unwrap();
        assert!(size(folder.path()) < 70_000, "pull {pull}: {} bytes", size(folder.path()));
    }
    let expected: Vec<u8> = (0..3).flat_map(bytes).collect();
    let to = folder.path().join("out");
    stays.assemble(3_000, &to, &[]).unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), expected);
    drop((stays, told));
    close(spool);
    let spool = Spool::open_sized(folder.path(), 10_000).unwrap();
    let found = spool.spooled();
    assert_eq!(
        found.iter().map(|spooled| (&*spooled.name, spooled.bytes)).collect::<Vec<_>>(),
        [("run-0/stays/1", 3_000)]
    );
    spool.part("run-0/stays/1").0.assemble(3_000, &to, &[]).unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), expected);
    assert!(spool.forget(&found[0]));
    assert_eq!(spool.part("run-0/stays/1").0.held().covered(), 0, "at once");
}

#[tokio::test]
async fn what_an_earlier_process_left_is_found_by_its_name_and_goes_with_its_segments() {
    let folder = tempfile::tempdir().unwrap();
    for start in 0..40 {
        let spool = Spool::open_sized(folder.path(), 1 << 20).unwrap();
        for left in spool.spooled() {
            assert_eq!(&*left.name, format!("run-{}/pull/1", start - 1));
            assert!(spool.forget(&left));
        }
        let (part, mut notes) = spool.part(&format!("run-{start}/pull/1"));
        part.write(0, bytes(start)).await.unwrap();
        wait(&mut notes, 1).await;
        drop((part, notes));
        close(spool);
        let files = std::fs::read_dir(folder.path()).unwrap().count();
        assert!(files <= 3, "start {start}: {files} segments");
    }
}

#[tokio::test]
async fn many_small_segments_are_joined() {
    let folder = tempfile::tempdir().unwrap();
    for start in 0..60 {
        let spool = Spool::open_sized(folder.path(), 1 << 20).unwrap();
        let (part, mut notes) = spool.part("run-1/pull/1");
        assert_eq!(part.held().covered(), start * 1_000);
        part.write(start * 1_000, bytes(start as usize)).await.unwrap();
        wait(&mut notes, 1).await;
        drop((part, notes));
        close(spool);
        let files = std::fs::read_dir(folder.path()).unwrap().count();
        assert!(files <= 20, "start {start}: {files} segments");
    }
    let spool = Spool::open_sized(folder.path(), 1 << 20).unwrap();
    let to = folder.path().join("out");
    spool.part("run-1/pull/1").0.assemble(60_000, &to, &[]).unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), (0..60).flat_map(bytes).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_failed_write_fails_its_pull_and_later_ones_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("spool");
    let spool = Spool::open(&place).unwrap();
    let (part, mut notes) = spool.part("t");
    std::fs::remove_dir(&place).unwrap();
    part.write(0, bytes(1)).await.unwrap();
    assert!(matches!(notes.recv().await, Some(SpoolNote::Failed(_))));
    assert!(matches!(part.truncate().await, Err(SpoolError::Stopped(_))));
    std::fs::create_dir(&place).unwrap();
    part.write(1_000, bytes(2)).await.unwrap();
    wait(&mut notes, 1).await;
    part.truncate().await.unwrap();
    part.write(0, bytes(3)).await.unwrap();
    wait(&mut notes, 1).await;
    drop((part, notes));
    close(spool);
    let spool = Spool::open(&place).unwrap();
    assert_eq!(spool.part("t").0.held().iter().collect::<Vec<_>>(), [Span::new(0, 1_000)]);
}

#[tokio::test]
async fn a_segment_of_a_later_program_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let segment = folder.path().join("0000000000000000.log");
    std::fs::write(&segment, b"PHSPOOL2and more").unwrap();
    assert!(matches!(Spool::open(folder.path()), Err(SpoolError::Format { .. })));
    assert_eq!(std::fs::read(&segment).unwrap(), b"PHSPOOL2and more");
}
