//! Random worlds: whatever happens in whatever order, no fact is illegal, no completed step is asked for again, and the run ends.

use super::*;
use crate::workflow::{Exhausted, OnError};
use proptest::prelude::*;

fn steps(depth: u32) -> BoxedStrategy<Vec<StepPlan>> {
    let leaf = (0u8..5, 0u8..3, 1u32..4, any::<bool>(), any::<bool>()).prop_map(
        |(kind, on_error, attempts, timeout, pause)| StepPlan {
            kind,
            on_error,
            attempts,
            timeout,
            pause,
            inner: vec![],
        },
    );
    if depth == 0 {
        return proptest::collection::vec(leaf, 1..4).boxed();
    }
    let nested = (leaf.clone(), steps(depth - 1)).prop_map(|(plan, inner)| StepPlan { inner, ..plan });
    proptest::collection::vec(prop_oneof![3 => leaf, 1 => nested], 1..5).boxed()
}

#[derive(Debug, Clone)]
struct StepPlan {
    kind: u8,
    on_error: u8,
    attempts: u32,
    timeout: bool,
    pause: bool,
    inner: Vec<Self>,
}

fn build(plans: &[StepPlan], prefix: &str) -> Vec<Step> {
    let one = |(place, plan): (usize, &StepPlan)| {
        let id = format!("{prefix}_{place}");
        let primitive = [&LOG, &PUSH, &SLEEP, &DONE, &FAIL][usize::from(plan.kind)];
        let base = if plan.inner.is_empty() { step(&id, primitive) } else { block(&id, build(&plan.inner, &id)) };
        Step {
            on_error: [OnError::Fail, OnError::Continue, OnError::Pause][usize::from(plan.on_error)],
            retry: Retry {
                on_exhausted: if plan.pause { Exhausted::Pause } else { Exhausted::Fail },
                ..tries(plan.attempts)
            },
            timeout: plan.timeout.then_some(Duration::from_secs(20)),
            deadline: (plan.timeout && plan.pause).then_some(Duration::from_secs(90)),
            ..base
        }
    };
    plans.iter().enumerate().map(one).collect()
}

/// One random thing that happens.
fn happen(player: &mut Player, dice: u32) {
    let under_way = player.under_way.clone();
    let event = match (dice % 16, under_way) {
        (0, _) => RunEvent::Pause,
        (1, _) => RunEvent::Resume,
        (2, _) if dice.is_multiple_of(5) => RunEvent::Cancel { reason: None },
        (3, _) => RunEvent::DeviceBack,
        (4, _) => {
            player.crash_at(u64::from(dice / 16 % 3));
            return;
        }
        (5, Some(id)) => RunEvent::DeviceReachable { id, reachable: dice.is_multiple_of(2) },
        (6, _) => {
            player.now = player.now.after(Duration::from_secs(u64::from(dice % 90)));
            RunEvent::Tick
        }
        (7, Some(id)) => player.ended(&id.step, EffectEnd::Parked),
        (8, Some(id)) => player.ended(&id.step, EffectEnd::Cancelled),
        (9, Some(id)) => player.ended(&id.step, EffectEnd::Outcome(Err(failure("transient", "PH5001")))),
        (10, Some(id)) => {
            let class = ["device_offline", "permanent", "operator", "bug"][(dice / 16 % 4) as usize];
            player.ended(&id.step, EffectEnd::Outcome(Err(failure(class, "PH5002"))))
        }
        (11, _) => RunEvent::Retry,
        (13, _) => RunEvent::Withhold { why: Bar::Overtaken, behind: None },
        (14, _) => RunEvent::Begin,
        (15, _) => {
            let now = player.run.state().codec.clone().expect("it is pinned").digest;
            let to = pin(if now == "old" { "new" } else { "old" });
            RunEvent::Repin { from: now, to }
        }
        (_, Some(id)) => player.ended(&id.step, EffectEnd::Outcome(Ok(Reply::Done))),
        (_, None) => {
            let wake = player.decide(RunEvent::Tick).expect("a tick is never refused").wake_at;
            player.now = wake.unwrap_or(player.now);
            RunEvent::Tick
        }
    };
    match player.decide(event) {
        Ok(_) => {}
        Err(Refused::Bug(illegal)) => panic!("{illegal}"),
        Err(_) => {}
    }
}

/// Nothing bad happens any more.
fn settle(player: &mut Player) {
    for _ in 0..2_000 {
        if player.run.state().is_finished() {
            return;
        }
        if player.run.state().bar.is_some() && player.run.state().pause.is_none() {
            player.decide(RunEvent::Begin).expect("what was withheld can be admitted");
        } else if player.run.state().pause.is_some() {
            player.decide(RunEvent::Resume).expect("a pause can be resumed");
        } else if let Some(id) = player.under_way.clone() {
            let event = player.ended(&id.step, EffectEnd::Outcome(Ok(Reply::Done)));
            player.decide(event).expect("an end is never refused");
        } else {
            let wake = player.decide(RunEvent::Tick).expect("a tick is never refused").wake_at;
            player.now = wake.expect("an unfinished run waits for something");
            player.decide(RunEvent::Tick).expect("a tick is never refused");
        }
        // A step that can only fail and pauses for it would pause for ever.
        if player.journal.len() > 1_500 {
            player.decide(RunEvent::Cancel { reason: None }).expect("an unfinished run can be cancelled");
        }
    }
    panic!("the run does not end: {:?}", player.run.view(player.now));
}

fn no_step_is_begun_after_it_was_done(journal: &[Record]) {
    let mut done: std::collections::BTreeSet<(String, u32)> = std::collections::BTreeSet::new();
    let mut rounds: BTreeMap<String, u32> = BTreeMap::new();
    for record in journal {
        match &record.fact {
            Fact::AttemptStarted { step, round, .. } => {
                assert!(!done.contains(&(step.clone(), *round)), "{step} was done in round {round}");
                rounds.insert(step.clone(), *round);
            }
            Fact::StepSucceeded { step, .. } => {
                done.insert((step.clone(), rounds.get(step).copied().unwrap_or(0)));
            }
            _ => {}
        }
    }
}

/// Counted from the facts alone: an attempt under which the process died three times, and which got no further, is begun by nobody.
fn no_poison_is_taken_again(journal: &[Record]) {
    let (mut at_work, mut deaths, mut furthest) = (false, 0, 0);
    for record in journal {
        match &record.fact {
            Fact::AttemptStarted { work, .. } => {
                (at_work, deaths, furthest) = (matches!(work, Work::Effect { .. }), 0, 0);
            }
            Fact::AttemptResumed { .. } => {
                assert!(deaths < 3, "an attempt is begun again after {deaths} deaths at {furthest}");
                at_work = true;
            }
            Fact::Recovered { died, .. } if std::mem::take(&mut at_work) => {
                let moved = died.is_none_or(|done| done > furthest);
                deaths = if moved { u32::from(died.is_some()) } else { deaths + 1 };
                furthest = furthest.max(died.unwrap_or(0));
            }
            Fact::AttemptParked { .. } | Fact::AttemptEnded { .. } => at_work = false,
            Fact::Resumed { .. } | Fact::Repinned { .. } => deaths = 0,
            _ => {}
        }
    }
}

fn each_pin_follows_the_one_before(player: &Player) {
    let mut now = pin("old");
    for record in &player.journal {
        if let Fact::Repinned { from, to } = &record.fact {
            assert_eq!(*from, now);
            now = to.clone();
        }
    }
    assert_eq!(player.run.state().codec, Some(now));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_world_comes_to_an_end(
        plans in steps(2),
        cleanup in steps(0),
        dice in proptest::collection::vec(any::<u32>(), 0..60),
        random in any::<u64>(),
    ) {
        let finally = build(&cleanup, "f");
        let on_failure = build(&cleanup, "g");
        let mut player = Player::pinned(Workflow { finally, on_failure, ..workflow(build(&plans, "s")) });
        player.random = random;
        player.decide(RunEvent::Begin).expect("begins");
        for dice in dice {
            happen(&mut player, dice);
        }
        settle(&mut player);
        no_step_is_begun_after_it_was_done(&player.journal);
        each_pin_follows_the_one_before(&player);
        no_poison_is_taken_again(&player.journal);
        prop_assert!(player.run.view(player.now).unfinished.is_none());
    }
}
