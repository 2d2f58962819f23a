//! What a log tells of a run, and of what it is silent.

use super::*;

fn told(decision: &Decision) -> Vec<String> {
    decision.lines.iter().map(text).collect()
}

fn text(line: &Notable) -> String {
    let about = [line.step.clone(), line.attempt.map(|attempt| format!("#{attempt}")), line.device.clone()];
    let about: Vec<String> = about.into_iter().flatten().collect();
    let code = line.code.as_ref().map_or_else(String::new, |code| format!(" [{code}]"));
    format!("{:?} {}: {}{code}", line.severity, about.join(" "), line.words)
}

#[test]
fn a_run_that_fails_is_told_from_its_beginning_to_its_end() {
    let mut player = Player::new(workflow(vec![Step { retry: tries(2), ..step("a", &PUSH) }]));
    let created = player.run.state().notable(&player.journal[0]).expect("a line");
    assert_eq!(text(&created), "Info : created: sample");
    let begun = player.decide(RunEvent::Begin).unwrap();
    assert_eq!(told(&begun), ["Info a #1: transfer.push begins"]);
    let failed = |player: &mut Player| {
        let end = player.ended("a", EffectEnd::Outcome(Err(failure("transient", "PH5001"))));
        player.decide(end).unwrap()
    };
    let first = failed(&mut player);
    let lines = told(&first);
    assert_eq!(lines[0], "Warning a #1: the attempt failed: it broke [PH5001]");
    assert!(lines.len() == 2 && lines[1].starts_with("Info a #1: is tried again at 2023-"), "{lines:?}");
    player.now = player.now.after(Duration::from_secs(5));
    assert_eq!(told(&player.decide(RunEvent::Tick).unwrap()), ["Info a #2: transfer.push begins"]);
    let last = failed(&mut player);
    let lines = told(&last);
    assert_eq!(lines[0], "Warning a #2: the attempt failed: it broke [PH5001]");
    assert_eq!(lines[1], "Warning a #2: the step failed: it broke [PH5001]");
    assert_eq!(lines[2], "Error a: failed after 5.0 s: it broke [PH5001]");
    assert_eq!(lines.len(), 3);
}

#[test]
fn pauses_tell_whether_a_person_is_needed() {
    let mut player = Player::new(workflow(vec![step("a", &PUSH)]));
    player.decide(RunEvent::Begin).unwrap();
    assert_eq!(told(&player.decide(RunEvent::Pause).unwrap()), ["Info : paused: asked"]);
    let parked = player.ended("a", EffectEnd::Parked);
    assert_eq!(told(&player.decide(parked).unwrap()), ["Info a #1: parked"]);
    let lines = told(&player.decide(RunEvent::Resume).unwrap());
    assert_eq!(lines, ["Info : goes on after a pause", "Info a #1: goes on"]);
    let mut player = Player::new(workflow(vec![step("a", &PUSH)]));
    player.decide(RunEvent::Begin).unwrap();
    let end = player.ended("a", EffectEnd::Outcome(Err(failure("operator", "PH5002"))));
    let lines = told(&player.decide(end).unwrap());
    assert_eq!(lines.last().unwrap(), "Error a #1: paused: operator [PH5002]", "{lines:?}");
}

#[test]
fn words_of_several_lines_are_cut() {
    let player = Player::new(workflow(vec![step("a", &FAIL)]));
    let failure = Failure::new("PH0201", Class::Permanent, "two problems\n  1: here\n  2: there");
    let record = Record::new(player.now, Fact::StepFailed { step: "a".into(), uses: "fail".into(), failure });
    let line = player.run.state().notable(&record).unwrap();
    assert_eq!(line.words, "the step failed: two problems");
}
