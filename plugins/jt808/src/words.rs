//! The short messages: general answers, and lists of packets to send again.

use packhorse_codec::{Fault, Reader, Writer};

use crate::frame::Edition;

/// How a message fared, in a general answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fared {
    Done,
    Failed,
    /// The message was wrong.
    Bad,
    Unsupported,
}

impl Fared {
    const fn of(code: u8) -> Self {
        match code {
            // 4 is the platform's word for an alarm that it has dealt with.
            0 | 4 => Self::Done,
            2 => Self::Bad,
            3 => Self::Unsupported,
            _ => Self::Failed,
        }
    }
}

/// A general answer: which message, and how it fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) serial: u16,
    pub(crate) id: u16,
    pub(crate) fared: Fared,
}

impl Answer {
    pub(crate) fn read(body: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(body);
        let answer = Self {
            serial: reader.u16_be("answered serial")?,
            id: reader.u16_be("answered message")?,
            fared: Fared::of(reader.u8("result")?),
        };
        reader.end()?;
        Ok(answer)
    }

    pub(crate) fn body(self) -> Vec<u8> {
        let mut body = Writer::with_capacity(5);
        body.u16_be(self.serial);
        body.u16_be(self.id);
        body.u8(self.fared as u8);
        body.finish()
    }
}

/// Packets of a split message that are to be sent again: the serial number of its first packet, and their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resend {
    pub(crate) first: u16,
    pub(crate) packets: Vec<u16>,
}

/// So many numbers go into one message: their count has one byte in older editions.
pub(crate) const LISTED_MOST: usize = 255;

impl Resend {
    /// The count has one byte, or two since 2019; which of them, the length tells.
    pub(crate) fn read(body: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(body);
        let first = reader.u16_be("serial of the first packet")?;
        let count =
            if reader.left() % 2 == 1 { usize::from(reader.u8("count")?) } else { reader.u16_be("count")?.into() };
        Ok(Self { first, packets: read_list(&mut reader, count)? })
    }

    pub(crate) fn body(&self, edition: Edition) -> Vec<u8> {
        let mut body = Writer::with_capacity(4 + 2 * self.packets.len());
        body.u16_be(self.first);
        match edition {
            Edition::V2013 => body.u8(self.packets.len() as u8),
            Edition::V2019 => body.u16_be(self.packets.len() as u16),
        }
        self.packets.iter().for_each(|packet| body.u16_be(*packet));
        body.finish()
    }
}

/// The numbers behind their count.
pub(crate) fn read_list(reader: &mut Reader<'_>, count: usize) -> Result<Vec<u16>, Fault> {
    if reader.left() != 2 * count {
        return Err(Fault::malformed(format!("{count} packets are listed in {} bytes", reader.left())));
    }
    (0..count).map(|_| Ok(reader.u16_be("packet number")?)).collect()
}

/// Numbers that follow each other, as runs: the first and the last of each.
pub(crate) fn runs(packets: &[u16]) -> Vec<(u16, u16)> {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for packet in packets {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*packet) => *last = *packet,
            _ => runs.push((*packet, *packet)),
        }
    }
    runs
}
