//! Both ends of a transfer, and the file that travels.

use aws_iot_streams::{AwsDevice, AwsPlatform};
use packhorse_codec::testing::{DeviceEnd, PlatformEnd, transfer};
use packhorse_codec::{Algorithm, Command, Digest, Driver, Event, File, Incoming, More, Offer, Outgoing, Transfer};

pub(crate) const SIZE: u64 = 1_000_001;
pub(crate) const BLOCK: u64 = 4096;
pub(crate) const UPDATE: u16 = 12;
pub(crate) const GET_STREAM: u16 = 14;

/// The stream is named after the MD5 of the file.
pub(crate) const STREAM: &str = "AFR_OTA-abababababababababababababababab";

/// A platform and a device, and nothing between them.
pub(crate) struct Ends {
    pub(crate) platform: PlatformEnd<AwsPlatform>,
    pub(crate) device: DeviceEnd<AwsDevice>,
}

impl Ends {
    pub(crate) fn open(format: &str) -> Self {
        Self { platform: platform(vec![], 1), device: device(format, vec![]) }
    }

    /// A job that the device knows, asking for blocks in this format.
    pub(crate) fn announced(format: &str) -> Self {
        let ends = Self::open(format);
        assert_eq!(ends.hears(vec![offer(0)]), [offer(0)]);
        ends
    }

    /// What the device says, as the platform hears it; what the platform answers by itself, the device must understand.
    pub(crate) fn says(&self, events: Vec<Event>) -> Vec<Event> {
        let encoded = self.device.encode(events);
        assert_eq!(encoded.faults, []);
        let decoded = self.platform.decode(arrived(encoded.messages));
        assert_eq!(decoded.faults, []);
        let answered = self.device.decode(arrived(decoded.replies));
        assert_eq!((answered.commands, answered.faults), (vec![], vec![]));
        decoded.events
    }

    /// What the platform says, as the device hears it.
    pub(crate) fn hears(&self, commands: Vec<Command>) -> Vec<Command> {
        let encoded = self.platform.encode(commands);
        assert_eq!(encoded.faults, []);
        let decoded = self.device.decode(arrived(encoded.messages));
        assert_eq!((decoded.faults, decoded.replies), (vec![], vec![]));
        decoded.commands
    }
}

pub(crate) fn platform(saved: Vec<u8>, epoch: u32) -> PlatformEnd<AwsPlatform> {
    let opening = Transfer { saved, epoch, packet_size: BLOCK as u32, ..transfer(Driver::DevicePull, file()) };
    PlatformEnd::open(opening).expect("the opening is complete")
}

pub(crate) fn device(format: &str, saved: Vec<u8>) -> DeviceEnd<AwsDevice> {
    let vars = vec![("format".into(), format.into())];
    let opening = Transfer { saved, vars, packet_size: BLOCK as u32, ..transfer(Driver::DevicePull, File::unknown()) };
    DeviceEnd::open(opening).expect("a device opens")
}

pub(crate) fn file() -> File {
    let digests = vec![Digest::new(Algorithm::Md5, [0xab; 16])];
    let meta = vec![("signature".into(), "MEQCIF==".into())];
    File { name: "fw.bin".into(), size: Some(SIZE), digests, meta }
}

pub(crate) fn offer(tag: u64) -> Command {
    Command::Offer(Offer { tag, file: file(), url: String::new() })
}

/// Bytes of the file, cut at its end.
pub(crate) fn bytes(offset: u64, length: u64) -> Vec<u8> {
    (offset..(offset + length).min(SIZE)).map(|at| ((at * 31) >> 3) as u8).collect()
}

pub(crate) fn arrived(messages: Vec<Outgoing>) -> Vec<Incoming> {
    let arrived = |Outgoing { route, payload, more, .. }| Incoming { route, payload, more };
    messages.into_iter().map(arrived).collect()
}

/// A message of a device that nobody here simulates.
pub(crate) fn from_device(route: u16, captures: &[&str], payload: impl Into<Vec<u8>>) -> Incoming {
    let captures = captures.iter().map(|capture| (*capture).to_owned()).collect();
    Incoming { route, payload: payload.into(), more: Some(More { captures, ..More::captures([]) }) }
}
