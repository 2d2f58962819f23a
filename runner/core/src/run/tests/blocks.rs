//! Blocks: tried again as a whole.

use super::*;

#[test]
fn a_block_is_repeated_as_a_whole() {
    let settle =
        Step { retry: tries(2), ..block("settle", vec![step("ask", &LOG), step("push", &PUSH), step("again", &LOG)]) };
    check(
        workflow(vec![settle, step("after", &LOG)]),
        "
        begin
          started
          ready settle 1
          round settle 1
          ready ask 1
          attempt ask 1
          do ask 1/1 epoch 0
        ok ask
          ended ask well
          succeeded ask
          ready push 1
          attempt push 1
          do push 1/1 epoch 1
        ok push
          ended push well
          succeeded push
          ready again 1
          attempt again 1
          do again 1/1 epoch 0
        fail again transient
          ended again PH5001
          failed again PH5001
          ended settle PH5001
          wait settle backoff 2s
        status
          waiting (backoff, the next attempt of settle) settle:waiting ask:succeeded push:succeeded again:failed after:pending
        +2s
          round settle 2 superseding ask push again
          ready ask 2
          attempt ask 1
          do ask 2/1 epoch 0
        ok ask
          ended ask well
          succeeded ask
          ready push 2
          attempt push 1
          do push 2/1 epoch 2
        ok push
          ended push well
          succeeded push
          ready again 2
          attempt again 1
          do again 2/1 epoch 0
        ok again
          ended again well
          succeeded again
          ended settle well
          succeeded settle
          ready after 1
          attempt after 1
          do after 1/1 epoch 0
        ok after
          ended after well
          succeeded after
          main succeeded
          finished
        status
          succeeded settle:succeeded ask:succeeded push:succeeded again:succeeded after:succeeded
        ",
    );
}

#[test]
fn a_failed_block_fails_the_run_with_the_inner_failure() {
    let outer = block("outer", vec![block("inner", vec![step("a", &LOG), step("b", &LOG)]), step("c", &LOG)]);
    check(
        workflow(vec![outer]),
        "
        begin
          started
          ready outer 1
          round outer 1
          ready inner 1
          round inner 1
          ready a 1
          attempt a 1
          do a 1/1 epoch 0
        ok a
          ended a well
          succeeded a
          ready b 1
          attempt b 1
          do b 1/1 epoch 0
        fail b permanent
          ended b PH5001
          failed b PH5001
          ended inner PH5001
          failed inner PH5001
          skipped c (earlierfailure)
          ended outer PH5001
          failed outer PH5001
          main failed PH5001 b
          finished
        status
          failed error PH5001 outer:failed inner:failed a:succeeded b:failed c:skipped
        retry
          retried renewing outer inner b resetting c
          attempt b 2
          do b 1/2 epoch 0
        ok b
          ended b well
          succeeded b
          ended inner well
          succeeded inner
          ready c 2
          attempt c 1
          do c 2/1 epoch 0
        ok c
          ended c well
          succeeded c
          ended outer well
          succeeded outer
          main succeeded
          finished
        ",
    );
}

#[test]
fn a_skipped_failure_of_a_block_is_its_own_affair() {
    let tolerant =
        Step { on_error: crate::workflow::OnError::Continue, ..block("t", vec![step("a", &LOG), step("b", &LOG)]) };
    check(
        workflow(vec![tolerant, step("c", &LOG)]),
        "
        begin
          started
          ready t 1
          round t 1
          ready a 1
          attempt a 1
          do a 1/1 epoch 0
        fail a permanent
          ended a PH5001
          failed a PH5001
          skipped b (earlierfailure)
          ended t PH5001
          failed t PH5001
          ready c 1
          attempt c 1
          do c 1/1 epoch 0
        ok c
          ended c well
          succeeded c
          main succeeded
          finished
        ",
    );
}

#[test]
fn the_time_out_of_a_block_stops_the_step_inside_and_tries_the_block_again() {
    let timed = Step {
        timeout: Some(Duration::from_secs(60)),
        retry: tries(2),
        ..block("t", vec![Step { retry: tries(9), ..step("a", &LOG) }, step("b", &LOG)])
    };
    check(
        workflow(vec![timed]),
        "
        begin
          started
          ready t 1
          round t 1 timeout 60s
          ready a 1
          attempt a 1
          do a 1/1 epoch 0
        +60s
          stop a (timeout of t)
          cancel a
        cancelled a
          ended a PH4004
          failed a PH4004
          skipped b (earlierfailure)
          ended t PH4004
          wait t backoff 2s
        +2s
          round t 2 superseding a b timeout 60s
          ready a 2
          attempt a 1
          do a 2/1 epoch 0
        fail a transient
          ended a PH5001
          wait a backoff 2s
        +60s
          failed a PH4004
          skipped b (earlierfailure)
          ended t PH4004
          failed t PH4004
          main failed PH4004 a
          finished
        ",
    );
}

#[test]
fn the_deadline_of_a_block_ends_all_attempts() {
    let timed = Step {
        deadline: Some(Duration::from_secs(5)),
        retry: tries(9),
        ..block("t", vec![step("a", &LOG), step("b", &LOG)])
    };
    check(
        workflow(vec![timed]),
        "
        begin
          started
          ready t 1 deadline 5s
          round t 1
          ready a 1
          attempt a 1
          do a 1/1 epoch 0
        fail a transient
          ended a PH5001
          failed a PH5001
          skipped b (earlierfailure)
          ended t PH5001
          wait t backoff 2s
        +2s
          round t 2 superseding a b
          ready a 2
          attempt a 1
          do a 2/1 epoch 0
        +3s
          stop a (deadline of t)
          cancel a
        cancelled a
          ended a PH4003
          failed a PH4003
          skipped b (earlierfailure)
          ended t PH4003
          failed t PH4003
          main failed PH4003 a
          finished
        ",
    );
}

#[test]
fn epochs_grow_over_rounds_attempts_and_restarts() {
    let push = Step { retry: tries(5), ..step("push", &PUSH) };
    let settle = Step { retry: tries(5), ..block("settle", vec![push, step("check", &LOG)]) };
    let mut player = Player::new(workflow(vec![settle]));
    for line in ["begin", "fail push transient", "+2s", "crash", "ok push", "fail check transient", "+2s", "crash"] {
        player.line(line);
    }
    let epochs: Vec<u32> = player
        .journal
        .iter()
        .filter_map(|record| match &record.fact {
            Fact::AttemptStarted { work: Work::Effect { epoch }, .. } | Fact::AttemptResumed { epoch, .. } => *epoch,
            _ => None,
        })
        .collect();
    assert_eq!(epochs, [1, 2, 3, 4, 5]);
}
