//! An upgrade package, 0x8108, cut into packets: the first carries what stands before the file and a whole piece behind it, each
//! other one a piece, so that pieces lie on a grid of the file. The standard asks for no equal lengths: a terminal puts the bodies
//! together by their numbers.

use packhorse_codec::{Fault, Reader, Span, Text, Transfer, Writer};

use crate::describe::{PACKETS_MOST, VERSION_MOST, number, variable};
use crate::frame::Packet;

/// What stands before the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// What is upgraded.
    pub(crate) part: u8,
    pub(crate) maker: [u8; 5],
    pub(crate) version: Vec<u8>,
    pub(crate) size: u32,
}

impl Head {
    pub(crate) fn of(transfer: &Transfer) -> Result<Self, Text> {
        let size = transfer.file.size.and_then(|size| u32::try_from(size).ok());
        let size = size.ok_or_else(|| Text::new("file-unknown", "a package needs a size below 4 GiB"))?;
        let mut maker = [0; 5];
        for (place, byte) in maker.iter_mut().zip(variable(transfer, "maker").unwrap_or_default().bytes()) {
            *place = byte;
        }
        let named = transfer.file.meta("version").filter(|version| !version.is_empty());
        let version = named.or_else(|| variable(transfer, "version")).unwrap_or(&transfer.file.name);
        // The standard's texts are GBK, of which ASCII is the part that needs no table.
        let fits = version.len() <= VERSION_MOST && version.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if !fits {
            return Err(Text::new(
                "version",
                "a version has 64 characters of ASCII at most; give another as `version`",
            ));
        }
        Ok(Self { part: number(transfer, "part", 0), maker, version: version.into(), size })
    }

    /// Reads it, and leaves the reader at the file.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        Ok(Self {
            part: reader.u8("part")?,
            maker: reader.array("maker")?,
            version: reader.prefixed_u8("version")?.to_vec(),
            size: reader.u32_be("length of the data")?,
        })
    }

    pub(crate) fn body(&self, piece: &[u8]) -> Vec<u8> {
        let mut body = Writer::with_capacity(11 + self.version.len() + piece.len());
        body.u8(self.part);
        body.slice(&self.maker);
        body.u8(self.version.len() as u8);
        body.slice(&self.version);
        body.u32_be(self.size);
        body.slice(piece);
        body.finish()
    }
}

/// How a file is cut into packets: all but the last have as many bytes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) size: u64,
    pub(crate) piece: u64,
    pub(crate) total: u16,
}

impl Grid {
    /// `None` where there would be more packets than can be counted.
    pub(crate) fn new(size: u64, piece: u32) -> Option<Self> {
        let piece = u64::from(piece.max(1));
        let total = size.div_ceil(piece).max(1);
        let total = u16::try_from(total).ok().filter(|_| total <= PACKETS_MOST)?;
        Some(Self { size, piece, total })
    }

    /// The packet that a piece goes in.
    pub(crate) fn packet(&self, offset: u64, length: u64) -> Result<Packet, Fault> {
        let wrong = || Fault::malformed(format!("{length} bytes at {offset} are no piece of {}", self.piece));
        let index = u16::try_from(offset / self.piece + 1).map_err(|_| wrong())?;
        let packet = Packet { index, total: self.total };
        if index > self.total || self.span(index, index) != Span::new(offset, offset + length) {
            return Err(wrong());
        }
        Ok(packet)
    }

    /// The bytes of the file in these packets; those that do not exist have none.
    pub(crate) fn span(&self, first: u16, last: u16) -> Span {
        let start = u64::from(first.max(1) - 1) * self.piece;
        let end = u64::from(last) * self.piece;
        Span::new(start.min(self.size), end.min(self.size))
    }

    /// The packets in which these bytes of the file are.
    pub(crate) fn packets(&self, span: Span) -> impl Iterator<Item = u16> + use<> {
        let first = span.start / self.piece + 1;
        let last = span.end.min(self.size).div_ceil(self.piece).max(1);
        (first..=last.min(self.total.into())).filter_map(|packet| u16::try_from(packet).ok())
    }
}
