//! Every word that the protocol has goes through one side and comes out of the other with the same meaning.

mod damage;
mod ends;

use ends::{Ends, SIZE, bytes, file, offer};
use packhorse_codec::testing::incoming;
use packhorse_codec::{
    Accept, Chunk, Command, Data, Driver, Event, Fault, File, Hello, Outcome, Phase, Progress, Receipt, Refuse, Span,
    StartUpload, Sum, Text, Verdict, Want,
};

const BLOCK: u64 = 5120;

fn want(tag: u64, start: u64) -> Event {
    Event::Want(Want { tag, span: Span::new(start, start + BLOCK), limit: BLOCK as u32 })
}

fn asked(events: &[Event]) -> Want {
    let [Event::Want(want)] = events else { panic!("{events:?}") };
    *want
}

fn block(tag: u64, offset: u64) -> Chunk {
    let bytes = bytes(offset, BLOCK);
    let last = offset + bytes.len() as u64 == SIZE;
    Chunk { tag, offset, bytes, last }
}

#[test]
fn an_image_goes_to_the_device_block_by_block() {
    let ends = Ends::announced();
    for index in 0..SIZE.div_ceil(BLOCK) {
        let request = asked(&ends.says(vec![want(index + 7, index * BLOCK)]));
        assert_eq!((request.span, request.limit), (Span::at(index * BLOCK, BLOCK).unwrap(), BLOCK as u32));
        let answer = ends.hears(vec![Command::Chunk(block(request.tag, index * BLOCK))]);
        assert_eq!(answer, [Command::Chunk(block(index + 7, index * BLOCK))]);
    }
}

#[test]
fn a_request_is_answered_once_and_a_copy_of_the_answer_is_nothing() {
    let ends = Ends::announced();
    let request = asked(&ends.says(vec![want(1, 0)]));
    let answer = ends.platform.encode(vec![Command::Chunk(block(request.tag, 0))]).messages.remove(0);
    let twice = vec![incoming(answer.route, answer.payload.clone()), incoming(answer.route, answer.payload)];
    let decoded = ends.device.decode(twice);
    assert_eq!(decoded.commands, [Command::Chunk(block(1, 0))]);
    assert_eq!(decoded.faults.iter().map(|it| (it.index, &it.fault)).collect::<Vec<_>>(), [(1, &Fault::NotMine)]);
}

#[test]
fn a_copy_of_a_request_has_its_tag() {
    let ends = Ends::announced();
    let request = ends.device.encode(vec![want(9, 0)]).messages.remove(0);
    let twice = vec![incoming(request.route, request.payload.clone()), incoming(request.route, request.payload)];
    let events = ends.platform.decode(twice).events;
    assert!(matches!(&events[..], [Event::Want(one), Event::Want(two)] if one == two && one.tag != 0), "{events:?}");
}

#[test]
fn a_question_for_the_image_is_answered_with_its_tag() {
    let ends = Ends::open(Driver::DevicePull, file());
    let [Event::AskOffer(tag)] = ends.says(vec![Event::AskOffer(77)])[..] else { panic!("no question") };
    assert_eq!(ends.hears(vec![offer(tag)]), [offer(77)]);
}

#[test]
fn what_a_device_says_of_an_upgrade_reaches_the_platform() {
    let ends = Ends::announced();
    let progress = |phase, done| Event::Progress(Progress { phase, done, total: Some(SIZE) });
    let failed = |verdict| Event::Outcome(Outcome { verdict, text: Text::new("", "why") });
    let heard = |code: &str, verdict| Event::Outcome(Outcome { verdict, text: Text::new(code, "why") });
    let half = SIZE / 2;
    assert_eq!(
        ends.says(vec![
            progress(Phase::Downloading, Some(half)),
            progress(Phase::Installing, None),
            failed(Verdict::BadDigest),
            failed(Verdict::DeviceFull),
            failed(Verdict::Failed),
            Event::Cancel(Text::new("", "why")),
        ]),
        [
            progress(Phase::Downloading, Some(half)),
            progress(Phase::Downloaded, Some(SIZE)),
            heard("-3", Verdict::BadDigest),
            heard("-4", Verdict::Failed),
            heard("-1", Verdict::Failed),
            heard("-1", Verdict::Failed),
        ]
    );
}

#[test]
fn the_version_that_runs_is_the_proof() {
    let ends = Ends::announced();
    let good = Event::Outcome(Outcome { verdict: Verdict::Good, text: Text::new("", "") });
    let hello =
        |version: &str| Event::Hello(Hello { tag: 0, title: "MCU".into(), version: version.into(), meta: vec![] });
    assert_eq!(ends.says(vec![hello("1.9.9")]), [hello("1.9.9")]);
    let done = Event::Progress(Progress { phase: Phase::Downloaded, done: Some(SIZE), total: Some(SIZE) });
    let text = Text::new("", "the device runs version 2.0.0");
    let proof = Event::Outcome(Outcome { verdict: Verdict::Good, text });
    assert_eq!(ends.says(vec![good]), [done, proof.clone()]);
    assert_eq!(ends.says(vec![hello("")]), [proof], "from now on it says so by itself");
}

#[test]
fn a_file_comes_from_the_device_block_by_block() {
    let mut whole = Vec::new();
    let ends = Ends::accepted(0);
    for offset in (0..SIZE).step_by(BLOCK as usize) {
        let data = ends.data(offset + 3, offset, BLOCK);
        let heard = ends.says(vec![Event::Data(data.clone())]);
        let [Event::Data(found)] = &heard[..] else { panic!("{heard:?}") };
        assert_eq!(*found, Data { tag: found.tag, sum: Sum::Good, ..data.clone() });
        whole.extend_from_slice(&found.bytes);
        let span = Span::new(offset, offset + data.bytes.len() as u64);
        let answer = ends.hears(vec![Command::Ack(Receipt { tag: found.tag, span, good: true })]);
        let receipt = Command::Ack(Receipt { tag: data.tag, span, good: true });
        if !data.last {
            assert_eq!(answer, [receipt]);
            continue;
        }
        assert_eq!(answer, [], "the last answer waits for the verdict");
        let verdict = Command::Outcome(Outcome { verdict: Verdict::Good, text: Text::new("", "") });
        let text = Text::new("200", "success");
        let ended = Command::Outcome(Outcome { verdict: Verdict::Good, text });
        assert_eq!(ends.hears(vec![verdict]), [receipt, ended]);
    }
    assert_eq!(whole, bytes(0, SIZE));
}

#[test]
fn a_bad_block_is_sent_again_and_then_good() {
    let ends = Ends::accepted(0);
    let mut message = ends.device.encode(vec![Event::Data(ends.data(5, 0, BLOCK))]).messages.remove(0);
    let middle = message.payload.len() - 1000;
    message.payload[middle] ^= 1;
    let heard = ends.platform.decode(vec![incoming(message.route, message.payload)]).events;
    let [Event::Data(Data { tag, offset: 0, sum: Sum::Bad, last: false, .. })] = heard[..] else { panic!("{heard:?}") };
    let receipt = |tag, good| Command::Ack(Receipt { tag, span: Span::new(0, BLOCK), good });
    assert_eq!(ends.hears(vec![receipt(tag, false)]), [receipt(5, false)]);
    let again = ends.says(vec![Event::Data(ends.data(6, 0, BLOCK))]);
    let [Event::Data(Data { tag, sum: Sum::Good, .. })] = again[..] else { panic!("{again:?}") };
    assert_eq!(ends.hears(vec![receipt(tag, true)]), [receipt(6, true)]);
}

#[test]
fn a_block_whose_answer_was_lost_comes_again_and_one_from_elsewhere_begins_anew() {
    let ends = Ends::accepted(0);
    let first = ends.says(vec![Event::Data(ends.data(5, 0, BLOCK))]);
    let again = ends.says(vec![Event::Data(ends.data(6, 0, BLOCK))]);
    let without_tag = |events: &[Event]| match events {
        [Event::Data(data)] => Data { tag: 0, ..data.clone() },
        other => panic!("{other:?}"),
    };
    assert_eq!(without_tag(&first), without_tag(&again));
    let ahead = ends.device.encode(vec![Event::Data(ends.data(7, BLOCK * 3, BLOCK))]).messages.remove(0);
    let decoded = ends.platform.decode(vec![incoming(ahead.route, ahead.payload)]);
    assert_eq!((decoded.events, decoded.faults), (vec![], vec![]));
    let replies = decoded.replies.into_iter().map(|reply| incoming(reply.route, reply.payload)).collect();
    assert_eq!(ends.device.decode(replies).commands, [Command::RequestUpload(0)]);
}

#[test]
fn an_upload_goes_on_at_the_offset_that_it_is_told() {
    let ends = Ends::accepted(BLOCK * 2);
    let heard = ends.says(vec![Event::Data(ends.data(5, BLOCK * 2, BLOCK))]);
    assert!(matches!(heard[..], [Event::Data(Data { offset: 10_240, sum: Sum::Good, .. })]), "{heard:?}");
}

#[test]
fn an_upload_may_be_refused_and_cancelled() {
    let ends = Ends::open(Driver::DevicePush, File::unknown());
    let start = |tag| {
        let file = File { digests: vec![], meta: vec![], ..file() };
        StartUpload { tag, file, resume_key: "once".into() }
    };
    let heard = ends.says(vec![Event::StartUpload(start(4))]);
    let [Event::StartUpload(begun)] = &heard[..] else { panic!("{heard:?}") };
    // The protocol names an upload by its file.
    assert_eq!(*begun, StartUpload { tag: begun.tag, resume_key: "fw.bin".into(), ..start(4) });
    let refuse = Command::Refuse(Refuse { tag: begun.tag, text: Text::new("PH5008", "too large") });
    let text = Text::new("78117", "the file is too large");
    assert_eq!(ends.hears(vec![refuse]), [Command::Refuse(Refuse { tag: 4, text })]);
    let ends = Ends::accepted(0);
    let cancel = ends.device.encode(vec![Event::Cancel(Text::new("", "enough"))]).messages.remove(0);
    let decoded = ends.platform.decode(vec![incoming(cancel.route, cancel.payload)]);
    assert!(matches!(decoded.events[..], [Event::Cancel(_)]), "{:?}", decoded.events);
    assert_eq!(decoded.replies.len(), 1);
}

#[test]
fn an_accept_is_told_to_the_device_whatever_its_id() {
    let ends = Ends::open(Driver::DevicePush, File::unknown());
    let init = r#"{"id":"not-a-number","params":{"fileName":"a.log","fileSize":-1}}"#;
    let events = ends.platform.decode(vec![incoming(ends::INIT, init)]).events;
    let [Event::StartUpload(start)] = &events[..] else { panic!("{events:?}") };
    let accept = Command::Accept(Accept { tag: start.tag, upload_id: "u".into(), resume_at: 0 });
    let reply = ends.platform.encode(vec![accept]).messages.remove(0).payload;
    assert!(String::from_utf8(reply).unwrap().contains(r#""id":"not-a-number""#));
}

#[test]
fn a_device_is_called_and_uploads_or_says_that_it_cannot() {
    let ends = Ends::open(Driver::DevicePush, File { name: "syslog".into(), ..File::unknown() });
    assert_eq!(ends.hears(vec![Command::RequestUpload(5)]), [Command::RequestUpload(0)]);
    let file = File { name: "syslog".into(), size: Some(7), ..File::unknown() };
    let heard = ends.says(vec![Event::StartUpload(StartUpload { tag: 4, file, resume_key: "once".into() })]);
    assert!(matches!(heard[..], [Event::StartUpload(_)]), "the answer to the call says nothing: {heard:?}");
    assert_eq!(ends.hears(vec![Command::RequestUpload(6)]), [Command::RequestUpload(0)]);
    let refused = |code: &str| Outcome { verdict: Verdict::Refused, text: Text::new(code, "no such file") };
    assert_eq!(ends.says(vec![Event::Outcome(refused(""))]), [Event::Outcome(refused("100404"))]);
}
