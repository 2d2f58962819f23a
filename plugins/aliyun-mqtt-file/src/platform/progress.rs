//! How far an upload is: where the next block begins, and the CRC-64 of everything before it.

use packhorse_codec::crc::{Crc64, crc64};
use packhorse_codec::{Fault, Reader, Writer};

use crate::message::Message;

/// That of the vendor's file service: ECMA-182's polynomial reflected, all ones before and after.
static CRC: Crc64 = crc64("CRC-64/XZ");

/// What came of one upload. Blocks come one after the other, so that a damaged offset never puts one into a wrong place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Received {
    next: u64,
    /// The newest block, which comes again when its answer was lost: offset and length.
    newest: (u64, u64),
    /// Of the bytes before `next`; `None` where an earlier session took some of them and did not tell.
    crc64: Option<u64>,
}

/// Where a block belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    New,
    Again,
    Elsewhere,
}

impl Received {
    /// `held` bytes are here, from the start.
    pub(super) fn from(held: u64) -> Self {
        Self { next: held, newest: (held, 0), crc64: (held == 0).then_some(0) }
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn crc64(&self) -> Option<u64> {
        self.crc64
    }

    /// The device goes on at this offset, with blocks of a size of its own.
    pub(super) fn go_on_at(&mut self, offset: u64) {
        if self.next == offset {
            self.newest = (offset, 0);
        } else {
            *self = Self::from(offset);
        }
    }

    pub(super) fn block(&mut self, offset: u64, bytes: &[u8]) -> Arrival {
        let length = bytes.len() as u64;
        if offset == self.next && (offset, length) != self.newest {
            self.next += length;
            self.newest = (offset, length);
            self.crc64 = self.crc64.map(|before| go_on(before, bytes));
            Arrival::New
        } else if (offset, length) == self.newest {
            Arrival::Again
        } else {
            Arrival::Elsewhere
        }
    }

    pub(super) fn save(&self, state: &mut Writer) {
        for number in [self.next, self.newest.0, self.newest.1, self.crc64.unwrap_or_default()] {
            state.u64_be(number);
        }
        state.u8(self.crc64.is_some().into());
    }

    pub(super) fn restore(state: &mut Reader<'_>) -> Result<Self, Fault> {
        let next = state.u64_be("next")?;
        let newest = (state.u64_be("newest")?, state.u64_be("newest")?);
        let crc64 = state.u64_be("crc64")?;
        let known = state.u8("crc64")? != 0;
        Ok(Self { next, newest, crc64: Some(crc64).filter(|_| known) })
    }
}

/// The checksum of more bytes behind those of `before`.
fn go_on(before: u64, bytes: &[u8]) -> u64 {
    let mut digest = CRC.digest_with_initial((!before).reverse_bits());
    digest.update(bytes);
    digest.finalize()
}

/// The device's CRC-64, where it told one that can be read.
pub(super) fn told_crc64(message: &Message<'_>) -> Option<u64> {
    message.text("ficMode").filter(|mode| mode.eq_ignore_ascii_case("crc64"))?;
    u64::from_str_radix(&message.text("ficValue")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_goes_on_where_it_stopped() {
        let whole: Vec<u8> = (0..5000_u32).map(|at| ((at * 7) >> 3) as u8).collect();
        for cut in [0, 1, 256, 4999, 5000] {
            let mut received = Received::from(0);
            received.block(0, &whole[..cut]);
            received.block(cut as u64, &whole[cut..]);
            assert_eq!(received.crc64(), Some(CRC.checksum(&whole)), "cut at {cut}");
        }
        assert_eq!(go_on(0, b"123456789"), 0x995d_c9bb_df19_39fa);
    }
}
