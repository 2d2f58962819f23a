//! A crash at every boundary between facts: what is left is a state from which the run comes to the same end.

use super::*;
use crate::workflow::OnError;

/// Samples that between them write every fact.
fn samples() -> Vec<(&'static str, Workflow)> {
    let flaky = || Step { retry: tries(3), timeout: Some(Duration::from_secs(30)), ..step("push", &PUSH) };
    let settle = Step {
        retry: tries(3),
        deadline: Some(Duration::from_secs(3_000)),
        ..block("settle", vec![step("ask", &LOG), flaky(), step("again", &LOG)])
    };
    let tail = || vec![step("nap", &SLEEP), step("note", &DONE)];
    let cleanup =
        |steps| Workflow { on_failure: vec![step("tell", &LOG)], finally: vec![step("tidy", &LOG)], ..workflow(steps) };
    vec![
        ("plain", cleanup([vec![flaky()], tail()].concat())),
        ("block", cleanup([vec![settle], tail()].concat())),
        ("tolerant", cleanup(vec![Step { on_error: OnError::Continue, ..flaky() }, step("last", &LOG)])),
    ]
}

/// How the world answers the n-th effect: the same whatever the process does.
#[derive(Clone, Copy, Debug)]
enum World {
    Kind,
    Flaky,
    Hostile,
}

impl World {
    fn answer(self, step: &str, nth: usize) -> EffectEnd {
        let class = match (self, step, nth) {
            (Self::Flaky, "push", 0) => "transient",
            (Self::Flaky, "push", 1) => "device_offline",
            (Self::Flaky, "again", 0) => "transient",
            (Self::Hostile, "push" | "tell", _) => "permanent",
            _ => return EffectEnd::Outcome(Ok(Reply::Done)),
        };
        EffectEnd::Outcome(Err(failure(class, "PH5001")))
    }
}

/// Plays a run to its end, and counts how often each step was asked for well.
fn play(mut player: Player, world: World, asked: &mut BTreeMap<String, usize>) -> Player {
    for _ in 0..1_000 {
        if player.run.state().is_finished() {
            return player;
        }
        if let Some(id) = player.under_way.clone() {
            let nth = asked.entry(id.step.clone()).or_default();
            let end = world.answer(&id.step, *nth);
            *nth += 1;
            let event = player.ended(&id.step, end);
            player.decide(event).expect("an end is never refused");
        } else {
            let wake = player.decide(RunEvent::Tick).expect("a tick is never refused").wake_at;
            player.now = wake.unwrap_or_else(|| panic!("the run is stuck: {:?}", player.run.view(player.now)));
            player.decide(RunEvent::Tick).expect("a tick is never refused");
        }
    }
    panic!("the run does not end");
}

/// What must not depend on crashes.
fn end(player: &Player) -> (RunStatus, Vec<(String, StepStatus)>) {
    let view = player.run.view(player.now);
    (view.status, view.steps.into_iter().map(|step| (step.id, step.status)).collect())
}

/// How often the journal's facts so far say that the world was asked.
fn answered(journal: &[Record]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for record in journal {
        if let Fact::AttemptEnded { step, .. } = &record.fact {
            *counts.entry(step.clone()).or_default() += 1;
        }
    }
    counts
}

#[test]
fn every_prefix_of_the_journal_comes_to_the_same_end() {
    let mut boundaries = 0;
    for (name, workflow) in samples() {
        for world in [World::Kind, World::Flaky, World::Hostile] {
            let mut player = Player::new(workflow.clone());
            player.decide(RunEvent::Begin).expect("begins");
            let whole = play(player, world, &mut BTreeMap::new());
            for cut in 1..=whole.journal.len() {
                let journal = whole.journal[..cut].to_vec();
                let succeeded =
                    journal.iter().filter(|record| matches!(record.fact, Fact::StepSucceeded { .. })).count();
                let run = Run::recover(whole.run.workflow().clone(), &journal).expect("a prefix is legal");
                let now = journal[cut - 1].at.after(Duration::from_secs(1));
                let mut asked = answered(&journal);
                let mut player = Player { run, journal, now, under_way: None, random: 0 };
                player.decide(RunEvent::Recovered { done: 0, wanted: false }).expect("recovers");
                player.decide(RunEvent::Begin).expect("begins where it had not");
                let again = play(player, world, &mut asked);
                assert_eq!(end(&again), end(&whole), "{name}, {world:?}, cut after {cut}");
                assert!(again.journal.len() >= cut && succeeded <= again.journal.len());
                boundaries += 1;
            }
        }
    }
    assert!(boundaries > 150, "only {boundaries} boundaries");
}

#[test]
fn completed_steps_are_never_asked_for_again() {
    let (_, workflow) = samples().remove(1);
    let mut player = Player::new(workflow);
    player.line("begin");
    player.line("ok ask");
    let before = player.journal.len();
    for done in 1..=10 {
        let decision = player.crash_at(done);
        let steps: Vec<&str> = decision.effects.iter().map(|order| order.id.step.as_str()).collect();
        assert_eq!(steps, ["push"]);
    }
    assert!(player.journal.len() > before);
}

#[test]
fn records_survive_being_stored() {
    for (_, workflow) in samples() {
        let mut player = Player::new(workflow);
        player.decide(RunEvent::Begin).expect("begins");
        let whole = play(player, World::Flaky, &mut BTreeMap::new());
        for record in &whole.journal {
            assert_eq!(&Record::decode(&record.encode()).expect("what was written can be read"), record);
        }
    }
}

#[test]
fn records_of_a_later_format_are_refused_by_name() {
    let later = br#"{"v":6,"at":1,"fact":"teleported"}"#;
    assert!(matches!(Record::decode(later), Err(RecordError::Newer { found: 6 })));
    for broken in [&b""[..], b"{}", b"[1]", br#"{"v":1}"#, br#"{"v":1,"at":1,"fact":"teleported"}"#, b"\xff\x00"] {
        assert!(matches!(Record::decode(broken), Err(RecordError::Malformed(_))));
    }
}

/// A journal as format 1 writes it: must be readable for ever.
#[test]
fn the_stored_format_stays() {
    let stored = [
        r#"{"v":1,"at":1700000000000,"fact":"created","run":"run_01J9ZK3M5N7P9Q1R3S5T7V9W1X","workflow":"sample","digest":"00","engine":"0.1.0","inputs":{},"device":null,"vars":{},"codec":null}"#,
        r#"{"v":1,"at":1700000000000,"fact":"started","limit":{"at":1700604800000,"ms":604800000}}"#,
        r#"{"v":1,"at":1700000000000,"fact":"step_ready","step":"a","round":1,"uses":"log","with":{},"deadline":null}"#,
        r#"{"v":1,"at":1700000000000,"fact":"attempt_started","step":"a","round":1,"attempt":1,"work":{"work":"effect","epoch":null},"timeout":null}"#,
    ];
    let mut player = Player::new(workflow(vec![step("a", &LOG)]));
    player.line("begin");
    let written: Vec<String> =
        player.journal.iter().map(|record| String::from_utf8(record.encode()).expect("JSON is text")).collect();
    assert_eq!(written, stored);
}
