//! How the contract's words are written in a vectors file: the names of the WIT in snake_case, bytes in hex, spans as pairs.
//!
//! What is written stays apart from the core's words, so that renaming one of those breaks no vendor's files.

use packhorse_core::transfer::{
    Accept, Algorithm, Chunk, Command, Data, Digest, Event, Fault, FileInfo, Finish, Hello, Offer, Outcome, Pairs,
    Phase, Progress, Receipt, Refuse, Span, StartUpload, Sum, Text, Verdict, Want,
};
use serde::{Deserialize, Deserializer};

/// Bytes, written in hex; blanks are for the eye.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hex(pub Vec<u8>);

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        unhex(&text).map(Self).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is not hex")))
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|letter| !letter.is_whitespace())
        .map(|letter| letter.to_digit(16))
        .collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| (high * 16 + low) as u8).collect())
}

/// `[start, end]`; `end` may be left out for "to the end of the file".
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
pub(super) enum SpanWritten {
    Pair(u64, u64),
    From((u64,)),
}

impl From<SpanWritten> for Span {
    fn from(written: SpanWritten) -> Self {
        match written {
            SpanWritten::Pair(start, end) => Self::new(start, end),
            SpanWritten::From((start,)) => Self::new(start, u64::MAX),
        }
    }
}

/// Names and values as a mapping, in the order in which they are written.
#[derive(Debug, Clone, Default)]
pub(super) struct PairsWritten(pub(super) Pairs);

impl<'de> Deserialize<'de> for PairsWritten {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mapping = serde_yaml::Mapping::deserialize(deserializer)?;
        let pairs = mapping.into_iter().map(|(name, value)| Some((plain(&name)?, plain(&value)?)));
        let pairs = pairs.collect::<Option<_>>();
        pairs.map(Self).ok_or_else(|| serde::de::Error::custom("names and values must be text, numbers or booleans"))
    }
}

fn plain(value: &serde_yaml::Value) -> Option<String> {
    match value {
        serde_yaml::Value::String(text) => Some(text.clone()),
        serde_yaml::Value::Number(number) => Some(number.to_string()),
        serde_yaml::Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct DigestsWritten(Vec<Digest>);

impl<'de> Deserialize<'de> for DigestsWritten {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let PairsWritten(pairs) = PairsWritten::deserialize(deserializer)?;
        let digest = |(name, value): (String, String)| {
            let algorithm = algorithm(&name).ok_or_else(|| D::Error::custom(format!("`{name}` is no digest")))?;
            let value = unhex(&value).ok_or_else(|| D::Error::custom(format!("{value:?} is not hex")))?;
            Ok(Digest { algorithm, value })
        };
        pairs.into_iter().map(digest).collect::<Result<_, D::Error>>().map(Self)
    }
}

fn algorithm(name: &str) -> Option<Algorithm> {
    Some(match name.replace('_', "-").as_str() {
        "md5" => Algorithm::Md5,
        "sha1" => Algorithm::Sha1,
        "sha256" => Algorithm::Sha256,
        "sha384" => Algorithm::Sha384,
        "sha512" => Algorithm::Sha512,
        "crc16-arc" => Algorithm::Crc16Arc,
        "crc32" => Algorithm::Crc32,
        "crc64-ecma" => Algorithm::Crc64Ecma,
        "murmur3-x86-32" => Algorithm::Murmur3X8632,
        "murmur3-x64-128" => Algorithm::Murmur3X64128,
        _ => return None,
    })
}

/// A record as it is written; every field may be left out.
macro_rules! written {
    ($($written:ident => $ours:ident { $($field:ident: $kind:ty),* $(,)? })+) => {$(
        #[derive(Debug, Clone, Deserialize, Default)]
        #[serde(default, deny_unknown_fields)]
        pub(super) struct $written { $($field: $kind),* }

        impl From<$written> for $ours {
            fn from(written: $written) -> Self {
                Self { $($field: Plain::plain(written.$field)),* }
            }
        }
    )+};
}

/// Text; a key with nothing behind it is empty text.
#[derive(Debug, Clone, Default)]
pub(super) struct Word(String);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Option::deserialize(deserializer)?.unwrap_or_default()))
    }
}

/// From what is written to what is meant.
trait Plain<T> {
    fn plain(self) -> T;
}

macro_rules! plain {
    ($($kind:ty),+) => {$(
        impl Plain<Self> for $kind {
            fn plain(self) -> Self {
                self
            }
        }
    )+};
}
plain!(u64, u32, bool, Option<u64>);

macro_rules! plain_into {
    ($($written:ty => $ours:ty: |$value:ident| $meant:expr),+ $(,)?) => {$(
        impl Plain<$ours> for $written {
            fn plain(self) -> $ours {
                let $value = self;
                $meant
            }
        }
    )+};
}
plain_into! {
    Word => String: |word| word.0,
    Hex => Vec<u8>: |hex| hex.0,
    SpanWritten => Span: |span| span.into(),
    PairsWritten => Pairs: |pairs| pairs.0,
    DigestsWritten => Vec<Digest>: |digests| digests.0,
    FileWritten => FileInfo: |file| file.into(),
    SumWritten => Sum: |sum| sum.into(),
    TextWritten => Text: |text| text.into(),
}

impl Default for SpanWritten {
    fn default() -> Self {
        Self::Pair(0, u64::MAX)
    }
}

written! {
    FileWritten => FileInfo { name: Word, size: Option<u64>, digests: DigestsWritten, meta: PairsWritten }
    TextWritten => Text { code: Word, message: Word }
    HelloWritten => Hello { tag: u64, title: Word, version: Word, meta: PairsWritten }
    StartWritten => StartUpload { tag: u64, file: FileWritten, resume_key: Word }
    WantWritten => Want { tag: u64, span: SpanWritten, limit: u32 }
    DataWritten => Data { tag: u64, offset: u64, bytes: Hex, sum: SumWritten, last: bool }
    FinishWritten => Finish { tag: u64, size: Option<u64>, digests: DigestsWritten }
    OfferWritten => Offer { tag: u64, file: FileWritten, url: Word }
    AcceptWritten => Accept { tag: u64, upload_id: Word, resume_at: u64 }
    ChunkWritten => Chunk { tag: u64, offset: u64, bytes: Hex, last: bool }
}

/// Records with a field that has no natural absence.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReceiptWritten {
    #[serde(default)]
    tag: u64,
    span: SpanWritten,
    #[serde(default = "yes")]
    good: bool,
}

const fn yes() -> bool {
    true
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProgressWritten {
    phase: Phase,
    done: Option<u64>,
    total: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OutcomeWritten {
    verdict: Verdict,
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RefuseWritten {
    #[serde(default)]
    tag: u64,
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

#[derive(Debug, Clone, Copy, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub(super) enum SumWritten {
    #[default]
    Absent,
    Good,
    Bad,
}

impl From<SumWritten> for Sum {
    fn from(written: SumWritten) -> Self {
        match written {
            SumWritten::Absent => Self::Absent,
            SumWritten::Good => Self::Good,
            SumWritten::Bad => Self::Bad,
        }
    }
}

impl From<OutcomeWritten> for Outcome {
    fn from(written: OutcomeWritten) -> Self {
        Self { verdict: written.verdict, text: Text { code: written.code, message: written.message } }
    }
}

/// An event as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum EventWritten {
    Hello(HelloWritten),
    AskOffer(u64),
    StartUpload(StartWritten),
    Want(WantWritten),
    Data(DataWritten),
    Ack(SpanWritten),
    AckThrough(u64),
    Missing(SpanWritten),
    Progress(ProgressWritten),
    Finish(FinishWritten),
    Outcome(OutcomeWritten),
    Retrying(OutcomeWritten),
    Cancel(TextWritten),
    Pause(u32),
}

impl From<EventWritten> for Event {
    fn from(written: EventWritten) -> Self {
        match written {
            EventWritten::Hello(hello) => Self::Hello(hello.into()),
            EventWritten::AskOffer(tag) => Self::AskOffer(tag),
            EventWritten::StartUpload(start) => Self::StartUpload(start.into()),
            EventWritten::Want(want) => Self::Want(want.into()),
            EventWritten::Data(data) => Self::Data(data.into()),
            EventWritten::Ack(span) => Self::Ack(span.into()),
            EventWritten::AckThrough(offset) => Self::AckThrough(offset),
            EventWritten::Missing(span) => Self::Missing(span.into()),
            EventWritten::Progress(ProgressWritten { phase, done, total }) => {
                Self::Progress(Progress { phase, done, total })
            }
            EventWritten::Finish(finish) => Self::Finish(finish.into()),
            EventWritten::Outcome(outcome) => Self::Outcome(outcome.into()),
            EventWritten::Retrying(outcome) => Self::Retrying(outcome.into()),
            EventWritten::Cancel(text) => Self::Cancel(text.into()),
            EventWritten::Pause(ms) => Self::Pause(ms),
        }
    }
}

/// A command as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CommandWritten {
    Offer(OfferWritten),
    Accept(AcceptWritten),
    Refuse(RefuseWritten),
    Chunk(ChunkWritten),
    Ack(ReceiptWritten),
    Need(WantWritten),
    RequestUpload(u64),
    Query(u64),
    Outcome(OutcomeWritten),
    Cancel(TextWritten),
    Pause(u32),
}

impl From<CommandWritten> for Command {
    fn from(written: CommandWritten) -> Self {
        match written {
            CommandWritten::Offer(offer) => Self::Offer(offer.into()),
            CommandWritten::Accept(accept) => Self::Accept(accept.into()),
            CommandWritten::Refuse(RefuseWritten { tag, code, message }) => {
                Self::Refuse(Refuse { tag, text: Text { code, message } })
            }
            CommandWritten::Chunk(chunk) => Self::Chunk(chunk.into()),
            CommandWritten::Ack(ReceiptWritten { tag, span, good }) => {
                Self::Ack(Receipt { tag, span: span.into(), good })
            }
            CommandWritten::Need(want) => Self::Need(want.into()),
            CommandWritten::RequestUpload(tag) => Self::RequestUpload(tag),
            CommandWritten::Query(tag) => Self::Query(tag),
            CommandWritten::Outcome(outcome) => Self::Outcome(outcome.into()),
            CommandWritten::Cancel(text) => Self::Cancel(text.into()),
            CommandWritten::Pause(ms) => Self::Pause(ms),
        }
    }
}

/// A fault that a step must give: `{ index, not_mine: | malformed: WORDS | unsupported: | fatal: WORDS }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultWanted {
    /// Of the input.
    pub index: u16,
    kind: FaultKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum FaultKind {
    NotMine,
    Malformed(String),
    Unsupported,
    Fatal(String),
}

/// Absent, or there with or without a value.
type Said = Option<serde_yaml::Value>;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultWritten {
    #[serde(default)]
    index: u16,
    #[serde(default, deserialize_with = "said")]
    not_mine: Said,
    #[serde(default, deserialize_with = "said")]
    malformed: Said,
    #[serde(default, deserialize_with = "said")]
    unsupported: Said,
    #[serde(default, deserialize_with = "said")]
    fatal: Said,
}

/// `not_mine:` with nothing behind it is said, too.
fn said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Said, D::Error> {
    serde_yaml::Value::deserialize(deserializer).map(Some)
}

impl<'de> Deserialize<'de> for FaultWanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = FaultWritten::deserialize(deserializer)?;
        let words = |said: &serde_yaml::Value| said.as_str().unwrap_or_default().to_owned();
        let kind = match (&written.not_mine, &written.malformed, &written.unsupported, &written.fatal) {
            (Some(_), None, None, None) => FaultKind::NotMine,
            (None, Some(said), None, None) => FaultKind::Malformed(words(said)),
            (None, None, Some(_), None) => FaultKind::Unsupported,
            (None, None, None, Some(said)) => FaultKind::Fatal(words(said)),
            _ => {
                return Err(serde::de::Error::custom(
                    "a fault has exactly one of not_mine, malformed, unsupported and fatal",
                ));
            }
        };
        Ok(Self { index: written.index, kind })
    }
}

impl FaultWanted {
    /// Whether this fault is the one that was meant: words are looked for anywhere in its own.
    pub fn is(&self, fault: &Fault) -> bool {
        match (&self.kind, fault) {
            (FaultKind::NotMine, Fault::NotMine) | (FaultKind::Unsupported, Fault::Unsupported) => true,
            (FaultKind::Malformed(words), Fault::Malformed(why)) => why.contains(words),
            (FaultKind::Fatal(words), Fault::Fatal(text)) => text.message.contains(words) || text.code.contains(words),
            _ => false,
        }
    }
}
