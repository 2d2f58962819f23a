//! What a device waits for: requests on their way, by the numbers in their topics.

use std::collections::VecDeque;

use packhorse_codec::{Chunk, Fault, ReadError, Reader, Span, Tag, Want, Writer};

/// How many of either kind are on their way at most; older ones are given up.
const MOST: usize = 16;

/// Requests for attributes and for chunks that were not answered yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pending {
    /// Request ids of attributes, and their tags.
    asks: VecDeque<(u32, Tag)>,
    chunks: VecDeque<Asked>,
}

/// A chunk that was asked for, and what of it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) chunk: u32,
    /// Bytes in a chunk.
    pub(crate) size: u32,
    tag: Tag,
    span: Span,
}

impl Asked {
    /// The chunk that has the first byte of `want`: a device may go on at a byte where no chunk begins. Past the end of the file it is one
    /// that has nothing of the file. `size` is that of the file, where it is known.
    pub(crate) fn of(want: &Want, packet: u32, size: Option<u64>) -> Result<Self, Fault> {
        let bytes = if want.limit == 0 { packet } else { want.limit }.max(1);
        let past_end = size.is_some_and(|size| want.span.start >= size);
        let start = want.span.start;
        let chunk = if past_end { start.div_ceil(bytes.into()) } else { start / u64::from(bytes) };
        // The largest number has no room in a tag of the platform's.
        let chunk = u32::try_from(chunk).ok().filter(|chunk| *chunk < u32::MAX);
        let chunk = chunk.ok_or_else(|| Fault::malformed("chunk numbers have 32 bits here"))?;
        Ok(Self { chunk, size: bytes, tag: want.tag, span: want.span })
    }

    /// What the answer gives; its first bytes may be those of an earlier piece.
    pub(crate) fn piece(&self, mut payload: Vec<u8>, size: Option<u64>) -> Result<Chunk, Fault> {
        let Self { tag, span, .. } = *self;
        let full = payload.len() as u64 == u64::from(self.size);
        if payload.len() as u64 > u64::from(self.size) {
            return Err(Fault::malformed(format!("{} bytes where {} were asked for", payload.len(), self.size)));
        }
        let before = span.start.saturating_sub(u64::from(self.chunk) * u64::from(self.size));
        let end = u64::min(payload.len() as u64, before.saturating_add(span.length()));
        payload.truncate(end as usize);
        payload.drain(..payload.len().min(before as usize));
        let end = span.start.saturating_add(payload.len() as u64);
        let last = size.map_or(!full, |size| end >= size);
        if payload.is_empty() && !last {
            return Err(Fault::malformed(format!("no bytes at {}, before the end of the file", span.start)));
        }
        Ok(Chunk { tag, offset: span.start, bytes: payload, last })
    }
}

impl Pending {
    pub(crate) fn ask(&mut self, id: u32, tag: Tag) {
        push(&mut self.asks, (id, tag));
    }

    /// The tag of an answered request for attributes; 0 for one that is not known.
    pub(crate) fn asked(&mut self, id: u32) -> Tag {
        let at = self.asks.iter().position(|(known, _)| *known == id);
        at.and_then(|at| self.asks.remove(at)).map_or(0, |(_, tag)| tag)
    }

    pub(crate) fn want(&mut self, asked: Asked) {
        self.chunks.retain(|known| known.chunk != asked.chunk);
        push(&mut self.chunks, asked);
    }

    pub(crate) fn wanted(&self, chunk: u32) -> Option<Asked> {
        self.chunks.iter().find(|asked| asked.chunk == chunk).copied()
    }

    /// It is answered: the same answer again is a duplicate.
    pub(crate) fn settle(&mut self, chunk: u32) {
        self.chunks.retain(|asked| asked.chunk != chunk);
    }

    /// Gives up all chunks; the tag of the one that was asked for first, or 0.
    pub(crate) fn give_up(&mut self) -> Tag {
        let first = self.chunks.front().map_or(0, |asked| asked.tag);
        self.chunks.clear();
        first
    }

    pub(crate) fn write(&self, state: &mut Writer) {
        state.u8(self.asks.len() as u8);
        for (id, tag) in &self.asks {
            state.u32_be(*id);
            state.u64_be(*tag);
        }
        for asked in &self.chunks {
            state.u32_be(asked.chunk);
            state.u32_be(asked.size);
            state.u64_be(asked.tag);
            state.u64_be(asked.span.start);
            state.u64_be(asked.span.end);
        }
    }

    /// What [`Pending::write`] wrote, up to the end of `state`.
    pub(crate) fn read(state: &mut Reader<'_>) -> Result<Self, ReadError> {
        let mut pending = Self::default();
        for _ in 0..state.u8("asks")? {
            pending.ask(state.u32_be("request id")?, state.u64_be("tag")?);
        }
        while state.left() > 0 {
            let (chunk, size, tag) = (state.u32_be("chunk")?, state.u32_be("size")?, state.u64_be("tag")?);
            let span = Span::new(state.u64_be("start")?, state.u64_be("end")?);
            pending.want(Asked { chunk, size, tag, span });
        }
        Ok(pending)
    }
}

fn push<T>(queue: &mut VecDeque<T>, item: T) {
    if queue.len() == MOST {
        queue.pop_front();
    }
    queue.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(start: u64, end: u64, limit: u32, size: Option<u64>) -> Asked {
        Asked::of(&Want { tag: 5, span: Span::new(start, end), limit }, 100, size).unwrap()
    }

    fn chunk(offset: u64, bytes: &[u8], last: bool) -> Result<Chunk, Fault> {
        Ok(Chunk { tag: 5, offset, bytes: bytes.to_vec(), last })
    }

    #[test]
    fn a_piece_in_the_middle_of_a_chunk_is_cut_out_of_it() {
        let middle = asked(6, 8, 4, Some(10));
        assert_eq!((middle.chunk, middle.size), (1, 4));
        assert_eq!(middle.piece(vec![4, 5, 6, 7], Some(10)), chunk(6, &[6, 7], false));
        assert_eq!(asked(5, 6, 4, Some(10)).piece(vec![4, 5, 6, 7], Some(10)), chunk(5, &[5], false));
        assert_eq!(asked(8, 10, 4, Some(10)).piece(vec![8, 9], Some(10)), chunk(8, &[8, 9], true));
        assert_eq!(asked(0, Span::OPEN, 0, None).piece(vec![1; 100], None), chunk(0, &[1; 100], false));
        assert_eq!(asked(0, Span::OPEN, 0, None).piece(vec![1; 99], None), chunk(0, &[1; 99], true));
    }

    #[test]
    fn past_the_end_there_is_an_empty_piece() {
        let past = asked(10, 14, 4, Some(10));
        assert_eq!(past.chunk, 3);
        assert_eq!(past.piece(vec![], Some(10)), chunk(10, &[], true));
        assert!(asked(4, 8, 4, Some(10)).piece(vec![], Some(10)).is_err());
        assert!(asked(6, 8, 4, Some(10)).piece(vec![4, 5], Some(10)).is_err());
        assert!(asked(4, 8, 4, Some(10)).piece(vec![0; 5], Some(10)).is_err());
    }

    #[test]
    fn what_waits_is_bounded_and_saved() {
        let mut pending = Pending::default();
        (0..100).for_each(|number| pending.ask(number, number.into()));
        (0..100).for_each(|number| pending.want(asked(number * 4, number * 4 + 4, 4, None)));
        assert_eq!((pending.asked(83), pending.asked(84), pending.asked(84)), (0, 84, 0));
        assert_eq!((pending.wanted(83), pending.wanted(99).map(|asked| asked.size)), (None, Some(4)));
        let mut state = Writer::new();
        pending.write(&mut state);
        assert_eq!(state.written().len(), 1 + 15 * 12 + 16 * 32);
        assert_eq!(Pending::read(&mut Reader::new(state.written())), Ok(pending));
    }
}
