//! What a device holds of a file, and its form on the wire: a count of pieces from the start, and a bitmap of those behind it.

use packhorse_codec::{Fault, ReadError, Reader, Span, Writer};

/// Bytes that a device holds, sorted and apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Holding {
    spans: Vec<Span>,
}

/// More stretches than this are not told apart: the latest to come is forgotten and will be sent again.
const SPANS: usize = 1024;

/// At most so many bytes of bitmap.
const BITMAP: usize = 64;

/// The grid of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) size: u64,
    pub(crate) piece: u32,
}

/// What an acknowledgement says, in pieces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bitmap {
    pub(crate) base: u32,
    bits: Vec<u8>,
}

impl Holding {
    pub(crate) fn through(end: u64) -> Self {
        Self { spans: if end == 0 { Vec::new() } else { vec![Span::new(0, end)] } }
    }

    pub(crate) fn add(&mut self, span: Span) {
        if span.start >= span.end {
            return;
        }
        let from = self.spans.partition_point(|known| known.end < span.start);
        let to = self.spans.partition_point(|known| known.start <= span.end);
        let mut joined = span;
        if from < to {
            joined.start = joined.start.min(self.spans[from].start);
            joined.end = joined.end.max(self.spans[to - 1].end);
        } else if self.spans.len() >= SPANS {
            return;
        }
        self.spans.splice(from..to, [joined]);
    }

    pub(crate) fn remove(&mut self, span: Span) {
        let cut = |known: &Span| {
            let before = Span::new(known.start, known.end.min(span.start));
            let after = Span::new(known.start.max(span.end), known.end);
            [before, after].into_iter().filter(|part| part.start < part.end)
        };
        self.spans = self.spans.iter().flat_map(cut).collect();
    }

    /// The pieces that are held whole.
    pub(crate) fn bitmap(&self, grid: Grid) -> Bitmap {
        let prefix = self.spans.first().filter(|span| span.start == 0).map_or(0, |span| grid.pieces_before(span.end));
        let mut bits = Vec::new();
        for span in &self.spans {
            let first = span.start.div_ceil(u64::from(grid.piece)).max(u64::from(prefix));
            let end = u64::from(grid.pieces_before(span.end));
            for piece in first..end {
                let place = (piece - u64::from(prefix)) as usize;
                if place >= BITMAP * 8 {
                    return Bitmap { base: prefix, bits };
                }
                if bits.len() <= place / 8 {
                    bits.resize(place / 8 + 1, 0);
                }
                bits[place / 8] |= 1 << (place % 8);
            }
        }
        Bitmap { base: prefix, bits }
    }
}

impl Grid {
    /// How many whole pieces end at or before `end`; the last piece of the file may be short.
    fn pieces_before(self, end: u64) -> u32 {
        let piece = u64::from(self.piece);
        let pieces = if end >= self.size { self.size.div_ceil(piece) } else { end / piece };
        u32::try_from(pieces).unwrap_or(u32::MAX)
    }

    pub(crate) fn pieces(self) -> u32 {
        self.pieces_before(self.size)
    }

    /// Where a piece begins, or the end of the file.
    pub(crate) fn offset(self, piece: u64) -> u64 {
        piece.saturating_mul(u64::from(self.piece)).min(self.size)
    }
}

impl Bitmap {
    pub(crate) fn write(&self, frame: &mut Writer) {
        frame.u32_be(self.base);
        frame.u8(self.bits.len() as u8);
        frame.slice(&self.bits);
    }

    pub(crate) fn read(body: &mut Reader<'_>) -> Result<Self, ReadError> {
        let base = body.u32_be("base")?;
        let bits = body.prefixed_u8("bitmap")?.to_vec();
        Ok(Self { base, bits })
    }

    /// The stretches behind the base, in bytes.
    pub(crate) fn spans(&self, grid: Grid) -> Result<Vec<Span>, Fault> {
        let mut spans: Vec<Span> = Vec::new();
        let places = self.bits.len() * 8;
        for place in (0..places).filter(|place| self.bits[place / 8] & (1 << (place % 8)) != 0) {
            let piece = u64::from(self.base) + place as u64;
            if piece >= u64::from(grid.pieces()) {
                return Err(Fault::malformed(format!("piece {piece} of a file of {} pieces", grid.pieces())));
            }
            let (start, end) = (grid.offset(piece), grid.offset(piece + 1));
            match spans.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => spans.push(Span::new(start, end)),
            }
        }
        Ok(spans)
    }

    /// Everything before this is held.
    pub(crate) fn through(&self, grid: Grid) -> Result<u64, Fault> {
        if self.base > grid.pieces() {
            return Err(Fault::malformed(format!("{} pieces of a file of {}", self.base, grid.pieces())));
        }
        Ok(grid.offset(u64::from(self.base)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(spans: &[(u64, u64)], base: u32, bits: &[u8]) {
        let mut holding = Holding::default();
        spans.iter().for_each(|(start, end)| holding.add(Span::new(*start, *end)));
        let grid = Grid { size: 95, piece: 10 };
        assert_eq!(holding.bitmap(grid), Bitmap { base, bits: bits.to_vec() });
    }

    #[test]
    fn counts_whole_pieces_only() {
        check(&[], 0, &[]);
        check(&[(0, 20)], 2, &[]);
        check(&[(0, 25)], 2, &[]);
        check(&[(0, 20), (30, 40)], 2, &[0b10]);
        check(&[(30, 40), (0, 20), (20, 30)], 4, &[]);
        check(&[(5, 35)], 0, &[0b110]);
        check(&[(90, 95)], 0, &[0, 0b10]);
        check(&[(0, 95)], 10, &[]);
    }

    #[test]
    fn comes_back_from_the_wire() {
        let mut holding = Holding::through(20);
        holding.add(Span::new(30, 50));
        holding.add(Span::new(90, 95));
        holding.remove(Span::new(40, 45));
        let grid = Grid { size: 95, piece: 10 };
        let mut frame = Writer::new();
        holding.bitmap(grid).write(&mut frame);
        let frame = frame.finish();
        let bitmap = Bitmap::read(&mut Reader::new(&frame)).unwrap();
        assert_eq!(bitmap.through(grid).unwrap(), 20);
        assert_eq!(bitmap.spans(grid).unwrap(), [Span::new(30, 40), Span::new(90, 95)]);
    }

    #[test]
    fn pieces_past_the_end_are_refused() {
        let grid = Grid { size: 20, piece: 10 };
        assert!(Bitmap { base: 3, bits: vec![] }.through(grid).is_err());
        assert!(Bitmap { base: 1, bits: vec![0b10] }.spans(grid).is_err());
    }
}
