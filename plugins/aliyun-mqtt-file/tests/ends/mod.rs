//! Both ends of a transfer, and the file that travels.

use aliyun_mqtt_file::{AliyunDevice, AliyunPlatform};
use packhorse_codec::testing::{DeviceEnd, PlatformEnd, incoming, transfer};
use packhorse_codec::{
    Accept, Algorithm, Command, Data, Digest, Driver, Event, File, Offer, StartUpload, Sum, Transfer,
};

pub(crate) const SIZE: u64 = 99_500;
pub(crate) const DOWNLOAD_REPLY: u16 = 2;
pub(crate) const DOWNLOAD: u16 = 9;
pub(crate) const INIT: u16 = 10;
pub(crate) const SEND: u16 = 11;

/// A platform and a device, and nothing between them.
pub(crate) struct Ends {
    pub(crate) platform: PlatformEnd<AliyunPlatform>,
    pub(crate) device: DeviceEnd<AliyunDevice>,
}

impl Ends {
    pub(crate) fn open(driver: Driver, file: File) -> Self {
        Self { platform: Self::platform(driver, file, vec![]), device: Self::device(driver, vec![]) }
    }

    pub(crate) fn platform(driver: Driver, file: File, saved: Vec<u8>) -> PlatformEnd<AliyunPlatform> {
        PlatformEnd::open(Transfer { saved, ..transfer(driver, file) }).expect("the opening is complete")
    }

    pub(crate) fn device(driver: Driver, saved: Vec<u8>) -> DeviceEnd<AliyunDevice> {
        DeviceEnd::open(Transfer { saved, ..transfer(driver, File::unknown()) }).expect("a device opens")
    }

    /// A download whose image the device knows.
    pub(crate) fn announced() -> Self {
        let ends = Self::open(Driver::DevicePull, file());
        assert_eq!(ends.hears(vec![offer(0)]), [offer(0)]);
        ends
    }

    /// An upload that the platform has taken.
    pub(crate) fn accepted(resume_at: u64) -> Self {
        Self::with_upload_id("0011223344556677", resume_at)
    }

    pub(crate) fn with_upload_id(upload_id: &str, resume_at: u64) -> Self {
        let ends = Self::open(Driver::DevicePush, File::unknown());
        let file = File { digests: vec![], meta: vec![], ..file() };
        let heard = ends.says(vec![Event::StartUpload(StartUpload { tag: 2, file, resume_key: String::new() })]);
        let [Event::StartUpload(start)] = &heard[..] else { panic!("{heard:?}") };
        let accept = |tag| Command::Accept(Accept { tag, upload_id: upload_id.into(), resume_at });
        assert_eq!(ends.hears(vec![accept(start.tag)]), [accept(2)]);
        ends
    }

    /// What the device says, as the platform hears it.
    pub(crate) fn says(&self, events: Vec<Event>) -> Vec<Event> {
        let encoded = self.device.encode(events);
        assert_eq!(encoded.faults, []);
        let messages = encoded.messages.into_iter().map(|message| incoming(message.route, message.payload));
        let decoded = self.platform.decode(messages.collect());
        assert_eq!((decoded.faults, decoded.replies), (vec![], vec![]));
        decoded.events
    }

    /// What the platform says, as the device hears it.
    pub(crate) fn hears(&self, commands: Vec<Command>) -> Vec<Command> {
        let encoded = self.platform.encode(commands);
        assert_eq!(encoded.faults, []);
        let messages = encoded.messages.into_iter().map(|message| incoming(message.route, message.payload));
        let decoded = self.device.decode(messages.collect());
        assert_eq!((decoded.faults, decoded.replies), (vec![], vec![]));
        decoded.commands
    }

    pub(crate) fn data(&self, tag: u64, offset: u64, length: u64) -> Data {
        let bytes = bytes(offset, length);
        let last = offset + bytes.len() as u64 == SIZE;
        Data { tag, offset, bytes, sum: Sum::Absent, last }
    }
}

pub(crate) fn file() -> File {
    let digests = vec![Digest::new(Algorithm::Md5, [0xab; 16])];
    let meta = vec![("module".into(), "MCU".into()), ("version".into(), "2.0.0".into())];
    File { name: "fw.bin".into(), size: Some(SIZE), digests, meta }
}

pub(crate) fn offer(tag: u64) -> Command {
    Command::Offer(Offer { tag, file: file(), url: String::new() })
}

/// Bytes of the file, cut at its end.
pub(crate) fn bytes(offset: u64, length: u64) -> Vec<u8> {
    (offset..(offset + length).min(SIZE)).map(|at| (at * 31) as u8).collect()
}
