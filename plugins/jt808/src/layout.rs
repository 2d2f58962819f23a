//! Where the packets of an upload belong in the file. A packet's number counts bodies, and terminals cut them in three ways: evenly, with
//! the 36 bytes before the data within the first; the same with a whole piece behind those 36 bytes; or with these 36 bytes in every
//! packet. The first packet and any other that is not the last tell which.

use packhorse_codec::{Fault, Reader, Span, Writer};

use crate::frame::Packet;
use crate::media::HEAD;

/// Which way the packets are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// Only the first packet, or nothing between it and the last, was seen.
    Unknown,
    /// All bodies have the same length.
    Even,
    /// All have as many bytes of the file: the first body is longer by what stands before them.
    Longer,
    /// All begin with what stands before the file.
    Repeated,
}

/// One upload, as far as its packets told of themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    head: [u8; HEAD],
    /// Bytes of the file in the first packet.
    first: u64,
    pub(crate) total: u16,
    cut: Cut,
}

impl Layout {
    /// Begins with the first packet.
    pub(crate) fn new(body: &[u8], total: u16) -> Result<Self, Fault> {
        let mut reader = Reader::new(body);
        let head = reader.array("what stands before media data")?;
        let first = reader.left() as u64;
        if first == 0 && total > 1 {
            return Err(Fault::malformed("the first packet of several has no data"));
        }
        Ok(Self { head, first, total, cut: Cut::Unknown })
    }

    pub(crate) fn begins_like(&self, body: &[u8]) -> bool {
        body.starts_with(&self.head)
    }

    /// Where a packet belongs, and its bytes of the file; nothing where the packets so far do not tell.
    pub(crate) fn place<'b>(&mut self, packet: Packet, body: &'b [u8]) -> Result<Option<(u64, &'b [u8])>, Fault> {
        if packet.index == 1 {
            return Ok(body.get(HEAD..).map(|bytes| (0, bytes)));
        }
        self.learn(packet, body)?;
        let bytes = if self.cut == Cut::Repeated { body.get(HEAD..).unwrap_or_default() } else { body };
        let nth = u64::from(packet.index) - 1;
        let offset = match self.cut {
            Cut::Even => nth * (self.first + HEAD as u64) - HEAD as u64,
            Cut::Longer | Cut::Repeated => nth * self.first,
            // Wherever the second packet belongs, it is behind the first.
            Cut::Unknown if packet.index == 2 => self.first,
            Cut::Unknown => return Ok(None),
        };
        let most = if self.cut == Cut::Even { self.first + HEAD as u64 } else { self.first };
        let fits = match packet.is_last() {
            true => bytes.len() as u64 <= most || self.cut == Cut::Unknown,
            false => bytes.len() as u64 == most,
        };
        if bytes.is_empty() || !fits {
            return Err(Fault::malformed(format!("packet {} has {} bytes of data", packet.index, bytes.len())));
        }
        Ok(Some((offset, bytes)))
    }

    fn learn(&mut self, packet: Packet, body: &[u8]) -> Result<(), Fault> {
        if self.cut != Cut::Unknown {
            return Ok(());
        }
        let length = body.len() as u64;
        if self.begins_like(body) {
            self.cut = Cut::Repeated;
        } else if packet.is_last() {
            // Its length is what is left, and tells nothing.
        } else if length == self.first + HEAD as u64 {
            self.cut = Cut::Even;
        } else if length == self.first {
            self.cut = Cut::Longer;
        } else {
            let words =
                format!("packet {} has {length} bytes, the first one {}", packet.index, self.first + HEAD as u64);
            return Err(Fault::malformed(words));
        }
        Ok(())
    }

    /// Whether every packet can be placed.
    pub(crate) fn is_known(&self) -> bool {
        self.cut != Cut::Unknown || self.total <= 2
    }

    /// The packets in which these bytes of the file are.
    pub(crate) fn packets(&self, span: Span) -> Vec<u16> {
        let (shift, piece) = match self.cut {
            Cut::Even => (HEAD as u64, self.first + HEAD as u64),
            Cut::Longer | Cut::Repeated | Cut::Unknown => (0, self.first),
        };
        let at = |byte: u64| byte.saturating_add(shift) / piece.max(1) + 1;
        let last = at(span.end.saturating_sub(1).max(span.start)).min(self.total.into());
        (at(span.start)..=last).filter_map(|packet| u16::try_from(packet).ok()).collect()
    }

    pub(crate) fn save(&self, state: &mut Writer) {
        state.slice(&self.head);
        state.u64_be(self.first);
        state.u16_be(self.total);
        state.u8(self.cut as u8);
    }

    pub(crate) fn restore(state: &mut Reader<'_>) -> Result<Self, Fault> {
        let (head, first, total) = (state.array("head")?, state.u64_be("first piece")?, state.u16_be("packets")?);
        let cut = state.u8("cut")?;
        let known = [Cut::Unknown, Cut::Even, Cut::Longer, Cut::Repeated].into_iter();
        let cut = known.into_iter().find(|known| *known as u8 == cut).ok_or(Fault::Unsupported)?;
        if first > u64::from(u16::MAX) {
            return Err(Fault::Unsupported);
        }
        Ok(Self { head, first, total, cut })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: usize = 100;

    /// The bodies of an upload of so many bytes, cut one way.
    fn bodies(file: &[u8], cut: Cut) -> Vec<Vec<u8>> {
        let head = [7; HEAD];
        let whole = [&head[..], file].concat();
        match cut {
            Cut::Even => whole.chunks(PIECE).map(<[u8]>::to_vec).collect(),
            _ => {
                let bodies = file.chunks(PIECE).enumerate();
                let with = |at: usize| at == 0 || cut == Cut::Repeated;
                bodies.map(|(at, piece)| if with(at) { [&head[..], piece].concat() } else { piece.to_vec() }).collect()
            }
        }
    }

    #[test]
    fn every_way_of_cutting_is_known_by_its_packets() {
        for cut in [Cut::Even, Cut::Longer, Cut::Repeated] {
            for length in [1, 63, 64, 65, 99, 100, 101, 164, 165, 199, 200, 201, 1000, 1001] {
                let file: Vec<u8> = (0..length).map(|at: usize| (at * 31) as u8).collect();
                let bodies = bodies(&file, cut);
                let total = bodies.len() as u16;
                let mut layout = Layout::new(&bodies[0], total).unwrap();
                let mut found = vec![0; length];
                for (at, body) in bodies.iter().enumerate() {
                    let packet = Packet { index: at as u16 + 1, total };
                    let (offset, bytes) = layout.place(packet, body).unwrap().expect("they come in order");
                    found[offset as usize..][..bytes.len()].copy_from_slice(bytes);
                    let span = Span::new(offset, offset + bytes.len() as u64);
                    if layout.is_known() && layout.cut != Cut::Unknown {
                        assert_eq!(layout.packets(span), [packet.index], "{cut:?} {length}");
                    }
                }
                assert!(found == file, "{cut:?} {length}");
            }
        }
    }

    #[test]
    fn the_last_packet_of_several_waits_for_one_in_the_middle() {
        let file = vec![3; 1001];
        let bodies = bodies(&file, Cut::Even);
        let total = bodies.len() as u16;
        let mut layout = Layout::new(&bodies[0], total).unwrap();
        let last = Packet { index: total, total };
        assert_eq!(layout.place(last, bodies.last().unwrap()).unwrap(), None);
        assert!(!layout.is_known());
        layout.place(Packet { index: 5, total }, &bodies[4]).unwrap().unwrap();
        let (offset, bytes) = layout.place(last, bodies.last().unwrap()).unwrap().unwrap();
        assert_eq!(offset + bytes.len() as u64, 1001);
    }

    #[test]
    fn packets_of_lengths_that_fit_nowhere_are_refused() {
        let mut layout = Layout::new(&[7; 136], 9).unwrap();
        assert!(layout.place(Packet { index: 4, total: 9 }, &[1; 99]).is_err());
        layout.place(Packet { index: 4, total: 9 }, &[1; 100]).unwrap().unwrap();
        assert!(layout.place(Packet { index: 5, total: 9 }, &[1; 136]).is_err());
        assert!(layout.place(Packet { index: 9, total: 9 }, &[1; 101]).is_err());
        assert!(layout.place(Packet { index: 9, total: 9 }, &[]).is_err());
        assert!(Layout::new(&[7; 35], 1).is_err());
        assert!(Layout::new(&[7; 36], 2).is_err());
    }
}
