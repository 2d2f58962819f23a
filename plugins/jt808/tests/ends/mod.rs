//! Both ends of a transfer, and the file that travels.

use jt808::{Jt808Device, Jt808Platform};
use packhorse_codec::testing::{DeviceEnd, PlatformEnd, transfer};
use packhorse_codec::{
    Accept, Chunk, Command, Data, Driver, Event, File, Incoming, Outgoing, Span, StartUpload, Sum, Transfer,
};

pub(crate) const SIZE: u64 = 99_500;
pub(crate) const PIECE: u64 = 512;
pub(crate) const DOWN: u16 = 0;
pub(crate) const UP: u16 = 1;

/// A platform and a terminal, and nothing between them.
pub(crate) struct Ends {
    pub(crate) platform: PlatformEnd<Jt808Platform>,
    pub(crate) device: DeviceEnd<Jt808Device>,
}

impl Ends {
    pub(crate) fn push(vars: &[(&str, &str)]) -> Self {
        let opening = opening(Driver::PlatformPush, file(SIZE), vars);
        Self { platform: platform(opening), device: device(Driver::PlatformPush, vars) }
    }

    /// An upload that the platform has taken.
    pub(crate) fn pull(vars: &[(&str, &str)], size: u64) -> Self {
        let opening = opening(Driver::DevicePush, File::unknown(), vars);
        let ends = Self { platform: platform(opening), device: device(Driver::DevicePush, vars) };
        let heard = ends.says(vec![start(size)]);
        let [Event::StartUpload(begun)] = &heard[..] else { panic!("{heard:?}") };
        let accept = |tag| Command::Accept(Accept { tag, upload_id: String::new(), resume_at: 0 });
        assert_eq!(ends.hears(vec![accept(begun.tag)]), [accept(4)]);
        ends
    }

    /// What the terminal says, as the platform hears it; what the platform answers by itself, the terminal must understand.
    pub(crate) fn says(&self, events: Vec<Event>) -> Vec<Event> {
        let encoded = self.device.encode(events);
        assert_eq!(encoded.faults, []);
        let decoded = self.platform.decode(arrived(encoded.messages));
        assert_eq!(decoded.faults, []);
        let answered = self.device.decode(arrived(decoded.replies));
        assert_eq!((answered.commands, answered.faults), (vec![], vec![]));
        decoded.events
    }

    /// What the platform says, as the terminal hears it.
    pub(crate) fn hears(&self, commands: Vec<Command>) -> Vec<Command> {
        let encoded = self.platform.encode(commands);
        assert_eq!(encoded.faults, []);
        let decoded = self.device.decode(arrived(encoded.messages));
        assert_eq!((decoded.faults, decoded.replies), (vec![], vec![]));
        decoded.commands
    }
}

pub(crate) fn opening(driver: Driver, file: File, vars: &[(&str, &str)]) -> Transfer {
    let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Transfer { vars, packet_size: PIECE as u32, ..transfer(driver, file) }
}

pub(crate) fn platform(opening: Transfer) -> PlatformEnd<Jt808Platform> {
    PlatformEnd::open(opening).expect("the opening is complete")
}

pub(crate) fn device(driver: Driver, vars: &[(&str, &str)]) -> DeviceEnd<Jt808Device> {
    DeviceEnd::open(opening(driver, File::unknown(), vars)).expect("a terminal opens")
}

pub(crate) fn file(size: u64) -> File {
    let meta = vec![("version".to_owned(), "V2.1".to_owned())];
    File { name: "fw.bin".into(), size: Some(size), digests: vec![], meta }
}

pub(crate) fn start(size: u64) -> Event {
    let file = File { name: "front.jpg".into(), size: Some(size), ..File::unknown() };
    Event::StartUpload(StartUpload { tag: 4, file, resume_key: String::new() })
}

/// Bytes of the file, cut at its end; flags and escapes are frequent among them.
pub(crate) fn bytes(offset: u64, length: u64, size: u64) -> Vec<u8> {
    let byte = |at: u64| {
        if at.is_multiple_of(5) {
            0x7e
        } else if at.is_multiple_of(7) {
            0x7d
        } else {
            (at * 31) as u8
        }
    };
    (offset..(offset + length).min(size)).map(byte).collect()
}

pub(crate) fn chunk(offset: u64) -> Command {
    let bytes = bytes(offset, PIECE, SIZE);
    let last = offset + bytes.len() as u64 == SIZE;
    Command::Chunk(Chunk { tag: 0, offset, bytes, last })
}

pub(crate) fn data(tag: u64, offset: u64, size: u64) -> Event {
    let bytes = bytes(offset, PIECE, size);
    let last = offset + bytes.len() as u64 == size;
    Event::Data(Data { tag, offset, bytes, sum: Sum::Absent, last })
}

pub(crate) fn piece(offset: u64) -> Span {
    Span::new(offset, (offset + PIECE).min(SIZE))
}

pub(crate) fn arrived(messages: Vec<Outgoing>) -> Vec<Incoming> {
    let arrived = |Outgoing { route, payload, more, .. }| Incoming { route, payload, more };
    messages.into_iter().map(arrived).collect()
}
