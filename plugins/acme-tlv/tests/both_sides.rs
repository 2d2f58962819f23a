//! Every word that the protocol has goes through one side and comes out of the other with the same meaning.

use acme_tlv::{AcmeDevice, AcmePlatform};
use packhorse_codec::crc::{Crc16, crc16};
use packhorse_codec::testing::{DeviceEnd, Hostile, PlatformEnd, incoming, mangled, transfer};
use packhorse_codec::{
    Algorithm, Chunk, Command, Data, Digest, Driver, Event, Fault, File, Finish, Hello, Offer, Outcome, Outgoing,
    Phase, Progress, Span, StartUpload, Sum, Text, Transfer, Verdict, Want, Writer,
};

const SIZE: u64 = 99_500;
const PIECE: u64 = 1000;

fn file() -> File {
    let digests = vec![Digest::new(Algorithm::Sha256, [0xab; 32])];
    let meta = vec![("module".into(), "main".into()), ("version".into(), "2".into())];
    File { name: "fw.bin".into(), size: Some(SIZE), digests, meta }
}

fn ends(driver: Driver) -> (PlatformEnd<AcmePlatform>, DeviceEnd<AcmeDevice>) {
    let ours = match driver {
        Driver::PlatformPush => file(),
        _ => File { name: "log".into(), ..File::unknown() },
    };
    let opening = Transfer { packet_size: PIECE as u32, epoch: 5, ..transfer(driver, ours) };
    let device = Transfer { epoch: 0, ..transfer(driver, File::unknown()) };
    (PlatformEnd::open(opening).expect("the opening is complete"), DeviceEnd::open(device).expect("a device opens"))
}

fn to_device(device: &DeviceEnd<AcmeDevice>, messages: Vec<Outgoing>) -> Vec<Command> {
    let decoded = device.decode(messages.into_iter().map(|message| incoming(message.route, message.payload)).collect());
    assert_eq!((decoded.faults, decoded.replies), (vec![], vec![]));
    decoded.commands
}

fn to_platform(platform: &PlatformEnd<AcmePlatform>, messages: Vec<Outgoing>) -> Vec<Event> {
    let decoded =
        platform.decode(messages.into_iter().map(|message| incoming(message.route, message.payload)).collect());
    assert_eq!((decoded.faults, decoded.replies), (vec![], vec![]));
    decoded.events
}

fn offer() -> Command {
    Command::Offer(Offer { tag: 0, file: file(), url: String::new() })
}

fn piece(index: u64) -> Command {
    let offset = index * PIECE;
    let end = (offset + PIECE).min(SIZE);
    let bytes = (offset..end).map(|at| (at * 31) as u8).collect();
    Command::Chunk(Chunk { tag: 0, offset, bytes, last: end == SIZE })
}

/// Both ends of a push whose file is announced.
fn announced() -> (PlatformEnd<AcmePlatform>, DeviceEnd<AcmeDevice>) {
    let (platform, device) = ends(Driver::PlatformPush);
    assert_eq!(to_device(&device, platform.encode(vec![offer()]).messages), [offer()]);
    (platform, device)
}

#[test]
fn every_command_of_a_push_reaches_the_device() {
    let (platform, device) = announced();
    let text = Text::new("7", "enough");
    let mut commands: Vec<Command> = (0..100).map(piece).collect();
    commands.extend([
        Command::Query(u64::MAX),
        Command::Outcome(Outcome { verdict: Verdict::DeviceFull, text: text.clone() }),
        Command::Cancel(text),
        Command::Pause(1500),
    ]);
    let encoded = platform.encode(commands.clone());
    assert_eq!(encoded.faults, []);
    assert!(encoded.messages.iter().all(|message| message.payload.len() <= 1024));
    assert_eq!(to_device(&device, encoded.messages), commands);
}

#[test]
fn every_event_of_a_push_reaches_the_platform() {
    let (platform, device) = announced();
    let text = Text::new("7", "enough");
    let events = vec![
        Event::Hello(Hello { tag: 0, title: "pump".into(), version: "1".into(), meta: vec![] }),
        Event::AskOffer(0),
        Event::Ack(Span::new(0, 3000)),
        Event::AckThrough(2000),
        Event::Missing(Span::new(500, 1000)),
        Event::Progress(Progress { phase: Phase::Installing, done: Some(1), total: None }),
        Event::Outcome(Outcome { verdict: Verdict::Good, text: text.clone() }),
        Event::Cancel(text),
        Event::Pause(0),
    ];
    assert_eq!(to_platform(&platform, device.encode(events.clone()).messages), events);
}

#[test]
fn one_acknowledgement_makes_up_for_all_that_were_lost() {
    let (platform, device) = announced();
    let mut random = Hostile::new(8);
    let mut held = [false; 100];
    for _ in 0..400 {
        let index = random.below(100);
        held[index] = true;
        let Command::Chunk(chunk) = piece(index as u64) else { unreachable!() };
        let span = Span::new(chunk.offset, chunk.offset + chunk.bytes.len() as u64);
        let told = device.encode(vec![Event::Ack(span)]).messages;
        if random.below(5) > 0 {
            continue;
        }
        let mut heard = [false; 100];
        for event in to_platform(&platform, told) {
            let Event::Ack(span) = event else { panic!("{event:?}") };
            (span.start / PIECE..span.end.div_ceil(PIECE)).for_each(|index| heard[index as usize] = true);
        }
        assert_eq!(heard, held);
    }
}

#[test]
fn a_query_is_answered_with_the_map_and_the_digest() {
    let (platform, device) = announced();
    device.encode(vec![Event::Ack(Span::new(0, 2000)), Event::Ack(Span::new(99_000, SIZE))]);
    let asked = to_device(&device, platform.encode(vec![Command::Query(77)]).messages);
    assert_eq!(asked, [Command::Query(77)]);
    let finish =
        Event::Finish(Finish { tag: 77, size: Some(2500), digests: vec![Digest::new(Algorithm::Md5, [1; 16])] });
    let heard = to_platform(&platform, device.encode(vec![finish.clone()]).messages);
    // The bitmap ends before the last piece is reached only where it is more than 512 pieces away.
    assert_eq!(heard, [Event::AckThrough(2000), Event::Ack(Span::new(99_000, SIZE)), finish]);
}

#[test]
fn a_pull_goes_round() {
    let (platform, device) = ends(Driver::PlatformPull);
    let need = Command::Need(Want { tag: 5, span: Span::new(0, Span::OPEN), limit: 500 });
    let asked = to_device(&device, platform.encode(vec![need.clone(), Command::RequestUpload(0)]).messages);
    let named = File { name: "log".into(), meta: vec![("type".into(), "log".into())], ..File::unknown() };
    let named = Command::Offer(Offer { tag: 0, file: named, url: String::new() });
    assert_eq!(asked, [named, need, Command::RequestUpload(0)]);
    let data = |offset, last| Event::Data(Data { tag: 5, offset, bytes: vec![3; 500], sum: Sum::Good, last });
    let start = StartUpload { tag: 0, file: file(), resume_key: "abababab".into() };
    let said = vec![Event::StartUpload(start), data(0, false), data(99_000, true)];
    assert_eq!(to_platform(&platform, device.encode(said.clone()).messages), said);
}

#[test]
fn a_damaged_frame_is_never_taken_for_another() {
    let (platform, device) = announced();
    let good = platform.encode(vec![piece(3)]).messages.remove(0).payload;
    let mut random = Hostile::new(21);
    for _ in 0..20_000 {
        let bytes = mangled(&good, &mut random);
        let decoded = device.decode(vec![incoming(0, bytes.clone())]);
        assert!(bytes == good || (decoded.commands.is_empty() && decoded.faults.len() == 1), "{decoded:?}");
    }
    for cut in 0..good.len() {
        assert!(matches!(device.decode(vec![incoming(0, &good[..cut])]).faults[0].fault, Fault::Malformed(_)));
    }
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(device.decode(vec![incoming(0, bytes)]).faults.len(), 1);
    }
}

#[test]
fn bodies_of_random_bytes_never_panic() {
    static CRC: Crc16 = crc16("CRC-16/IBM-3740");
    let mut random = Hostile::new(4);
    for driver in [Driver::PlatformPush, Driver::PlatformPull] {
        let (platform, device) = ends(driver);
        for _ in 0..100_000 {
            let length = random.below(80);
            let mut frame = Writer::new();
            frame.u8(random.below(12) as u8 | if random.below(2) == 0 { 0x80 } else { 0 });
            frame.u16_be(length as u16);
            frame.u32_be(random.next() as u32);
            frame.u32_be(5 + (random.below(10) == 0) as u32);
            // Small numbers reach deeper than noise.
            let sparse = random.below(2) == 0;
            let body: Vec<u8> =
                random.bytes(length).into_iter().map(|byte| if sparse { byte & byte >> 5 } else { byte }).collect();
            frame.slice(&body);
            frame.u16_be(CRC.checksum(frame.written()));
            let frame = frame.finish();
            platform.decode(vec![incoming(1, frame.clone())]);
            device.decode(vec![incoming(0, frame)]);
            if random.below(16) == 0 {
                let start = random.next() >> random.below(64);
                let span = Span::new(start, start.saturating_add(random.next() >> random.below(64)));
                device.encode(vec![Event::Ack(span), Event::Missing(span), Event::AckThrough(start)]);
                assert!(device.save().len() <= 4096 && platform.save().len() <= 4096);
            }
        }
    }
}

#[test]
fn a_batch_is_worth_its_parts() {
    let (platform, device) = announced();
    let (single, _) = announced();
    let commands: Vec<Command> = (0..20).map(piece).collect();
    let batch = platform.encode(commands.clone()).messages;
    let parts: Vec<_> = commands.iter().flat_map(|command| single.encode(vec![command.clone()]).messages).collect();
    assert!(batch.iter().zip(&parts).all(|(one, other)| one.payload == other.payload));
    assert!(batch.iter().all(|message| message.payload.len() == message.payload.capacity()));
    assert_eq!(to_device(&device, batch), commands);
}

#[test]
fn a_device_goes_on_from_what_it_saved() {
    let (platform, device) = announced();
    device.encode(vec![Event::Ack(Span::new(0, 1000)), Event::Ack(Span::new(5000, 6000))]);
    let opening = Transfer { saved: device.save(), ..transfer(Driver::PlatformPush, File::unknown()) };
    let again = DeviceEnd::<AcmeDevice>::open(opening).unwrap();
    let heard = to_platform(&platform, again.encode(vec![Event::Ack(Span::new(1000, 2000))]).messages);
    assert_eq!(heard, [Event::Ack(Span::new(0, 2000)), Event::Ack(Span::new(5000, 6000))]);
}

#[test]
fn an_opening_that_cannot_work_is_refused() {
    let code = |opening| PlatformEnd::<AcmePlatform>::open(opening).unwrap_err().code;
    assert_eq!(code(transfer(Driver::PlatformPush, File::unknown())), "file-unknown");
    assert_eq!(code(Transfer { saved: vec![9], ..transfer(Driver::PlatformPush, file()) }), "saved");
    let opening = Transfer { saved: vec![9], ..transfer(Driver::PlatformPush, File::unknown()) };
    assert_eq!(DeviceEnd::<AcmeDevice>::open(opening).unwrap_err().code, "saved");
}
