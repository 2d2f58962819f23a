//! Rules of a platform-push, one by one.

use super::*;

pub(super) fn rig(size: u64, change: impl FnOnce(&mut Plan)) -> Rig {
    let mut plan = plan(Driver::PlatformPush, size);
    change(&mut plan);
    Rig::new(plan)
}

pub(super) fn asked(action: &Action) -> Option<Tag> {
    match action {
        Action::Say(Command::Query(tag)) => Some(*tag),
        _ => None,
    }
}

pub(super) fn query_tag(actions: &[Action]) -> Tag {
    actions.iter().find_map(asked).expect("the device is asked")
}

pub(super) fn answer(tag: Tag) -> Event {
    Event::Finish(Finish { tag, size: None, digests: vec![] })
}

fn outcome(verdict: Verdict) -> Event {
    Event::Outcome(Outcome { verdict, text: Text { code: "17".to_owned(), message: "no".to_owned() } })
}

/// The checkpoint of a push of 100 pieces of which the first ten are acknowledged.
pub(super) fn half_way(change: impl FnOnce(&mut Plan)) -> (Plan, Checkpoint) {
    let mut plan = plan(Driver::PlatformPush, 64_000);
    change(&mut plan);
    let mut rig = Rig::new(plan.clone());
    rig.drain();
    rig.hear([ack(0, 6_400)]);
    rig.transfer.park(rig.now);
    rig.drain();
    assert_eq!(rig.ending, Some(Ending::Parked));
    (plan, rig.checkpoints.pop().unwrap())
}

#[test]
fn offers_first_and_then_fills_the_window() {
    let mut rig = rig(10_000, |plan| plan.window = 3);
    let actions = rig.drain();
    assert_eq!(said(&actions[..1]), [CommandKind::Offer]);
    assert_eq!(pieces(&actions), [(0, 640), (640, 1_280), (1_280, 1_920)]);
}

#[test]
fn a_device_that_only_appends_gets_one_piece_at_a_time() {
    let mut rig = rig(10_000, |plan| plan.mode.order = Order::Sequential);
    assert_eq!(pieces(&rig.drain()), [(0, 640)]);
    assert_eq!(pieces(&rig.hear([ack(0, 640)])), [(640, 1_280)]);
}

#[test]
fn the_window_never_exceeds_what_the_device_bears() {
    let mut rig = rig(100_000, |plan| {
        plan.window = 500;
        plan.mode.window_max = 4;
    });
    assert_eq!(pieces(&rig.drain()).len(), 4);
}

#[test]
fn a_silent_device_gets_one_window_and_then_single_probes() {
    let mut rig = rig(100_000, |plan| plan.window = 4);
    assert_eq!(pieces(&rig.drain()).len(), 4);
    let probes = pieces(&rig.wait(10_000));
    assert!(probes.iter().all(|piece| *piece == (0, 640)), "{probes:?}");
    // 300 ms five times, then doubled each time: 0.3, 0.6, 0.9, 1.2, 1.5, 2.1, 3.3, 5.7 s.
    assert_eq!(probes.len(), 8);
    // Eight or so each quarter of a minute, for a device that is soon back, and then one a minute.
    let later = [120_000, 480_000].map(|millis| pieces(&rig.wait(millis)).len());
    assert!((8..=10).contains(&later[0]) && (7..=10).contains(&later[1]), "{later:?}");
}

#[test]
fn a_probe_does_not_wait_behind_a_doubled_time_out_once_anything_is_heard() {
    let mut rig = rig(100_000, |plan| plan.window = 2);
    rig.drain();
    rig.wait(12_000);
    let actions = rig.hear([Event::Progress(Progress { phase: Phase::Downloading, done: None, total: None })]);
    let soon = rig.wait(1);
    assert_eq!(pieces(&[actions, soon].concat()), [(0, 640)]);
}

#[test]
fn a_later_acknowledgement_shows_a_loss_after_nine_eighths_of_a_round_trip() {
    let mut rig = rig(100_000, |plan| plan.window = 3);
    rig.drain();
    rig.now = rig.now + Micros::from_millis(80);
    assert_eq!(pieces(&rig.hear([ack(640, 1_280)])), [(1_920, 2_560)]);
    assert_eq!(pieces(&rig.wait(9)), []);
    assert_eq!(pieces(&rig.wait(2)), [(0, 640), (2_560, 3_200)].map(|p| p)[..1]);
}

#[test]
fn acknowledgements_of_what_cannot_be_are_counted_and_ignored() {
    let mut rig = rig(10_000, |plan| plan.window = 2);
    rig.drain();
    for lie in [ack(0, 10_001), ack(9_000, 20_000), ack(500, 400), Event::AckThrough(u64::MAX - 1)] {
        assert_eq!(pieces(&rig.hear([lie])), []);
    }
    assert_eq!(rig.transfer.progress(rig.now).faults.implausible, 4);
    rig.hear([ack(5_000, 6_000)]);
    let report = rig.transfer.progress(rig.now);
    assert_eq!((report.done, report.faults.implausible), (0, 5));
    rig.hear([ack(0, u64::MAX)]);
    let report = rig.transfer.progress(rig.now);
    assert_eq!(report.done, 1_280, "of a claim on everything, what was sent is believed");
}

#[test]
fn missing_takes_acknowledged_bytes_back_and_sends_them_again() {
    let mut rig = rig(10_000, |plan| plan.window = 4);
    rig.drain();
    rig.now = rig.now + Micros::from_millis(50);
    rig.hear([Event::AckThrough(2_560)]);
    assert_eq!(rig.transfer.progress(rig.now).done, 2_560);
    rig.hear([ack(2_560, 3_200), Event::Missing(Span::new(640, 1_280))]);
    let report = rig.transfer.progress(rig.now);
    assert_eq!(report.done, 2_560);
    assert_eq!(rig.transfer.traffic().retransmitted_bytes, 640);
}

#[test]
fn a_piece_still_on_its_way_is_not_sent_again_because_it_is_listed_as_missing() {
    let mut rig = rig(100_000, |plan| plan.window = 4);
    rig.drain();
    rig.now = rig.now + Micros::from_millis(50);
    let next = pieces(&rig.hear([Event::AckThrough(640)]));
    assert_eq!(next, [(2_560, 3_200)]);
    let again = pieces(&rig.hear([Event::Missing(Span::new(640, 100_000))]));
    assert_eq!(again, [(640, 1_280), (1_280, 1_920), (1_920, 2_560)], "the three that are a round trip old");
}

#[test]
fn without_a_query_a_lower_ack_through_takes_nothing_back() {
    let mut rig = rig(10_000, |plan| plan.window = 4);
    rig.drain();
    rig.hear([Event::AckThrough(1_920)]);
    for _ in 0..50 {
        rig.now = rig.now + Micros::from_millis(100);
        rig.hear([Event::AckThrough(640)]);
    }
    assert_eq!(rig.transfer.progress(rig.now).done, 1_920);
}

#[test]
fn silence_is_reported_and_a_word_resumes_at_once() {
    let mut rig = rig(100_000, |plan| {
        plan.mode.can_query = true;
        plan.window = 2;
    });
    rig.drain();
    rig.hear([ack(0, 640)]);
    let heard = rig.now;
    rig.wait(40_000);
    let waiting = rig.transfer.progress(rig.now).waiting.unwrap();
    assert_eq!((waiting.reason, waiting.since), (WaitReason::DeviceOffline, heard));
    assert_eq!(waiting.text, "silent since byte 640 of our push");
    let tag = query_tag(&rig.wait(60_000));
    let resent = pieces(&rig.hear([Event::AckThrough(640), answer(tag)]));
    assert_eq!(resent, [(640, 1_280), (1_280, 1_920)]);
    assert_eq!(rig.transfer.progress(rig.now).waiting, None);
}

#[test]
fn a_bus_that_comes_back_probes_at_once_and_not_before() {
    let mut rig = rig(100_000, |plan| plan.window = 2);
    rig.drain();
    rig.transfer.handle_connection(false, rig.now);
    rig.drain();
    assert_eq!(rig.wait(3_600_000), []);
    let waiting = rig.transfer.progress(rig.now).waiting.unwrap();
    assert_eq!(waiting.reason, WaitReason::BusOffline);
    rig.transfer.handle_connection(true, rig.now);
    assert_eq!(pieces(&rig.drain()), [(0, 640)]);
}

#[test]
fn a_pause_is_kept() {
    let mut rig = rig(100_000, |plan| plan.window = 2);
    rig.drain();
    assert_eq!(rig.hear([Event::Pause(5_000), ack(0, 1_280)]), []);
    assert_eq!(rig.wait(4_999), []);
    assert_eq!(rig.transfer.progress(rig.now).waiting.unwrap().reason, WaitReason::DevicePaused);
    assert_eq!(pieces(&rig.wait(2)).len(), 2);
    assert_eq!(rig.hear([ack(1_280, 1_920), Event::Pause(0)]), []);
    assert_eq!(rig.wait(20_000), []);
    assert_eq!(pieces(&rig.hear([ack(1_920, 2_560)])).len(), 2, "it spoke again");
}

#[test]
fn a_verdict_is_awaited_where_the_device_gives_one() {
    let mut rig = rig(640, |plan| plan.mode.confirms = true);
    rig.drain();
    rig.hear([ack(0, 640)]);
    assert_eq!(rig.ending, None);
    assert_eq!(rig.transfer.progress(rig.now).waiting.unwrap().reason, WaitReason::DeviceVerdict);
    assert!(!pieces(&rig.wait(5_000)).is_empty(), "the last piece again, to make it speak");
    rig.hear([outcome(Verdict::Good)]);
    assert_eq!(rig.confirmed(), Confirmed::DeviceVerdict);
}

#[test]
fn a_verdict_that_does_not_come_is_asked_for() {
    let mut rig = rig(1_280, |plan| {
        plan.mode.confirms = true;
        plan.mode.can_query = true;
    });
    rig.drain();
    rig.hear([ack(0, 1_280)]);
    let tag = query_tag(&rig.wait(1_000));
    rig.hear([Event::AckThrough(640), answer(tag)]);
    assert_eq!(rig.ending, None, "the device lost a piece");
    rig.hear([ack(640, 1_280)]);
    let tag = query_tag(&rig.wait(1_000));
    rig.hear([Event::Finish(Finish { tag, size: Some(1_280), digests: vec![digest(b"ours")] })]);
    assert_eq!(rig.confirmed(), Confirmed::DeviceDigest);
}

#[test]
fn verdicts_end_it_in_their_own_way() {
    let cases = [
        (Verdict::BadDigest, code::BAD_DIGEST, FailureClass::Transient, true),
        (Verdict::Refused, code::REFUSED, FailureClass::Permanent, false),
        (Verdict::DeviceFull, code::DEVICE_FULL, FailureClass::Permanent, false),
        (Verdict::Cancelled, code::DEVICE_CANCELLED, FailureClass::Permanent, false),
        (Verdict::Failed, code::DEVICE_FAILED, FailureClass::Transient, false),
    ];
    for (verdict, code, class, restart) in cases {
        let mut rig = rig(640, |_| {});
        rig.drain();
        rig.hear([outcome(verdict)]);
        let failure = rig.failure();
        assert_eq!((failure.code, failure.class, failure.restart), (code, class, restart), "{verdict:?}");
        assert!(failure.message.contains("dev-1") && failure.message.contains("17"), "{}", failure.message);
    }
}

#[test]
fn a_verdict_on_bytes_that_were_never_sent_is_an_old_one() {
    for verdict in [Verdict::Good, Verdict::BadDigest] {
        let mut rig = rig(100_000, |plan| plan.mode.confirms = true);
        rig.drain();
        rig.hear([outcome(verdict)]);
        assert_eq!(rig.ending, None);
        assert_eq!(rig.transfer.progress(rig.now).faults.implausible, 1);
    }
}

#[test]
fn acknowledgements_of_everything_end_a_push_where_nothing_more_is_said() {
    let mut rig = rig(1_000, |_| {});
    rig.drain();
    rig.hear([ack(0, 640)]);
    rig.hear([ack(640, 1_000), outcome(Verdict::Good)]);
    assert_eq!(rig.confirmed(), Confirmed::DeviceVerdict, "a verdict in the same batch counts");
}

#[test]
fn another_digest_than_ours_is_no_success() {
    let mut rig = rig(640, |plan| plan.mode.confirms = true);
    rig.drain();
    rig.hear([ack(0, 640), Event::Finish(Finish { tag: 0, size: Some(640), digests: vec![digest(b"other")] })]);
    assert_eq!(rig.failure().code, code::BAD_DIGEST);
    assert!(rig.failure().restart);
}

#[test]
fn an_empty_file_is_one_empty_piece_that_is_acknowledged() {
    let mut rig = rig(0, |_| {});
    let actions = rig.drain();
    assert!(actions.contains(&Action::Send { tag: 0, span: Span::new(0, 0), last: true }));
    assert_eq!(rig.ending, None);
    assert_eq!(pieces(&rig.wait(400)), [(0, 0)], "it is probed like any other");
    rig.hear([ack(0, 0)]);
    assert_eq!(rig.confirmed(), Confirmed::Acks);
}

#[test]
fn a_grid_outlives_a_change_of_the_packet_size() {
    let (mut plan, mut checkpoint) = half_way(|plan| plan.mode.grid = true);
    plan.packet_size = 1_000;
    checkpoint.done.remove(Span::new(700, 800));
    let mut rig = Rig::resumed(plan, Some(checkpoint));
    assert_eq!(pieces(&rig.drain())[..2], [(640, 1_280), (6_400, 7_040)]);
}

#[test]
fn a_device_may_acknowledge_in_its_own_sizes() {
    let mut rig = rig(2_000, |plan| plan.window = 2);
    rig.drain();
    assert_eq!(pieces(&rig.hear([ack(0, 100), ack(100, 900)])), [(1_280, 1_920)]);
    assert_eq!(pieces(&rig.hear([ack(900, 1_920)])), [(1_920, 2_000)]);
}

#[test]
fn progress_is_stored_every_256_packets_or_tenth_of_a_second() {
    let mut rig = rig(1_000_000, |plan| plan.window = 256);
    rig.drain();
    for piece in 0..300_u64 {
        rig.hear([ack(piece * 640, piece * 640 + 640)]);
    }
    assert_eq!(rig.checkpoints.len(), 1);
    assert_eq!(rig.checkpoints[0].done.covered(), 256 * 640);
    rig.wait(101);
    assert_eq!(rig.checkpoints[1].done.covered(), 300 * 640);
    rig.wait(5_000);
    assert_eq!(rig.checkpoints.len(), 2, "nothing new, nothing to store");
}

#[test]
fn both_directions_are_charged_to_the_rate() {
    let mut rig = rig(64_000, |plan| {
        plan.rate = Some(10_000);
        plan.window = 100;
    });
    let began = rig.now;
    let mut flying = pieces(&rig.drain());
    while rig.ending.is_none() {
        let more = match flying.pop() {
            Some((start, end)) => rig.hear([ack(start, end)]),
            None => rig.wait(10),
        };
        flying.extend(pieces(&more));
    }
    let traffic = rig.transfer.traffic();
    let seconds = rig.now.since(began).0 as f64 / 1e6;
    let rate = traffic.wire_bytes as f64 / seconds;
    assert!((9_000.0..11_500.0).contains(&rate), "{rate} bytes a second");
}

#[test]
fn cancelling_tells_the_device_where_it_can_be_told() {
    let mut rig = rig(10_000, |plan| plan.mode.can_cancel = true);
    rig.drain();
    rig.transfer.cancel(Text::default(), rig.now);
    assert_eq!(said(&rig.drain()), [CommandKind::Cancel]);
    assert_eq!(rig.ending, Some(Ending::Cancelled));
    assert!(rig.transfer.is_finished());
    assert_eq!((rig.hear([ack(0, 640)]), rig.transfer.poll_timeout()), (vec![], None));
}

#[test]
fn a_codec_that_cannot_say_a_piece_fails_the_transfer() {
    let mut rig = rig(10_000, |_| {});
    rig.drain();
    rig.transfer.handle_unsupported(CommandKind::Offer, rig.now);
    rig.drain();
    assert_eq!(rig.ending, None);
    rig.transfer.handle_unsupported(CommandKind::Chunk, rig.now);
    rig.drain();
    assert_eq!(rig.failure().code, code::CODEC_WORDS);
}

#[test]
fn a_fatal_fault_of_the_codec_ends_it_and_others_are_counted() {
    let mut rig = rig(10_000, |_| {});
    rig.drain();
    for words in ["one", "two", "three", "four", "five", "six"] {
        rig.transfer.handle_fault(Fault::Malformed(words.to_owned()), rig.now);
    }
    rig.transfer.handle_fault(Fault::NotMine, rig.now);
    let faults = rig.transfer.progress(rig.now).faults;
    assert_eq!((faults.malformed, faults.not_mine), (6, 1));
    assert_eq!(faults.last, ["two", "three", "four", "five", "six"]);
    rig.transfer.handle_fault(Fault::Fatal(Text { code: "E9".to_owned(), message: "worn out".to_owned() }), rig.now);
    rig.drain();
    assert_eq!(rig.failure().code, code::CODEC_FATAL);
    assert!(rig.failure().message.contains("worn out"));
}

#[test]
fn the_device_hears_the_offer_again_while_it_says_nothing() {
    let mut rig = rig(10_000, |_| {});
    rig.drain();
    assert!(said(&rig.wait(400)).contains(&CommandKind::Offer));
    assert_eq!(said(&rig.hear([Event::AskOffer(9)])), [CommandKind::Offer]);
}

#[test]
fn what_does_not_fit_is_refused_before_it_begins() {
    let now = Time(0);
    let check = |change: fn(&mut Plan)| {
        let mut plan = plan(Driver::PlatformPush, 1_000);
        change(&mut plan);
        Transfer::new(plan, None, now).unwrap_err()
    };
    assert!(matches!(check(|plan| plan.file.size = None), TransferError::NoSize { .. }));
    assert!(matches!(check(|plan| plan.packet_size = 0), TransferError::PacketSize { .. }));
    assert!(matches!(check(|plan| plan.packet_size = 70_000), TransferError::PacketSize { .. }));
    assert!(matches!(check(|plan| plan.mode.packet_align = 512), TransferError::PacketSize { .. }));
    assert!(matches!(check(|plan| plan.mode.file_max = 999), TransferError::TooLarge { .. }));
    assert!(matches!(check(|plan| plan.window = 0), TransferError::Window));
    let (mut plan, checkpoint) = half_way(|_| {});
    plan.file.size = Some(63_999);
    assert!(matches!(Transfer::new(plan, Some(checkpoint), now), Err(TransferError::Checkpoint(_))));
}

#[test]
fn checkpoints_survive_being_written_down() {
    let (plan, checkpoint) = half_way(|_| {});
    let text = serde_json::to_string(&checkpoint).unwrap();
    assert!(text.contains(r#""done":[[0,6400]]"#), "{text}");
    let read: Checkpoint = serde_json::from_str(&text).unwrap();
    assert_eq!(read, checkpoint);
    let newer = Checkpoint { version: 99, ..read };
    assert!(matches!(Transfer::new(plan, Some(newer), Time(0)), Err(TransferError::Version { found: 99, .. })));
}

#[test]
fn a_silent_device_that_others_have_heard_is_probed_at_once_and_then_as_at_first() {
    for can_query in [false, true] {
        let mut rig = rig(100_000, |plan| plan.mode.can_query = can_query);
        rig.drain();
        rig.hear([ack(0, 640)]);
        rig.wait(1_200_000);
        rig.transfer.wake(rig.now);
        rig.drain();
        let woken = rig.wait(1_000);
        assert!(!woken.is_empty(), "the next probe was up to a minute away");
        let at_first = woken.len();
        assert!(at_first < 20, "{woken:?}");
        rig.wait(1_200_000);
        for _ in 0..1_000 {
            rig.transfer.wake(rig.now);
            assert!(rig.drain().is_empty(), "a probe waits for its time");
        }
        assert_eq!(rig.wait(1_000).len(), at_first, "however often it is told");
        let heard = rig.transfer.progress(rig.now).last_heard;
        assert!(
            rig.transfer.progress(rig.now).waiting.is_some_and(|waiting| waiting.reason == WaitReason::DeviceOffline)
        );
        assert!(
            heard.is_some_and(|heard| rig.now.since(heard) > Micros::from_secs(2_000)),
            "nothing of it was heard here"
        );
    }
}

#[test]
fn a_device_that_talks_is_not_disturbed_by_what_others_hear() {
    let mut rig = rig(100_000, |plan| plan.window = 4);
    rig.drain();
    rig.hear([ack(0, 640)]);
    rig.transfer.wake(rig.now);
    assert!(rig.drain().is_empty());
}
