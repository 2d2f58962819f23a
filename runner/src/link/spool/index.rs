//! Where the durable bytes of every transfer lie in the spool.

use super::record::{HEADER, Key, Kind, Record};
use packhorse_core::transfer::{Intervals, Span};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A run of bytes in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Number of the segment.
    pub(super) segment: u64,
    /// Position of the first byte in the segment's file.
    pub(super) position: u64,
}

/// A run of bytes of one transfer's file, and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) span: Span,
    pub(super) place: Place,
}

/// Everything durable, by transfer. The first copy of a byte stays: what was acknowledged is never replaced.
#[derive(Debug, Default)]
pub(super) struct Index {
    transfers: HashMap<Key, Transfer>,
}

#[derive(Debug, Default)]
struct Transfer {
    held: Intervals,
    extents: BTreeMap<u64, Extent>,
}

impl Index {
    /// Takes in a record that lies at `position` of `segment`.
    pub(super) fn apply(&mut self, record: Record, segment: u64, position: u64) {
        match record.kind {
            Kind::Data => self.insert(record, Place { segment, position: position + HEADER as u64 }),
            Kind::Truncate | Kind::Forget => drop(self.transfers.remove(&record.key)),
        }
    }

    fn insert(&mut self, record: Record, place: Place) {
        let span = Span::new(record.offset, record.offset + u64::from(record.length));
        let transfer = self.transfers.entry(record.key).or_default();
        let gaps: Vec<Span> = transfer.held.gaps(span).collect();
        for gap in gaps {
            let position = place.position + (gap.start - span.start);
            transfer.extents.insert(gap.start, Extent { span: gap, place: Place { position, ..place } });
        }
        transfer.held.insert(span);
    }

    /// What is durable of a transfer.
    pub(super) fn held(&self, key: Key) -> Intervals {
        self.transfers.get(&key).map(|transfer| transfer.held.clone()).unwrap_or_default()
    }

    /// The extents of a transfer in file order.
    pub(super) fn extents(&self, key: Key) -> Vec<Extent> {
        self.transfers.get(&key).map(|transfer| transfer.extents.values().copied().collect()).unwrap_or_default()
    }

    /// Segments that still hold bytes of some transfer.
    pub(super) fn segments(&self) -> HashSet<u64> {
        self.transfers
            .values()
            .flat_map(|transfer| transfer.extents.values())
            .map(|extent| extent.place.segment)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(offset: u64, length: u32) -> Record {
        Record { kind: Kind::Data, key: 1, offset, length }
    }

    #[test]
    fn overlaps_keep_the_first_copy() {
        let mut index = Index::default();
        index.apply(data(10, 10), 0, 100);
        index.apply(data(5, 20), 1, 500);
        let extents = index.extents(1);
        let places: Vec<_> =
            extents.iter().map(|e| (e.span.start, e.span.end, e.place.segment, e.place.position)).collect();
        let head = HEADER as u64;
        assert_eq!(places, [(5, 10, 1, 500 + head), (10, 20, 0, 100 + head), (20, 25, 1, 500 + head + 15)]);
        assert_eq!(index.held(1).covered(), 20);
    }

    #[test]
    fn a_truncated_transfer_holds_nothing() {
        let mut index = Index::default();
        index.apply(data(0, 10), 0, 8);
        index.apply(Record { kind: Kind::Truncate, key: 1, offset: 0, length: 0 }, 0, 50);
        assert_eq!(index.held(1).covered(), 0);
        assert!(index.segments().is_empty());
    }
}
