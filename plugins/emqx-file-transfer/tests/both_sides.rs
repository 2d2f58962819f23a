//! Every word that the protocol has goes through one side and comes out of the other with the same meaning.

use emqx_file_transfer::{EmqxDevice, EmqxPlatform};
use packhorse_codec::testing::{DeviceEnd, Hostile, PlatformEnd, mangled, transfer};
use packhorse_codec::{
    Accept, Algorithm, Command, Data, Digest, Driver, Event, Fault, File, Finish, Incoming, More, Offer, Outcome,
    Outgoing, Receipt, Refuse, Span, StartUpload, Sum, Text, Transfer, Verdict, Want,
};

const SHA: [u8; 32] = [7; 32];
const RESPONSE: u16 = 0;
const RESPONSE_BELOW: u16 = 1;
const ASYNC: u16 = 3;

struct Pair {
    platform: PlatformEnd<EmqxPlatform>,
    device: DeviceEnd<EmqxDevice>,
}

fn opening(vars: &[(&str, &str)]) -> Transfer {
    let file = File { name: "syslog".into(), ..File::unknown() };
    let given = [("prefix", "emqx/{device}/"), ("client_id", "{device}"), ("file_name", ""), ("ask", "yes")];
    let all = given.iter().map(|(name, value)| {
        let set = vars.iter().find(|(known, _)| known == name).map_or(value, |(_, value)| value);
        ((*name).to_owned(), (*set).to_owned())
    });
    Transfer { vars: all.collect(), ..transfer(Driver::DevicePush, file) }
}

fn arrived(messages: Vec<Outgoing>) -> Vec<Incoming> {
    messages.into_iter().map(|Outgoing { route, payload, more, .. }| Incoming { route, payload, more }).collect()
}

fn file(size: u64) -> File {
    File { name: "syslog".into(), size: Some(size), digests: vec![Digest::new(Algorithm::Sha256, SHA)], meta: vec![] }
}

fn start(tag: u64, size: u64) -> Event {
    Event::StartUpload(StartUpload { tag, file: file(size), resume_key: String::new() })
}

impl Pair {
    fn open() -> Self {
        let platform = PlatformEnd::open(opening(&[])).expect("the opening is complete");
        let device = DeviceEnd::open(opening(&[])).expect("a device opens");
        Self { platform, device }
    }

    /// An upload that was begun and accepted.
    fn begun(size: u64) -> Self {
        let pair = Self::open();
        let heard = pair.to_platform(vec![start(4, size)]);
        let [Event::StartUpload(began)] = &heard[..] else { panic!("{heard:?}") };
        let accept = Command::Accept(Accept { tag: began.tag, upload_id: "u".into(), resume_at: 0 });
        assert!(matches!(&pair.to_device(vec![accept])[..], [Command::Accept(accept)] if accept.tag == 4));
        pair
    }

    fn to_device(&self, commands: Vec<Command>) -> Vec<Command> {
        let encoded = self.platform.encode(commands);
        let decoded = self.device.decode(arrived(encoded.messages));
        assert_eq!((encoded.faults, decoded.faults), (vec![], vec![]));
        decoded.commands
    }

    fn to_platform(&self, events: Vec<Event>) -> Vec<Event> {
        let encoded = self.device.encode(events);
        let decoded = self.platform.decode(arrived(encoded.messages));
        assert_eq!((encoded.faults, decoded.faults), (vec![], vec![]));
        decoded.events
    }

    /// One segment on its way; gives what the platform makes of it.
    fn sent(&self, tag: u64, offset: u64, bytes: Vec<u8>) -> Data {
        let data = Data { tag, offset, bytes, sum: Sum::Absent, last: false };
        let heard = self.to_platform(vec![Event::Data(data)]);
        let [Event::Data(data)] = &heard[..] else { panic!("{heard:?}") };
        data.clone()
    }
}

#[test]
fn segments_reach_the_platform_and_their_receipts_the_device() {
    let pair = Pair::begun(u64::MAX);
    let mut random = Hostile::new(1);
    for tag in 0..100_000 {
        let length = 1 + random.below(200);
        let (offset, bytes) = (random.next() >> (1 + random.below(60)), random.bytes(length));
        let heard = pair.sent(tag, offset, bytes.clone());
        assert_eq!((heard.offset, &heard.bytes, heard.sum, heard.last), (offset, &bytes, Sum::Good, false));
        let span = Span::new(offset, offset + length as u64);
        let good = random.below(4) != 0;
        let receipt = Receipt { tag: heard.tag, span, good };
        let told = pair.to_device(vec![Command::Ack(receipt)]);
        assert_eq!(told, [Command::Ack(Receipt { tag, span, good })]);
    }
}

#[test]
fn a_damaged_segment_is_found_and_never_passed_as_good() {
    let pair = Pair::begun(100_000);
    let mut random = Hostile::new(2);
    let mut bad = 0;
    for tag in 0..20_000 {
        let bytes = random.bytes(64);
        let data = Data { tag, offset: tag * 64, bytes: bytes.clone(), sum: Sum::Absent, last: false };
        let mut message = arrived(pair.device.encode(vec![Event::Data(data)]).messages).remove(0);
        message.payload = mangled(&message.payload, &mut random);
        let same = message.payload == bytes;
        let heard = pair.platform.decode(vec![message]).events;
        let [Event::Data(data)] = &heard[..] else { panic!("{heard:?}") };
        assert_eq!((data.sum == Sum::Good, data.sum == Sum::Bad), (same, !same));
        bad += usize::from(!same);
    }
    assert!(bad > 15_000, "{bad}");
}

#[test]
fn the_end_is_told_with_size_and_checksum_and_answered_with_the_verdict() {
    let mut random = Hostile::new(3);
    for _ in 0..10_000 {
        let size = random.next() >> random.below(64);
        let pair = Pair::begun(size);
        let digests = vec![Digest::new(Algorithm::Sha256, SHA)];
        let finish = Event::Finish(Finish { tag: 0, size: Some(size), digests });
        assert_eq!(pair.to_platform(vec![finish.clone()]), [finish]);
        for (verdict, meant) in [(Verdict::Good, Verdict::Good), (Verdict::BadDigest, Verdict::BadDigest)] {
            let said = Command::Outcome(Outcome { verdict, text: Text::new("", "") });
            let heard = pair.to_device(vec![said]);
            assert!(matches!(&heard[..], [Command::Outcome(outcome)] if outcome.verdict == meant), "{heard:?}");
            pair.to_platform(vec![Event::Finish(Finish { tag: 0, size: Some(size), digests: vec![] })]);
        }
    }
}

#[test]
fn refusals_holes_pauses_and_cancellations_reach_the_device() {
    let pair = Pair::open();
    let heard = pair.to_platform(vec![start(4, 10)]);
    let [Event::StartUpload(began)] = &heard[..] else { panic!("{heard:?}") };
    let refuse = Refuse { tag: began.tag, text: Text::new("PH5008", "too large") };
    let told = pair.to_device(vec![Command::Refuse(refuse)]);
    assert_eq!(told, [Command::Refuse(Refuse { tag: 4, text: Text::new("131", "too large") })]);

    let pair = Pair::begun(100);
    pair.to_platform(vec![Event::Finish(Finish { tag: 0, size: Some(100), digests: vec![] })]);
    let need = |tag| Command::Need(Want { tag, span: Span::new(0, 100), limit: 4 });
    assert_eq!(pair.to_device(vec![need(1), need(2)]), [Command::RequestUpload(0)], "it is said once");

    let pair = Pair::begun(100);
    pair.sent(1, 0, vec![1; 10]);
    assert_eq!(pair.to_device(vec![Command::Pause(5)]), [Command::Pause(1_000)]);
    pair.sent(2, 0, vec![1; 10]);
    let stop = || Command::Cancel(Text::new("", "stop"));
    assert_eq!(pair.to_device(vec![stop()]), [Command::Cancel(Text::new("131", "stop"))]);
    assert_eq!(pair.to_device(vec![stop()]), [Command::Cancel(Text::new("131", "stop"))], "the newest one again");
}

#[test]
fn a_device_that_gives_up_is_heard() {
    let heard = Pair::begun(100).to_platform(vec![Event::Cancel(Text::new("", ""))]);
    assert!(matches!(&heard[..], [Event::Cancel(text)] if text.code == "abort"));
}

#[test]
fn a_device_is_asked_for_the_file_by_name() {
    let named = Offer { tag: 0, file: File { name: "syslog".into(), ..File::unknown() }, url: String::new() };
    let heard = Pair::open().to_device(vec![Command::RequestUpload(9)]);
    assert_eq!(heard, [Command::Offer(named), Command::RequestUpload(0)]);
    let silent = PlatformEnd::<EmqxPlatform>::open(opening(&[("ask", "no")])).unwrap();
    assert_eq!(silent.encode(vec![Command::RequestUpload(9)]).faults[0].fault, Fault::Unsupported);
}

/// An `init` with properties of MQTT 5.
fn asking(response: Option<&str>, correlation: Option<Vec<u8>>) -> Incoming {
    let more =
        More { response_topic: response.map(ToOwned::to_owned), correlation, ..More::captures(["f/init".to_owned()]) };
    Incoming { route: ASYNC, payload: br#"{"name":"a"}"#.to_vec(), more: Some(more) }
}

#[test]
fn an_answer_goes_where_the_device_asked_for_it_if_that_is_its_own() {
    for (asked, route, captures) in [
        (None, RESPONSE, vec![]),
        (Some("$file-response/dev-1"), RESPONSE, vec![]),
        (Some("emqx/dev-1/$file-response/dev-1"), RESPONSE, vec![]),
        (Some("$file-response/dev-1/a/b"), RESPONSE_BELOW, vec!["a/b".to_owned()]),
        (Some("emqx/dev-1/$file-response/dev-1/x"), RESPONSE_BELOW, vec!["x".to_owned()]),
        (Some("$file-response/dev-2"), RESPONSE, vec![]),
        (Some("$file-response/dev-1/a//b"), RESPONSE, vec![]),
        (Some("$file-response/dev-1/+"), RESPONSE, vec![]),
        (Some("elsewhere"), RESPONSE, vec![]),
    ] {
        let platform = PlatformEnd::<EmqxPlatform>::open(opening(&[])).unwrap();
        let heard = platform.decode(vec![asking(asked, Some(vec![1, 2]))]).events;
        let [Event::StartUpload(began)] = &heard[..] else { panic!("{heard:?}") };
        let accept = Command::Accept(Accept { tag: began.tag, upload_id: "u".into(), resume_at: 0 });
        let answer = platform.encode(vec![accept]).messages.remove(0);
        let more = answer.more.unwrap();
        assert_eq!((answer.route, more.captures, more.correlation), (route, captures, Some(vec![1, 2])), "{asked:?}");
    }
}

#[test]
fn what_waits_is_bounded_whatever_comes() {
    let pair = Pair::begun(u64::MAX);
    let mut first = None;
    for tag in 0..3_000 {
        let heard = pair.sent(tag, tag * 8, vec![1; 8]);
        first.get_or_insert(heard.tag);
    }
    let span = Span::new(0, 8);
    let receipt = Receipt { tag: first.unwrap(), span, good: true };
    let answer = pair.platform.encode(vec![Command::Ack(receipt)]).messages.remove(0);
    let text = String::from_utf8(answer.payload).unwrap();
    assert!(text.contains("/0\""), "the checksum of its topic is forgotten, the offset is not: {text}");
    assert!(pair.platform.save().len() <= 4096 && pair.device.save().len() <= 4096);
}

#[test]
fn both_sides_go_on_from_what_they_saved() {
    let pair = Pair::begun(100);
    pair.sent(8, 0, vec![1; 10]);
    let (platform, device) = (pair.platform.save(), pair.device.save());
    let again = Pair {
        platform: PlatformEnd::open(Transfer { saved: platform.clone(), epoch: 2, ..opening(&[]) }).unwrap(),
        device: DeviceEnd::open(Transfer { saved: device.clone(), ..opening(&[]) }).unwrap(),
    };
    assert_eq!((again.platform.save(), again.device.save()), (platform, device));
    let receipt = Receipt { tag: 1, span: Span::new(0, 10), good: true };
    let heard = again.to_device(vec![Command::Ack(receipt)]);
    assert_eq!(heard, [Command::Ack(Receipt { tag: 8, ..receipt })]);
    assert_eq!(again.sent(9, 10, vec![1; 10]).offset, 10);
}

#[test]
fn a_saved_state_that_cannot_be_read_is_refused() {
    for saved in [vec![9], vec![1], vec![1, 200, 1], vec![2; 40]] {
        let platform = PlatformEnd::<EmqxPlatform>::open(Transfer { saved: saved.clone(), ..opening(&[]) });
        assert_eq!(platform.unwrap_err().code, "saved", "{saved:?}");
        let device = DeviceEnd::<EmqxDevice>::open(Transfer { saved, ..opening(&[]) });
        assert_eq!(device.unwrap_err().code, "saved");
    }
}
