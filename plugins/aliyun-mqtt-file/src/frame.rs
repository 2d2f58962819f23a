//! What stands around file bytes: `length of the text (2 bytes, most significant first) | text | bytes | CRC-16/ARC (least significant
//! byte first) over the bytes`. The text is guarded by nothing.

use packhorse_codec::crc::{Crc16, crc16};
use packhorse_codec::{Fault, Reader, Writer};

/// The vendor calls it CRC16/IBM: polynomial 0x8005 reflected, initial value 0. Of `123456789` it is 0xBB3D.
static CRC: Crc16 = crc16("CRC-16/ARC");

/// A frame, taken apart.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) bytes: &'a [u8],
    /// Whether the checksum holds.
    pub(crate) sound: bool,
}

impl<'a> Frame<'a> {
    /// Only the text's length is checked here: how many bytes there should be stands in the text.
    pub(crate) fn read(payload: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(payload);
        let text = reader.prefixed_u16_be("text")?;
        let rest = reader.rest();
        let Some((bytes, told)) = rest.split_last_chunk::<2>() else {
            return Err(Fault::malformed("the frame ends before its checksum"));
        };
        Ok(Self { text, bytes, sound: CRC.checksum(bytes) == u16::from_le_bytes(*told) })
    }
}

/// Puts a frame together, with exact capacity.
pub(crate) fn frame(text: &[u8], bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    let length = u16::try_from(text.len()).map_err(|_| Fault::malformed("the text of the frame is too long"))?;
    let mut frame = Writer::with_capacity(text.len() + bytes.len() + 4);
    frame.u16_be(length);
    frame.slice(text);
    frame.slice(bytes);
    frame.u16_le(CRC.checksum(bytes));
    Ok(frame.finish())
}
