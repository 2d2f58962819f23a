//! Rules of a device-pull.

use super::*;

fn rig(size: u64, change: impl FnOnce(&mut Plan)) -> Rig {
    let mut plan = plan(Driver::DevicePull, size);
    plan.mode.replies = Replies::Once;
    plan.mode.acks = Acks::NextRequest;
    plan.mode.confirms = true;
    change(&mut plan);
    Rig::new(plan)
}

fn want(tag: Tag, start: u64, end: u64) -> Event {
    Event::Want(Want { tag, span: Span::new(start, end), limit: 0 })
}

#[test]
fn nothing_goes_out_unasked() {
    let mut rig = rig(10_000, |_| {});
    assert_eq!(said(&rig.drain()), [CommandKind::Offer]);
    rig.hear([want(1, 0, 640)]);
    let hour = rig.wait(3_600_000);
    assert_eq!(pieces(&hour), []);
    assert!(said(&hour).len() <= 8, "a device that forgot the offer hears it now and then: {hour:?}");
    assert_eq!(rig.transfer.progress(rig.now).waiting.unwrap().reason, WaitReason::DeviceOffline);
}

#[test]
fn each_request_is_answered_once_in_packets_that_fit() {
    let mut rig = rig(10_000, |_| {});
    rig.drain();
    assert_eq!(pieces(&rig.hear([want(1, 0, 640), want(1, 0, 640)])), [(0, 640)]);
    assert_eq!(pieces(&rig.hear([want(1, 0, 640)])), [], "the network doubled it");
    assert_eq!(pieces(&rig.hear([want(2, 640, 2_000)])), [(640, 1_280), (1_280, 1_920), (1_920, 2_000)]);
    let limited = Event::Want(Want { tag: 3, span: Span::new(9_000, u64::MAX), limit: 600 });
    assert_eq!(pieces(&rig.hear([limited])), [(9_000, 9_600), (9_600, 10_000)]);
}

#[test]
fn a_device_that_asks_again_is_answered_again_but_not_for_ever() {
    let mut rig = rig(10_000, |plan| plan.repeat_limit = 5);
    rig.drain();
    for _ in 0..6 {
        assert_eq!(pieces(&rig.hear([want(1, 0, 640)])), [(0, 640)]);
        rig.wait(1_000);
    }
    assert_eq!(rig.transfer.traffic().retransmitted_bytes, 5 * 640);
    assert_eq!(pieces(&rig.hear([want(1, 0, 640)])), []);
    assert_eq!(rig.failure().code, code::RUNAWAY);
    assert_eq!(rig.failure().class, FailureClass::Permanent);
}

#[test]
fn past_the_end_there_are_empty_answers_and_then_none() {
    let mut rig = rig(1_280, |plan| plan.past_end_limit = 2);
    rig.drain();
    rig.hear([want(1, 0, 640), want(2, 640, 1_280)]);
    assert_eq!(pieces(&rig.hear([want(3, 1_280, 1_920)])), [(1_280, 1_280)]);
    assert_eq!(pieces(&rig.hear([want(4, 1_920, u64::MAX)])), [(1_920, 1_920)]);
    rig.hear([want(5, 2_560, 3_200)]);
    assert_eq!(rig.failure().code, code::RUNAWAY);
}

#[test]
fn the_next_request_is_the_acknowledgement() {
    let mut rig = rig(1_280, |_| {});
    rig.drain();
    rig.hear([want(1, 0, 640)]);
    assert_eq!(rig.transfer.progress(rig.now).done, 0);
    rig.wait(1_000);
    rig.hear([want(2, 0, 640)]);
    assert_eq!(rig.transfer.progress(rig.now).done, 0, "asked again: it did not arrive");
    rig.hear([want(3, 640, 1_280)]);
    assert_eq!(rig.transfer.progress(rig.now).done, 640);
    rig.hear([Event::Progress(Progress { phase: Phase::Downloaded, done: None, total: None })]);
    assert_eq!(rig.transfer.progress(rig.now).done, 1_280);
    assert_eq!(rig.ending, None);
    rig.hear([Event::Outcome(Outcome { verdict: Verdict::Good, text: Text::default() })]);
    assert_eq!(rig.confirmed(), Confirmed::DeviceVerdict);
}

#[test]
fn a_finish_with_digests_is_compared() {
    for (told, code) in [(&b"ours"[..], None), (b"other", Some(code::BAD_DIGEST))] {
        let mut rig = rig(640, |_| {});
        rig.drain();
        rig.hear([want(1, 0, 640)]);
        rig.hear([Event::Finish(Finish { tag: 0, size: Some(640), digests: vec![digest(told)] })]);
        match code {
            None => assert_eq!(rig.confirmed(), Confirmed::DeviceDigest),
            Some(code) => assert_eq!(rig.failure().code, code),
        }
    }
}

#[test]
fn an_offer_is_repeated_until_the_device_reacts() {
    let mut rig = rig(640, |_| {});
    rig.drain();
    assert_eq!(said(&rig.wait(7_000)), [CommandKind::Offer, CommandKind::Offer]);
    assert_eq!(said(&rig.hear([Event::AskOffer(5)])), [CommandKind::Offer]);
    rig.hear([want(1, 0, 640)]);
    assert_eq!(said(&rig.wait(29_000)), []);
    assert_eq!(said(&rig.wait(2_000)), [CommandKind::Offer], "silent for so long, it may have forgotten");
}

#[test]
fn an_empty_file_is_served_as_an_empty_piece() {
    let mut rig = rig(0, |_| {});
    rig.drain();
    assert_eq!(pieces(&rig.hear([want(1, 0, 640)])), [(0, 0)]);
}

#[test]
fn floods_of_requests_are_bounded() {
    let mut rig = rig(1 << 30, |plan| plan.rate = Some(1));
    rig.drain();
    for piece in 0..5_000 {
        rig.transfer.handle(want(piece, piece * 640, piece * 640 + 640), rig.now);
    }
    assert!(rig.transfer.progress(rig.now).in_flight <= 1_024);
    assert!(rig.transfer.progress(rig.now).faults.implausible > 3_000);
}

#[test]
fn a_piece_that_no_packet_can_carry_ends_it_and_names_both_numbers() {
    for (limit, words) in
        [(None, "its codec allows pieces of at most 1000"), (Some(900), "the broker allows pieces of at most 900")]
    {
        let mut rig = rig(10_000, |plan| {
            plan.mode.packet_max = 1_000;
            plan.piece_limit = limit.map(|bytes| PieceLimit { bytes, by: "the broker" });
        });
        rig.drain();
        let asks = |start, limit| Event::Want(Want { tag: 1, span: Span::new(start, start + 4_096), limit });
        assert_eq!(pieces(&rig.hear([asks(9_990, 4_096)])), [(9_990, 10_000)], "the file ends before the limit");
        rig.hear([asks(0, 4_096)]);
        assert_eq!(rig.failure().code, code::PIECE_TOO_LARGE);
        let message = &rig.failure().message;
        assert!(message.contains("asks for 4096 bytes") && message.contains(words), "{message}");
    }
}

fn hello(title: &str, version: &str) -> Event {
    Event::Hello(Hello { tag: 0, title: title.to_owned(), version: version.to_owned(), meta: Vec::new() })
}

fn versioned(confirms: bool) -> Rig {
    let mut rig = rig(1_280, |plan| {
        plan.file.meta = vec![("title".to_owned(), "Pump".to_owned()), ("version".to_owned(), "2.0".to_owned())];
        plan.mode.confirms = confirms;
    });
    rig.drain();
    rig
}

#[test]
fn a_greeting_in_the_middle_of_a_download_is_no_reason_to_announce_anew() {
    let mut rig = versioned(true);
    assert_eq!(said(&rig.hear([hello("Pump", "1.0")])), [], "it was told just now");
    rig.wait(1_900);
    rig.hear([want(1, 0, 640)]);
    rig.wait(3_000);
    assert_eq!(said(&rig.hear([hello("Pump", "1.0")])), []);
    assert_eq!(said(&rig.hear([hello("Pump", "1.1")])), [CommandKind::Offer], "it runs another one: it restarted");
    rig.hear([want(1, 0, 640)]);
    rig.wait(29_000);
    assert_eq!(said(&rig.hear([hello("Pump", "1.1")])), []);
}

#[test]
fn a_device_that_runs_what_is_pushed_has_it_where_its_protocol_has_no_other_word() {
    for (title, version, good) in
        [("Pump", "2.0", true), ("", "2.0", true), ("Valve", "2.0", false), ("Pump", "1.0", false), ("Pump", "", false)]
    {
        let mut rig = versioned(false);
        rig.hear([want(1, 0, 640), hello(title, version)]);
        assert_eq!(rig.ending.is_some(), good, "{title} {version}");
        if good {
            assert_eq!(rig.confirmed(), Confirmed::DeviceVerdict);
        }
    }
    let mut rig = versioned(true);
    rig.hear([want(1, 0, 640), hello("Pump", "2.0")]);
    assert_eq!(rig.ending, None, "this protocol says itself how it ended");
}
