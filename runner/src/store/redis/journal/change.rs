//! What a batch of claims or appends changes, decided from the rows as they are known; nothing here waits for anybody.

use crate::store::journal::{Append, AppendError, Mark, Seq, StoreError};
use crate::store::row::{self, Row};
use packhorse_core::run::RunId;
use std::collections::{BTreeMap, HashMap, HashSet};

/// A row as it lies on the server, sealed; empty where there is none.
pub(super) type Sealed = Vec<u8>;

/// Change of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) before: Sealed,
    /// `None` forgets the run.
    pub(super) after: Option<Row>,
    pub(super) mark: Option<Mark>,
    /// Place of the first new fact.
    pub(super) from: Seq,
    /// Sealed.
    pub(super) facts: Vec<Vec<u8>>,
    /// Sealed.
    pub(super) checkpoint: Option<Vec<u8>>,
}

impl Change {
    pub(super) fn new(before: Sealed, after: Option<Row>) -> Self {
        Self { before, after, mark: None, from: 0, facts: Vec::new(), checkpoint: None }
    }

    pub(super) fn sealed_after(&self, run: &RunId) -> Sealed {
        self.after.as_ref().map_or_else(Vec::new, |row| seal(run, row))
    }
}

/// Changes of many runs.
pub(super) type Changes = BTreeMap<RunId, Change>;

pub(super) fn seal(run: &RunId, row: &Row) -> Sealed {
    row::seal(run.as_str(), 0, &row.encode())
}

pub(super) fn open(run: &RunId, sealed: &[u8]) -> Result<Option<Row>, StoreError> {
    if sealed.is_empty() {
        return Ok(None);
    }
    let bytes = row::open(run.as_str(), 0, sealed);
    Row::decode(bytes.ok_or_else(|| StoreError::damaged(format!("the entry of {run}")))?, run.as_str()).map(Some)
}

/// Judges a batch of appends by the known rows; `damaged` are runs whose facts are not all there.
pub(super) fn appends(
    batch: &[Append],
    known: &HashMap<RunId, Sealed>,
    damaged: &HashSet<RunId>,
) -> (Vec<Result<Seq, AppendError>>, Changes) {
    let mut changes = Changes::new();
    let mut judged = Vec::with_capacity(batch.len());
    for append in batch {
        let run = &append.run;
        let before = known.get(run).cloned().unwrap_or_default();
        let row = changes.get(run).map_or_else(|| open(run, &before), |change| Ok(change.after.clone()));
        let row = row.ok().filter(|_| !damaged.contains(run)).ok_or_else(|| AppendError::Damaged { run: run.clone() });
        let row = match row.and_then(|row| Row::appended(row.as_ref(), append)) {
            Ok(row) => row,
            Err(refused) => {
                judged.push(Err(refused));
                continue;
            }
        };
        judged.push(Ok(row.count));
        let change = changes.entry(run.clone()).or_insert_with(|| Change::new(before, None));
        change.after = Some(row);
        if !append.facts.is_empty() {
            if change.facts.is_empty() {
                change.from = append.expected;
            }
            change.mark = Some(append.mark);
            let places = append.expected..;
            change.facts.extend(places.zip(&append.facts).map(|(place, fact)| row::seal(run.as_str(), place, fact)));
        }
        if let Some(checkpoint) = &append.checkpoint {
            change.checkpoint = Some(row::seal(run.as_str(), 0, &row::encode_checkpoint(checkpoint)));
        }
    }
    (judged, changes)
}
