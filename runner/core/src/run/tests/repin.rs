//! Another build of the codec: what is refused, what goes on, and what is left of it after a crash.

use super::*;

fn push() -> Workflow {
    let timed = Step { timeout: Some(Duration::from_secs(20)), retry: tries(3), ..step("a", &PUSH) };
    workflow(vec![timed])
}

fn refused(player: &mut Player, from: &str, to: CodecPin) -> Refused {
    let facts = player.journal.len();
    let refused = player.decide(RunEvent::Repin { from: from.to_owned(), to }).expect_err("is refused");
    assert_eq!(player.journal.len(), facts, "a refusal leaves nothing behind");
    refused
}

#[test]
fn a_transfer_under_way_parks_and_begins_again_in_the_same_attempt() {
    check_pinned(
        push(),
        "
        begin
          started
          ready a 1
          attempt a 1 timeout 20s
          do a 1/1 epoch 1
        repin old new
          repinned old to new
          park a
        status
          running (working, a to end) a:running
        parked a
          attempt parked a
          attempt resumed a
          do a 1/1 epoch 2
        ok a
          ended a well
          succeeded a
          main succeeded
          finished
        status
          succeeded a:succeeded
        ",
    );
}

#[test]
fn what_waits_or_is_paused_stays_so() {
    let mut player = Player::pinned(push());
    player.line("begin");
    player.line("fail a transient");
    let waits = player.run.state().standing();
    assert_eq!(player.line("repin old new"), "  repinned old to new\n");
    assert_eq!(player.run.state().standing(), waits);
    assert!(player.line("+2s").starts_with("  attempt a 2"));
    player.line("pause");
    assert_eq!(player.line("repin new newest"), "  repinned new to newest\n  park a\n", "it is stopping in any case");
    assert_eq!(player.line("parked a"), "  attempt parked a\n");
    assert_eq!(player.line("repin newest old"), "  repinned newest to old\n");
    assert_eq!(player.run.state().status(), RunStatus::Paused);
    assert!(player.line("resume").starts_with("  resumed\n  attempt resumed a\n"));
}

#[test]
fn a_step_that_needs_no_codec_is_left_alone() {
    let mut player = Player::pinned(workflow(vec![step("a", &LOG), step("b", &PUSH)]));
    player.line("begin");
    assert_eq!(player.line("repin old new"), "  repinned old to new\n");
    assert!(player.line("ok a").contains("attempt b 1"));
}

#[test]
fn a_stop_goes_before() {
    let mut player = Player::pinned(push());
    player.line("begin");
    player.line("repin old new");
    assert_eq!(player.line("cancel"), "  cancel asked\n  stop a (cancel)\n  cancel a\n");
    assert!(player.line("cancelled a").ends_with("  finished\n"));
    assert_eq!(player.run.state().status(), RunStatus::Cancelled);
}

#[test]
fn an_end_that_came_first_counts() {
    let mut player = Player::pinned(push());
    player.line("begin");
    player.line("repin old new");
    assert!(player.line("fail a transient").contains("wait a backoff"), "the old build's failure is a failure");
    assert!(player.line("+2s").starts_with("  attempt a 2"));
    player.line("repin new old");
    assert!(player.line("ok a").ends_with("  finished\n"));
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let mut none = Player::new(push());
    assert_eq!(refused(&mut none, "old", pin("new")), Refused::NoCodec);
    let mut player = Player::pinned(push());
    assert_eq!(refused(&mut player, "other", pin("new")), Refused::OtherCodec(pin("old")));
    assert_eq!(refused(&mut player, "old", pin("old")), Refused::HasCodec(pin("old")));
    let stranger = CodecPin { name: "other".to_owned(), ..pin("new") };
    let words = refused(&mut player, "old", stranger.clone()).to_string();
    assert_eq!(
        words,
        "the run is pinned to acme 0.1.0 (sha256 old…): other 0.1.0 (sha256 new…) is another codec, and no other build of it"
    );
    player.line("begin");
    player.line("ok a");
    assert_eq!(refused(&mut player, "old", pin("new")), Refused::Finished(RunStatus::Succeeded));
    assert_eq!(refused(&mut player, "x", pin("old")), Refused::HasCodec(pin("old")), "there is nothing to be done");
}

#[test]
fn a_run_that_failed_is_repinned_and_then_retried() {
    let mut player = Player::pinned(push());
    player.line("begin");
    player.line("fail a permanent");
    let ended = player.run.state().stage;
    assert_eq!(player.line("repin old new"), "  repinned old to new\n");
    assert_eq!((player.run.state().status(), player.run.state().stage), (RunStatus::Failed, ended));
    player.crash();
    assert_eq!(player.run.state().codec, Some(pin("new")));
    assert!(player.line("retry").contains("attempt a 2"));
    assert!(player.line("ok a").ends_with("  finished\n"));
}

#[test]
fn the_view_tells_both_builds() {
    let mut player = Player::pinned(push());
    let view = player.run.view(player.now);
    assert_eq!((view.codec, view.repinned_from), (Some(pin("old")), None));
    player.line("repin old new");
    let view = player.run.view(player.now);
    assert_eq!((view.codec, view.repinned_from), (Some(pin("new")), Some(pin("old"))));
    assert_eq!(objects_of(&player.journal), ["00", "old", "new"], "retention keeps the bytes of both");
}

#[test]
fn a_fact_about_another_pin_is_illegal() {
    let mut player = Player::pinned(push());
    player.line("begin");
    let fact = Fact::Repinned { from: pin("other"), to: pin("new") };
    player.journal.push(Record::new(player.now, fact));
    let illegal = RunState::fold(&player.journal).expect_err("is illegal").to_string();
    assert!(illegal.contains("not pinned to acme 0.1.0 (sha256 other…)"), "{illegal}");
}

#[test]
fn the_fact_is_of_the_fourth_format() {
    let record = Record::new(WallTime(1), Fact::Repinned { from: pin("a"), to: pin("b") });
    let text = r#"{"v":4,"at":1,"fact":"repinned","from":{"name":"acme","version":"0.1.0","digest":"a"},"to":{"name":"acme","version":"0.1.0","digest":"b"}}"#;
    assert_eq!(String::from_utf8(record.encode()).expect("text"), text);
    assert_eq!(Record::decode(text.as_bytes()).expect("is read"), record);
}

/// Wherever the process dies, the run comes to its end, through the old build before the fact and through the new one after it.
#[test]
fn every_prefix_with_a_repin_in_it_goes_on() {
    let script = ["begin", "fail a transient", "repin old new", "+2s", "repin new newest", "parked a", "ok a"];
    let mut whole = Player::pinned(push());
    for line in script {
        whole.line(line);
    }
    assert_eq!(whole.run.state().status(), RunStatus::Succeeded);
    for cut in 1..=whole.journal.len() {
        let journal = whole.journal[..cut].to_vec();
        let moved = journal.iter().rev().find_map(|record| match &record.fact {
            Fact::Repinned { to, .. } => Some(to.clone()),
            _ => None,
        });
        let run = Run::recover(whole.run.workflow().clone(), &journal).expect("a prefix is legal");
        let now = journal[cut - 1].at.after(Duration::from_secs(3));
        let mut player = Player { run, journal, now, under_way: None, random: 0 };
        player.decide(RunEvent::Recovered { done: 0, wanted: false }).expect("recovers");
        player.decide(RunEvent::Begin).expect("begins where it had not");
        assert_eq!(player.run.state().codec, moved.or_else(|| Some(pin("old"))), "cut after {cut}");
        while let Some(id) = player.under_way.clone() {
            let event = player.ended(&id.step, EffectEnd::Outcome(Ok(Reply::Done)));
            player.decide(event).expect("an end is never refused");
        }
        assert_eq!(player.run.state().status(), RunStatus::Succeeded, "cut after {cut}");
    }
}
