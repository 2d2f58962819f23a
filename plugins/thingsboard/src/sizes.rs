//! Remembers the chunk size of each request id: a request without a size means the last one of its id.

use packhorse_codec::{ReadError, Reader, Writer};

/// How many ids are remembered; a client uses one for a whole download.
const MOST: usize = 64;

/// Chunk sizes by request id, the id used longest ago first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sizes(Vec<(u32, u32)>);

impl Sizes {
    pub(crate) fn remember(&mut self, id: u32, size: u32) {
        if self.0.last() == Some(&(id, size)) {
            return;
        }
        self.0.retain(|(known, _)| *known != id);
        if self.0.len() == MOST {
            self.0.remove(0);
        }
        self.0.push((id, size));
    }

    pub(crate) fn of(&self, id: u32) -> Option<u32> {
        self.0.iter().find(|(known, _)| *known == id).map(|(_, size)| *size)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Eight bytes each.
    pub(crate) fn write(&self, state: &mut Writer) {
        for (id, size) in &self.0 {
            state.u32_be(*id);
            state.u32_be(*size);
        }
    }

    /// What [`Sizes::write`] wrote, up to the end of `state`.
    pub(crate) fn read(state: &mut Reader<'_>) -> Result<Self, ReadError> {
        let mut sizes = Self::default();
        while state.left() > 0 {
            sizes.remember(state.u32_be("request id")?, state.u32_be("chunk size")?);
        }
        Ok(sizes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_used_last_are_remembered() {
        let mut sizes = Sizes::default();
        (0..MOST as u32).for_each(|id| sizes.remember(id, id + 100));
        sizes.remember(0, 7);
        sizes.remember(1_000, 8);
        assert_eq!((sizes.of(0), sizes.of(1), sizes.of(2), sizes.of(1_000)), (Some(7), None, Some(102), Some(8)));
        let mut state = Writer::new();
        sizes.write(&mut state);
        assert_eq!(state.written().len(), MOST * 8);
        assert_eq!(Sizes::read(&mut Reader::new(state.written())), Ok(sizes));
    }
}
