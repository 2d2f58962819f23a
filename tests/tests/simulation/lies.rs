//! Devices that do not tell the truth: what they say instead.

use crate::chance::Chance;
use packhorse_core::transfer::{Data, Digest, Event, Outcome, Span, Sum, Text, Verdict, Want};

/// One way to lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Acknowledges bytes beyond the end of the file.
    AckBeyondEnd,
    /// Acknowledges what was never sent.
    FutureAck,
    /// Says that the digest is wrong.
    BadVerdict,
    /// Gives up in the middle.
    Cancels,
    /// Tells a digest that is not the file's.
    WrongDigest,
    /// Asks past the end for ever.
    WantsPastEnd,
    /// Asks for one range for ever.
    WantsAgain,
    /// Tells another size each time.
    SizeChanges,
    /// Tells a size of nearly 2^64.
    HugeSize,
    /// Never comes to an end.
    Endless,
    /// One byte is another, and the packet's check says nothing.
    RottenByte,
    /// No packet's check holds.
    BadSums,
}

const ALL: [Lie; 12] = [
    Lie::AckBeyondEnd,
    Lie::FutureAck,
    Lie::BadVerdict,
    Lie::Cancels,
    Lie::WrongDigest,
    Lie::WantsPastEnd,
    Lie::WantsAgain,
    Lie::SizeChanges,
    Lie::HugeSize,
    Lie::Endless,
    Lie::RottenByte,
    Lie::BadSums,
];

impl Lie {
    pub(crate) fn draw(c: &mut Chance) -> Self {
        c.pick(&ALL)
    }

    /// What the device says in place of `event`, the `nth` that it says; `size` and `packet` are the true ones.
    pub(crate) fn twist(self, event: Event, nth: u64, size: u64, packet: u64) -> Vec<Event> {
        match (self, event) {
            (Self::AckBeyondEnd, event) if nth.is_multiple_of(5) => {
                vec![event, Event::Ack(Span::new(size, size + packet)), Event::Ack(Span::new(0, size + 1))]
            }
            (Self::FutureAck, event) if nth < 3 => vec![event, Event::AckThrough(size), Event::Ack(Span::new(0, size))],
            (Self::BadVerdict, Event::Outcome(_)) => vec![outcome(Verdict::BadDigest)],
            (Self::Cancels, event) if nth >= 6 => {
                vec![event, Event::Cancel(Text { code: "17".to_owned(), message: "no more".to_owned() })]
            }
            (Self::WrongDigest, Event::StartUpload(mut start)) => {
                spoil(&mut start.file.digests);
                vec![Event::StartUpload(start)]
            }
            (Self::WrongDigest, Event::Finish(mut finish)) => {
                spoil(&mut finish.digests);
                vec![Event::Finish(finish)]
            }
            (Self::WantsPastEnd, Event::Finish(_) | Event::Outcome(_)) => {
                vec![want(nth, Span::new(size, size + packet))]
            }
            (Self::WantsPastEnd, Event::Want(_)) if nth > 10 => vec![want(nth, Span::new(size, size + packet))],
            (Self::WantsAgain, Event::Want(_)) => vec![want(nth, Span::new(0, packet))],
            (Self::SizeChanges, Event::StartUpload(mut start)) => {
                start.file.size = Some(size + 1 + nth);
                vec![Event::StartUpload(start)]
            }
            (Self::SizeChanges, Event::Finish(mut finish)) => {
                finish.size = Some(size + 1 + nth);
                vec![Event::Finish(finish)]
            }
            (Self::SizeChanges, Event::Data(data)) => vec![Event::Data(Data { last: nth.is_multiple_of(7), ..data })],
            (Self::HugeSize, Event::StartUpload(mut start)) => {
                start.file.size = Some(u64::MAX - 1);
                vec![Event::StartUpload(start)]
            }
            (Self::HugeSize, Event::Finish(mut finish)) => {
                finish.size = Some(u64::MAX - 1);
                vec![Event::Finish(finish)]
            }
            (Self::Endless, Event::StartUpload(mut start)) => {
                start.file.size = None;
                vec![Event::StartUpload(start)]
            }
            (Self::Endless, Event::Finish(_)) => Vec::new(),
            (Self::Endless, Event::Data(data)) => {
                let beyond = Data { offset: size + nth * packet, bytes: vec![7; packet as usize], ..data.clone() };
                vec![Event::Data(Data { last: false, ..data }), Event::Data(Data { last: false, ..beyond })]
            }
            (Self::RottenByte, Event::Data(mut data)) => {
                if let Some(byte) = data.bytes.first_mut().filter(|_| data.offset == 0) {
                    *byte ^= 0x40;
                }
                vec![Event::Data(data)]
            }
            (Self::BadSums, Event::Data(data)) => vec![Event::Data(Data { sum: Sum::Bad, ..data })],
            (_, event) => vec![event],
        }
    }
}

fn outcome(verdict: Verdict) -> Event {
    Event::Outcome(Outcome { verdict, text: Text::default() })
}

fn want(tag: u64, span: Span) -> Event {
    Event::Want(Want { tag, span, limit: 0 })
}

fn spoil(digests: &mut [Digest]) {
    for digest in digests {
        digest.value[0] ^= 1;
    }
}
