//! What all frames share: type, length, sequence, epoch, body, CRC-16.

use packhorse_codec::crc::{Crc16, crc16};
use packhorse_codec::{Fault, Reader, Writer};

/// Every type of frame; those from the device have the top bit set.
macro_rules! kinds {
    ($($name:ident = $value:literal,)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Kind { $($name = $value),* }

        impl Kind {
            fn from_byte(byte: u8) -> Option<Self> {
                match byte {
                    $($value => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    Announce = 0x01,
    Data = 0x02,
    Query = 0x03,
    Fetch = 0x04,
    Describe = 0x05,
    Verdict = 0x06,
    Cancel = 0x07,
    Pause = 0x08,
    Hello = 0x81,
    Ask = 0x82,
    Ack = 0x83,
    Missing = 0x84,
    Status = 0x85,
    DeviceVerdict = 0x86,
    DeviceCancel = 0x87,
    DevicePause = 0x88,
    Progress = 0x89,
    File = 0x8a,
    Piece = 0x8b,
}

static CRC: Crc16 = crc16("CRC-16/IBM-3740");

const HEADER: usize = 11;
const TRAILER: usize = 2;

/// One frame, its CRC checked and taken off.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: Kind,
    pub(crate) sequence: u32,
    pub(crate) epoch: u32,
    pub(crate) body: Reader<'a>,
}

impl<'a> Frame<'a> {
    pub(crate) fn read(payload: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(payload);
        let kind = reader.u8("type")?;
        let length = reader.u16_be("length")?;
        let sequence = reader.u32_be("sequence")?;
        let epoch = reader.u32_be("epoch")?;
        let body = Reader::new(reader.slice("body", usize::from(length))?);
        let covered = payload.get(..reader.position()).unwrap_or_default();
        let told = reader.u16_be("CRC")?;
        reader.end()?;
        let computed = CRC.checksum(covered);
        if told != computed {
            return Err(Fault::malformed(format!("CRC is {told:04x}, the frame has {computed:04x}")));
        }
        let kind = Kind::from_byte(kind).ok_or_else(|| Fault::malformed(format!("no frame has type {kind:02x}")))?;
        Ok(Self { kind, sequence, epoch, body })
    }
}

/// Numbers the frames of one end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbering {
    pub(crate) epoch: u32,
    pub(crate) next: u32,
}

impl Numbering {
    /// One frame; `capacity` is the length of its body.
    pub(crate) fn frame(
        &mut self,
        kind: Kind,
        capacity: usize,
        body: impl FnOnce(&mut Writer) -> Result<(), Fault>,
    ) -> Result<Vec<u8>, Fault> {
        let mut frame = Writer::with_capacity(HEADER + capacity + TRAILER);
        frame.u8(kind as u8);
        frame.u16_be(u16::try_from(capacity).map_err(|_| Fault::malformed("a frame holds at most 65535 bytes"))?);
        frame.u32_be(self.next);
        frame.u32_be(self.epoch);
        body(&mut frame)?;
        debug_assert_eq!(frame.written().len(), HEADER + capacity, "the body of {kind:?} has the length that was told");
        frame.u16_be(CRC.checksum(frame.written()));
        self.next = self.next.wrapping_add(1);
        Ok(frame.finish())
    }

    /// One frame whose body is short and of any length.
    pub(crate) fn small(&mut self, kind: Kind, body: impl FnOnce(&mut Writer)) -> Result<Vec<u8>, Fault> {
        let mut inner = Writer::new();
        body(&mut inner);
        let inner = inner.finish();
        self.frame(kind, inner.len(), |frame| {
            frame.slice(&inner);
            Ok(())
        })
    }
}

/// Whether epoch `a` is later than `b`; they may wrap.
pub(crate) const fn later(a: u32, b: u32) -> bool {
    a != b && a.wrapping_sub(b) < 1 << 31
}
