//! Attempts under which the process dies again and again: what counts, what does not, and what a person makes of it.

use super::*;
use crate::effect::WaitRequest;

static WAIT: Primitive = fake("mqtt.wait", |_| {
    let wait = Duration::from_secs(9_000);
    Ok(Start::Effect(Box::new(Effect::Wait(WaitRequest { topic: "news".to_owned(), wait }))))
});

fn push() -> Workflow {
    workflow(vec![step("a", &PUSH), step("b", &LOG)])
}

fn begun(workflow: Workflow) -> Player {
    let mut player = Player::new(workflow);
    player.line("begin");
    player
}

fn standing(player: &Player) -> (RunStatus, Option<Reason>) {
    player.run.state().standing()
}

#[test]
fn three_deaths_of_one_attempt_pause_the_run_until_a_person_resumes_it() {
    check(
        push(),
        "
        begin
          started
          ready a 1
          attempt a 1
          do a 1/1 epoch 1
        crash
          recovered died at 0
          attempt resumed a
          do a 1/1 epoch 2
        crash
          recovered died at 0
          attempt resumed a
          do a 1/1 epoch 3
        crash
          recovered died at 0
          ended a PH4008
          paused (crashloop) a
        status
          paused (crashloop, a person: find out why the process died, then packhorse resume, or packhorse cancel) error PH4008 a:running b:pending
        crash
          recovered
        +9000s
        resume
          resumed renewing a
          attempt a 2
          do a 1/2 epoch 4
        crash
          recovered died at 0
          attempt resumed a
          do a 1/2 epoch 5
        ok a
          ended a well
          succeeded a
          ready b 1
          attempt b 1
          do b 1/1 epoch 0
        ",
    );
}

#[test]
fn what_gets_further_is_never_stopped() {
    let mut player = begun(push());
    for done in 1..=20 {
        player.crash_at(done * 1_000);
        assert_eq!(standing(&player), (RunStatus::Running, Some(Reason::Working)));
        assert!(!player.run.state().is_suspect());
    }
    // Twice more at the same byte, and it would be the third time there.
    player.crash_at(20_000);
    assert!(player.run.state().is_suspect());
    assert!(player.run.state().gets_further(20_001) && !player.run.state().gets_further(20_000));
    player.crash_at(19_000);
    assert_eq!(standing(&player), (RunStatus::Paused, Some(Reason::CrashLoop)));
}

#[test]
fn a_new_attempt_and_a_new_step_count_anew() {
    let mut player = begun(workflow(vec![Step { retry: tries(3), ..step("a", &PUSH) }, step("b", &LOG)]));
    let twice = |player: &mut Player| {
        player.crash();
        player.crash();
        assert!(player.run.state().is_suspect());
    };
    twice(&mut player);
    player.line("fail a transient");
    assert!(!player.run.state().is_suspect());
    player.line("+2s");
    twice(&mut player);
    player.line("ok a");
    twice(&mut player);
    player.line("ok b");
    assert_eq!(player.run.state().status(), RunStatus::Succeeded);
}

#[test]
fn an_orderly_stop_does_not_count() {
    let mut player = begun(push());
    for _ in 0..10 {
        player.line("park");
        player.line("parked a");
        assert_eq!(player.line("crash").lines().next(), Some("  recovered"));
    }
    assert_eq!(standing(&player), (RunStatus::Running, Some(Reason::Working)));
}

#[test]
fn who_waits_when_the_process_dies_is_not_why() {
    let mut away = begun(push());
    let mut waiting = begun(workflow(vec![step("a", &WAIT)]));
    let mut asleep = begun(workflow(vec![step("a", &SLEEP)]));
    let mut withheld = begun(push());
    withheld.decide(RunEvent::Withhold { why: Bar::Held, behind: None }).expect("never refused");
    withheld.line("parked a");
    away.line("unreachable a");
    for _ in 0..10 {
        for player in [&mut away, &mut waiting, &mut asleep, &mut withheld] {
            assert_eq!(player.line("crash").lines().next(), Some("  recovered"));
            assert!(!player.run.state().is_suspect());
        }
    }
}

#[test]
fn a_person_who_takes_it_up_starts_the_count_anew() {
    let mut player = begun(push());
    for _ in 0..10 {
        player.crash();
        player.crash();
        player.run = Run::recover(player.run.workflow().clone(), &player.journal).expect("the journal is whole");
        player.under_way = None;
        player.decide(RunEvent::Recovered { done: 0, wanted: true }).expect("recovers");
        assert!(!player.run.state().is_suspect());
    }
    player.crash();
    player.crash();
    player.line("pause");
    player.crash();
    assert_eq!(standing(&player), (RunStatus::Paused, Some(Reason::PauseAsked)), "the pause stands");
    assert!(player.line("resume").contains("attempt resumed a"), "and its end is a person's word");
}

#[test]
fn a_mended_codec_starts_the_count_anew() {
    let mut player = Player::pinned(push());
    player.line("begin");
    player.crash();
    player.crash();
    player.line("repin old new");
    player.crash();
    assert_eq!(standing(&player), (RunStatus::Running, Some(Reason::Working)));
}

#[test]
fn a_cancel_ends_it() {
    let mut player = begun(push());
    for _ in 0..3 {
        player.crash();
    }
    assert!(player.line("cancel").ends_with("  main cancelled PH4001 a\n  finished\n"));
}

#[test]
fn clean_up_cannot_pause_and_fails() {
    let tidy = Workflow { finally: vec![step("tidy", &PUSH), step("tell", &LOG)], ..workflow(vec![step("a", &DONE)]) };
    let mut player = begun(tidy);
    player.crash();
    player.crash();
    let came = player.line("crash");
    assert!(came.contains("  ended tidy PH4008\n  failed tidy PH4008\n"), "{came}");
    assert_eq!(player.run.state().status(), RunStatus::Succeeded);
}

#[test]
fn a_gated_run_is_paused_when_it_is_admitted_and_not_before() {
    let mut player = begun(push());
    for _ in 0..2 {
        player.crash();
    }
    player.run = Run::recover(player.run.workflow().clone(), &player.journal).expect("the journal is whole").gated();
    player.under_way = None;
    player.decide(RunEvent::Recovered { done: 0, wanted: false }).expect("recovers");
    assert_eq!(standing(&player), (RunStatus::Waiting, Some(Reason::Parked)));
    assert_eq!(player.line("begin"), "  ended a PH4008\n  paused (crashloop) a\n");
}

#[test]
fn what_was_spent_before_is_counted_once() {
    let mut player = begun(push());
    player.line("park");
    player.line("parked a");
    for _ in 0..4 {
        player.crash();
    }
    assert_eq!(standing(&player), (RunStatus::Paused, Some(Reason::CrashLoop)));
    assert_eq!(player.run.state().traffic().packets, 1);
    player.line("resume");
    let id = player.under_way.clone().expect("an effect");
    let (end, traffic) = (EffectEnd::Outcome(Ok(Reply::Done)), Traffic { packets: 3, ..Traffic::default() });
    player.decide(RunEvent::EffectEnded { id, end, traffic, carried: true }).expect("never refused");
    assert_eq!(player.run.state().traffic().packets, 3, "the checkpoint's figures have it");
}

#[test]
fn the_pause_is_of_the_fifth_format_and_the_count_of_the_first() {
    let step = Some("a".to_owned());
    let paused = Record::new(WallTime(1), Fact::Paused { why: PauseReason::CrashLoop, step });
    let text = r#"{"v":5,"at":1,"fact":"paused","why":"crash_loop","step":"a"}"#;
    let counted = Record::new(WallTime(1), Fact::Recovered { behind: 0, died: Some(7) });
    let number = r#"{"v":1,"at":1,"fact":"recovered","behind":0,"died":7}"#;
    for (record, text) in [(paused, text), (counted, number)] {
        assert_eq!(String::from_utf8(record.encode()).expect("text"), text);
        assert_eq!(Record::decode(text.as_bytes()).expect("is read"), record);
    }
    let old = r#"{"v":1,"at":1,"fact":"recovered","behind":0}"#;
    let record = Record::decode(old.as_bytes()).expect("is read");
    assert_eq!(record.fact, Fact::Recovered { behind: 0, died: None });
    assert_eq!(String::from_utf8(record.encode()).expect("text"), old, "what nobody counts is written as ever");
}

/// Wherever the process dies once more, the run comes to its end by a person's word.
#[test]
fn every_prefix_with_a_crash_loop_in_it_goes_on() {
    let mut whole = begun(push());
    for line in ["crash", "crash 9", "crash 9", "crash 9", "resume", "ok a", "ok b"] {
        whole.line(line);
    }
    assert_eq!(whole.run.state().status(), RunStatus::Succeeded);
    for cut in 1..=whole.journal.len() {
        let journal = whole.journal[..cut].to_vec();
        let run = Run::recover(whole.run.workflow().clone(), &journal).expect("a prefix is legal");
        let mut player = Player { run, journal, now: whole.now, under_way: None, random: 0 };
        player.decide(RunEvent::Recovered { done: 9, wanted: false }).expect("recovers");
        player.decide(RunEvent::Begin).expect("begins where it had not");
        if player.run.state().pause.is_some() {
            player.decide(RunEvent::Resume).expect("it is paused");
        }
        while let Some(id) = player.under_way.clone() {
            let event = player.ended(&id.step, EffectEnd::Outcome(Ok(Reply::Done)));
            player.decide(event).expect("an end is never refused");
        }
        assert_eq!(player.run.state().status(), RunStatus::Succeeded, "cut after {cut}");
    }
}
