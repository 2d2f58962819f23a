//! Rules of both kinds of pull.

use super::*;

fn rig(driver: Driver, change: impl FnOnce(&mut Plan)) -> Rig {
    let mut plan = pull_plan(driver);
    plan.window = 4;
    change(&mut plan);
    Rig::new(plan)
}

fn data(offset: u64, len: usize, last: bool) -> Event {
    Event::Data(Data { tag: offset + 1, offset, bytes: vec![7; len], sum: Sum::Good, last })
}

fn start(size: Option<u64>, md5: &[u8]) -> Event {
    let file = FileInfo { name: "log".to_owned(), size, digests: vec![digest(md5)], meta: vec![] };
    Event::StartUpload(StartUpload { tag: 77, file, resume_key: String::new() })
}

fn finish(size: u64, md5: &[u8]) -> Event {
    Event::Finish(Finish { tag: 0, size: Some(size), digests: vec![digest(md5)] })
}

fn writes(actions: &[Action]) -> Vec<(u64, usize)> {
    let write = |action: &Action| match action {
        Action::Write { offset, bytes, .. } => Some((*offset, bytes.len())),
        _ => None,
    };
    actions.iter().filter_map(write).collect()
}

fn needs(actions: &[Action]) -> Vec<(u64, u64)> {
    let need = |action: &Action| match action {
        Action::Say(Command::Need(want)) => Some((want.span.start, want.span.end)),
        _ => None,
    };
    actions.iter().filter_map(need).collect()
}

impl Rig {
    fn durable(&mut self, spans: &[(u64, u64)]) -> Vec<Action> {
        let spans: Vec<Span> = spans.iter().map(|&(start, end)| Span::new(start, end)).collect();
        self.transfer.handle_durable(&spans, self.now);
        self.drain()
    }

    fn digests(&mut self, md5: &[u8], size: u64) -> Vec<Action> {
        self.transfer.handle_digests(&[digest(md5)], size, self.now);
        self.drain()
    }
}

#[test]
fn an_upload_is_accepted_written_and_acknowledged_once_durable() {
    let mut rig = rig(Driver::DevicePush, |_| {});
    assert_eq!(said(&rig.drain()), [CommandKind::RequestUpload]);
    let actions = rig.hear([start(Some(1_280), b"dev")]);
    let Action::Say(Command::Accept(accept)) = &actions[0] else { panic!("{actions:?}") };
    assert_eq!((accept.tag, accept.resume_at), (77, 0));
    let actions = rig.hear([data(0, 640, false)]);
    assert_eq!((writes(&actions), said(&actions)), (vec![(0, 640)], vec![]));
    let actions = rig.durable(&[(0, 640)]);
    let receipt = Receipt { tag: 1, span: Span::new(0, 640), good: true };
    assert_eq!(actions, [Action::Say(Command::Ack(receipt))]);
    let again = rig.hear([data(0, 640, false)]);
    assert_eq!((writes(&again), said(&again)), (vec![], vec![CommandKind::Ack]));
    assert_eq!(rig.transfer.traffic().retransmitted_bytes, 640);
    rig.hear([data(640, 640, true)]);
    assert!(rig.durable(&[(640, 1_280)]).contains(&Action::Digest));
    assert_eq!(said(&rig.digests(b"dev", 1_280)), [CommandKind::Outcome]);
    assert_eq!(said(&rig.hear([finish(1_280, b"dev")])), [CommandKind::Outcome], "its last answer was lost");
    rig.wait(1_000);
    assert_eq!(rig.confirmed(), Confirmed::DeviceDigest);
    assert_eq!(rig.transfer.traffic().payload_bytes, 1_280);
}

#[test]
fn an_upload_goes_on_where_the_disk_has_it() {
    let plan = pull_plan(Driver::DevicePush);
    let mut first = Rig::new(plan.clone());
    first.drain();
    first.hear([start(Some(64_000), b"dev"), data(0, 640, false), data(640, 640, false), data(6_400, 640, false)]);
    first.durable(&[(0, 640), (6_400, 7_040)]);
    first.transfer.park(first.now);
    first.drain();
    let checkpoint = first.checkpoints.pop().unwrap();
    let mut rig = Rig::resumed(plan, Some(checkpoint));
    rig.drain();
    let actions = rig.hear([start(Some(64_000), b"dev")]);
    let Action::Say(Command::Accept(accept)) = &actions[0] else { panic!("{actions:?}") };
    assert_eq!(accept.resume_at, 640);
    assert_eq!(writes(&rig.hear([data(640, 640, false), data(6_400, 1_280, false)])), [(640, 640), (7_040, 640)]);
}

#[test]
fn holes_are_asked_for_when_the_device_goes_quiet_or_says_that_it_is_through() {
    let mut rig = rig(Driver::DevicePush, |_| {});
    rig.drain();
    rig.hear([start(Some(3_200), b"dev"), data(0, 640, false), data(1_280, 640, false)]);
    assert_eq!(needs(&rig.wait(250)), [(640, 1_280), (1_920, 2_560), (2_560, 3_200)]);
    rig.hear([data(640, 640, false), data(1_920, 640, false), data(2_560, 640, true)]);
    assert!(rig.durable(&[(0, 3_200)]).contains(&Action::Digest));
    let mut rig = self::rig(Driver::DevicePush, |plan| plan.window = 1);
    rig.drain();
    rig.hear([start(Some(3_200), b"dev"), data(0, 640, false), data(1_280, 640, false)]);
    assert_eq!(needs(&rig.hear([finish(3_200, b"dev")])), [(640, 1_280)]);
    assert_eq!(needs(&rig.hear([data(640, 640, false)])), [(1_920, 2_560)]);
}

#[test]
fn a_device_that_does_not_begin_is_asked_again_and_then_seldom() {
    let mut rig = rig(Driver::DevicePush, |_| {});
    rig.drain();
    let asked = said(&rig.wait(60_000));
    assert!(asked.iter().all(|kind| *kind == CommandKind::RequestUpload));
    assert!((5..=8).contains(&asked.len()), "{} times", asked.len());
}

#[test]
fn a_damaged_piece_is_refused_or_asked_for_again() {
    let bad = Event::Data(Data { tag: 3, offset: 0, bytes: vec![0; 640], sum: Sum::Bad, last: false });
    let mut push = rig(Driver::DevicePush, |_| {});
    push.drain();
    let receipt = Receipt { tag: 3, span: Span::new(0, 640), good: false };
    assert_eq!(push.hear([bad.clone()]), [Action::Say(Command::Ack(receipt))]);
    let mut pull = rig(Driver::PlatformPull, |_| {});
    assert_eq!(needs(&pull.drain()), [(0, 640)]);
    assert_eq!(needs(&pull.hear([bad.clone()])), [(0, 640)]);
    assert_eq!(pull.transfer.progress(pull.now).faults.bad_sums, 1);
    for _ in 0..300 {
        pull.hear([bad.clone()]);
    }
    assert_eq!(pull.failure().code, code::DAMAGED);
}

#[test]
fn a_pull_asks_once_until_it_knows_the_size_and_then_in_a_window() {
    let mut rig = rig(Driver::PlatformPull, |plan| plan.mode.acks = Acks::NextRequest);
    assert_eq!(needs(&rig.drain()), [(0, 640)]);
    let asked = needs(&rig.hear([start(Some(2_000), b"dev"), data(0, 640, false)]));
    assert_eq!(asked, [(640, 1_280), (1_280, 1_920), (1_920, 2_000)]);
    let mut all = rig.hear([data(640, 640, false), data(1_280, 640, false), data(1_920, 80, true)]);
    all.extend(rig.durable(&[(0, 2_000)]));
    assert_eq!(said(&all), [], "this mode knows no acknowledgements");
    assert!(all.contains(&Action::Digest));
    rig.digests(b"dev", 2_000);
    assert_eq!(rig.confirmed(), Confirmed::DeviceDigest);
}

#[test]
fn a_request_that_is_not_answered_is_repeated() {
    let mut rig = rig(Driver::PlatformPull, |_| {});
    rig.drain();
    rig.hear([start(Some(64_000), b"dev"), data(0, 640, false)]);
    rig.now = rig.now + Micros::from_millis(10);
    rig.hear([data(1_280, 640, false)]);
    assert_eq!(needs(&rig.wait(30))[0], (640, 1_280));
}

#[test]
fn answers_past_the_end_settle_a_size_that_nobody_told() {
    let mut rig = rig(Driver::PlatformPull, |_| {});
    rig.drain();
    assert_eq!(needs(&rig.hear([data(0, 640, false)])), [(640, 1_280), (1_280, 1_920), (1_920, 2_560), (2_560, 3_200)]);
    rig.hear([data(640, 300, false), data(1_280, 0, false), data(1_920, 0, false)]);
    let again = needs(&rig.wait(2_000));
    assert!(again.contains(&(940, 1_280)), "the rest of the short answer: {again:?}");
    rig.hear([data(940, 0, false)]);
    assert_eq!(rig.transfer.progress(rig.now).total, Some(940));
    assert!(rig.durable(&[(0, 940)]).contains(&Action::Digest));
    rig.digests(b"x", 940);
    assert_eq!(rig.confirmed(), Confirmed::Acks);
}

#[test]
fn an_empty_file_is_pulled() {
    let mut rig = rig(Driver::PlatformPull, |_| {});
    rig.drain();
    assert!(rig.hear([data(0, 0, true)]).contains(&Action::Digest));
    rig.digests(b"x", 0);
    assert_eq!(rig.ending, Some(Ending::Good { confirmed: Confirmed::Acks, size: 0, digests_by_device: vec![] }));
}

#[test]
fn a_file_that_becomes_another_one_begins_anew() {
    let mut rig = rig(Driver::PlatformPull, |_| {});
    rig.drain();
    rig.hear([start(Some(2_000), b"one"), data(0, 640, false)]);
    rig.durable(&[(0, 640)]);
    let actions = rig.hear([start(Some(3_000), b"two"), data(640, 640, false)]);
    assert_eq!(actions[0], Action::Truncate);
    assert_eq!(writes(&actions), [(640, 640)]);
    assert_eq!(needs(&actions)[0], (0, 640));
    assert_eq!(rig.transfer.traffic().resumes, 1);
    assert_eq!(rig.transfer.traffic().payload_bytes, 0);
    for round in 0..20_u8 {
        rig.hear([start(Some(1_000), &[round])]);
    }
    assert_eq!(rig.failure().code, code::KEEPS_CHANGING);
}

#[test]
fn lies_end_a_pull_for_good() {
    let lies: [(&str, Vec<Event>); 6] = [
        ("beyond its size", vec![start(Some(1_000), b"a"), data(640, 640, false)]),
        ("overflow", vec![data(u64::MAX - 3, 10, false)]),
        ("another size", vec![start(Some(1_000), b"a"), finish(2_000, b"a")]),
        ("a size below what it sent", vec![data(640, 640, false), finish(700, b"a")]),
        ("an end in the middle", vec![start(Some(1_000), b"a"), data(0, 640, true)]),
        ("two ends", vec![data(640, 640, true), data(0, 640, true)]),
    ];
    for driver in [Driver::DevicePush, Driver::PlatformPull] {
        for (what, events) in &lies {
            let mut rig = rig(driver, |_| {});
            rig.drain();
            rig.hear(events.clone());
            let failure = rig.failure();
            assert_eq!((failure.code, failure.class), (code::DEVICE_LIES, FailureClass::Permanent), "{what}");
        }
    }
}

#[test]
fn a_device_of_which_nothing_can_be_read_for_long_ends_the_attempt_and_noise_does_not() {
    let noise = || Fault::Malformed("no such field".to_owned());
    let mut rig = rig(Driver::PlatformPull, |_| {});
    rig.drain();
    for round in 0..200 {
        rig.now = rig.now + Micros::from_secs(1);
        rig.transfer.handle_fault(noise(), rig.now);
        if round % 30 == 0 {
            rig.hear([data(0, 640, false)]);
        }
    }
    assert_eq!(rig.ending, None, "a readable message between is enough");
    rig.hear([data(0, 640, false)]);
    for _ in 0..1_000 {
        rig.transfer.handle_fault(noise(), rig.now);
    }
    rig.drain();
    assert_eq!(rig.ending, None, "a burst is nothing");
    rig.now = rig.now + Micros::from_secs(10);
    rig.transfer.handle_fault(noise(), rig.now);
    rig.drain();
    let failure = rig.failure();
    assert_eq!((failure.code, failure.class), (code::DAMAGED, FailureClass::Transient));
    assert!(failure.message.contains("no such field"), "{}", failure.message);
}

#[test]
fn endless_files_are_cut_off() {
    let mut rig = rig(Driver::DevicePush, |plan| plan.file_max = 10_000);
    rig.drain();
    let refused = rig.hear([start(Some(10_001), b"a")]);
    assert_eq!(said(&refused), [CommandKind::Refuse]);
    assert_eq!(rig.failure().code, code::TOO_LARGE);
    let mut rig = self::rig(Driver::DevicePush, |plan| plan.file_max = 10_000);
    rig.drain();
    rig.hear([data(9_999, 2, false)]);
    assert_eq!(rig.failure().code, code::TOO_LARGE);
}

#[test]
fn a_wrong_digest_is_told_and_quarantined() {
    let mut rig = rig(Driver::DevicePush, |_| {});
    rig.drain();
    rig.hear([start(Some(640), b"dev"), data(0, 640, true)]);
    rig.durable(&[(0, 640)]);
    let actions = rig.digests(b"else", 640);
    let verdict = actions.iter().find_map(|action| match action {
        Action::Say(Command::Outcome(outcome)) => Some(outcome.verdict),
        _ => None,
    });
    assert_eq!(verdict, Some(Verdict::BadDigest));
    assert_eq!((rig.failure().code, rig.failure().restart), (code::QUARANTINE, true));
}

#[test]
fn only_what_is_durable_is_in_a_checkpoint() {
    let mut rig = rig(Driver::DevicePush, |_| {});
    rig.drain();
    rig.hear([start(Some(6_400), b"dev"), data(0, 640, false), data(640, 640, false)]);
    rig.durable(&[(0, 640)]);
    assert_eq!(rig.transfer.checkpoint().done, Span::new(0, 640).into());
    assert_eq!(rig.transfer.progress(rig.now).done, 640);
}

#[test]
fn a_device_that_begins_again_and_again_is_stopped() {
    let mut rig = rig(Driver::DevicePush, |_| {});
    rig.drain();
    let begin = |tag| {
        let file = FileInfo { size: Some(6_400), ..FileInfo::default() };
        Event::StartUpload(StartUpload { tag, file, resume_key: String::new() })
    };
    for tag in 1..=16 {
        rig.hear([begin(tag), begin(tag)]);
    }
    assert_eq!(rig.ending, None);
    rig.hear([begin(17)]);
    assert_eq!(rig.failure().code, code::RUNAWAY);
}

#[test]
fn a_device_without_the_file_says_so() {
    let mut rig = rig(Driver::PlatformPull, |_| {});
    rig.drain();
    let text = Text { code: "2".to_owned(), message: "no such file".to_owned() };
    rig.hear([Event::Outcome(Outcome { verdict: Verdict::Refused, text })]);
    assert_eq!(rig.failure().code, code::REFUSED);
    assert!(rig.failure().message.contains("no such file"));
}

#[test]
fn a_device_that_names_its_upload_by_another_key_sends_another_file() {
    let named = |key: &str, digests: Vec<Digest>| {
        let file = FileInfo { name: "log".to_owned(), size: None, digests, meta: Vec::new() };
        Event::StartUpload(StartUpload { tag: 1, file, resume_key: key.to_owned() })
    };
    for (digests, second, anew) in
        [(vec![], "two", true), (vec![], "one", false), (vec![], "", false), (vec![digest(b"same")], "two", false)]
    {
        let mut rig = rig(Driver::DevicePush, |_| {});
        rig.hear([named("one", digests.clone())]);
        rig.hear([Event::Data(Data { tag: 1, offset: 0, bytes: vec![1; 640], sum: Sum::Good, last: false })]);
        rig.transfer.handle_durable(&[Span::new(0, 640)], rig.now);
        let kept = rig.transfer.checkpoint();
        assert_eq!(kept.resume_key, "one");
        rig.hear([named(second, digests)]);
        assert_eq!(rig.transfer.progress(rig.now).done == 0, anew, "{second}");
    }
}
