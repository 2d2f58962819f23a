//! Rules of asking a device what it holds.

use super::*;

fn asked(size: u64) -> (Verify, Time, Tag) {
    let mut plan = plan(Driver::PlatformPush, size);
    plan.mode.can_query = true;
    let now = Time(5_000_000);
    let mut verify = Verify::new(plan, now).unwrap();
    let Some(VerifyAction::Act(Action::Say(Command::Query(tag)))) = verify.poll(now) else { panic!("it asks") };
    assert_eq!(verify.poll(now), None);
    (verify, now, tag)
}

fn answer(verify: &mut Verify, now: Time, tag: Tag, size: Option<u64>, digests: &[&[u8]]) -> Comparison {
    let finish = Finish { tag, size, digests: digests.iter().map(|value| digest(value)).collect() };
    let mut asked = 1;
    loop {
        verify.handle(Event::Finish(finish.clone()), now);
        match verify.poll(now) {
            Some(VerifyAction::Answered(verified)) => {
                assert_eq!(asked, if verified.comparison == Comparison::Equal { 1 } else { 2 });
                return verified.comparison;
            }
            None if asked < 3 => {}
            other => panic!("{other:?}"),
        }
        verify.handle(Event::Finish(finish.clone()), now);
        assert_eq!(verify.poll(now), None, "twice in answer to one question");
        verify.handle_timeout(verify.poll_timeout().unwrap());
        assert_eq!(verify.poll(now), Some(VerifyAction::Act(Action::Say(Command::Query(tag)))));
        asked += 1;
    }
}

#[test]
fn an_old_answer_that_comes_late_does_not_count() {
    let (mut verify, now, tag) = asked(9);
    verify.handle(Event::Finish(Finish { tag: 0, size: None, digests: vec![] }), now);
    assert_eq!(answer(&mut verify, now, tag, Some(9), &[b"ours"]), Comparison::Equal);
}

#[test]
fn a_verdict_alone_is_an_answer_when_nothing_else_comes() {
    let (mut verify, _, _) = asked(9);
    let mut asked = 1;
    let verified = loop {
        let now = verify.poll_timeout().unwrap();
        verify.handle(Event::Outcome(Outcome { verdict: Verdict::Good, text: Text::default() }), now);
        verify.handle_timeout(now);
        match verify.poll(now) {
            Some(VerifyAction::Answered(verified)) => break verified,
            _ => asked += 1,
        }
    };
    assert_eq!((asked, verified.verdict, verified.comparison), (8, Some(Verdict::Good), Comparison::Unknown));
}

#[test]
fn answers_are_compared_with_our_file() {
    type Case = (Option<u64>, &'static [&'static [u8]], Comparison);
    let cases: [Case; 6] = [
        (Some(9), &[b"ours"], Comparison::Equal),
        (None, &[b"ours"], Comparison::Equal),
        (Some(9), &[b"other"], Comparison::Different),
        (Some(8), &[b"ours"], Comparison::Different),
        (Some(9), &[], Comparison::Unknown),
        (None, &[b""], Comparison::Unknown),
    ];
    for (size, digests, comparison) in cases {
        let (mut verify, now, tag) = asked(9);
        assert_eq!(answer(&mut verify, now, tag, size, digests), comparison, "{size:?} {digests:?}");
        assert_eq!((verify.poll(now), verify.poll_timeout()), (None, None));
    }
}

#[test]
fn the_question_is_repeated_until_its_own_answer_comes() {
    let (mut verify, mut now, tag) = asked(9);
    let mut times = 0;
    while now < Time(65_000_000) {
        now = verify.poll_timeout().unwrap();
        verify.handle_timeout(now);
        assert_eq!(verify.poll(now), Some(VerifyAction::Act(Action::Say(Command::Query(tag)))));
        times += 1;
    }
    assert!((6..=9).contains(&times), "{times} times in a minute");
    verify.handle(Event::Finish(Finish { tag: tag + 9, size: Some(9), digests: vec![digest(b"ours")] }), now);
    assert_eq!(verify.poll(now), None);
    assert_eq!(answer(&mut verify, now, tag, Some(9), &[b"ours"]), Comparison::Equal);
}

#[test]
fn a_codec_without_a_question_is_told_at_once() {
    let plan = plan(Driver::PlatformPush, 9);
    assert!(matches!(Verify::new(plan, Time(0)), Err(TransferError::CannotAsk { .. })));
    let (mut verify, now, _) = asked(9);
    verify.handle_unsupported(CommandKind::Query, now);
    assert!(matches!(verify.poll(now), Some(VerifyAction::Failed(failure)) if failure.code == code::CODEC_WORDS));
}

#[test]
fn a_bad_verdict_outweighs_a_digest() {
    let (mut verify, now, tag) = asked(9);
    verify.handle(Event::Outcome(Outcome { verdict: Verdict::BadDigest, text: Text::default() }), now);
    assert_eq!(answer(&mut verify, now, tag, None, &[]), Comparison::Different);
}

#[test]
fn who_stops_it_is_told_that_it_has_ended() {
    for (ending, stop) in [
        (Ending::Parked, (|verify, now| verify.park(now)) as fn(&mut Verify, Time)),
        (Ending::Cancelled, |verify, now| verify.cancel(Text::default(), now)),
    ] {
        for away in [false, true] {
            let (mut verify, now, tag) = asked(9);
            if away {
                verify.handle_connection(false, now);
            }
            stop(&mut verify, now);
            assert_eq!(verify.poll(now), Some(VerifyAction::Act(Action::Finished(ending.clone()))));
            verify.handle(Event::Finish(Finish { tag, size: Some(9), digests: vec![digest(b"ours")] }), now);
            assert_eq!((verify.poll(now), verify.poll_timeout()), (None, None));
        }
    }
}

#[test]
fn a_silent_device_that_others_have_heard_is_asked_as_soon_as_at_first() {
    let (mut verify, start, _) = asked(9);
    let pause = |verify: &Verify, now: Time| verify.poll_timeout().unwrap().since(now);
    let first = pause(&verify, start);
    let mut now = start;
    for _ in 0..12 {
        now = verify.poll_timeout().unwrap();
        verify.handle_timeout(now);
        assert!(matches!(verify.poll(now), Some(VerifyAction::Act(Action::Say(Command::Query(_))))));
    }
    assert!(pause(&verify, now) > first);
    verify.wake(now);
    assert_eq!(pause(&verify, now), first);
}
