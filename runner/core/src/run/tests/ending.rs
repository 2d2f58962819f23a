//! Cancel, `on_failure`, `finally`.

use super::*;

fn with_cleanup() -> Workflow {
    Workflow {
        on_failure: vec![step("tell", &LOG)],
        finally: vec![step("tidy", &LOG)],
        ..workflow(vec![step("a", &PUSH), step("b", &LOG)])
    }
}

#[test]
fn finally_runs_after_success() {
    check(
        with_cleanup(),
        "
        begin
          started
          ready a 1
          attempt a 1
          do a 1/1 epoch 1
        ok a
          ended a well
          succeeded a
          ready b 1
          attempt b 1
          do b 1/1 epoch 0
        ok b
          ended b well
          succeeded b
          main succeeded
          stage finally
          ready tidy 1
          attempt tidy 1
          do tidy 1/1 epoch 0
        status
          running (finally, tidy to end) a:succeeded b:succeeded tidy:running
        cancel
        pause
          refused: the run is cleaning up and cannot be paused (Running)
        ok tidy
          ended tidy well
          succeeded tidy
          finished
        status
          succeeded a:succeeded b:succeeded tidy:succeeded
        ",
    );
}

#[test]
fn a_failure_runs_both_and_neither_hides_it() {
    check(
        with_cleanup(),
        "
        begin
          started
          ready a 1
          attempt a 1
          do a 1/1 epoch 1
        fail a permanent
          ended a PH5001
          failed a PH5001
          skipped b (earlierfailure)
          main failed PH5001 a
          stage onfailure
          ready tell 1
          attempt tell 1
          do tell 1/1 epoch 0
        status
          running (onfailure, tell to end) error PH5001 a:failed b:skipped tell:running tidy:pending
        fail tell permanent PH7777
          ended tell PH7777
          failed tell PH7777
          stage finally
          ready tidy 1
          attempt tidy 1
          do tidy 1/1 epoch 0
        fail tidy operator PH8888
          ended tidy PH8888
          failed tidy PH8888
          finished
        status
          failed error PH5001 a:failed b:skipped tell:failed tidy:failed
        cancel
          refused: the run has already ended (Failed)
        ",
    );
}

#[test]
fn a_cancel_waits_for_the_effect_then_tidies_up() {
    check(
        with_cleanup(),
        "
        begin
          started
          ready a 1
          attempt a 1
          do a 1/1 epoch 1
        cancel
          cancel asked
          stop a (cancel)
          cancel a
        cancel
        status
          cancelling (stopping, a to stop) a:running b:pending tidy:pending
        cancelled a
          ended a PH4001
          failed a PH4001
          skipped b (cancelled)
          main cancelled PH4001 a
          stage finally
          ready tidy 1
          attempt tidy 1
          do tidy 1/1 epoch 0
        status
          cancelling (cleaningup, tidy to end) error PH4001 a:cancelled b:skipped tidy:running
        ok tidy
          ended tidy well
          succeeded tidy
          finished
        status
          cancelled error PH4001 a:cancelled b:skipped tidy:succeeded
        cancel
        ",
    );
}

#[test]
fn an_effect_that_ends_before_it_could_be_cancelled_counts() {
    check(
        with_cleanup(),
        "
        begin
          started
          ready a 1
          attempt a 1
          do a 1/1 epoch 1
        cancel
          cancel asked
          stop a (cancel)
          cancel a
        ok a
          ended a well
          succeeded a
          skipped b (cancelled)
          main cancelled PH4001
          stage finally
          ready tidy 1
          attempt tidy 1
          do tidy 1/1 epoch 0
        ok tidy
          ended tidy well
          succeeded tidy
          finished
        ",
    );
}

#[test]
fn waits_pauses_and_queues_are_cancelled_at_once() {
    let waiting = Step { retry: tries(2), ..step("a", &LOG) };
    check(
        workflow(vec![waiting, step("b", &LOG)]),
        "
        begin
          started
          ready a 1
          attempt a 1
          do a 1/1 epoch 0
        fail a transient
          ended a PH5001
          wait a backoff 2s
        cancel
          cancel asked
          failed a PH4001
          skipped b (cancelled)
          main cancelled PH4001 a
          finished
        ",
    );
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
        cancel
          cancel asked
          failed a PH5001
          main cancelled PH4001 a
          finished
        ",
    );
    check(
        workflow(vec![step("a", &LOG)]),
        "
        cancel
          cancel asked
          started
          skipped a (cancelled)
          main cancelled PH4001
          finished
        status
          cancelled error PH4001 a:skipped
        ",
    );
}

#[test]
fn a_cancel_overtakes_a_pause() {
    check(
        with_cleanup(),
        "
        begin
          started
          ready a 1
          attempt a 1
          do a 1/1 epoch 1
        pause
          paused (asked)
          park a
        cancel
          cancel asked
          stop a (cancel)
          cancel a
        parked a
          ended a PH4001
          failed a PH4001
          skipped b (cancelled)
          main cancelled PH4001 a
          stage finally
          ready tidy 1
          attempt tidy 1
          do tidy 1/1 epoch 0
        ok tidy
          ended tidy well
          succeeded tidy
          finished
        ",
    );
}

#[test]
fn a_cancelled_run_can_be_taken_up_again() {
    check(
        with_cleanup(),
        "
        begin
          started
          ready a 1
          attempt a 1
          do a 1/1 epoch 1
        ok a
          ended a well
          succeeded a
          ready b 1
          attempt b 1
          do b 1/1 epoch 0
        cancel
          cancel asked
          stop b (cancel)
          cancel b
        cancelled b
          ended b PH4001
          failed b PH4001
          main cancelled PH4001 b
          stage finally
          ready tidy 1
          attempt tidy 1
          do tidy 1/1 epoch 0
        ok tidy
          ended tidy well
          succeeded tidy
          finished
        retry
          retried renewing b resetting tidy
          attempt b 2
          do b 1/2 epoch 0
        ok b
          ended b well
          succeeded b
          main succeeded
          stage finally
          ready tidy 2
          attempt tidy 1
          do tidy 2/1 epoch 0
        ok tidy
          ended tidy well
          succeeded tidy
          finished
        status
          succeeded a:succeeded b:succeeded tidy:succeeded
        ",
    );
}

#[test]
fn clean_up_is_bounded() {
    let mut player = Player::new(with_cleanup());
    for line in ["begin", "fail a permanent", "unreachable tell"] {
        player.line(line);
    }
    player.now = player.now.after(CLEANUP_LIMIT);
    let decision = player.decide(RunEvent::Tick).expect("a tick");
    assert_eq!(decision.stop.len(), 1);
    player.line("cancelled tell");
    player.line("ok tidy");
    assert_eq!(player.run.state().status(), RunStatus::Failed);
}
