//! What admission decides, as a run takes it.

use super::*;

const BY: &str = "run_01J9ZK3M5N7P9Q1R3S5T7V9W2Y";

fn withhold(player: &mut Player, why: Bar) -> String {
    let decided = player.decide(RunEvent::Withhold { why, behind: Some(BY.to_owned()) }).expect("never refused");
    render::decision(&decided, player.now)
}

fn standing(player: &Player) -> (RunStatus, Option<Reason>) {
    player.run.state().standing()
}

#[test]
fn a_queued_run_waits_with_its_reason_and_begins_when_it_is_admitted() {
    let mut player = Player::new(workflow(vec![step("a", &LOG)]));
    assert_eq!(withhold(&mut player, Bar::Held), "  withheld (held)\n");
    assert_eq!(withhold(&mut player, Bar::Held), "", "said once");
    assert_eq!(standing(&player), (RunStatus::Queued, Some(Reason::Held)));
    assert_eq!(player.run.view(player.now).unfinished.expect("why").behind.as_deref(), Some(BY));
    assert_eq!(player.line("+9s"), "");
    assert_eq!(player.line("begin"), "  admitted\n  started\n  ready a 1\n  attempt a 1\n  do a 1/1 epoch 0\n");
}

#[test]
fn a_transfer_parks_and_goes_on_with_its_attempt() {
    let timed = Step { timeout: Some(Duration::from_secs(20)), ..step("a", &PUSH) };
    let mut player = Player::new(workflow(vec![timed]));
    player.line("begin");
    assert_eq!(withhold(&mut player, Bar::Overtaken), "  withheld (overtaken)\n  park a\n");
    assert_eq!(standing(&player), (RunStatus::Running, Some(Reason::StandingBack)));
    player.line("parked a");
    assert_eq!(standing(&player), (RunStatus::Waiting, Some(Reason::Overtaken)));
    assert!(!player.run.state().seated);
    assert_eq!(player.line("+90s"), "", "its time-out stands still");
    player.crash();
    assert_eq!(standing(&player), (RunStatus::Waiting, Some(Reason::Overtaken)), "after a restart too");
    assert!(player.line("begin").starts_with("  admitted\n  attempt resumed a\n"));
    assert_eq!(player.run.state().steps["a"].attempts, 1);
}

#[test]
fn another_step_ends_and_the_next_one_waits() {
    let mut player = Player::new(workflow(vec![step("a", &LOG), step("b", &LOG)]));
    player.line("begin");
    assert_eq!(withhold(&mut player, Bar::Held), "  withheld (held)\n");
    assert!(player.run.state().seated, "a hold takes no seat away");
    assert_eq!(player.line("ok a"), "  ended a well\n  succeeded a\n");
    assert_eq!(standing(&player), (RunStatus::Waiting, Some(Reason::Held)));
    assert!(player.line("begin").starts_with("  admitted\n  ready b 1\n"));
}

#[test]
fn a_superseded_run_ends_as_that_and_cleans_up() {
    let tidy = Workflow { finally: vec![step("tidy", &LOG)], ..workflow(vec![step("a", &PUSH)]) };
    let mut player = Player::new(tidy);
    withhold(&mut player, Bar::Held);
    player.decide(RunEvent::Supersede { by: BY.parse().expect("an id") }).expect("never refused");
    player.line("ok tidy");
    let view = player.run.view(player.now);
    assert_eq!((view.status, view.error.expect("why").failure.code.as_str()), (RunStatus::Superseded, "PH4007"));
    assert!(player.decide(RunEvent::Retry).is_err(), "it is not retried");
}

#[test]
fn a_gated_run_asks_at_the_start_after_a_restart_a_resume_and_a_retry() {
    let (run, first) = Run::create(Arc::new(workflow(vec![step("a", &LOG)])), created(), WallTime(T0));
    let mut player = Player::new(workflow(vec![step("a", &LOG)]));
    (player.run, player.journal) = (run.gated(), vec![first]);
    assert_eq!(player.line("+1s"), "");
    player.line("begin");
    player.line("fail a permanent");
    assert_eq!(player.line("retry"), "  retried resetting a\n".replace("resetting", "renewing"));
    assert!(player.run.asks() && !player.run.state().seated);
    assert!(player.line("begin").starts_with("  admitted\n"));
    player.line("pause");
    player.line("parked a");
    assert_eq!(player.line("resume"), "  resumed\n");
    assert!(player.run.asks());
    assert_eq!(player.line("begin"), "  attempt resumed a\n  do a 1/2 epoch 0\n");
}

/// As another process finds it.
fn taken_up(player: &mut Player) {
    player.run = Run::recover(player.run.workflow().clone(), &player.journal).expect("the journal is whole").gated();
    player.under_way = None;
    player.decide(RunEvent::Recovered { done: 0, wanted: false }).expect("recovers");
}

#[test]
fn a_gated_run_that_cleans_up_asks_too() {
    let tidy = Workflow { finally: vec![step("tidy", &PUSH)], ..workflow(vec![step("a", &LOG), step("b", &LOG)]) };
    let mut player = Player::new(tidy.clone());
    player.line("begin");
    player.line("ok a");
    player.line("ok b");
    taken_up(&mut player);
    assert!(player.run.asks() && player.under_way.is_none());
    assert_eq!(player.line("+9s"), "");
    assert_eq!(player.line("begin"), "  attempt resumed tidy\n  do tidy 1/1 epoch 2\n");

    let mut player = Player::new(tidy);
    player.line("begin");
    taken_up(&mut player);
    let words = "  cancel asked\n  ended a PH4001\n  failed a PH4001\n  skipped b (cancelled)\n  main cancelled PH4001 a\n  stage finally\n";
    assert_eq!(player.line("cancel"), words, "what begins nothing is done at once");
    assert!(player.line("begin").ends_with("  do tidy 1/1 epoch 1\n"));
}

#[test]
fn a_run_that_was_withheld_after_a_restart_still_asks_before_it_cleans_up() {
    let tidy = Workflow { finally: vec![step("tidy", &LOG)], ..workflow(vec![step("a", &PUSH)]) };
    let mut player = Player::new(Workflow { timeout: Duration::from_secs(60), ..tidy });
    player.line("begin");
    taken_up(&mut player);
    assert_eq!(withhold(&mut player, Bar::Held), "  withheld (held)\n");
    assert!(player.line("+60s").ends_with("  stage finally\n"));
    assert!(player.run.asks() && player.under_way.is_none());
    assert!(player.line("begin").ends_with("  do tidy 1/1 epoch 0\n"));
}
