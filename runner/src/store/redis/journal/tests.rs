//! What a journal on Redis must survive: lost answers, lost writes, a server that is away or full, damage, and other processes.

use super::super::testing::{Proxy, RedisServer};
use super::*;
use crate::store::contract::{facts, run};
use crate::store::{Mark, RedisSettings, wall};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;

const TTL: Duration = Duration::from_secs(30);
const KEEPS: &[&str] = &["--save", "", "--appendonly", "yes", "--appendfsync", "always"];

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn open(url: String, data: &TempDir, patience: Duration) -> RedisJournal {
    let options = RedisJournalOptions { journal: "t".to_owned(), data: data.path().to_owned(), patience };
    RedisJournal::open(&RedisSettings::new(url), &options).expect("a journal")
}

fn append(journal: &RedisJournal, token: Token, place: u64) -> Result<Result<Seq, AppendError>, StoreError> {
    let text = format!("fact {place}");
    Ok(journal.append_many(&[facts(1, token, place, &[&text])])?.remove(0))
}

fn count(journal: &RedisJournal) -> usize {
    journal.read(&run(1), 0).expect("readable").len()
}

#[test]
fn a_commit_whose_answer_was_lost_is_made_once() {
    let server = RedisServer::start();
    let proxy = Proxy::before(&server);
    let data = folder();
    let journal = open(proxy.url(), &data, Duration::from_secs(30));
    let token = journal.claim(&run(1), "a", TTL, WallTime(0)).expect("free");
    let mut cut = 0;
    for place in 0..200 {
        // Once, and several times in a row.
        let answers = u32::try_from(place % 4).expect("small");
        proxy.cut_answers(answers);
        assert_eq!(append(&journal, token, place).expect("the store works"), Ok(place + 1));
        assert_eq!(proxy.left(), 0);
        cut += answers;
    }
    let expected: Vec<Vec<u8>> = (0..200).map(|place| format!("fact {place}").into_bytes()).collect();
    assert_eq!(journal.read(&run(1), 0).expect("readable"), expected);
    println!("{cut} answers cut over 200 commits");
    assert!(cut > 0);
}

#[test]
fn a_server_that_comes_back_in_time_is_waited_for_and_one_that_does_not_ends_it() {
    let mut server = RedisServer::with(KEEPS);
    let data = folder();
    let journal = open(server.url(), &data, Duration::from_secs(60));
    let token = journal.claim(&run(1), "a", TTL, WallTime(0)).expect("free");
    server.kill();
    let waiting = std::thread::spawn({
        let journal = journal.clone();
        move || append(&journal, token, 0)
    });
    server.start_again();
    assert_eq!(waiting.join().expect("no panic").expect("it came back"), Ok(1));
    drop(journal);
    let journal = open(server.url(), &data, Duration::from_millis(300));
    let token = journal.claim(&run(1), "a", TTL, WallTime(0)).expect("its own");
    server.kill();
    assert!(matches!(append(&journal, token, 1), Err(StoreError::Failed { .. })));
    server.start_again();
    assert!(matches!(append(&journal, token, 1), Err(StoreError::Stopped)), "nothing is written after a failed commit");
}

#[test]
fn a_full_server_is_waited_for() {
    let server = RedisServer::start();
    let data = folder();
    let journal = open(server.url(), &data, Duration::from_secs(60));
    let token = journal.claim(&run(1), "a", TTL, WallTime(0)).expect("free");
    server.tell(&["CONFIG", "SET", "maxmemory", "1"]);
    let waiting = std::thread::spawn({
        let journal = journal.clone();
        move || append(&journal, token, 0)
    });
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(server.tell(&["EXISTS", "packhorse:{t}:facts:run_00000000000000000000000001"]), ":0");
    server.tell(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(waiting.join().expect("no panic").expect("there is room again"), Ok(1));
}

#[test]
fn writes_that_a_restart_lost_are_noticed_at_the_next_commit_and_remembered() {
    let mut server = RedisServer::with(&["--save", "", "--appendonly", "no"]);
    let data = folder();
    let journal = open(server.url(), &data, Duration::from_secs(30));
    let token = journal.claim(&run(1), "a", TTL, WallTime(0)).expect("free");
    append(&journal, token, 0).expect("the store works").expect("claimed");
    server.tell(&["SAVE"]);
    append(&journal, token, 1).expect("the store works").expect("claimed");
    server.kill();
    server.start_again();
    assert!(matches!(append(&journal, token, 2), Err(StoreError::LostWrites { .. })));
    assert!(matches!(journal.claim(&run(2), "a", TTL, WallTime(0)), Err(StoreError::LostWrites { .. })));
    drop(journal);
    let journal = open(server.url(), &data, Duration::from_secs(30));
    assert!(journal.is_in_doubt() && !journal.losses().is_empty());
    assert_eq!(count(&journal), 1, "as the snapshot has it");
    journal.end_doubt().expect("written");
    drop(journal);
    let journal = open(server.url(), &data, Duration::from_secs(30));
    assert!(!journal.is_in_doubt());
    let token = journal.claim(&run(1), "a", TTL, WallTime(0)).expect("its own");
    assert_eq!(append(&journal, token, 1).expect("the store works"), Ok(2));
}

#[test]
fn writes_lost_while_nobody_looked_are_noticed_at_the_start() {
    let mut kinds = 0;
    for how in ["snapshot", "FLUSHALL", "SWAPDB 0 1", "SELECT"] {
        let mut server = RedisServer::with(&["--save", "", "--appendonly", "no"]);
        let data = folder();
        let journal = open(server.url(), &data, Duration::from_secs(30));
        let token = journal.claim(&run(1), "a", TTL, WallTime(0)).expect("free");
        append(&journal, token, 0).expect("the store works").expect("claimed");
        server.tell(&["SAVE"]);
        append(&journal, token, 1).expect("the store works").expect("claimed");
        drop(journal);
        match how {
            "snapshot" => {
                server.kill();
                server.start_again();
            }
            "SELECT" => {}
            command => drop(server.tell(&command.split(' ').collect::<Vec<_>>())),
        }
        let url = if how == "SELECT" { server.url().replace("/0", "/3") } else { server.url() };
        let journal = open(url, &data, Duration::from_secs(30));
        assert!(journal.is_in_doubt(), "{how}");
        kinds += 1;
    }
    println!("{kinds} kinds of loss noticed at the start");
}

#[test]
fn a_restart_that_lost_nothing_raises_no_doubt() {
    let mut server = RedisServer::with(KEEPS);
    let data = folder();
    for round in 0..5 {
        let journal = open(server.url(), &data, Duration::from_secs(30));
        assert!(!journal.is_in_doubt(), "round {round}");
        let token = journal.claim(&run(1), "a", TTL, WallTime(0)).expect("its own");
        append(&journal, token, round).expect("the store works").expect("claimed");
        server.kill();
        server.start_again();
        append(&journal, token, round + 9).expect("the store works").expect_err("another place");
        assert_eq!(count(&journal), usize::try_from(round + 1).expect("small"));
    }
}

#[test]
fn a_living_process_keeps_its_runs_and_a_dead_one_is_fenced_off() {
    let server = RedisServer::start();
    let (one, two) = (folder(), folder());
    let first = open(server.url(), &one, Duration::from_secs(30));
    let second = open(server.url(), &two, Duration::from_secs(30));
    let now = wall();
    let lease = format!("packhorse:{{t}}:lease:{}", first.owner());
    while server.tell(&["EXISTS", &lease]) == ":0" {
        std::thread::sleep(Duration::from_millis(5));
    }
    let old = first.claim(&run(1), first.owner(), TTL, now).expect("free");
    append(&first, old, 0).expect("the store works").expect("claimed");
    let late = now.after(Duration::from_secs(3_600));
    let held = second.claim(&run(1), second.owner(), TTL, late);
    assert!(matches!(held, Err(StoreError::Held { .. })), "its process lives: {held:?}");
    server.tell(&["DEL", &lease]);
    let held = second.claim(&run(1), second.owner(), TTL, now);
    assert!(matches!(held, Err(StoreError::Held { .. })), "its claim is not over: {held:?}");
    let new = second.claim(&run(1), second.owner(), TTL, late).expect("nobody is heard of");
    assert!(new > old);
    assert_eq!(append(&first, old, 1).expect("the store works"), Err(AppendError::Fenced { run: run(1) }));
    assert_eq!(append(&second, new, 1).expect("the store works"), Ok(2));
}

#[test]
fn two_processes_that_append_at_once_get_all_or_nothing_in_their_way() {
    let server = RedisServer::start();
    let fenced_in_all = Arc::new(AtomicU32::new(0));
    let threads: Vec<_> = (0..2_u32)
        .map(|number| {
            let (url, fenced_in_all) = (server.url(), Arc::clone(&fenced_in_all));
            std::thread::spawn(move || {
                let data = folder();
                let journal = open(url, &data, Duration::from_secs(30));
                let mut token = None;
                let (mut good, mut fenced) = (0_u32, 0_u32);
                // However the threads come to their turns: until one has been refused, within reason.
                for turn in (0..5_000_u64).take_while(|turn| *turn < 300 || fenced_in_all.load(Ordering::Relaxed) == 0)
                {
                    // Time flies, so that each may take the run from the other again and again.
                    let now = WallTime(turn * 60_000);
                    if turn % 7 == u64::from(number) || token.is_none() {
                        token = journal.claim(&run(1), &format!("o{number}"), TTL, now).ok().or(token);
                    }
                    let Some(token) = token else { continue };
                    let place = journal.read(&run(1), 0).expect("readable").len() as u64;
                    match append(&journal, token, place).expect("the store works") {
                        Ok(_) => good += 1,
                        Err(_) => {
                            fenced += 1;
                            fenced_in_all.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
                (good, fenced)
            })
        })
        .collect();
    let (mut good, mut refused) = (0, 0);
    for thread in threads {
        let (one, two) = thread.join().expect("no panic");
        (good, refused) = (good + one, refused + two);
    }
    let data = folder();
    let journal = open(server.url(), &data, Duration::from_secs(30));
    assert_eq!(count(&journal), good as usize, "each append that was told good is there, and none beside");
    println!("{good} appends made, {refused} refused");
    assert!(good > 0 && refused > 0);
}

#[test]
fn a_flipped_bit_is_damage_wherever_it_lies() {
    let server = RedisServer::start();
    let data = folder();
    let journal = open(server.url(), &data, Duration::from_secs(30));
    let token = journal.claim(&run(1), "a", TTL, WallTime(0)).expect("free");
    let checkpoint = StoredCheckpoint { step: "push".to_owned(), round: 1, bytes: b"zzz".to_vec() };
    let whole = Append { checkpoint: Some(checkpoint), mark: Mark::Finished, ..facts(1, token, 0, &["x", "y"]) };
    journal.append_many(&[whole]).expect("the store works").remove(0).expect("claimed");
    let id = run(1);
    let key = |kind: &str| format!("packhorse:{{t}}:{kind}:{id}");
    let damaged = |what: &str, read: &dyn Fn() -> Result<(), StoreError>| {
        assert!(matches!(read(), Err(StoreError::Damaged { .. })), "{what}");
    };
    server.tell(&["SETBIT", &key("checkpoint"), "77", "1"]);
    server.tell(&["SETBIT", &key("checkpoint"), "78", "0"]);
    damaged("checkpoint", &|| journal.checkpoint(&id).map(drop));
    server.tell(&["LSET", &key("facts"), "1", "....y"]);
    damaged("fact", &|| journal.read(&id, 0).map(drop));
    server.tell(&["RPOP", &key("facts")]);
    damaged("a fact less", &|| journal.read(&id, 0).map(drop));
    server.tell(&["SETRANGE", &key("run"), "9", "~"]);
    damaged("row", &|| journal.read(&id, 0).map(drop));
    assert_eq!(journal.recent(None, 9).expect("readable"), std::slice::from_ref(&id), "it is named");
    server.tell(&["DEL", &key("run")]);
    damaged("facts without their row", &|| journal.read(&id, 0).map(drop));
    assert_eq!(journal.recent(None, 9).expect("readable"), std::slice::from_ref(&id), "it is named");
    server.tell(&["DEL", &key("facts")]);
    assert_eq!(journal.recent(None, 9).expect("readable"), [], "of nothing nothing is told");
    let digest = crate::store::row::sha256(b"hello");
    journal.put_object(&digest, b"hello", WallTime(1)).expect("kept");
    server.tell(&["SETRANGE", &format!("packhorse:{{t}}:object:{digest}"), "0", "j"]);
    damaged("object", &|| journal.get_object(&digest).map(drop));
}

#[test]
fn a_damaged_run_stays_alone() {
    let server = RedisServer::start();
    let data = folder();
    let journal = open(server.url(), &data, Duration::from_secs(30));
    let spoil = |run: &RunId| drop(server.tell(&["SET", &format!("packhorse:{{t}}:run:{run}"), "....garbage"]));
    crate::store::contract::a_damaged_run_stays_alone(&journal, spoil);
}

#[test]
fn a_run_whose_facts_are_gone_fails_alone_in_a_commit_of_many() {
    let server = RedisServer::start();
    let data = folder();
    let journal = open(server.url(), &data, Duration::from_secs(30));
    let tokens: Vec<Token> =
        (0..5).map(|number| journal.claim(&run(number), "a", TTL, WallTime(0)).expect("free")).collect();
    let all = |place: u64| -> Vec<Append> {
        (0..5).map(|number| facts(number, tokens[number as usize], place, &["x"])).collect()
    };
    assert!(journal.append_many(&all(0)).expect("the store works").iter().all(Result::is_ok));
    server.tell(&["DEL", &format!("packhorse:{{t}}:facts:{}", run(2))]);
    let judged = journal.append_many(&all(1)).expect("the store works");
    for (number, judged) in (0..5).zip(judged) {
        let expected = if number == 2 { Err(AppendError::Damaged { run: run(2) }) } else { Ok(2) };
        assert_eq!(judged, expected, "run {number}");
    }
}

#[test]
fn lists_are_whole_pages_whatever_ghosts_they_name() {
    let server = RedisServer::start();
    let data = folder();
    let journal = open(server.url(), &data, Duration::from_secs(30));
    for number in [10, 20, 30] {
        let token = journal.claim(&run(number), "a", TTL, WallTime(0)).expect("free");
        journal.append_many(&[facts(number, token, 0, &["x"])]).expect("the store works").remove(0).expect("claimed");
    }
    for ghost in 0..40 {
        for list in ["runs", "unfinished"] {
            server.tell(&["ZADD", &format!("packhorse:{{t}}:{list}"), "0", run(ghost).as_str()]);
        }
    }
    server.tell(&["ZADD", "packhorse:{t}:runs", "0", "no run's name"]);
    assert_eq!(journal.recent(None, 2).expect("readable"), [run(30), run(20)]);
    assert_eq!(journal.recent(Some(&run(20)), 2).expect("readable"), [run(10)]);
    assert_eq!(journal.unfinished(None, 2).expect("readable"), [run(10), run(20)]);
    assert_eq!(journal.unfinished(Some(&run(20)), 2).expect("readable"), [run(30)]);
}

#[test]
fn a_later_layout_is_refused_by_name() {
    let server = RedisServer::start();
    server.tell(&["SET", "packhorse:{t}:format", "9"]);
    let data = folder();
    let options =
        RedisJournalOptions { journal: "t".to_owned(), data: data.path().to_owned(), patience: Duration::ZERO };
    let refused = RedisJournal::open(&RedisSettings::new(server.url()), &options);
    assert!(matches!(refused, Err(StoreError::Format { found: 9, .. })), "{refused:?}");
}
