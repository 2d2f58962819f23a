//! A file on a disk that loses what was not synced.

use packhorse_core::transfer::{Intervals, Span};

/// Bytes as a reader sees them, and as they would be after a loss of power.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    seen: Vec<u8>,
    durable: Vec<u8>,
    held: Intervals,
    unsynced: Vec<Span>,
    syncing: Option<Vec<Span>>,
    /// Grows with every crash and truncation: a sync begun before means nothing.
    generation: u32,
}

impl Disk {
    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let start = usize::try_from(offset).expect("simulated files are small");
        let end = start + bytes.len();
        if self.seen.len() < end {
            self.seen.resize(end, 0);
        }
        self.seen[start..end].copy_from_slice(bytes);
        self.unsynced.push(Span::new(offset, end as u64));
    }

    /// Begins a sync of everything written so far, unless one runs or there is nothing; gives the generation to finish it with.
    pub(crate) fn begin_sync(&mut self) -> Option<u32> {
        if self.syncing.is_some() || self.unsynced.is_empty() {
            return None;
        }
        self.syncing = Some(std::mem::take(&mut self.unsynced));
        Some(self.generation)
    }

    /// The sync is through: these spans are durable now.
    pub(crate) fn finish_sync(&mut self, generation: u32) -> Vec<Span> {
        if generation != self.generation {
            return Vec::new();
        }
        let spans = self.syncing.take().unwrap_or_default();
        for span in &spans {
            let (start, end) = (span.start as usize, span.end as usize);
            if self.durable.len() < end {
                self.durable.resize(end, 0);
            }
            self.durable[start..end].copy_from_slice(&self.seen[start..end]);
            self.held.insert(*span);
        }
        spans
    }

    /// Says that the sync is through, and made nothing durable: a planted bug.
    pub(crate) fn pretend_sync(&mut self, generation: u32) -> Vec<Span> {
        if generation != self.generation {
            return Vec::new();
        }
        let spans = self.syncing.take().unwrap_or_default();
        for span in &spans {
            self.held.insert(*span);
        }
        let end = self.held.end() as usize;
        self.durable.resize(end.max(self.durable.len()), 0);
        spans
    }

    /// The process died: what was not synced is garbage.
    pub(crate) fn crash(&mut self) {
        self.seen.clone_from(&self.durable);
        for gap in self.held.gaps(Span::new(0, self.durable.len() as u64)) {
            self.seen[gap.start as usize..gap.end as usize].fill(0xEE);
        }
        self.forget_syncs();
    }

    /// The storage loses what was durable from `keep` on.
    pub(crate) fn forget_from(&mut self, keep: u64) {
        self.held.remove(Span::new(keep, u64::MAX));
        self.durable.truncate(keep as usize);
        self.crash();
    }

    pub(crate) fn truncate(&mut self) {
        self.seen.clear();
        self.durable.clear();
        self.held = Intervals::default();
        self.forget_syncs();
    }

    /// What a reader sees now.
    pub(crate) fn seen(&self) -> &[u8] {
        &self.seen
    }

    pub(crate) fn holds(&self, span: Span) -> bool {
        span.is_empty() || self.held.contains(span)
    }

    pub(crate) fn held(&self) -> &Intervals {
        &self.held
    }

    /// Whether exactly these bytes would be there after a loss of power.
    pub(crate) fn durably_is(&self, file: &[u8]) -> bool {
        self.durable == file && self.holds(Span::new(0, file.len() as u64))
    }

    fn forget_syncs(&mut self) {
        self.unsynced.clear();
        self.syncing = None;
        self.generation += 1;
    }
}
