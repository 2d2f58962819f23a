//! Byte budgets: a transfer stops before the packet that does not fit in, and goes on from there.

use super::link::{Link, Weather};
use super::*;

const PACKET: u64 = OVERHEAD + 640;

fn plan_of(driver: Driver, size: u64, budget: u64) -> Plan {
    let mut plan = if driver.direction() == Direction::Push { plan(driver, size) } else { pull_plan(driver) };
    plan.budget = Some(budget);
    plan
}

/// Acknowledges every piece at once until the transfer ends; what it cost.
fn served(rig: &mut Rig) -> u64 {
    let before = rig.transfer.traffic().wire_bytes;
    let mut flying = pieces(&rig.drain());
    while rig.ending.is_none() {
        let (start, end) = if flying.is_empty() { (0, 0) } else { flying.remove(0) };
        let more = if end > 0 { rig.hear([ack(start, end)]) } else { rig.wait(10) };
        flying.extend(pieces(&more));
    }
    rig.transfer.traffic().wire_bytes - before
}

#[test]
fn a_push_stops_before_the_packet_that_does_not_fit_in() {
    for budget in (4_000..20_000).step_by(333) {
        let mut rig = Rig::new(plan_of(Driver::PlatformPush, 1_000_000, budget));
        let spent = served(&mut rig);
        assert_eq!((rig.failure().code, rig.failure().restart), (code::TRAFFIC_BUDGET, false));
        assert!(spent <= budget, "{spent} of {budget}");
        // A window of packets is set aside for with answers that are smaller than reckoned.
        assert!(budget - spent <= 16 * PACKET, "{spent} of {budget}");
        let kept = rig.checkpoints.pop().unwrap();
        assert_eq!(kept.done.covered(), rig.transfer.traffic().payload_bytes);
        assert_eq!(kept.done, kept.sent, "what was on its way was waited for");
    }
}

#[test]
fn budget_after_budget_a_push_gets_through_and_sends_nothing_twice() {
    let (size, mut checkpoint, mut attempts) = (100_000, None, 0);
    let ending = loop {
        let mut rig = Rig::resumed(plan_of(Driver::PlatformPush, size, 15_000), checkpoint);
        let spent = served(&mut rig);
        attempts += 1;
        assert!(spent <= 15_000, "{spent}");
        match rig.ending.take() {
            Some(Ending::Failed(failure)) if failure.code == code::TRAFFIC_BUDGET => {
                checkpoint = rig.checkpoints.pop();
                assert!(attempts < 100, "it does not get on");
            }
            ending => {
                assert_eq!(rig.transfer.traffic().payload_bytes, size);
                assert_eq!(rig.transfer.traffic().retransmitted_bytes, 0);
                break ending;
            }
        }
    };
    assert!(matches!(ending, Some(Ending::Good { .. })), "{ending:?}");
    assert!((8..20).contains(&attempts), "{attempts}");
}

#[test]
fn silence_ends_a_dry_transfer_after_a_second() {
    let mut rig = Rig::new(plan_of(Driver::PlatformPush, 1_000_000, 6_000));
    assert!(!pieces(&rig.drain()).is_empty());
    rig.wait(900);
    assert_eq!(rig.ending, None);
    rig.wait(200);
    assert_eq!(rig.failure().code, code::TRAFFIC_BUDGET);
    assert!(rig.transfer.traffic().wire_bytes <= 6_000, "nothing is repeated from an empty purse");
}

#[test]
fn another_day_lets_a_dry_transfer_go_on() {
    let mut rig = Rig::new(plan_of(Driver::PlatformPush, 100_000, 6_000));
    let first = pieces(&rig.drain());
    rig.wait(500);
    rig.transfer.handle_budget(1_000_000, rig.now);
    let more = pieces(&rig.drain());
    assert!(!first.is_empty() && !more.is_empty());
    rig.wait(2_000);
    assert_eq!(rig.ending, None);
    rig.transfer.handle_budget(0, rig.now);
    rig.drain();
    assert_eq!(rig.failure().code, code::TRAFFIC_BUDGET, "all at once, where the books say so");
}

#[test]
fn lossy_links_do_not_cost_more_than_the_budget() {
    for seed in 1..40 {
        let budget = 10_000 + seed * 1_000;
        let report = Link::new(Weather::loss(200), seed).push(plan_of(Driver::PlatformPush, 1_000_000, budget));
        assert!(matches!(&report.ending, Ending::Failed(failure) if failure.code == code::TRAFFIC_BUDGET));
        assert!(report.traffic.wire_bytes <= budget + PACKET, "{} of {budget}", report.traffic.wire_bytes);
        assert!(report.traffic.wire_bytes * 2 > budget, "{} of {budget}", report.traffic.wire_bytes);
    }
}

#[test]
fn a_pull_asks_for_no_more_than_it_can_pay_for() {
    let mut rig = Rig::new(plan_of(Driver::PlatformPull, 0, 10_000));
    let mut asked: Vec<Want> = Vec::new();
    let wants = |actions: &[Action]| -> Vec<Want> {
        actions
            .iter()
            .filter_map(|action| match action {
                Action::Say(Command::Need(want)) => Some(want.clone()),
                _ => None,
            })
            .collect()
    };
    asked.extend(wants(&rig.drain()));
    while rig.ending.is_none() {
        if asked.is_empty() {
            rig.wait(50);
            continue;
        }
        let want = asked.remove(0);
        let bytes = vec![7; usize::try_from(want.span.len().min(640)).unwrap()];
        let span = Span::new(want.span.start, want.span.start + bytes.len() as u64);
        rig.transfer.handle_received(PACKET, 1, rig.now);
        let data = Data { tag: want.tag, offset: span.start, bytes, sum: Sum::Good, last: false };
        rig.transfer.handle(Event::Data(data), rig.now);
        let mut actions = rig.drain();
        rig.transfer.handle_durable(&[span], rig.now);
        actions.extend(rig.drain());
        asked.extend(wants(&actions));
    }
    assert_eq!(rig.failure().code, code::TRAFFIC_BUDGET);
    let spent = rig.transfer.traffic().wire_bytes;
    assert!(spent <= 10_000 && spent > 2_000, "{spent}");
}

#[test]
fn a_device_that_asks_gets_what_the_budget_has_room_for() {
    let mut rig = Rig::new(plan_of(Driver::DevicePull, 1_000_000, 8_000));
    rig.drain();
    for index in 0..100 {
        let want = Want { tag: index + 1, span: Span::new(index * 640, index * 640 + 640), limit: 0 };
        rig.hear([Event::Want(want)]);
        if rig.ending.is_some() {
            break;
        }
        rig.wait(100);
    }
    rig.wait(2_000);
    assert_eq!(rig.failure().code, code::TRAFFIC_BUDGET);
    assert!(rig.transfer.traffic().wire_bytes <= 8_000 + PACKET);
}
