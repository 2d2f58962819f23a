//! Time-outs, deadlines, sleeps, clocks that are wrong.

use super::*;

fn timed(timeout: u64) -> Step {
    Step { timeout: Some(Duration::from_secs(timeout)), ..step("a", &PUSH) }
}

#[test]
fn a_time_out_stops_the_attempt_and_is_retried() {
    check(
        workflow(vec![Step { retry: tries(2), ..timed(60) }]),
        "
        begin
          started
          ready a 1
          attempt a 1 timeout 60s
          do a 1/1 epoch 1
        +59s
        +1s
          stop a (timeout of a)
          cancel a
        status
          running (timingout, a to stop) a:running
        cancelled a
          ended a PH4004
          wait a backoff 2s
        +2s
          attempt a 2 timeout 60s
          do a 1/2 epoch 2
        +60s
          stop a (timeout of a)
          cancel a
        ok a
          ended a well
          succeeded a
          main succeeded
          finished
        ",
    );
}

#[test]
fn a_time_out_stands_still_while_the_device_is_away() {
    check(
        workflow(vec![timed(60)]),
        "
        begin
          started
          ready a 1
          attempt a 1 timeout 60s
          do a 1/1 epoch 1
        +50s
        unreachable a
          reachable a false
        status
          waiting (deviceoffline, the device to be reachable) a:waiting
        +1000s
        reachable a
          reachable a true
        +9s
        +1s
          stop a (timeout of a)
          cancel a
        cancelled a
          ended a PH4004
          failed a PH4004
          main failed PH4004 a
          finished
        ",
    );
}

#[test]
fn a_time_out_stands_still_while_nobody_works_on_the_run() {
    check(
        workflow(vec![timed(60)]),
        "
        begin
          started
          ready a 1
          attempt a 1 timeout 60s
          do a 1/1 epoch 1
        +50s
        park
          park a
        parked a
          attempt parked a
        +1000s
        crash
          recovered
          attempt resumed a
          do a 1/1 epoch 2
        +9s
        pause
          paused (asked)
          park a
        parked a
          attempt parked a
        +1000s
        resume
          resumed
          attempt resumed a
          do a 1/1 epoch 3
        +1s
          stop a (timeout of a)
          cancel a
        cancelled a
          ended a PH4004
          failed a PH4004
          main failed PH4004 a
          finished
        ",
    );
}

#[test]
fn a_deadline_goes_on_while_the_device_is_away() {
    let step = Step { deadline: Some(Duration::from_secs(100)), retry: tries(9), ..timed(60) };
    check(
        workflow(vec![step]),
        "
        begin
          started
          ready a 1 deadline 100s
          attempt a 1 timeout 60s
          do a 1/1 epoch 1
        unreachable a
          reachable a false
        +100s
          stop a (deadline of a)
          cancel a
        cancelled a
          ended a PH4003
          failed a PH4003
          main failed PH4003 a
          finished
        ",
    );
}

#[test]
fn a_deadline_ends_a_wait_for_the_device() {
    let step = Step { deadline: Some(Duration::from_secs(7)), ..step("a", &PUSH) };
    check(
        workflow(vec![step]),
        "
        begin
          started
          ready a 1 deadline 7s
          attempt a 1
          do a 1/1 epoch 1
        fail a device_offline
          ended a PH5001
          wait a deviceoffline 5s
        +5s
          attempt a 1
          do a 1/1 epoch 2
        fail a device_offline
          ended a PH5001
          wait a deviceoffline 10s
        +2s
          failed a PH4003
          main failed PH4003 a
          finished
        ",
    );
}

#[test]
fn an_attempt_that_was_to_stop_and_was_lost_does_not_begin_again() {
    check(
        workflow(vec![timed(60)]),
        "
        begin
          started
          ready a 1
          attempt a 1 timeout 60s
          do a 1/1 epoch 1
        +60s
          stop a (timeout of a)
          cancel a
        crash
          recovered died at 0
          ended a PH4004
          failed a PH4004
          main failed PH4004 a
          finished
        ",
    );
}

#[test]
fn the_time_of_the_run_ends_it_even_in_a_pause() {
    let short = Workflow { timeout: Duration::from_secs(100), ..workflow(vec![step("a", &PUSH), step("b", &LOG)]) };
    check(
        short.clone(),
        "
        begin
          started
          ready a 1
          attempt a 1
          do a 1/1 epoch 1
        +100s
          limit reached
          stop a (limit)
          cancel a
        status
          running (timingout, a to stop) a:running b:pending
        cancelled a
          ended a PH4002
          failed a PH4002
          skipped b (limit)
          main timedout PH4002 a
          finished
        ",
    );
    check(
        short,
        "
        begin
          started
          ready a 1
          attempt a 1
          do a 1/1 epoch 1
        pause
          paused (asked)
          park a
        parked a
          attempt parked a
        +100s
          limit reached
          ended a PH4002
          failed a PH4002
          skipped b (limit)
          main timedout PH4002 a
          finished
        status
          timedout error PH4002 a:failed b:skipped
        ",
    );
}

#[test]
fn a_sleep_outlives_the_process() {
    check(
        workflow(vec![step("a", &SLEEP), step("b", &LOG)]),
        "
        begin
          started
          ready a 1
          attempt a 1 sleep 10s
        status
          waiting (sleeping, the end of a) a:waiting b:pending
        +4s
        crash
          recovered
        +6s
          ended a well
          succeeded a
          ready b 1
          attempt b 1
          do b 1/1 epoch 0
        ",
    );
}

#[test]
fn timers_move_with_a_clock_that_was_set_back() {
    let mut player = Player::new(workflow(vec![step("a", &SLEEP), step("b", &LOG)]));
    player.line("begin");
    player.line("+4s");
    player.now = WallTime(1_000);
    player.crash();
    let wake = player.decide(RunEvent::Tick).expect("a tick").wake_at;
    assert_eq!(wake, Some(WallTime(1_000 + 10_000)), "a sleep never becomes shorter than asked");
    player.now = WallTime(11_000);
    let decision = player.decide(RunEvent::Tick).expect("a tick");
    assert_eq!(decision.effects.len(), 1);
}

#[test]
fn the_engine_is_told_when_to_look_again() {
    let mut player = Player::new(workflow(vec![Step { retry: tries(2), ..timed(60) }]));
    let wake = |player: &mut Player, event| {
        let at = player.decide(event).expect("decided").wake_at.expect("something is due");
        at.0 - player.now.0
    };
    assert_eq!(wake(&mut player, RunEvent::Begin), 60_000);
    let failed = player.ended("a", EffectEnd::Outcome(Err(failure("transient", "PH5001"))));
    assert_eq!(wake(&mut player, failed), 2_000);
}

#[test]
fn a_spent_traffic_budget_is_waited_for_and_burns_no_attempt() {
    check(
        workflow(vec![Step { retry: tries(1), ..timed(60) }]),
        "
        begin
          started
          ready a 1
          attempt a 1 timeout 60s
          do a 1/1 epoch 1
        spent a 40000s
          ended a PH5040
          wait a trafficbudget 40000s
        status
          waiting (trafficbudget, the next traffic budget of the device) a:waiting
        back
        +39999s
        crash
          recovered
        +1s
          attempt a 1 timeout 60s
          do a 1/1 epoch 2
        spent a 86400s
          ended a PH5040
          wait a trafficbudget 86400s
        +86400s
          attempt a 1 timeout 60s
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
fn a_run_that_waits_for_its_traffic_budget_can_be_cancelled_and_runs_out_of_time() {
    check(
        workflow(vec![Step { deadline: Some(Duration::from_secs(100)), ..step("a", &PUSH) }]),
        "
        begin
          started
          ready a 1 deadline 100s
          attempt a 1
          do a 1/1 epoch 1
        spent a 40000s
          ended a PH5040
          wait a trafficbudget 40000s
        +100s
          failed a PH4003
          main failed PH4003 a
          finished
        ",
    );
    check(
        workflow(vec![step("a", &PUSH)]),
        "
        begin
          started
          ready a 1
          attempt a 1
          do a 1/1 epoch 1
        spent a 40000s
          ended a PH5040
          wait a trafficbudget 40000s
        cancel
          cancel asked
          failed a PH4001
          main cancelled PH4001 a
          finished
        ",
    );
}
