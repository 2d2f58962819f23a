//! Every word that the protocol has goes through one side and comes out of the other with the same meaning.

mod pair;

use packhorse_codec::testing::{DeviceEnd, Hostile, PlatformEnd, mangled};
use packhorse_codec::{
    Algorithm, Chunk, Command, Digest, Event, Fault, File, Hello, Incoming, Offer, Outcome, Outgoing, Phase, Progress,
    Refuse, Span, Text, Transfer, Verdict, Want,
};
use pair::{Pair, SIZE, arrived, file, offer, opening, sha256};
use thingsboard::{ThingsboardDevice, ThingsboardPlatform};

fn outcome(verdict: Verdict, message: &str) -> Event {
    Event::Outcome(Outcome { verdict, text: Text::new("", message) })
}

fn ramp(span: Span) -> Vec<u8> {
    (span.start..span.end).map(|at| (at % 251) as u8).collect()
}

#[test]
fn offers_reach_the_device_with_every_checksum() {
    for (algorithm, length) in [
        (Algorithm::Sha256, 32),
        (Algorithm::Sha384, 48),
        (Algorithm::Sha512, 64),
        (Algorithm::Md5, 16),
        (Algorithm::Murmur3X64128, 16),
        (Algorithm::Murmur3X8632, 4),
        (Algorithm::Crc32, 4),
    ] {
        let digest = Digest::new(algorithm, (1..=length).collect::<Vec<u8>>());
        let offered = Command::Offer(Offer { tag: 0, file: file(SIZE, digest.clone()), url: String::new() });
        for kind in ["firmware", "software"] {
            let platform = PlatformEnd::open(opening(file(SIZE, digest.clone()), kind)).unwrap();
            let device = DeviceEnd::open(opening(File::unknown(), kind)).unwrap();
            let heard = Pair { platform, device }.to_device(vec![offered.clone()]);
            assert_eq!(heard, std::slice::from_ref(&offered), "{algorithm:?} {kind}");
        }
    }
}

#[test]
fn an_offer_that_was_asked_for_comes_back_with_its_tag() {
    for kind in ["firmware", "software"] {
        let pair = Pair::open(SIZE, kind);
        for tag in [1, 77, u64::MAX] {
            let heard = pair.to_platform(vec![Event::AskOffer(tag)]);
            let [Event::AskOffer(theirs)] = heard[..] else { panic!("{heard:?}") };
            assert_eq!(pair.to_device(vec![offer(theirs, SIZE)]), [offer(tag, SIZE)]);
        }
    }
}

#[test]
fn a_whole_file_is_fetched_in_packets_of_every_size() {
    for packet in [1, 7, 640, 4096, 65_536, 99_999, 100_000, 100_001, 1_044_480] {
        let pair = Pair::offered(SIZE);
        let (mut got, mut offset) = (Vec::new(), if packet == 1 { SIZE - 1_000 } else { 0 });
        got.extend(ramp(Span::new(0, offset)));
        while offset < SIZE {
            let end = SIZE.min(offset + u64::from(packet));
            let want = Want { tag: offset + 9, span: Span::new(offset, end), limit: packet };
            let Command::Chunk(chunk) = pair.fetch(want, ramp) else { panic!("no chunk at {offset}") };
            assert_eq!((chunk.tag, chunk.offset, chunk.last), (offset + 9, offset, end == SIZE));
            got.extend(chunk.bytes);
            offset = end;
        }
        assert_eq!(got, ramp(Span::new(0, SIZE)), "{packet}");
    }
}

#[test]
fn any_range_is_answered_from_the_byte_that_was_asked_for() {
    let pair = Pair::offered(SIZE);
    let mut random = Hostile::new(5);
    for tag in 0..2_000 {
        let limit = 1 + random.below(5_000) as u32;
        let start = random.below(SIZE as usize) as u64;
        let end = SIZE.min(start + 1 + random.below(limit as usize) as u64);
        let want = Want { tag, span: Span::new(start, end), limit };
        let Command::Chunk(chunk) = pair.fetch(want, ramp) else { panic!("no chunk for {want:?}") };
        let told = Span::new(start, start + chunk.bytes.len() as u64);
        assert!(told.start < told.end && told.end <= end, "{want:?} gave {told:?}");
        assert_eq!((chunk.tag, chunk.offset, chunk.bytes), (tag, start, ramp(told)));
    }
}

#[test]
fn past_the_end_the_answer_is_empty() {
    for (size, limit) in [(SIZE, 4096), (8192, 4096), (0, 4096)] {
        let pair = Pair::offered(size);
        let want = Want { tag: 3, span: Span::new(size, size + 4096), limit };
        let chunk = pair.fetch(want, |_| Vec::new());
        assert_eq!(chunk, Command::Chunk(Chunk { tag: 3, offset: size, bytes: vec![], last: true }));
    }
}

#[test]
fn an_answer_that_the_network_doubled_is_taken_once() {
    let pair = Pair::offered(SIZE);
    let request = pair.to_platform(vec![Event::Want(Want { tag: 1, span: Span::new(0, 640), limit: 640 })]);
    let Some(Event::Want(Want { tag, .. })) = request.last() else { panic!("{request:?}") };
    let chunk = Command::Chunk(Chunk { tag: *tag, offset: 0, bytes: vec![5; 640], last: false });
    let message = arrived(pair.platform.encode(vec![chunk]).messages);
    let heard = pair.device.decode([message.clone(), message].concat());
    assert_eq!((heard.commands.len(), heard.faults.len()), (1, 1));
}

#[test]
fn an_update_is_told_state_by_state() {
    let pair = Pair::offered(SIZE);
    let progress = |phase| Event::Progress(Progress { phase, done: None, total: None });
    let want = Event::Want(Want { tag: 1, span: Span::new(0, 640), limit: 640 });
    assert_eq!(pair.to_platform(vec![want])[0], progress(Phase::Downloading));
    let good = Event::Outcome(Outcome { verdict: Verdict::Good, text: Text::new("UPDATED", "") });
    let phases = [Phase::Downloaded, Phase::Verified, Phase::Installing].map(progress);
    let heard = pair.to_platform(vec![outcome(Verdict::Good, "")]);
    assert_eq!(heard, [phases.to_vec(), vec![good.clone()]].concat());
    assert_eq!(pair.to_platform(vec![outcome(Verdict::Good, "")]), [good], "said again, it is said alone");
}

#[test]
fn verdicts_keep_their_meaning() {
    for (said, words, heard) in [
        (Verdict::DeviceFull, "", Verdict::DeviceFull),
        (Verdict::Refused, "", Verdict::Refused),
        (Verdict::Cancelled, "", Verdict::Cancelled),
    ] {
        let told = Pair::offered(SIZE).to_platform(vec![outcome(said, words)]);
        let [Event::Outcome(Outcome { verdict, text })] = &told[..] else { panic!("{told:?}") };
        assert_eq!((*verdict, text.code.as_str()), (heard, "FAILED"), "{said:?}");
        assert!(!text.message.is_empty());
    }
}

#[test]
fn a_device_that_failed_asks_for_the_offer_and_begins_again() {
    for (said, words, heard) in [
        (Verdict::BadDigest, "", Verdict::BadDigest),
        (Verdict::Failed, "flash write error", Verdict::Failed),
        (Verdict::BadSize, "", Verdict::Failed),
    ] {
        let pair = Pair::offered(SIZE);
        let told = pair.to_platform(vec![outcome(said, words)]);
        let [Event::Retrying(Outcome { verdict, text }), Event::AskOffer(tag)] = &told[..] else { panic!("{told:?}") };
        assert_eq!((*verdict, text.code.as_str()), (heard, "FAILED"), "{said:?}");
        assert!(!text.message.is_empty() && text.message.contains(words));
        assert_ne!(*tag, 0, "the answer goes to who asked");
    }
}

#[test]
fn a_greeting_tells_the_version_before_and_the_verdict_after() {
    let hello = |title: &str, version: &str| {
        Event::Hello(Hello { tag: 0, title: title.into(), version: version.into(), meta: vec![] })
    };
    let pair = Pair::offered(SIZE);
    assert_eq!(pair.to_platform(vec![hello("", "")]), [hello("Initial", "v0")]);
    assert_eq!(pair.to_platform(vec![hello("thermo", "1.0")]), [hello("thermo", "1.0")]);
    pair.to_platform(vec![Event::Want(Want { tag: 1, span: Span::new(0, 640), limit: 640 })]);
    pair.to_platform(vec![outcome(Verdict::Good, "")]);
    let after = pair.to_platform(vec![hello("", "")]);
    assert_eq!(after, [Event::Outcome(Outcome { verdict: Verdict::Good, text: Text::new("IDLE", "") })]);
}

#[test]
fn a_request_that_no_message_can_answer_fails_on_both_sides() {
    let pair = Pair::offered(2_000_000);
    let want = Event::Want(Want { tag: 9, span: Span::new(0, 2_000_000), limit: 2_000_000 });
    let heard = pair.platform.decode(arrived(pair.device.encode(vec![want]).messages));
    let [faulted] = &heard.faults[..] else { panic!("{heard:?}") };
    assert!(matches!(&faulted.fault, Fault::Fatal(text) if text.code == "PAYLOAD_TOO_LARGE"), "{faulted:?}");
    let refused = pair.device.decode(arrived(heard.replies)).commands;
    assert_eq!(refused, [Command::Refuse(Refuse { tag: 9, text: Text::new("PAYLOAD_TOO_LARGE", "") })]);
}

#[test]
fn a_damaged_offer_is_refused_or_still_a_whole_one() {
    let pair = Pair::open(SIZE, "firmware");
    let good = pair.platform.encode(vec![offer(0, SIZE)]).messages.remove(0);
    let mut random = Hostile::new(11);
    let (mut refused, mut told) = (0, 0);
    for _ in 0..20_000 {
        let payload = mangled(&good.payload, &mut random);
        let decoded = pair.device.decode(vec![Incoming { route: good.route, payload, more: None }]);
        refused += decoded.faults.len();
        told += decoded.commands.len();
        let sized = |command: &Command| matches!(command, Command::Offer(offer) if offer.file.size.is_some());
        assert!(decoded.commands.iter().all(sized), "{:?}", decoded.commands);
        assert_eq!(decoded.faults.len() + decoded.commands.len(), 1);
    }
    assert!(refused > 5_000 && told > 1_000, "{refused} {told}");
}

#[test]
fn a_batch_is_worth_its_parts() {
    let want =
        |index: u64| Event::Want(Want { tag: index, span: Span::new(index * 640, (index + 1) * 640), limit: 640 });
    let events: Vec<Event> = (0..12).map(want).chain([Event::AskOffer(5), outcome(Verdict::Good, "")]).collect();
    let (one, other) = (Pair::offered(SIZE), Pair::offered(SIZE));
    let batch = one.device.encode(events.clone()).messages;
    let parts: Vec<Outgoing> = events.into_iter().flat_map(|event| other.device.encode(vec![event]).messages).collect();
    let bare = |messages: &[Outgoing]| messages.iter().map(|it| (it.route, it.payload.clone())).collect::<Vec<_>>();
    assert_eq!(bare(&batch), bare(&parts));
    assert_eq!(batch.iter().map(|message| message.cause).max(), Some(13));
    let at_once = one.platform.decode(arrived(batch)).events;
    let singly = |message| other.platform.decode(arrived(vec![message])).events;
    assert_eq!(at_once, parts.into_iter().flat_map(singly).collect::<Vec<_>>());
    assert_eq!(at_once.len(), 12 + 1 + 1 + 4);
}

#[test]
fn both_sides_go_on_from_what_they_saved() {
    let pair = Pair::offered(SIZE);
    let wants =
        (0..40).map(|index| Event::Want(Want { tag: index, span: Span::new(index * 64, index * 64 + 64), limit: 64 }));
    let asked = pair.to_platform(wants.chain([Event::AskOffer(6)]).collect());
    let (platform, device) = (pair.platform.save(), pair.device.save());
    assert!(platform.len() <= 4096 && device.len() <= 4096);
    let again = Pair {
        platform: PlatformEnd::open(Transfer { saved: platform, ..opening(file(SIZE, sha256()), "firmware") }).unwrap(),
        device: DeviceEnd::open(Transfer { saved: device.clone(), ..opening(File::unknown(), "firmware") }).unwrap(),
    };
    assert_eq!(again.device.save(), device);
    let (Some(Event::AskOffer(ask)), Event::Want(last)) = (asked.last(), &asked[40]) else { panic!("{asked:?}") };
    let answers =
        vec![offer(*ask, SIZE), Command::Chunk(Chunk { tag: last.tag, offset: 2496, bytes: vec![1; 64], last: false })];
    let chunk = Command::Chunk(Chunk { tag: 39, offset: 2496, bytes: vec![1; 64], last: false });
    assert_eq!(again.to_device(answers), [offer(6, SIZE), chunk]);
    // The size that went with the first request is remembered for one without.
    let mut bare =
        again.device.encode(vec![Event::Want(Want { tag: 1, span: Span::new(64, 128), limit: 64 })]).messages;
    bare[0].payload.clear();
    let heard = again.platform.decode(arrived(bare)).events;
    assert!(matches!(&heard[..], [Event::Want(want)] if want.span == Span::new(64, 128)), "{heard:?}");
}

#[test]
fn what_is_saved_stays_small_whatever_comes() {
    let title = "é".repeat(1_000);
    let long = File { meta: vec![("title".into(), title.clone()), ("version".into(), title)], ..file(SIZE, sha256()) };
    let pair = Pair {
        platform: PlatformEnd::open(opening(long.clone(), "firmware")).unwrap(),
        device: DeviceEnd::open(opening(File::unknown(), "firmware")).unwrap(),
    };
    pair.to_device(vec![Command::Offer(Offer { tag: 0, file: long, url: String::new() })]);
    for index in 0..100 {
        pair.to_platform(vec![Event::Want(Want { tag: index, span: Span::new(index, index + 1), limit: 1 })]);
        pair.to_platform(vec![Event::AskOffer(index), outcome(Verdict::Failed, "again")]);
    }
    pair.to_platform(vec![outcome(Verdict::Good, "")]);
    assert!(pair.device.save().len() <= 4096 && pair.platform.save().len() <= 2 + 64 * 8);
    let saved = pair.device.save();
    let again =
        DeviceEnd::<ThingsboardDevice>::open(Transfer { saved: saved.clone(), ..opening(File::unknown(), "firmware") });
    assert_eq!(again.unwrap().save(), saved);
}

#[test]
fn an_opening_that_cannot_work_is_refused() {
    let code = |opening| PlatformEnd::<ThingsboardPlatform>::open(opening).unwrap_err().code;
    let whole = || file(SIZE, sha256());
    assert_eq!(code(opening(File { size: None, ..whole() }, "firmware")), "no-size");
    assert_eq!(code(opening(File { digests: vec![], ..whole() }, "firmware")), "no-checksum");
    let wanted = Transfer { vars: vec![("checksum".into(), "MD5".into())], ..opening(whole(), "firmware") };
    assert_eq!(code(wanted), "no-checksum");
    for saved in [vec![9], vec![1, 9], vec![2, 0], vec![1, 0, 0]] {
        assert_eq!(code(Transfer { saved: saved.clone(), ..opening(whole(), "firmware") }), "saved");
        let device = DeviceEnd::<ThingsboardDevice>::open(Transfer { saved, ..opening(File::unknown(), "firmware") });
        assert_eq!(device.unwrap_err().code, "saved");
    }
}
