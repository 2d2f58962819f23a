//! The lies, by name.

use crate::frame::Frame;
use packhorse_codec::{Data, Event, File, Finish, Outcome, Span, StartUpload, Sum, Tag, Text, Verdict, Want};

/// What this codec says that is not so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    None,
    /// Push: bytes are acknowledged that were never sent.
    AcksUnsent,
    /// Push: bytes are acknowledged that the file does not have.
    AcksOutside,
    /// The device finds the file good, from the first message on.
    EarlyGood,
    /// The device names the right digest, or says that it has sent everything, from the first message on.
    EarlyFinish,
    /// Push: the device asks for bytes past the end.
    Wants,
    /// The device's tries fail, and it begins anew.
    Retries,
    /// Not a lie: it cannot go on, and tells the device so.
    LastWords,
    /// A level of a topic that leads to another device.
    Parent,
    /// A level of a topic that is a wildcard.
    Wildcard,
    /// More events than a call may give back.
    Floods,
    /// More bytes than a call may give back.
    Pours,
    /// Pull: bytes behind the end of the file.
    DataOutside,
    /// Pull: a mebibyte where the file has less.
    Mebibyte,
    /// Pull: bytes at an offset that has no end.
    DataOverflows,
    /// Pull: other bytes than the device sent, found good.
    Forged,
    /// Pull: the first piece is the last.
    EarlyLast,
    /// Pull: the file has one byte.
    Shrinks,
    /// Pull: every piece is of another file.
    Changes,
    /// Pull: acknowledgements, which only a push has.
    AcksOfAPull,
    /// Push: acknowledgements of the second half are taken for another transfer's, which wedges it. Mended in the other build.
    Deaf,
}

/// A test writes `02` into the component and has another build of the same codec, in which [`Lie::Deaf`] is mended.
static BUILD: [u8; 16] = *b"liar's build: 01";

fn is_mended() -> bool {
    std::hint::black_box(&BUILD).ends_with(b"02")
}

const NAMES: [(&str, Lie); 21] = [
    ("none", Lie::None),
    ("acks-unsent", Lie::AcksUnsent),
    ("acks-outside", Lie::AcksOutside),
    ("early-good", Lie::EarlyGood),
    ("early-finish", Lie::EarlyFinish),
    ("wants", Lie::Wants),
    ("retries", Lie::Retries),
    ("last-words", Lie::LastWords),
    ("parent", Lie::Parent),
    ("wildcard", Lie::Wildcard),
    ("floods", Lie::Floods),
    ("pours", Lie::Pours),
    ("data-outside", Lie::DataOutside),
    ("mebibyte", Lie::Mebibyte),
    ("data-overflows", Lie::DataOverflows),
    ("forged", Lie::Forged),
    ("early-last", Lie::EarlyLast),
    ("shrinks", Lie::Shrinks),
    ("changes", Lie::Changes),
    ("acks-of-a-pull", Lie::AcksOfAPull),
    ("deaf", Lie::Deaf),
];

impl Lie {
    pub(crate) fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, lie)| *lie)
    }

    /// What a route's level is filled with.
    pub(crate) const fn capture(self) -> Option<&'static str> {
        match self {
            Self::Parent => Some("../dev-2"),
            Self::Wildcard => Some("+"),
            _ => None,
        }
    }

    /// Whether the honest half is to see the message at all.
    pub(crate) fn hears(self, payload: &[u8], pushed: &File) -> bool {
        let half = pushed.size.unwrap_or_default() / 2;
        let second = matches!(Frame::read(payload), Ok(Frame::Ack { span, .. }) if span.end > half);
        !(self == Self::Deaf && second) || is_mended()
    }

    /// The message as the honest half is to see it.
    pub(crate) fn forged(self, payload: Vec<u8>) -> Vec<u8> {
        match Frame::read(&payload) {
            Ok(Frame::Data { tag, subject, offset, bytes }) if self == Self::Forged => {
                let bytes: Vec<u8> = bytes.iter().map(|byte| byte ^ 1).collect();
                Frame::Data { tag, subject, offset, bytes: &bytes }.write()
            }
            _ => payload,
        }
    }

    /// What is said beside the truth of a message.
    pub(crate) fn about(self, payload: &[u8], pushed: &File) -> Vec<Event> {
        let size = pushed.size.unwrap_or_default();
        match (self, Frame::read(payload)) {
            (Self::AcksUnsent, _) => vec![Event::Ack(Span::new(0, size))],
            (Self::AcksOutside, _) => {
                vec![Event::Ack(Span::new(size, size + 1_000)), Event::AckThrough(2 * size), Event::Missing(past(size))]
            }
            (Self::EarlyGood, _) => vec![outcome(Verdict::Good)],
            (Self::EarlyFinish, _) => {
                vec![Event::Finish(Finish { tag: 0, size: pushed.size, digests: pushed.digests.clone() })]
            }
            (Self::Wants, _) => vec![Event::Want(Want { tag: 0, span: past(size), limit: 0 })],
            (Self::Retries, _) => {
                vec![Event::Retrying(Outcome { verdict: Verdict::Failed, text: Text::new("9", "flash") })]
            }
            (Self::Floods, _) => (0..5_000).map(|_| Event::Ack(Span::new(0, 1))).collect(),
            (Self::Pours, _) => (0..40).map(|_| data(0, 0, vec![0; 64 << 10])).collect(),
            (Self::DataOverflows, _) => vec![data(0, u64::MAX - 1, vec![0; 10])],
            (Self::AcksOfAPull, _) => vec![Event::Ack(Span::new(0, 1)), Event::AckThrough(u64::MAX)],
            (Self::Shrinks, _) => vec![Event::Finish(Finish { tag: 0, size: Some(1), digests: Vec::new() })],
            (lie, Ok(Frame::Data { tag, subject, offset, bytes })) => {
                lie.about_a_piece(tag, (subject.size.into(), offset.into()), bytes)
            }
            _ => Vec::new(),
        }
    }

    fn about_a_piece(self, tag: Tag, (size, offset): (u64, u64), bytes: &[u8]) -> Vec<Event> {
        match self {
            Self::DataOutside => vec![data(tag, size + 1_000, bytes.to_vec())],
            Self::Mebibyte => vec![data(tag, 0, vec![7; 1 << 20])],
            Self::EarlyLast => {
                vec![Event::Data(Data { tag, offset, bytes: bytes.to_vec(), sum: Sum::Good, last: true })]
            }
            Self::Changes => {
                let name = format!("file-{offset}");
                let (file, resume_key) = (File { name: name.clone(), ..File::unknown() }, name);
                vec![Event::StartUpload(StartUpload { tag: 0, file, resume_key })]
            }
            _ => Vec::new(),
        }
    }
}

const fn past(size: u64) -> Span {
    Span::new(size + 10, size + 20)
}

fn outcome(verdict: Verdict) -> Event {
    Event::Outcome(Outcome { verdict, text: Text::new("", "") })
}

fn data(tag: Tag, offset: u64, bytes: Vec<u8>) -> Event {
    Event::Data(Data { tag, offset, bytes, sum: Sum::Good, last: false })
}
