//! How vectors spell events, commands, messages and faults in YAML: the names of the contract in snake case.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::hex;
use crate::types::{self, Algorithm, Direction, Driver, Fault, Incoming, More, Phase, Span, Sum, Text, Verdict};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Vectors {
    pub(super) codec: String,
    pub(super) cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) name: String,
    #[serde(default)]
    pub(super) side: Side,
    pub(super) open: Open,
    /// Words with which `open` must refuse.
    pub(super) refused: Option<String>,
    #[serde(default)]
    pub(super) steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Side {
    #[default]
    Platform,
    Device,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Open {
    direction: Way,
    driver: String,
    #[serde(default = "device")]
    device: String,
    #[serde(default)]
    file: File,
    #[serde(default)]
    packet_size: u32,
    #[serde(default)]
    epoch: u32,
    #[serde(default = "one")]
    attempt: u32,
    #[serde(default)]
    started_at: u64,
    #[serde(default)]
    vars: BTreeMap<String, String>,
    #[serde(default)]
    done: Vec<(u64, u64)>,
    #[serde(default)]
    saved: Hex,
}

const fn one() -> u32 {
    1
}

fn device() -> String {
    "dev-1".into()
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Way {
    Push,
    Pull,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    pub(super) encode: Option<Vec<Word>>,
    pub(super) messages: Option<Vec<Message>>,
    pub(super) decode: Option<Vec<Message>>,
    pub(super) events: Option<Vec<Word>>,
    pub(super) commands: Option<Vec<Word>>,
    #[serde(default)]
    pub(super) replies: Vec<Message>,
    #[serde(default)]
    pub(super) faults: Vec<Faulted>,
    pub(super) save: Option<Hex>,
}

/// Bytes as hexadecimal digits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Hex(pub(super) Vec<u8>);

impl TryFrom<String> for Hex {
    type Error = hex::HexError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        hex::decode(text.as_bytes()).map(Self)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    pub(super) route: u16,
    text: Option<String>,
    hex: Option<Hex>,
    #[serde(default)]
    captures: Vec<String>,
    pub(super) cause: Option<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Faulted {
    pub(super) index: u16,
    #[serde(default)]
    not_mine: Option<bool>,
    malformed: Option<String>,
    #[serde(default)]
    unsupported: Option<bool>,
    fatal: Option<Words>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    name: String,
    size: Option<u64>,
    digests: BTreeMap<String, Hex>,
    meta: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Words {
    code: String,
    message: String,
}

/// An event or a command: a map with one key. What both have in common is spelt alike.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Word {
    hello: Option<Hello>,
    ask_offer: Option<u64>,
    start_upload: Option<StartUpload>,
    want: Option<Want>,
    need: Option<Want>,
    data: Option<Data>,
    chunk: Option<Data>,
    ack: Option<Ack>,
    ack_through: Option<u64>,
    missing: Option<(u64, u64)>,
    progress: Option<Progress>,
    finish: Option<Finish>,
    outcome: Option<Outcome>,
    retrying: Option<Outcome>,
    cancel: Option<Words>,
    pause: Option<u32>,
    offer: Option<Offer>,
    accept: Option<Accept>,
    refuse: Option<Refuse>,
    request_upload: Option<u64>,
    query: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Hello {
    tag: u64,
    title: String,
    version: String,
    meta: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct StartUpload {
    tag: u64,
    file: File,
    resume_key: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Want {
    #[serde(default)]
    tag: u64,
    span: (u64, u64),
    #[serde(default)]
    limit: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    #[serde(default)]
    tag: u64,
    offset: u64,
    bytes: Hex,
    sum: Option<String>,
    #[serde(default)]
    last: bool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Ack {
    Span((u64, u64)),
    Receipt(Receipt),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Receipt {
    #[serde(default)]
    tag: u64,
    span: (u64, u64),
    #[serde(default = "yes")]
    good: bool,
}

const fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Progress {
    phase: String,
    done: Option<u64>,
    total: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Finish {
    tag: u64,
    size: Option<u64>,
    digests: BTreeMap<String, Hex>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Outcome {
    verdict: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Offer {
    tag: u64,
    file: File,
    url: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Accept {
    tag: u64,
    upload_id: String,
    resume_at: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Refuse {
    tag: u64,
    code: String,
    message: String,
}

impl Open {
    pub(super) fn transfer(self) -> Result<types::Transfer, String> {
        Ok(types::Transfer {
            direction: match self.direction {
                Way::Push => Direction::Push,
                Way::Pull => Direction::Pull,
            },
            driver: named(&self.driver, &DRIVERS)?,
            device: self.device,
            file: self.file.file()?,
            packet_size: self.packet_size,
            epoch: self.epoch,
            attempt: self.attempt,
            started_at: self.started_at,
            done: self.done.into_iter().map(span).collect(),
            vars: self.vars.into_iter().collect(),
            saved: self.saved.0,
        })
    }
}

impl Message {
    pub(super) fn payload(&self) -> Vec<u8> {
        match (&self.text, &self.hex) {
            (Some(text), _) => text.as_bytes().to_vec(),
            (None, Some(hex)) => hex.0.clone(),
            (None, None) => Vec::new(),
        }
    }

    pub(super) fn incoming(&self) -> Incoming {
        Incoming { route: self.route, payload: self.payload(), more: self.more() }
    }

    pub(super) fn more(&self) -> Option<More> {
        (!self.captures.is_empty()).then(|| More { captures: self.captures.clone(), ..More::captures([]) })
    }
}

impl Faulted {
    /// Whether the fault is the one that was meant: words of a malformed message need only occur in the fault's.
    pub(super) fn meets(&self, actual: &types::Faulted) -> bool {
        let same = match &actual.fault {
            Fault::NotMine => self.not_mine.is_some(),
            Fault::Malformed(words) => self.malformed.as_ref().is_some_and(|meant| words.contains(meant)),
            Fault::Unsupported => self.unsupported.is_some(),
            Fault::Fatal(text) => self.fatal.as_ref().is_some_and(|meant| meant.code == text.code),
        };
        same && self.index == actual.index
    }
}

impl Word {
    pub(super) fn event(self) -> Result<types::Event, String> {
        use types::Event;
        Ok(match self {
            Self { hello: Some(it), .. } => {
                let meta = it.meta.into_iter().collect();
                Event::Hello(types::Hello { tag: it.tag, title: it.title, version: it.version, meta })
            }
            Self { ask_offer: Some(tag), .. } => Event::AskOffer(tag),
            Self { start_upload: Some(it), .. } => {
                let file = it.file.file()?;
                Event::StartUpload(types::StartUpload { tag: it.tag, file, resume_key: it.resume_key })
            }
            Self { want: Some(it), .. } => Event::Want(it.want()),
            Self { data: Some(it), .. } => {
                let sum = it.sum.as_deref().map_or(Ok(Sum::Absent), |sum| named(sum, &SUMS))?;
                Event::Data(types::Data { tag: it.tag, offset: it.offset, bytes: it.bytes.0, sum, last: it.last })
            }
            Self { ack: Some(Ack::Span(range)), .. } => Event::Ack(span(range)),
            Self { ack_through: Some(end), .. } => Event::AckThrough(end),
            Self { missing: Some(range), .. } => Event::Missing(span(range)),
            Self { progress: Some(it), .. } => {
                let phase = named(&it.phase, &PHASES)?;
                Event::Progress(types::Progress { phase, done: it.done, total: it.total })
            }
            Self { finish: Some(it), .. } => {
                Event::Finish(types::Finish { tag: it.tag, size: it.size, digests: digests(it.digests)? })
            }
            Self { outcome: Some(it), .. } => Event::Outcome(it.outcome()?),
            Self { retrying: Some(it), .. } => Event::Retrying(it.outcome()?),
            Self { cancel: Some(it), .. } => Event::Cancel(it.text()),
            Self { pause: Some(millis), .. } => Event::Pause(millis),
            other => return Err(format!("no event: {other:?}")),
        })
    }

    pub(super) fn command(self) -> Result<types::Command, String> {
        use types::Command;
        Ok(match self {
            Self { offer: Some(it), .. } => {
                Command::Offer(types::Offer { tag: it.tag, file: it.file.file()?, url: it.url })
            }
            Self { accept: Some(it), .. } => {
                Command::Accept(types::Accept { tag: it.tag, upload_id: it.upload_id, resume_at: it.resume_at })
            }
            Self { refuse: Some(it), .. } => {
                Command::Refuse(types::Refuse { tag: it.tag, text: Text { code: it.code, message: it.message } })
            }
            Self { chunk: Some(it), .. } => {
                Command::Chunk(types::Chunk { tag: it.tag, offset: it.offset, bytes: it.bytes.0, last: it.last })
            }
            Self { ack: Some(Ack::Receipt(it)), .. } => {
                Command::Ack(types::Receipt { tag: it.tag, span: span(it.span), good: it.good })
            }
            Self { need: Some(it), .. } => Command::Need(it.want()),
            Self { request_upload: Some(tag), .. } => Command::RequestUpload(tag),
            Self { query: Some(tag), .. } => Command::Query(tag),
            Self { outcome: Some(it), .. } => Command::Outcome(it.outcome()?),
            Self { cancel: Some(it), .. } => Command::Cancel(it.text()),
            Self { pause: Some(millis), .. } => Command::Pause(millis),
            other => return Err(format!("no command: {other:?}")),
        })
    }
}

impl Want {
    const fn want(self) -> types::Want {
        types::Want { tag: self.tag, span: span(self.span), limit: self.limit }
    }
}

impl Words {
    fn text(self) -> Text {
        Text { code: self.code, message: self.message }
    }
}

impl Outcome {
    fn outcome(self) -> Result<types::Outcome, String> {
        let text = Text { code: self.code, message: self.message };
        Ok(types::Outcome { verdict: named(&self.verdict, &VERDICTS)?, text })
    }
}

impl File {
    fn file(self) -> Result<types::File, String> {
        let digests = digests(self.digests)?;
        Ok(types::File { name: self.name, size: self.size, digests, meta: self.meta.into_iter().collect() })
    }
}

const fn span((start, end): (u64, u64)) -> Span {
    Span::new(start, end)
}

fn digests(named_digests: BTreeMap<String, Hex>) -> Result<Vec<types::Digest>, String> {
    named_digests.into_iter().map(|(name, value)| Ok(types::Digest::new(named(&name, &ALGORITHMS)?, value.0))).collect()
}

fn named<T: Copy>(name: &str, known: &[(&str, T)]) -> Result<T, String> {
    let found = known.iter().find(|(known, _)| known.replace('-', "_") == name.replace('-', "_"));
    found.map(|(_, value)| *value).ok_or_else(|| format!("{name} is not one of the contract's words"))
}

const DRIVERS: [(&str, Driver); 4] = [
    ("platform-push", Driver::PlatformPush),
    ("device-pull", Driver::DevicePull),
    ("device-push", Driver::DevicePush),
    ("platform-pull", Driver::PlatformPull),
];

const SUMS: [(&str, Sum); 3] = [("absent", Sum::Absent), ("good", Sum::Good), ("bad", Sum::Bad)];

const PHASES: [(&str, Phase); 7] = [
    ("offered", Phase::Offered),
    ("downloading", Phase::Downloading),
    ("downloaded", Phase::Downloaded),
    ("verified", Phase::Verified),
    ("installing", Phase::Installing),
    ("self_test", Phase::SelfTest),
    ("rebooting", Phase::Rebooting),
];

const VERDICTS: [(&str, Verdict); 7] = [
    ("good", Verdict::Good),
    ("bad_digest", Verdict::BadDigest),
    ("bad_size", Verdict::BadSize),
    ("refused", Verdict::Refused),
    ("cancelled", Verdict::Cancelled),
    ("device_full", Verdict::DeviceFull),
    ("failed", Verdict::Failed),
];

const ALGORITHMS: [(&str, Algorithm); 10] = [
    ("md5", Algorithm::Md5),
    ("sha1", Algorithm::Sha1),
    ("sha256", Algorithm::Sha256),
    ("sha384", Algorithm::Sha384),
    ("sha512", Algorithm::Sha512),
    ("crc16_arc", Algorithm::Crc16Arc),
    ("crc32", Algorithm::Crc32),
    ("crc64_ecma", Algorithm::Crc64Ecma),
    ("murmur3_x86_32", Algorithm::Murmur3X8632),
    ("murmur3_x64_128", Algorithm::Murmur3X64128),
];
