//! What a platform-push asks its device, and what it makes of the answers.

use super::push_rules::{answer, asked, half_way, query_tag, rig};
use super::*;

/// Acknowledges piece by piece; what it says to the last one.
fn all_acknowledged(rig: &mut Rig) -> Vec<Action> {
    (0..=100).map(|pieces| rig.hear([ack(0, pieces * 640)])).last().unwrap_or_default()
}

#[test]
fn a_lower_ack_through_that_stays_makes_us_ask_and_only_the_answer_rewinds() {
    let mut rig = rig(100_000, |plan| {
        plan.mode.can_query = true;
        plan.window = 4;
    });
    rig.drain();
    rig.now = rig.now + Micros::from_millis(10);
    rig.hear([Event::AckThrough(2_560)]);
    assert_eq!(said(&rig.hear([Event::AckThrough(640)])), [], "one may be an old one, come late");
    rig.now = rig.now + Micros::from_millis(5);
    rig.hear([Event::AckThrough(2_560)]);
    rig.now = rig.now + Micros::from_millis(5);
    assert_eq!(said(&rig.hear([Event::AckThrough(640)])), []);
    rig.now = rig.now + Micros::from_millis(60);
    let tag = query_tag(&rig.hear([Event::AckThrough(640)]));
    assert_eq!(rig.transfer.progress(rig.now).done, 2_560);
    rig.hear([Event::AckThrough(640), answer(tag + 1)]);
    assert_eq!(rig.transfer.progress(rig.now).done, 2_560, "an answer to another question");
    let resent = rig.hear([Event::AckThrough(640), ack(1_280, 1_920), answer(tag)]);
    assert_eq!(rig.transfer.progress(rig.now).done, 1_280);
    assert_eq!(pieces(&resent)[..2], [(640, 1_280), (1_920, 2_560)]);
}

#[test]
fn a_resume_asks_first_and_believes_only_what_was_sent() {
    let (plan, checkpoint) = half_way(|plan| plan.mode.can_query = true);
    let mut rig = Rig::resumed(plan, Some(checkpoint));
    let actions = rig.drain();
    assert_eq!((pieces(&actions), rig.transfer.traffic().resumes), (vec![], 1));
    let tag = query_tag(&actions);
    let sent = pieces(&rig.hear([Event::AckThrough(64_000), answer(tag)]));
    let all_sent_before = 26 * 640;
    assert_eq!(rig.transfer.progress(rig.now).done, all_sent_before);
    assert_eq!(sent[0].0, all_sent_before);
}

#[test]
fn a_resume_takes_back_what_the_device_lost() {
    let (plan, checkpoint) = half_way(|plan| plan.mode.can_query = true);
    let mut rig = Rig::resumed(plan, Some(checkpoint));
    let tag = query_tag(&rig.drain());
    let sent = pieces(&rig.hear([Event::AckThrough(1_000), answer(tag)]));
    assert_eq!(sent[0], (1_000, 1_640));
}

#[test]
fn a_device_that_has_less_than_in_an_earlier_attempt_is_asked_again() {
    let (plan, checkpoint) = half_way(|plan| plan.mode.can_query = true);
    let mut rig = Rig::resumed(plan, Some(checkpoint));
    let tag = query_tag(&rig.drain());
    assert_eq!(pieces(&rig.hear([answer(tag)]))[0].0, 6_400, "the answer tells nothing");
    rig.hear([Event::AckThrough(0)]);
    rig.now = rig.now + Micros::from_secs(2);
    let tag = query_tag(&rig.hear([Event::AckThrough(0)]));
    assert_eq!(pieces(&rig.hear([Event::AckThrough(0), answer(tag)]))[0], (0, 640));
}

#[test]
fn a_device_that_takes_back_what_it_acknowledged_is_not_served_for_ever() {
    let mut rig = rig(6_400, |plan| plan.mode.can_query = true);
    rig.drain();
    let mut times = 0;
    while rig.ending.is_none() && times < 20 {
        rig.hear([Event::AckThrough(5_760)]);
        rig.now = rig.now + Micros::from_secs(2);
        rig.hear([Event::AckThrough(0)]);
        rig.now = rig.now + Micros::from_secs(2);
        let tag = query_tag(&rig.hear([Event::AckThrough(640), Event::AckThrough(0)]));
        rig.hear([Event::AckThrough(0), answer(tag)]);
        times += 1;
    }
    assert_eq!((rig.failure().code, times), (code::DEVICE_LIES, 5));
}

#[test]
fn an_answer_of_a_size_only_bounds_what_is_there() {
    let (plan, checkpoint) = half_way(|plan| plan.mode.can_query = true);
    let mut rig = Rig::resumed(plan, Some(checkpoint));
    let tag = query_tag(&rig.drain());
    rig.hear([Event::Finish(Finish { tag, size: Some(640), digests: vec![digest(b"part")] })]);
    assert_eq!(rig.transfer.progress(rig.now).done, 640);
}

#[test]
fn an_answer_with_our_digest_ends_it() {
    let (plan, checkpoint) = half_way(|plan| plan.mode.can_query = true);
    let mut rig = Rig::resumed(plan, Some(checkpoint));
    let tag = query_tag(&rig.drain());
    rig.hear([Event::Finish(Finish { tag, size: Some(64_000), digests: vec![digest(b"ours")] })]);
    assert_eq!(rig.confirmed(), Confirmed::DeviceDigest);
    assert_eq!(rig.transfer.traffic().payload_bytes, 64_000);
}

#[test]
fn a_device_that_answers_no_questions_is_not_asked_for_ever() {
    let (plan, checkpoint) = half_way(|plan| plan.mode.can_query = true);
    let mut rig = Rig::resumed(plan, Some(checkpoint));
    rig.drain();
    let mut sent = 0;
    for _ in 0..100 {
        sent += pieces(&rig.wait(400)).len();
        sent += pieces(&rig.hear([ack(0, 640)])).len();
    }
    assert!(sent > 16, "it goes on from the acknowledgements");
}

#[test]
fn a_resumed_push_ends_by_acknowledgements_only_when_the_device_proves_that_it_holds_the_file() {
    let (plan, checkpoint) = half_way(|plan| plan.mode.can_query = true);
    let mut rig = Rig::resumed(plan, Some(checkpoint));
    let tag = query_tag(&rig.drain());
    rig.hear([answer(tag)]);
    let tag = query_tag(&all_acknowledged(&mut rig));
    assert_eq!(rig.ending, None, "it may have thrown the first part away");
    rig.hear([answer(tag)]);
    let tag = query_tag(&rig.wait(1_000));
    assert_eq!(rig.transfer.progress(rig.now).waiting.unwrap().reason, WaitReason::DeviceAnswer);
    rig.hear([Event::Finish(Finish { tag, size: None, digests: vec![digest(b"ours")] })]);
    assert_eq!(rig.confirmed(), Confirmed::DeviceDigest);
}

#[test]
fn a_resumed_push_whose_first_part_is_gone_begins_again() {
    let (plan, checkpoint) = half_way(|plan| plan.mode.can_query = true);
    let mut rig = Rig::resumed(plan, Some(checkpoint));
    let tag = query_tag(&rig.drain());
    rig.hear([answer(tag)]);
    let mut tag = query_tag(&all_acknowledged(&mut rig));
    for _ in 0..2 {
        assert_eq!(pieces(&rig.hear([answer(tag)])), []);
        tag = (0..4).find_map(|_| rig.wait(1_000).iter().find_map(asked)).expect("it is asked again");
    }
    assert_eq!(pieces(&rig.hear([answer(tag)]))[0], (0, 640));
    all_acknowledged(&mut rig);
    assert_eq!(rig.confirmed(), Confirmed::Acks);
}

#[test]
fn a_codec_without_a_query_is_not_asked() {
    let (plan, checkpoint) = half_way(|plan| plan.mode.can_query = true);
    let mut rig = Rig::resumed(plan, Some(checkpoint));
    rig.drain();
    rig.transfer.handle_unsupported(CommandKind::Query, rig.now);
    assert_eq!(pieces(&rig.drain())[0], (6_400, 7_040));
}

#[test]
fn a_device_that_finds_good_what_was_not_sent_yet_is_asked_once_and_gets_the_rest() {
    let mut rig = rig(64_000, |plan| (plan.window, plan.mode.confirms, plan.mode.can_query) = (4, true, true));
    let mut actions = rig.drain();
    let (mut sent, mut asks) = (0, 0);
    while rig.ending.is_none() && asks < 100 {
        sent += pieces(&actions).len();
        let tag = actions.iter().find_map(asked);
        asks += usize::from(tag.is_some());
        let verdict = Event::Outcome(Outcome { verdict: Verdict::Good, text: Text::default() });
        let finish =
            Event::Finish(Finish { tag: tag.unwrap_or(0), size: Some(64_000), digests: vec![digest(b"other")] });
        actions = rig.hear([Event::AckThrough(64_000), verdict, finish]);
    }
    assert_eq!(rig.failure().code, code::BAD_DIGEST);
    assert_eq!((sent, asks), (100, 1), "every piece once");
}
