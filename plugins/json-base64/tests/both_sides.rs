//! Every word that the format has goes through one side and comes out of the other with the same meaning.

use json_base64::{JsonDevice, JsonPlatform};
use packhorse_codec::testing::{DeviceEnd, Hostile, PlatformEnd, incoming, mangled, transfer};
use packhorse_codec::{
    Algorithm, Chunk, Command, Data, Digest, Driver, Event, File, Finish, Outcome, Outgoing, Span, StartUpload, Sum,
    Text, Transfer, Verdict, Want,
};

const SIZE: u64 = 100_000;

fn file() -> File {
    let digests = vec![Digest::new(Algorithm::Md5, *b"sixteen bytes ok")];
    File { name: "fw.bin".into(), size: Some(SIZE), digests, meta: vec![("type".into(), "fw".into())] }
}

fn with_check(transfer: Transfer, check: &str) -> Transfer {
    Transfer { vars: vec![("check".into(), check.into())], ..transfer }
}

fn ends(driver: Driver, check: &str) -> (PlatformEnd<JsonPlatform>, DeviceEnd<JsonDevice>) {
    let ours = match driver {
        Driver::PlatformPush => file(),
        _ => File { name: "log".into(), ..File::unknown() },
    };
    let platform = PlatformEnd::open(with_check(transfer(driver, ours), check)).expect("the opening is complete");
    (platform, DeviceEnd::open(with_check(transfer(driver, File::unknown()), check)).expect("a device opens"))
}

fn to_device(device: &DeviceEnd<JsonDevice>, messages: Vec<Outgoing>) -> Vec<Command> {
    let decoded = device.decode(messages.into_iter().map(|message| incoming(message.route, message.payload)).collect());
    assert_eq!(decoded.faults, []);
    decoded.commands.into_iter().filter(|command| !matches!(command, Command::Offer(_))).collect()
}

fn to_platform(platform: &PlatformEnd<JsonPlatform>, messages: Vec<Outgoing>) -> Vec<Event> {
    let decoded =
        platform.decode(messages.into_iter().map(|message| incoming(message.route, message.payload)).collect());
    assert_eq!(decoded.faults, []);
    decoded.events
}

fn chunk(offset: u64, bytes: Vec<u8>) -> Command {
    let last = offset + bytes.len() as u64 >= SIZE;
    Command::Chunk(Chunk { tag: 0, offset, bytes, last })
}

#[test]
fn pieces_of_every_length_reach_the_device() {
    let mut random = Hostile::new(3);
    for check in ["crc", "md5", "none"] {
        let (platform, device) = ends(Driver::PlatformPush, check);
        for length in (1..700).chain([4096, 65_536]) {
            let offset = random.below(SIZE as usize - length + 1) as u64;
            let command = chunk(offset, random.bytes(length));
            let messages = platform.encode(vec![command.clone()]).messages;
            assert_eq!(to_device(&device, messages), [command]);
        }
    }
}

#[test]
fn a_full_piece_keeps_to_the_limit_that_was_declared() {
    for check in ["crc", "md5", "none"] {
        for packet_size in [1u32, 64, 640, 641, 8192] {
            let name = "a very long name of a file that would not fit into every packet.bin";
            let opening =
                Transfer { packet_size, ..transfer(Driver::PlatformPush, File { name: name.into(), ..file() }) };
            let platform = PlatformEnd::<JsonPlatform>::open(with_check(opening, check)).unwrap();
            let size = u64::from(packet_size);
            for offset in [0, SIZE - size] {
                let message = platform.encode(vec![chunk(offset, vec![0xff; packet_size as usize])]).messages.remove(0);
                let limit = 170 + size * 1334 / 1000;
                assert!(message.payload.len() as u64 <= limit, "{check} {packet_size}: {}", message.payload.len());
                assert_eq!(message.payload.len(), message.payload.capacity(), "the host takes it without a copy");
            }
        }
    }
}

#[test]
fn what_a_device_says_of_a_push_reaches_the_platform() {
    let (platform, device) = ends(Driver::PlatformPush, "crc");
    to_device(&device, platform.encode(vec![chunk(0, vec![1; 640])]).messages);
    let good = Event::Outcome(Outcome { verdict: Verdict::Good, text: Text::new("", "fine") });
    let said = vec![Event::Ack(Span::new(0, 640)), Event::Missing(Span::new(64, 128)), Event::AckThrough(64), good];
    let heard = to_platform(&platform, device.encode(said).messages);
    let ack = |start, end| Event::Ack(Span::new(start, end));
    assert_eq!(
        heard,
        [
            ack(0, 640),
            ack(0, 0),
            Event::Missing(Span::new(64, 128)),
            ack(0, 64),
            Event::Missing(Span::new(64, SIZE)),
            ack(0, 640),
            Event::Outcome(Outcome { verdict: Verdict::Good, text: Text::new("0", "fine") }),
        ]
    );
}

#[test]
fn a_query_comes_back_with_its_tag() {
    let (platform, device) = ends(Driver::PlatformPush, "crc");
    let asked = to_device(&device, platform.encode(vec![Command::Query(77)]).messages);
    let [Command::Query(tag)] = asked[..] else { panic!("{asked:?}") };
    let answer = |tag| Finish { tag, size: Some(SIZE), digests: file().digests };
    let heard = to_platform(&platform, device.encode(vec![Event::Finish(answer(tag))]).messages);
    assert_eq!(heard, [Event::Finish(answer(77))]);
}

#[test]
fn a_pull_goes_round() {
    for (check, sum) in [("crc", Sum::Good), ("md5", Sum::Good), ("none", Sum::Absent)] {
        let (platform, device) = ends(Driver::PlatformPull, check);
        let need = Want { tag: 5, span: Span::new(640, 1280), limit: 640 };
        let asked = to_device(&device, platform.encode(vec![Command::Need(need)]).messages);
        assert_eq!(asked, [Command::Need(Want { tag: 0, ..need })]);
        let start = Event::StartUpload(StartUpload { tag: 0, file: file(), resume_key: String::new() });
        let data = Data { tag: 0, offset: 640, bytes: vec![9; 640], sum: Sum::Absent, last: false };
        let heard = to_platform(&platform, device.encode(vec![start, Event::Data(data.clone())]).messages);
        let [Event::StartUpload(start), Event::Data(found)] = &heard[..] else { panic!("{heard:?}") };
        assert_eq!((start.file.size, &start.file.digests), (Some(SIZE), &file().digests));
        assert_eq!(*found, Data { tag: 5, sum, ..data });
    }
}

#[test]
fn a_damaged_packet_is_never_taken_for_another() {
    let (platform, device) = ends(Driver::PlatformPush, "crc");
    let mut random = Hostile::new(11);
    let truth = chunk(6400, random.bytes(640));
    let good = platform.encode(vec![truth.clone()]).messages.remove(0).payload;
    to_device(&device, platform.encode(vec![truth.clone()]).messages);
    let mut refused = 0;
    for _ in 0..20_000 {
        let decoded = device.decode(vec![incoming(0, mangled(&good, &mut random))]);
        // Some damage says the same, such as a blank behind the end.
        assert!(decoded.commands.is_empty() || decoded.commands == [truth.clone()], "{:?}", decoded.commands);
        refused += decoded.faults.len();
    }
    assert!(refused > 15_000, "{refused}");
}

#[test]
fn a_damaged_acknowledgement_is_never_taken_for_another() {
    let (platform, device) = ends(Driver::PlatformPush, "crc");
    to_device(&device, platform.encode(vec![chunk(6400, vec![1; 640])]).messages);
    let truth = Event::Ack(Span::new(6400, 7040));
    let good = device.encode(vec![truth.clone()]).messages.remove(0).payload;
    platform.decode(vec![incoming(2, good.clone())]);
    let mut random = Hostile::new(12);
    for _ in 0..20_000 {
        let decoded = platform.decode(vec![incoming(2, mangled(&good, &mut random))]);
        assert!(decoded.events.is_empty() || decoded.events == [truth.clone()], "{:?}", decoded.events);
    }
}

#[test]
fn a_batch_is_worth_its_parts() {
    let commands: Vec<Command> = (0..20).map(|index| chunk(index * 640, vec![index as u8; 640])).collect();
    let (platform, device) = ends(Driver::PlatformPush, "crc");
    let (single, _) = ends(Driver::PlatformPush, "crc");
    let batch = platform.encode(commands.clone()).messages;
    let parts: Vec<_> = commands.into_iter().flat_map(|command| single.encode(vec![command]).messages).collect();
    assert_eq!(batch.iter().map(|message| message.cause).collect::<Vec<_>>(), (0..20).collect::<Vec<u16>>());
    assert!(batch.iter().zip(&parts).all(|(one, other)| one.payload == other.payload));
    let batched = to_device(&device, batch);
    let (_, device) = ends(Driver::PlatformPush, "crc");
    let single: Vec<_> = parts.into_iter().flat_map(|message| to_device(&device, vec![message])).collect();
    assert_eq!(batched, single);
}

#[test]
fn a_device_goes_on_from_what_it_saved() {
    let (platform, device) = ends(Driver::PlatformPush, "crc");
    to_device(&device, platform.encode(vec![chunk(0, vec![1; 640]), Command::Query(3)]).messages);
    let opening = Transfer { saved: device.save(), ..transfer(Driver::PlatformPush, File::unknown()) };
    let again = DeviceEnd::<JsonDevice>::open(opening).unwrap();
    let said = vec![Event::Ack(Span::new(0, 640)), Event::Finish(Finish { tag: 1, size: None, digests: vec![] })];
    let heard = to_platform(&platform, again.encode(said).messages);
    assert_eq!(heard, [Event::Ack(Span::new(0, 640)), Event::Finish(Finish { tag: 3, size: None, digests: vec![] })]);
}

#[test]
fn an_opening_that_cannot_work_is_refused() {
    let code = |opening| PlatformEnd::<JsonPlatform>::open(opening).unwrap_err().code;
    assert_eq!(code(transfer(Driver::PlatformPush, File { digests: vec![], ..file() })), "file-unknown");
    assert_eq!(code(transfer(Driver::PlatformPull, File::unknown())), "file-type-missing");
    assert_eq!(code(Transfer { saved: vec![9], ..transfer(Driver::PlatformPush, file()) }), "saved");
}
