//! Every word that the protocol has goes through one side and comes out of the other with the same meaning.

mod damage;
mod ends;

use ends::{BLOCK, Ends, SIZE, STREAM, UPDATE, arrived, bytes, from_device, offer};
use packhorse_codec::testing::Hostile;
use packhorse_codec::{Chunk, Command, Event, Outcome, Phase, Progress, Span, Text, Verdict, Want};

fn want(tag: u64, start: u64, size: u64) -> Event {
    Event::Want(Want { tag, span: Span::new(start, (start + size).min(SIZE)), limit: size as u32 })
}

/// The requests among what the platform heard.
fn wanted(events: &[Event]) -> Vec<Want> {
    events.iter().filter_map(|event| if let Event::Want(want) = event { Some(*want) } else { None }).collect()
}

fn chunk(tag: u64, offset: u64, size: u64) -> Command {
    let bytes = bytes(offset, size);
    let last = offset + bytes.len() as u64 == SIZE;
    Command::Chunk(Chunk { tag, offset, bytes, last })
}

#[test]
fn an_image_goes_to_the_device_block_by_block() {
    for format in ["cbor", "json"] {
        let ends = Ends::announced(format);
        for index in 0..SIZE.div_ceil(BLOCK) {
            let events = ends.says(vec![want(index + 7, index * BLOCK, BLOCK)]);
            let [asked] = wanted(&events)[..] else { panic!("{events:?}") };
            assert_eq!((asked.span.start, asked.limit), (index * BLOCK, BLOCK as u32));
            assert_eq!(asked.span.end, (index * BLOCK + BLOCK).min(SIZE));
            let heard = ends.hears(vec![chunk(asked.tag, index * BLOCK, BLOCK)]);
            assert_eq!(heard, [chunk(index + 7, index * BLOCK, BLOCK)]);
        }
    }
}

#[test]
fn random_blocks_of_random_sizes_come_as_they_are() {
    let (mut random, sizes) = (Hostile::new(5), [256, 257, 1000, 4096, 65_536, 131_072]);
    for format in ["cbor", "json"] {
        let ends = Ends::announced(format);
        for _ in 0..1500 {
            let size = sizes[random.below(sizes.len())];
            let (tag, start) = (random.next(), random.below(SIZE.div_ceil(size) as usize) as u64 * size);
            let events = ends.says(vec![want(tag, start, size)]);
            let [asked] = wanted(&events)[..] else { panic!("{events:?}") };
            assert_eq!(asked.span, Span::new(start, (start + size).min(SIZE)));
            assert_eq!(ends.hears(vec![chunk(asked.tag, start, size)]), [chunk(tag, start, size)]);
        }
    }
}

#[test]
fn a_request_that_is_not_on_the_grid_brings_whole_blocks() {
    let ends = Ends::announced("cbor");
    let event = Event::Want(Want { tag: 9, span: Span::new(5000, 9000), limit: BLOCK as u32 });
    let [asked] = wanted(&ends.says(vec![event]))[..] else { panic!("one request") };
    assert_eq!((asked.span, asked.limit), (Span::new(4096, 12_288), BLOCK as u32));
    let heard = ends.hears(vec![chunk(asked.tag, 4096, BLOCK), chunk(asked.tag, 8192, BLOCK)]);
    assert_eq!(heard, [chunk(9, 4096, BLOCK), chunk(9, 8192, BLOCK)]);
}

#[test]
fn a_question_for_the_job_is_answered_with_its_tag() {
    let ends = Ends::open("cbor");
    let [Event::AskOffer(tag)] = ends.says(vec![Event::AskOffer(77)])[..] else { panic!("no question") };
    assert_eq!(ends.hears(vec![offer(tag)]), [offer(77)]);
    let hello =
        Event::Hello(packhorse_codec::Hello { tag: 0, title: String::new(), version: String::new(), meta: vec![] });
    let [Event::AskOffer(tag)] = ends.says(vec![hello])[..] else { panic!("no question") };
    assert_eq!(ends.hears(vec![offer(tag)]), [offer(0)]);
}

#[test]
fn what_a_device_says_of_its_job_reaches_the_platform() {
    let outcome = |verdict, code: &str, words: &str| Event::Outcome(Outcome { verdict, text: Text::new(code, words) });
    let said = |verdict, words: &str| vec![outcome(verdict, "", words)];
    for (event, heard) in [
        (said(Verdict::Failed, "no flash"), outcome(Verdict::Failed, "FAILED", "no flash")),
        (said(Verdict::Refused, "wrong board"), outcome(Verdict::Refused, "REJECTED", "wrong board")),
        (said(Verdict::BadDigest, ""), outcome(Verdict::BadDigest, "FAILED", "signature check failed")),
        (said(Verdict::DeviceFull, ""), outcome(Verdict::DeviceFull, "FAILED", "no space left on device")),
        (vec![Event::Cancel(Text::new("", "x"))], outcome(Verdict::Cancelled, "FAILED", "aborted")),
    ] {
        assert_eq!(Ends::announced("cbor").says(event), [heard]);
    }
    let ends = Ends::announced("cbor");
    let progress = |phase| Event::Progress(Progress { phase, done: None, total: Some(SIZE) });
    let half = |done| Event::Progress(Progress { phase: Phase::Downloading, done, total: Some(SIZE) });
    // 500 000 bytes are 122 whole blocks of 245.
    assert_eq!(ends.says(vec![half(Some(500_000))]), [half(Some(SIZE * 122 / 245))]);
    let good = said(Verdict::Good, "accepted v2");
    let told = outcome(Verdict::Good, "SUCCEEDED", "accepted v2");
    assert_eq!(ends.says(good), [progress(Phase::Verified), progress(Phase::SelfTest), told]);
}

#[test]
fn a_job_may_be_taken_away_and_another_follows_one_that_failed() {
    let ends = Ends::announced("cbor");
    let cancelled = ends.hears(vec![Command::Cancel(Text::new("", "stop"))]);
    assert!(matches!(cancelled[..], [Command::Cancel(_)]), "{cancelled:?}");
    let ends = Ends::announced("cbor");
    ends.says(vec![Event::Outcome(Outcome { verdict: Verdict::Failed, text: Text::new("", "") })]);
    assert_eq!(ends.hears(vec![offer(0)]), [offer(0)]);
    let done = Event::Outcome(Outcome { verdict: Verdict::Good, text: Text::new("", "") });
    assert!(matches!(ends.says(vec![done])[..], [.., Event::Outcome(Outcome { verdict: Verdict::Good, .. })]));
}

#[test]
fn a_copy_of_a_request_has_its_tag_and_a_copy_of_the_answer_its_meaning() {
    let ends = Ends::announced("cbor");
    ends.says(vec![want(1, 0, BLOCK)]);
    let request = arrived(ends.device.encode(vec![want(9, BLOCK, BLOCK)]).messages).remove(0);
    let events = ends.platform.decode(vec![request.clone(), request]).events;
    let [one, other] = wanted(&events)[..] else { panic!("{events:?}") };
    assert!(one == other && one.tag != 0);
    let answer = arrived(ends.platform.encode(vec![chunk(one.tag, BLOCK, BLOCK)]).messages).remove(0);
    let heard = ends.device.decode(vec![answer.clone(), answer]).commands;
    assert_eq!(heard, [chunk(9, BLOCK, BLOCK), chunk(9, BLOCK, BLOCK)], "whose bytes are there drops them");
}

#[test]
fn many_blocks_of_one_bitmap_are_answered_each_with_its_index() {
    let ends = Ends::announced("cbor");
    let bitmap = [0b0110_0101_u8, 0b1000_0001];
    let request = format!(r#"{{"c":"w","f":0,"l":1024,"o":100,"b":"0x{}"}}"#, "6581");
    let request = from_device(ends::GET_STREAM, &[STREAM, "json"], request);
    let asked = wanted(&ends.platform.decode(vec![request]).events);
    let bits = (0..16).filter(|bit| bitmap[bit / 8] >> (bit % 8) & 1 == 1);
    let blocks: Vec<u64> = bits.map(|bit| bit as u64 + 100).collect();
    let pieces = asked.iter().flat_map(|want| (want.span.start / 1024..want.span.end / 1024).map(|at| (want.tag, at)));
    let pieces: Vec<(u64, u64)> = pieces.collect();
    assert_eq!(pieces.iter().map(|(_, at)| *at).collect::<Vec<_>>(), blocks);
    for (tag, at) in pieces {
        let text = ends.platform.encode(vec![chunk(tag, at * 1024, 1024)]).messages.remove(0).payload;
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with(&format!(r#"{{"c":"w","f":0,"l":1024,"i":{at},"p":""#)), "{text}");
    }
}

#[test]
fn a_version_that_was_overtaken_is_told_with_the_state() {
    let ends = Ends::announced("cbor");
    let job = "ota-00000001-0";
    let update = |text: &str| ends.platform.decode(vec![from_device(UPDATE, &[job], text)]);
    update(r#"{"status":"IN_PROGRESS","expectedVersion":1}"#);
    let late = update(r#"{"status":"IN_PROGRESS","expectedVersion":1}"#);
    assert!(late.events.is_empty());
    let words = String::from_utf8_lossy(&late.replies[0].payload).into_owned();
    assert!(words.contains("VersionMismatch") && words.contains(r#""versionNumber":2"#), "{words}");
}
