//! Both sides of a session, and the file that they speak of.

use packhorse_codec::testing::{DeviceEnd, PlatformEnd, transfer};
use packhorse_codec::{
    Algorithm, Chunk, Command, Digest, Driver, Event, File, Incoming, Offer, Outgoing, Span, Transfer, Want,
};
use thingsboard::{ThingsboardDevice, ThingsboardPlatform};

pub(crate) const SIZE: u64 = 100_000;

pub(crate) fn file(size: u64, digest: Digest) -> File {
    let meta = [("title", "thermo"), ("version", "1.1"), ("tag", "beta")];
    let meta = meta.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    File { name: "thermo".into(), size: Some(size), digests: vec![digest], meta }
}

pub(crate) fn sha256() -> Digest {
    Digest::new(Algorithm::Sha256, [7; 32])
}

pub(crate) fn opening(file: File, kind: &str) -> Transfer {
    Transfer { vars: vec![("kind".into(), kind.into())], ..transfer(Driver::DevicePull, file) }
}

pub(crate) struct Pair {
    pub(crate) platform: PlatformEnd<ThingsboardPlatform>,
    pub(crate) device: DeviceEnd<ThingsboardDevice>,
}

impl Pair {
    pub(crate) fn open(size: u64, kind: &str) -> Self {
        let platform = PlatformEnd::open(opening(file(size, sha256()), kind)).expect("the opening is complete");
        let device = DeviceEnd::open(opening(File::unknown(), kind)).expect("a device opens");
        Self { platform, device }
    }

    pub(crate) fn offered(size: u64) -> Self {
        let pair = Self::open(size, "firmware");
        assert_eq!(pair.to_device(vec![offer(0, size)]), [offer(0, size)]);
        pair
    }

    /// What the device understands of what the platform says.
    pub(crate) fn to_device(&self, commands: Vec<Command>) -> Vec<Command> {
        let encoded = self.platform.encode(commands);
        let decoded = self.device.decode(arrived(encoded.messages));
        assert_eq!((encoded.faults, decoded.faults), (vec![], vec![]));
        decoded.commands
    }

    /// What the platform understands of what the device says.
    pub(crate) fn to_platform(&self, events: Vec<Event>) -> Vec<Event> {
        let encoded = self.device.encode(events);
        let decoded = self.platform.decode(arrived(encoded.messages));
        assert_eq!((encoded.faults, decoded.faults), (vec![], vec![]));
        decoded.events
    }

    /// One request and its answer.
    pub(crate) fn fetch(&self, want: Want, bytes: impl Fn(Span) -> Vec<u8>) -> Command {
        let heard = self.to_platform(vec![Event::Want(want)]);
        let asked = heard.iter().find_map(|event| if let Event::Want(want) = event { Some(*want) } else { None });
        let Want { tag, span, limit } = asked.expect("the platform hears a request");
        assert_eq!(u64::from(limit), span.length(), "the core cuts an answer into pieces of the limit: it must be one");
        let answer = Chunk { tag, offset: span.start, bytes: bytes(span), last: span.end >= SIZE };
        self.to_device(vec![Command::Chunk(answer)]).remove(0)
    }
}

pub(crate) fn arrived(messages: Vec<Outgoing>) -> Vec<Incoming> {
    let arrived = |Outgoing { route, payload, more, .. }| Incoming { route, payload, more };
    messages.into_iter().map(arrived).collect()
}

pub(crate) fn offer(tag: u64, size: u64) -> Command {
    Command::Offer(Offer { tag, file: file(size, sha256()), url: String::new() })
}
