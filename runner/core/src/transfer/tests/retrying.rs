//! Devices whose own tries fail and which begin again by themselves.

use super::*;

fn retrying(verdict: Verdict) -> Event {
    Event::Retrying(Outcome { verdict, text: Text { code: "17".to_owned(), message: "flash".to_owned() } })
}

fn good() -> Event {
    Event::Outcome(Outcome { verdict: Verdict::Good, text: Text::default() })
}

fn want(tag: Tag, start: u64, end: u64) -> Event {
    Event::Want(Want { tag, span: Span::new(start, end), limit: 0 })
}

/// A device-pull whose device has asked for everything once.
fn served(change: impl FnOnce(&mut Plan)) -> Rig {
    let mut plan = plan(Driver::DevicePull, 1_280);
    plan.mode.replies = Replies::Once;
    plan.mode.acks = Acks::NextRequest;
    plan.mode.confirms = true;
    plan.repeat_limit = 1;
    change(&mut plan);
    let mut rig = Rig::new(plan);
    rig.drain();
    assert_eq!(pieces(&rig.hear([want(1, 0, 1_280)])), [(0, 640), (640, 1_280)]);
    rig
}

#[test]
fn it_is_served_anew_three_times_and_the_fourth_failure_ends_the_attempt() {
    let mut rig = served(|_| {});
    for again in 1..=3 {
        rig.hear([Event::Progress(Progress { phase: Phase::Downloaded, done: None, total: None })]);
        assert_eq!(rig.transfer.progress(rig.now).done, 1_280);
        assert_eq!(
            rig.hear([retrying(Verdict::BadDigest)]),
            [],
            "it asks by itself; an offer would make it begin twice"
        );
        assert_eq!((rig.transfer.progress(rig.now).done, rig.ending.as_ref()), (0, None));
        // More often than `repeat_limit` allows for one download.
        assert_eq!(pieces(&rig.hear([want(1, 0, 1_280)])), [(0, 640), (640, 1_280)]);
        assert_eq!(rig.transfer.traffic().retransmitted_bytes, again * 1_280);
    }
    assert!(rig.transfer.faults().last.last().is_some_and(|words| words.contains("try 3 of the device failed")));
    rig.hear([retrying(Verdict::BadDigest)]);
    let failure = rig.failure();
    assert_eq!((failure.code, failure.restart), (code::BAD_DIGEST, true));
    assert!(failure.message.contains("it tried 4 times") && failure.message.contains("17"), "{}", failure.message);
}

#[test]
fn the_last_try_may_end_well() {
    let mut rig = served(|_| {});
    rig.hear([retrying(Verdict::Failed), want(2, 0, 1_280), good()]);
    assert_eq!(rig.confirmed(), Confirmed::DeviceVerdict);
}

#[test]
fn what_was_said_before_it_counts_first() {
    let mut rig = served(|_| {});
    rig.hear([good(), retrying(Verdict::Failed)]);
    assert_eq!(rig.confirmed(), Confirmed::DeviceVerdict, "as in two batches");
}

#[test]
fn what_it_got_before_proves_nothing() {
    let mut rig = served(|plan| plan.mode.confirms = false);
    rig.hear([retrying(Verdict::Failed)]);
    assert_eq!(pieces(&rig.hear([want(2, 0, 640)])), [(0, 640)]);
    rig.hear([Event::Finish(Finish { tag: 0, size: Some(1_280), digests: vec![] })]);
    assert_eq!(rig.ending, None, "of this try it has the first half");
    assert_eq!(rig.transfer.progress(rig.now).done, 640);
}

#[test]
fn silence_after_it_is_silence_as_ever() {
    let mut rig = served(|_| {});
    rig.hear([retrying(Verdict::Failed)]);
    assert_eq!(said(&rig.wait(29_000)), []);
    assert_eq!(said(&rig.wait(2_000)), [CommandKind::Offer], "it may wait for an offer");
    assert_eq!(rig.transfer.progress(rig.now).waiting.unwrap().reason, WaitReason::DeviceOffline);
}

#[test]
fn a_failure_of_before_this_attempt_is_none_of_its_tries() {
    let mut rig = Rig::new(plan(Driver::DevicePull, 1_280));
    rig.drain();
    for _ in 0..8 {
        rig.hear([retrying(Verdict::BadDigest)]);
    }
    assert_eq!((rig.transfer.faults().implausible, rig.ending.as_ref()), (8, None));
    for _ in 0..4 {
        rig.hear([retrying(Verdict::BadDigest)]);
    }
    assert_eq!(rig.failure().code, code::BAD_DIGEST, "it means it");
}

#[test]
fn nobody_tries_again_what_went_well() {
    let mut rig = served(|_| {});
    for _ in 0..9 {
        rig.hear([retrying(Verdict::Good)]);
    }
    assert_eq!((rig.transfer.faults().implausible, rig.ending.as_ref()), (9, None));
}

#[test]
fn a_push_sends_everything_again() {
    let mut rig = Rig::new(plan(Driver::PlatformPush, 1_280));
    rig.drain();
    rig.hear([ack(0, 640)]);
    assert_eq!(pieces(&rig.hear([retrying(Verdict::Failed)])), [(0, 640), (640, 1_280)]);
    assert_eq!((rig.transfer.progress(rig.now).done, rig.ending.as_ref()), (0, None));
    rig.hear([ack(0, 1_280)]);
    assert_eq!(rig.confirmed(), Confirmed::Acks);
}

#[test]
fn a_device_that_sends_may_begin_again_and_what_came_stays() {
    let mut rig = Rig::new(pull_plan(Driver::DevicePush));
    rig.drain();
    let data = Data { tag: 1, offset: 0, bytes: vec![7; 640], sum: Sum::Absent, last: false };
    rig.hear([Event::Data(data)]);
    rig.transfer.handle_durable(&[Span::new(0, 640)], rig.now);
    rig.drain();
    for _ in 0..3 {
        rig.hear([retrying(Verdict::Failed)]);
    }
    assert_eq!((rig.transfer.progress(rig.now).done, rig.ending.as_ref()), (640, None));
    rig.hear([retrying(Verdict::Failed)]);
    assert_eq!(rig.failure().code, code::DEVICE_FAILED);
}
