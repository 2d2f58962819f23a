//! Whole pushes over a bad link: what they cost, and that they never stall.

use super::link::{Link, Weather};
use super::*;

const MIB: u64 = 1 << 20;

fn check(weather: Weather, size: u64, window: u16, floor: f64) -> link::Report {
    let mut plan = plan(Driver::PlatformPush, size);
    plan.window = window;
    let report = Link::new(weather, 7).push(plan);
    assert_eq!(
        report.ending,
        Ending::Good { confirmed: Confirmed::Acks, size, digests_by_device: vec![] },
        "{weather:?}"
    );
    let pieces = size.div_ceil(640).max(1);
    let ratio = report.sends as f64 / pieces as f64;
    println!(
        "{weather:?}: sent {ratio:.3} times the file, floor {floor:.3}, stall {:?}, {:?}",
        report.stall, report.lasted
    );
    assert!(ratio <= floor * 1.15, "{weather:?}: sent {ratio:.3} times the file, the floor is {floor:.3}");
    assert_eq!(report.traffic.payload_bytes, size);
    report
}

#[test]
fn a_fair_link_costs_nothing_extra() {
    let report = check(Weather::fair(), 4 * MIB, 32, 1.0);
    assert_eq!(report.traffic.retransmitted_bytes, 0);
}

#[test]
fn loss_costs_little_more_than_the_floor_and_never_a_second() {
    for per_mille in [50, 200, 300] {
        let kept = 1.0 - per_mille as f64 / 1_000.0;
        let report = check(Weather::loss(per_mille), 8 * MIB, 16, 1.0 / (kept * kept));
        assert!(report.stall < Micros::from_secs(1), "stalled for {:?} at {per_mille}", report.stall);
    }
}

#[test]
fn maps_of_everything_bring_the_floor_down() {
    let weather = Weather { maps: true, ..Weather::loss(200) };
    check(weather, 4 * MIB, 32, 1.0 / 0.8);
}

#[test]
fn reordering_is_not_taken_for_loss() {
    let slow = Weather { delay: 20_000, reorder: 50, reorder_by: 60_000, duplicate: 50, ..Weather::loss(0) };
    check(slow, 4 * MIB, 32, 1.0);
    let mixed = Weather { delay: 2_000, reorder: 50, reorder_by: 20_000, duplicate: 50, ..Weather::loss(50) };
    check(mixed, 4 * MIB, 32, 1.0 / (0.95 * 0.95));
    let fast = Weather { delay: 100, reorder: 50, reorder_by: 2_000, duplicate: 50, ..Weather::loss(200) };
    check(fast, 4 * MIB, 32, 1.0 / (0.8 * 0.8));
}

#[test]
fn every_size_arrives() {
    for size in [0, 1, 639, 640, 641, 6_400, 6_401] {
        check(Weather::fair(), size, 16, 1.0);
        check(Weather::fair(), size, 1, 1.0);
    }
}
