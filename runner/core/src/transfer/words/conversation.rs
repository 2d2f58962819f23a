//! What a platform and a device say to each other, whatever the packets look like.
//!
//! All offsets and lengths are bytes of the file, never packet numbers. The host converts a plugin's values into these at
//! once, and nothing here has been checked against the file yet: a codec proposes, the transfer machine decides.

use serde::{Deserialize, Serialize};

/// Half-open range `[start, end)` of the file. `end == u64::MAX` means "to the end of the file".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl Span {
    /// The span from `start` up to, not including, `end`.
    pub const fn new(start: u64, end: u64) -> Self {
        Self { start, end }
    }

    /// Its length in bytes; 0 where `end` lies before `start`.
    pub const fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether it holds no byte.
    pub const fn is_empty(self) -> bool {
        self.end <= self.start
    }
}

/// Chosen by whoever asks, returned unchanged with the answer; 0 = none.
pub type Tag = u64;

/// Name and value, in order.
pub type Pairs = Vec<(String, String)>;

/// A digest algorithm that devices know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// RFC 1321.
    Md5,
    /// FIPS 180-4.
    Sha1,
    /// FIPS 180-4.
    Sha256,
    /// FIPS 180-4.
    Sha384,
    /// FIPS 180-4.
    Sha512,
    /// CRC-16/ARC.
    Crc16Arc,
    /// CRC-32/ISO-HDLC.
    Crc32,
    /// CRC-64/XZ: the polynomial of ECMA-182, reflected.
    Crc64Ecma,
    /// MurmurHash3 x86 32-bit.
    #[serde(rename = "murmur3-x86-32")]
    Murmur3X8632,
    /// MurmurHash3 x64 128-bit: the second half above the first.
    #[serde(rename = "murmur3-x64-128")]
    Murmur3X64128,
}

/// Raw bytes in the order in which the algorithm defines them; numbers (CRC, Murmur) with the most significant byte first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// How it was computed.
    pub algorithm: Algorithm,
    /// The bytes.
    pub value: Vec<u8>,
}

/// What a codec is told of the file, or tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FileInfo {
    /// For a pull: what the workflow asked for (`file_type`) until the device tells a name. Empty = not known.
    pub name: String,
    /// Absent when not known yet.
    pub size: Option<u64>,
    /// Digests known so far.
    pub digests: Vec<Digest>,
    /// What the workflow gave under `meta`, as text.
    pub meta: Pairs,
}

/// Which way the file travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Platform to device.
    Push,
    /// Device to platform.
    Pull,
}

/// Who drives the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// The platform sends pieces and watches acknowledgements.
    PlatformPush,
    /// The device asks for ranges; each request is answered once.
    DevicePull,
    /// The device sends pieces; the platform acknowledges, and asks for holes.
    DevicePush,
    /// The platform asks for ranges.
    PlatformPull,
}

impl Driver {
    /// The direction in which bytes travel under this driver.
    pub const fn direction(self) -> Direction {
        match self {
            Self::PlatformPush | Self::DevicePull => Direction::Push,
            Self::DevicePush | Self::PlatformPull => Direction::Pull,
        }
    }
}

/// What opens a codec session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// Which way the file travels.
    pub direction: Direction,
    /// Who drives.
    pub driver: Driver,
    /// Device id, as in topics.
    pub device: String,
    /// The file.
    pub file: FileInfo,
    /// Bytes of file in one packet. With `Mode::grid` every piece but the last has exactly this size.
    pub packet_size: u32,
    /// Grows with every start and resumption of the transfer, for ever.
    pub epoch: u32,
    /// Which attempt of the step this is, from 1 on.
    pub attempt: u32,
    /// When this session began: Unix seconds; 0 = not told.
    pub started_at: u64,
    /// What the receiving end already holds, merged and sorted.
    pub done: Vec<Span>,
    /// Variables for the codec.
    pub vars: Pairs,
    /// What `save` gave at the last checkpoint, or empty.
    pub saved: Vec<u8>,
}

/// What a device said, in the codec's translation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Reports what it runs, or that it is there.
    Hello(Hello),
    /// Wants the announcement now.
    AskOffer(Tag),
    /// Wants to send a file.
    StartUpload(StartUpload),
    /// Asks for bytes: each request is answered once.
    Want(Want),
    /// Bytes of the file.
    Data(Data),
    /// Has these bytes, durably.
    Ack(Span),
    /// Has everything before this offset; may be less than before.
    AckThrough(u64),
    /// Lacks these bytes.
    Missing(Span),
    /// How far it is.
    Progress(Progress),
    /// Says that it has sent or received everything.
    Finish(Finish),
    /// How it ended on the device.
    Outcome(Outcome),
    /// A try of its own failed like this, and it begins the next one by itself.
    Retrying(Outcome),
    /// Gives up.
    Cancel(Text),
    /// Asks for silence for so many milliseconds; 0 = until it speaks again.
    Pause(u32),
}

/// See [`Event::Hello`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// For the answer.
    pub tag: Tag,
    /// Title of what runs there.
    pub title: String,
    /// Version of what runs there.
    pub version: String,
    /// More of it.
    pub meta: Pairs,
}

/// See [`Event::StartUpload`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartUpload {
    /// For the answer.
    pub tag: Tag,
    /// What it wants to send.
    pub file: FileInfo,
    /// Names an upload begun before.
    pub resume_key: String,
}

/// A request for bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// For the answer.
    pub tag: Tag,
    /// Which bytes.
    pub span: Span,
    /// At most so many bytes in one packet; 0 = the packet size.
    pub limit: u32,
}

/// Bytes of the file that came from the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// Matches a request, or is for the acknowledgement.
    pub tag: Tag,
    /// Where they belong.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What the packet's own check said.
    pub sum: Sum,
    /// Whether the device says that the file ends here.
    pub last: bool,
}

/// What a packet's own check said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sum {
    /// It has none.
    Absent,
    /// It held.
    Good,
    /// It did not hold.
    Bad,
}

/// See [`Event::Progress`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What the device is doing.
    pub phase: Phase,
    /// Bytes done.
    pub done: Option<u64>,
    /// Bytes in all.
    pub total: Option<u64>,
}

/// What a device does with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words say it")]
pub enum Phase {
    Offered,
    Downloading,
    Downloaded,
    Verified,
    Installing,
    SelfTest,
    Rebooting,
}

/// The sender's word that it has sent everything, or the receiver's that it has everything; also the answer to a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finish {
    /// Matches a query.
    pub tag: Tag,
    /// The size as the device knows it.
    pub size: Option<u64>,
    /// Digests as the device computed them.
    pub digests: Vec<Digest>,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// In one word.
    pub verdict: Verdict,
    /// In the vendor's words.
    pub text: Text,
}

/// How a transfer ended on one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words say it")]
pub enum Verdict {
    Good,
    BadDigest,
    BadSize,
    Refused,
    Cancelled,
    DeviceFull,
    Failed,
}

/// Code as the vendor writes it, and what it means; at most 256 bytes each.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Text {
    /// The vendor's code.
    pub code: String,
    /// For people.
    pub message: String,
}

/// What the platform says to a device, for the codec to translate. The simulated device speaks these too, received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Announces the file.
    Offer(Offer),
    /// Takes an upload.
    Accept(Accept),
    /// Declines an upload or a request.
    Refuse(Refuse),
    /// Bytes of the file.
    Chunk(Chunk),
    /// Bytes of a pull are durable with us, or were bad.
    Ack(Receipt),
    /// Asks for bytes.
    Need(Want),
    /// Asks the device to begin sending.
    RequestUpload(Tag),
    /// Asks what the device has.
    Query(Tag),
    /// How it ended with us.
    Outcome(Outcome),
    /// Gives up.
    Cancel(Text),
    /// Asks for silence, in milliseconds.
    Pause(u32),
}

/// See [`Command::Offer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Answers `AskOffer`, or 0.
    pub tag: Tag,
    /// What there is.
    pub file: FileInfo,
    /// Where else it can be fetched, or empty.
    pub url: String,
}

/// See [`Command::Accept`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accept {
    /// Answers `StartUpload`.
    pub tag: Tag,
    /// Names the upload.
    pub upload_id: String,
    /// Where to go on.
    pub resume_at: u64,
}

/// See [`Command::Refuse`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refuse {
    /// Answers a request.
    pub tag: Tag,
    /// Why.
    pub text: Text,
}

/// See [`Command::Chunk`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Answers a `Want`, or 0.
    pub tag: Tag,
    /// Where they belong.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Whether the file ends with them.
    pub last: bool,
}

/// See [`Command::Ack`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The tag of the data.
    pub tag: Tag,
    /// Which bytes.
    pub span: Span,
    /// False: their own check did not hold, send them again.
    pub good: bool,
}

/// A fault of one item of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faulted {
    /// Index into the batch.
    pub index: u16,
    /// What was wrong.
    pub fault: Fault,
}

/// What a codec could not translate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Well formed, and for someone else. Not counted as damage.
    NotMine,
    /// Cannot be read: counted, dropped.
    Malformed(String),
    /// The protocol has no words for that command.
    Unsupported,
    /// The transfer cannot go on.
    Fatal(Text),
}
