//! Where the durable bytes of every transfer lie in the spool, and how much of each segment is still needed.

use super::record::{HEADER, Key, Kind, Record};
use packhorse_core::transfer::{Intervals, Span};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

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

/// Something of a transfer that was copied into another segment.
#[derive(Debug, Clone, Copy)]
pub(super) enum Moved {
    /// The extent that begins at this byte of the file.
    Data { key: Key, start: u64, place: Place },
    /// The transfer's name.
    Name { key: Key, segment: u64 },
}

/// Everything durable, by transfer. The first copy of a byte stays: what was acknowledged is never replaced.
#[derive(Debug, Default)]
pub(super) struct Index {
    transfers: HashMap<Key, Transfer>,
    /// Bytes of each segment that some transfer needs, headers counted.
    live: BTreeMap<u64, u64>,
}

#[derive(Debug, Default)]
struct Transfer {
    /// Its name, and the segment in which that stands.
    name: Option<(Arc<str>, u64)>,
    held: Intervals,
    extents: BTreeMap<u64, Extent>,
}

impl Index {
    /// Takes in a record that lies at `position` of `segment`; names come by [`Index::name`].
    pub(super) fn apply(&mut self, record: Record, segment: u64, position: u64) {
        match record.kind {
            Kind::Data => self.insert(record, Place { segment, position: position + HEADER as u64 }),
            Kind::Truncate | Kind::Forget => self.remove(record.key),
            Kind::Name => {}
        }
    }

    /// Takes in the name of a transfer, which stands in `segment`. The first one stays.
    pub(super) fn name(&mut self, key: Key, name: Arc<str>, segment: u64) {
        let transfer = self.transfers.entry(key).or_default();
        if transfer.name.is_none() {
            *self.live.entry(segment).or_default() += cost(name.len() as u64);
            transfer.name = Some((name, segment));
        }
    }

    /// Voids everything of a transfer.
    pub(super) fn remove(&mut self, key: Key) {
        let Some(transfer) = self.transfers.remove(&key) else { return };
        for extent in transfer.extents.values() {
            lower(&mut self.live, extent.place.segment, extent.span.len());
        }
        if let Some((name, segment)) = transfer.name {
            lower(&mut self.live, segment, name.len() as u64);
        }
    }

    fn insert(&mut self, record: Record, place: Place) {
        let span = Span::new(record.offset, record.offset + u64::from(record.length));
        let transfer = self.transfers.entry(record.key).or_default();
        let gaps: Vec<Span> = transfer.held.gaps(span).collect();
        for gap in gaps {
            let position = place.position + (gap.start - span.start);
            transfer.extents.insert(gap.start, Extent { span: gap, place: Place { position, ..place } });
            *self.live.entry(place.segment).or_default() += cost(gap.len());
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

    pub(super) fn is_named(&self, key: Key) -> bool {
        self.transfers.get(&key).is_some_and(|transfer| transfer.name.is_some())
    }

    /// All transfers with their names and how many of their bytes are held.
    pub(super) fn transfers(&self) -> impl Iterator<Item = (Key, Option<&Arc<str>>, u64)> {
        self.transfers
            .iter()
            .map(|(key, transfer)| (*key, transfer.name.as_ref().map(|(name, _)| name), transfer.held.covered()))
    }

    /// Bytes of a segment that are still needed.
    pub(super) fn needed(&self, segment: u64) -> u64 {
        self.live.get(&segment).copied().unwrap_or(0)
    }

    /// Bytes that are needed in all.
    pub(super) fn needed_in_all(&self) -> u64 {
        self.live.values().sum()
    }

    /// What is still needed of the data of a record that lies at `position` of `segment`.
    pub(super) fn needed_of(&self, record: Record, segment: u64, position: u64) -> Vec<Extent> {
        let Some(transfer) = self.transfers.get(&record.key) else { return Vec::new() };
        let data = position + HEADER as u64..position + HEADER as u64 + u64::from(record.length);
        let here = |extent: &Extent| extent.place.segment == segment && data.contains(&extent.place.position);
        let span = record.offset..record.offset + u64::from(record.length);
        transfer.extents.range(span).map(|(_, extent)| *extent).filter(here).collect()
    }

    /// Whether a transfer's name stands in `segment`.
    pub(super) fn is_named_in(&self, key: Key, segment: u64) -> bool {
        let name = self.transfers.get(&key).and_then(|transfer| transfer.name.as_ref());
        name.is_some_and(|(_, stands)| *stands == segment)
    }

    /// From now on these lie where they were copied to, no longer in `from`.
    pub(super) fn relocate(&mut self, from: u64, moved: &[Moved]) {
        for moved in moved {
            let (key, to) = match *moved {
                Moved::Data { key, place, .. } => (key, place.segment),
                Moved::Name { key, segment } => (key, segment),
            };
            let Some(transfer) = self.transfers.get_mut(&key) else { continue };
            let length = match *moved {
                Moved::Data { start, place, .. } => {
                    let extent = transfer.extents.get_mut(&start).filter(|extent| extent.place.segment == from);
                    let Some(extent) = extent else { continue };
                    extent.place = place;
                    extent.span.len()
                }
                Moved::Name { segment, .. } => {
                    let name = transfer.name.as_mut().filter(|(_, stands)| *stands == from);
                    let Some((name, stands)) = name else { continue };
                    *stands = segment;
                    name.len() as u64
                }
            };
            lower(&mut self.live, from, length);
            *self.live.entry(to).or_default() += cost(length);
        }
    }
}

const fn cost(length: u64) -> u64 {
    HEADER as u64 + length
}

fn lower(live: &mut BTreeMap<u64, u64>, segment: u64, length: u64) {
    let Some(left) = live.get_mut(&segment) else { return };
    *left = left.saturating_sub(cost(length));
    if *left == 0 {
        live.remove(&segment);
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
        assert_eq!((index.needed(0), index.needed(1)), (head + 10, 2 * head + 10));
        let needed = index.needed_of(data(5, 20), 1, 500);
        assert_eq!(needed.iter().map(|extent| extent.span.start).collect::<Vec<_>>(), [5, 20]);
    }

    #[test]
    fn a_truncated_transfer_holds_nothing() {
        let mut index = Index::default();
        index.name(1, "t".into(), 0);
        index.apply(data(0, 10), 0, 8);
        index.apply(Record { kind: Kind::Truncate, key: 1, offset: 0, length: 0 }, 0, 50);
        assert_eq!(index.held(1).covered(), 0);
        assert_eq!((index.needed_in_all(), index.is_named(1)), (0, false));
    }

    #[test]
    fn what_was_copied_is_needed_where_it_lies_now() {
        let mut index = Index::default();
        index.name(1, "t".into(), 0);
        index.apply(data(0, 10), 0, 8);
        index.apply(data(10, 10), 1, 8);
        let place = Place { segment: 2, position: 77 };
        index.relocate(0, &[Moved::Name { key: 1, segment: 2 }, Moved::Data { key: 1, start: 0, place }]);
        let head = HEADER as u64;
        assert_eq!((index.needed(0), index.needed(1), index.needed(2)), (0, head + 10, 2 * head + 11));
        assert_eq!(index.extents(1)[0].place, place);
        index.relocate(0, &[Moved::Data { key: 1, start: 10, place }]);
        assert_eq!(index.extents(1)[1].place.segment, 1, "it was not there");
    }
}
