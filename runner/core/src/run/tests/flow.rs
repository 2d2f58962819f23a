//! Steps in order, retries, waits, pauses.

use super::*;
use crate::workflow::{Exhausted, OnError};

#[test]
fn steps_run_one_after_another() {
    let player = check(
        workflow(vec![step("a", &LOG), step("b", &DONE), step("c", &PUSH)]),
        "
        begin
          started
          ready a 1
          attempt a 1
          do a 1/1 epoch 0
        ok a
          ended a well
          succeeded a
          ready b 1
          attempt b 1
          ended b well
          succeeded b
          ready c 1
          attempt c 1
          do c 1/1 epoch 1
        status
          running (working, c to end) a:succeeded b:succeeded c:running
        ok c
          ended c well
          succeeded c
          main succeeded
          finished
        status
          succeeded a:succeeded b:succeeded c:succeeded
        ",
    );
    assert_eq!(player.run.state().traffic().wire_bytes, 20);
}

#[test]
fn a_failure_skips_what_follows_and_fails_the_run() {
    check(
        workflow(vec![step("a", &LOG), step("b", &LOG), block("c", vec![step("d", &LOG)])]),
        "
        begin
          started
          ready a 1
          attempt a 1
          do a 1/1 epoch 0
        fail a permanent
          ended a PH5001
          failed a PH5001
          skipped b c d (earlierfailure)
          main failed PH5001 a
          finished
        status
          failed error PH5001 a:failed b:skipped c:skipped d:skipped
        retry
          retried renewing a resetting b c d
          attempt a 2
          do a 1/2 epoch 0
        ok a
          ended a well
          succeeded a
          ready b 2
          attempt b 1
          do b 2/1 epoch 0
        ok b
          ended b well
          succeeded b
          ready c 2
          round c 1
          ready d 2
          attempt d 1
          do d 2/1 epoch 0
        ok d
          ended d well
          succeeded d
          ended c well
          succeeded c
          main succeeded
          finished
        status
          succeeded a:succeeded b:succeeded c:succeeded d:succeeded
        retry
          refused: only a run that failed, was cancelled or timed out can be retried; this one is Succeeded
        ",
    );
}

#[test]
fn a_failure_without_any_effect_is_a_failure_too() {
    check(
        workflow(vec![step("a", &FAIL)]),
        "
        begin
          started
          ready a 1
          attempt a 1
          ended a PH9001
          failed a PH9001
          main failed PH9001 a
          finished
        ",
    );
}

#[test]
fn transient_failures_are_retried_with_growing_waits() {
    let flaky = Step { retry: tries(3), ..step("a", &PUSH) };
    check(
        workflow(vec![flaky]),
        "
        begin
          started
          ready a 1
          attempt a 1
          do a 1/1 epoch 1
        fail a transient
          ended a PH5001
          wait a backoff 2s
        status
          waiting (backoff, the next attempt of a) a:waiting
        +1s
        +1s
          attempt a 2
          do a 1/2 epoch 2
        fail a transient
          ended a PH5001
          wait a backoff 4s
        +4s
          attempt a 3
          do a 1/3 epoch 3
        fail a transient
          ended a PH5001
          failed a PH5001
          main failed PH5001 a
          finished
        ",
    );
}

#[test]
fn permanent_failures_and_bugs_are_not_retried() {
    for class in ["permanent", "bug"] {
        let mut player = Player::new(workflow(vec![Step { retry: tries(3), ..step("a", &LOG) }]));
        player.line("begin");
        player.line(&format!("fail a {class}"));
        assert_eq!(player.run.state().status(), RunStatus::Failed, "{class}");
    }
}

#[test]
fn a_device_that_is_known_to_be_gone_is_waited_for_as_long_as_may_be_and_burns_no_attempt() {
    check(
        workflow(vec![step("a", &PUSH)]),
        "
        begin
          started
          ready a 1
          attempt a 1
          do a 1/1 epoch 1
        fail a device_offline PH5112
          ended a PH5112
          wait a deviceoffline 300s
        +299s
        back
          attempt a 1
          do a 1/1 epoch 2
        fail a device_offline PH5112
          ended a PH5112
          wait a deviceoffline 300s
        +300s
          attempt a 1
          do a 1/1 epoch 3
        ok a
          ended a well
          succeeded a
          main succeeded
          finished
        ",
    );
}

#[test]
fn a_device_that_is_heard_while_its_run_rests_is_not_forgotten() {
    check(
        workflow(vec![step("a", &PUSH)]),
        "
        begin
          started
          ready a 1
          attempt a 1
          do a 1/1 epoch 1
        fail a device_offline
          ended a PH5001
          wait a deviceoffline 5s
        pause
          paused (asked)
        back
        resume
          resumed
          attempt a 1
          do a 1/1 epoch 2
        fail a device_offline
          ended a PH5001
          wait a deviceoffline 10s
        pause
          paused (asked)
        back
        cancel
          cancel asked
          failed a PH4001
          main cancelled PH4001 a
          finished
        status
          cancelled error PH4001 a:cancelled
        ",
    );
}

#[test]
fn an_absent_device_burns_no_attempt_and_is_asked_again_when_it_is_back() {
    check(
        workflow(vec![Step { retry: tries(2), ..step("a", &PUSH) }]),
        "
        begin
          started
          ready a 1
          attempt a 1
          do a 1/1 epoch 1
        fail a device_offline
          ended a PH5001
          wait a deviceoffline 5s
        status
          waiting (deviceoffline, the device to be reachable) a:waiting
        back
          attempt a 1
          do a 1/1 epoch 2
        fail a device_offline
          ended a PH5001
          wait a deviceoffline 10s
        +10s
          attempt a 1
          do a 1/1 epoch 3
        fail a transient
          ended a PH5001
          wait a backoff 2s
        +2s
          attempt a 2
          do a 1/2 epoch 4
        fail a transient
          ended a PH5001
          failed a PH5001
          main failed PH5001 a
          finished
        ",
    );
}

#[test]
fn an_operator_failure_pauses_until_somebody_resumes() {
    check(
        workflow(vec![step("a", &LOG)]),
        "
        begin
          started
          ready a 1
          attempt a 1
          do a 1/1 epoch 0
        fail a operator
          ended a PH5001
          paused (operator) a
        status
          paused (operatorneeded, a person: mend the cause, then packhorse resume, or packhorse cancel) error PH5001 a:running
        pause
        resume
          resumed renewing a
          attempt a 2
          do a 1/2 epoch 0
        ok a
          ended a well
          succeeded a
          main succeeded
          finished
        resume
          refused: the run has already ended (Succeeded)
        ",
    );
}

#[test]
fn used_up_attempts_can_pause() {
    let retry = Retry { on_exhausted: Exhausted::Pause, ..tries(2) };
    check(
        workflow(vec![Step { retry, ..step("a", &LOG) }]),
        "
        begin
          started
          ready a 1
          attempt a 1
          do a 1/1 epoch 0
        fail a transient
          ended a PH5001
          wait a backoff 2s
        +2s
          attempt a 2
          do a 1/2 epoch 0
        fail a transient
          ended a PH5001
          paused (exhausted) a
        status
          paused (attemptsexhausted, a person: mend the cause, then packhorse resume, or packhorse cancel) error PH5001 a:running
        resume
          resumed renewing a
          attempt a 3
          do a 1/3 epoch 0
        fail a transient
          ended a PH5001
          wait a backoff 2s
        +2s
          attempt a 4
          do a 1/4 epoch 0
        ok a
          ended a well
          succeeded a
          main succeeded
          finished
        ",
    );
}

#[test]
fn on_error_says_whether_the_run_goes_on_pauses_or_fails() {
    check(
        workflow(vec![
            Step { on_error: OnError::Continue, ..step("a", &LOG) },
            Step { on_error: OnError::Pause, ..step("b", &LOG) },
        ]),
        "
        begin
          started
          ready a 1
          attempt a 1
          do a 1/1 epoch 0
        fail a permanent
          ended a PH5001
          failed a PH5001
          ready b 1
          attempt b 1
          do b 1/1 epoch 0
        fail b permanent
          ended b PH5001
          paused (stepfailed) b
        status
          paused (stepfailed, a person: mend the cause, then packhorse resume, or packhorse cancel) error PH5001 a:failed b:running
        resume
          resumed renewing b
          attempt b 2
          do b 1/2 epoch 0
        ok b
          ended b well
          succeeded b
          main succeeded
          finished
        status
          succeeded a:failed b:succeeded
        ",
    );
}

#[test]
fn a_pause_parks_the_effect_and_goes_on_with_the_same_attempt() {
    check(
        workflow(vec![step("a", &PUSH), step("b", &LOG)]),
        "
        begin
          started
          ready a 1
          attempt a 1
          do a 1/1 epoch 1
        pause
          paused (asked)
          park a
        status
          running (pausing, a to stop) a:running b:pending
        parked a
          attempt parked a
        status
          paused (pauseasked, packhorse resume) a:waiting b:pending
        resume
          resumed
          attempt resumed a
          do a 1/1 epoch 2
        pause
          paused (asked)
          park a
        ok a
          ended a well
          succeeded a
        status
          paused (pauseasked, packhorse resume) a:succeeded b:pending
        resume
          resumed
          ready b 1
          attempt b 1
          do b 1/1 epoch 0
        ",
    );
}

#[test]
fn a_pause_that_is_taken_back_at_once_goes_on() {
    check(
        workflow(vec![step("a", &PUSH)]),
        "
        begin
          started
          ready a 1
          attempt a 1
          do a 1/1 epoch 1
        pause
          paused (asked)
          park a
        resume
          resumed
        parked a
          attempt parked a
          attempt resumed a
          do a 1/1 epoch 2
        ok a
          ended a well
          succeeded a
          main succeeded
          finished
        ",
    );
}

#[test]
fn parking_keeps_the_run_and_begins_nothing() {
    let player = check(
        workflow(vec![step("a", &PUSH), step("b", &LOG)]),
        "
        begin
          started
          ready a 1
          attempt a 1
          do a 1/1 epoch 1
        park
          park a
        parked a
          attempt parked a
        status
          waiting (parked, a process that takes it up: packhorse resume) a:waiting b:pending
        crash
          recovered
          attempt resumed a
          do a 1/1 epoch 2
        park
          park a
        ok a
          ended a well
          succeeded a
        crash
          recovered
          ready b 1
          attempt b 1
          do b 1/1 epoch 0
        ok b
          ended b well
          succeeded b
          main succeeded
          finished
        ",
    );
    assert!(player.run.state().is_finished());
}

#[test]
fn outcomes_of_other_attempts_are_ignored() {
    let mut player = Player::new(workflow(vec![Step { retry: tries(2), ..step("a", &LOG) }]));
    player.line("begin");
    let late = player.ended("a", EffectEnd::Outcome(Ok(Reply::Done)));
    player.line("fail a transient");
    assert_eq!(player.decide(late.clone()).expect("ignored").facts, []);
    player.line("+2s");
    assert_eq!(player.decide(late).expect("ignored").facts, []);
}
