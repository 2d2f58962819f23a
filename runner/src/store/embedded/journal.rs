//! The journal on redb.

use super::{CHECKPOINTS, EmbeddedStore, FACTS, OBJECTS, PUT, RUNS, failed};
use crate::store::journal::{Append, AppendError, Claim, Journal, Seq, StoreError, StoredCheckpoint, Token};
use crate::store::row::{self, Row};
use packhorse_core::run::{RunId, WallTime};
use redb::{Durability, ReadableDatabase, ReadableTable, WriteTransaction};
use std::collections::BTreeMap;
use std::ops::Bound;

impl Journal for EmbeddedStore {
    fn claim_many(&self, claims: &[Claim]) -> Result<Vec<Result<Token, StoreError>>, StoreError> {
        let mut writing = self.database.begin_write().map_err(failed("claim runs"))?;
        writing.set_durability(Durability::None).map_err(failed("claim runs"))?;
        let mut tokens = Vec::with_capacity(claims.len());
        {
            let mut rows = writing.open_table(RUNS).map_err(failed("claim runs"))?;
            for claim in claims {
                let claimed = match row_in(&rows, &claim.run) {
                    Ok(row) => Row::claimed(row, claim),
                    Err(damaged @ StoreError::Damaged { .. }) => Err(damaged),
                    Err(error) => return Err(error),
                };
                if let Ok(row) = &claimed {
                    put_row(&mut rows, &claim.run, row)?;
                }
                tokens.push(claimed.map(|row| row.token()));
            }
        }
        writing.commit().map_err(failed("claim runs"))?;
        Ok(tokens)
    }

    fn append_many(&self, batch: &[Append]) -> Result<Vec<Result<Seq, AppendError>>, StoreError> {
        let writing = self.database.begin_write().map_err(failed("append to the journal"))?;
        let judged = append(&writing, batch)?;
        writing.commit().map_err(failed("commit the journal"))?;
        Ok(judged)
    }

    fn read(&self, run: &RunId, from: Seq) -> Result<Vec<Vec<u8>>, StoreError> {
        let reading = self.database.begin_read().map_err(failed("read the journal"))?;
        let rows = reading.open_table(RUNS).map_err(failed("read the journal"))?;
        let table = reading.open_table(FACTS).map_err(failed("read the journal"))?;
        let count = row_in(&rows, run)?.map_or(0, |row| row.count);
        let mut facts = Vec::new();
        for (place, entry) in
            (from..).zip(table.range((run.as_str(), from)..=(run.as_str(), Seq::MAX)).map_err(failed("read facts"))?)
        {
            let (key, sealed) = entry.map_err(failed("read facts"))?;
            let fact = row::open(run.as_str(), place, sealed.value()).filter(|_| key.value().1 == place);
            facts.push(fact.ok_or_else(|| StoreError::damaged(format!("fact {place} of {run}")))?.to_vec());
        }
        if facts.len() as u64 == count.saturating_sub(from) {
            return Ok(facts);
        }
        Err(StoreError::damaged(format!(
            "the journal of {run}: {} of {count} facts are left",
            from + facts.len() as u64
        )))
    }

    fn unfinished(&self, cursor: Option<&RunId>, limit: usize) -> Result<Vec<RunId>, StoreError> {
        let after = cursor.map_or(Bound::Unbounded, |run| Bound::Excluded(run.as_str()));
        self.runs((after, Bound::Unbounded), false, limit, Row::is_unfinished)
    }

    fn recent(&self, cursor: Option<&RunId>, limit: usize) -> Result<Vec<RunId>, StoreError> {
        let before = cursor.map_or(Bound::Unbounded, |run| Bound::Excluded(run.as_str()));
        self.runs((Bound::Unbounded, before), true, limit, |row| row.count > 0)
    }

    fn checkpoint(&self, run: &RunId) -> Result<Option<StoredCheckpoint>, StoreError> {
        let reading = self.database.begin_read().map_err(failed("read a checkpoint"))?;
        let table = reading.open_table(CHECKPOINTS).map_err(failed("read a checkpoint"))?;
        let Some(sealed) = table.get(run.as_str()).map_err(failed("read a checkpoint"))? else { return Ok(None) };
        let bytes = row::open(run.as_str(), 0, sealed.value());
        let bytes = bytes.ok_or_else(|| StoreError::damaged(format!("the checkpoint of {run}")))?;
        row::decode_checkpoint(bytes, run).map(Some)
    }

    fn forget(&self, run: &RunId, token: Token) -> Result<Result<(), AppendError>, StoreError> {
        let writing = self.database.begin_write().map_err(failed("forget a run"))?;
        {
            let mut rows = writing.open_table(RUNS).map_err(failed("forget a run"))?;
            if let Err(refused) = Row::forgettable(row_in(&rows, run)?.as_ref(), run, token) {
                return Ok(Err(refused));
            }
            rows.remove(run.as_str()).map_err(failed("forget a run"))?;
            let mut facts = writing.open_table(FACTS).map_err(failed("forget a run"))?;
            let all = (run.as_str(), 0)..=(run.as_str(), Seq::MAX);
            facts.retain_in(all, |_, _| false).map_err(failed("forget facts"))?;
            let mut checkpoints = writing.open_table(CHECKPOINTS).map_err(failed("forget a run"))?;
            checkpoints.remove(run.as_str()).map_err(failed("forget a checkpoint"))?;
        }
        writing.commit().map_err(failed("forget a run"))?;
        Ok(Ok(()))
    }

    fn put_object(&self, sha256: &str, bytes: &[u8], now: WallTime) -> Result<(), StoreError> {
        if row::sha256(bytes) != sha256 {
            return Err(StoreError::WrongDigest { expected: sha256.to_owned() });
        }
        // Objects never change: one that is there, and whole, need not be written again.
        let there = matches!(self.get_object(sha256), Ok(Some(_)));
        let writing = self.database.begin_write().map_err(failed("keep an object"))?;
        {
            let mut objects = writing.open_table(OBJECTS).map_err(failed("keep an object"))?;
            // Looked at before this change began: it may have been removed since.
            if !there || objects.get(sha256).map_err(failed("keep an object"))?.is_none() {
                objects.insert(sha256, bytes).map_err(failed("keep an object"))?;
            }
            let mut put = writing.open_table(PUT).map_err(failed("keep an object"))?;
            let last = put.get(sha256).map_err(failed("keep an object"))?.map_or(0, |last| last.value());
            put.insert(sha256, now.0.max(last)).map_err(failed("keep an object"))?;
        }
        writing.commit().map_err(failed("keep an object"))
    }

    fn get_object(&self, sha256: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let reading = self.database.begin_read().map_err(failed("read an object"))?;
        let table = reading.open_table(OBJECTS).map_err(failed("read an object"))?;
        let Some(bytes) = table.get(sha256).map_err(failed("read an object"))? else { return Ok(None) };
        let bytes = bytes.value().to_vec();
        if row::sha256(&bytes) == sha256 {
            Ok(Some(bytes))
        } else {
            Err(StoreError::damaged(format!("object {sha256}")))
        }
    }

    fn objects(&self) -> Result<Vec<(String, WallTime)>, StoreError> {
        let reading = self.database.begin_read().map_err(failed("list objects"))?;
        let put = reading.open_table(PUT).map_err(failed("list objects"))?;
        let entries = put.iter().map_err(failed("list objects"))?;
        let read = |entry: Result<_, redb::StorageError>| {
            let (name, at): (redb::AccessGuard<'_, &str>, redb::AccessGuard<'_, u64>) =
                entry.map_err(failed("list objects"))?;
            Ok((name.value().to_owned(), WallTime(at.value())))
        };
        entries.map(read).collect()
    }

    fn remove_object(&self, sha256: &str, before: WallTime) -> Result<bool, StoreError> {
        let writing = self.database.begin_write().map_err(failed("remove an object"))?;
        {
            let mut put = writing.open_table(PUT).map_err(failed("remove an object"))?;
            let at = put.get(sha256).map_err(failed("remove an object"))?.map(|at| at.value());
            if at.is_none_or(|at| at >= before.0) {
                return Ok(false);
            }
            put.remove(sha256).map_err(failed("remove an object"))?;
            let mut objects = writing.open_table(OBJECTS).map_err(failed("remove an object"))?;
            objects.remove(sha256).map_err(failed("remove an object"))?;
        }
        writing.commit().map_err(failed("remove an object"))?;
        Ok(true)
    }
}

impl EmbeddedStore {
    fn runs(
        &self,
        range: (Bound<&str>, Bound<&str>),
        backwards: bool,
        limit: usize,
        wanted: impl Fn(&Row) -> bool,
    ) -> Result<Vec<RunId>, StoreError> {
        let reading = self.database.begin_read().map_err(failed("list runs"))?;
        let table = reading.open_table(RUNS).map_err(failed("list runs"))?;
        let mut entries = table.range::<&str>(range).map_err(failed("list runs"))?;
        let mut runs = Vec::new();
        while runs.len() < limit {
            let next = if backwards { entries.next_back() } else { entries.next() };
            let Some(entry) = next else { break };
            let (key, sealed) = entry.map_err(failed("list runs"))?;
            let Ok(run) = key.value().parse::<RunId>() else {
                tracing::error!(key = key.value(), "an entry of the journal has no run's name");
                continue;
            };
            // A damaged one is named: whoever reads it is told.
            if open_row(&run, sealed.value()).map_or(true, |row| wanted(&row)) {
                runs.push(run);
            }
        }
        Ok(runs)
    }
}

/// Judges and writes a batch; rows of runs that are named several times are written once.
fn append(writing: &WriteTransaction, batch: &[Append]) -> Result<Vec<Result<Seq, AppendError>>, StoreError> {
    let mut rows = writing.open_table(RUNS).map_err(failed("append to the journal"))?;
    let mut facts = writing.open_table(FACTS).map_err(failed("append to the journal"))?;
    let mut checkpoints = writing.open_table(CHECKPOINTS).map_err(failed("append to the journal"))?;
    let mut changed: BTreeMap<&RunId, Row> = BTreeMap::new();
    let mut judged = Vec::with_capacity(batch.len());
    for append in batch {
        let known =
            match changed.get(&append.run).map_or_else(|| row_in(&rows, &append.run), |row| Ok(Some(row.clone()))) {
                Ok(known) => known,
                Err(StoreError::Damaged { .. }) => {
                    judged.push(Err(AppendError::Damaged { run: append.run.clone() }));
                    continue;
                }
                Err(error) => return Err(error),
            };
        let row = match Row::appended(known.as_ref(), append) {
            Ok(row) => row,
            Err(refused) => {
                judged.push(Err(refused));
                continue;
            }
        };
        let run = append.run.as_str();
        for (place, fact) in (append.expected..).zip(&append.facts) {
            let sealed = row::seal(run, place, fact);
            facts.insert((run, place), sealed.as_slice()).map_err(failed("append facts"))?;
        }
        if let Some(checkpoint) = &append.checkpoint {
            let sealed = row::seal(run, 0, &row::encode_checkpoint(checkpoint));
            checkpoints.insert(run, sealed.as_slice()).map_err(failed("store a checkpoint"))?;
        }
        judged.push(Ok(row.count));
        changed.insert(&append.run, row);
    }
    for (run, row) in &changed {
        put_row(&mut rows, run, row)?;
    }
    Ok(judged)
}

fn row_in(rows: &impl ReadableTable<&'static str, &'static [u8]>, run: &RunId) -> Result<Option<Row>, StoreError> {
    let sealed = rows.get(run.as_str()).map_err(failed("look a run up"))?;
    sealed.map(|sealed| open_row(run, sealed.value())).transpose()
}

fn open_row(run: &RunId, sealed: &[u8]) -> Result<Row, StoreError> {
    let bytes = row::open(run.as_str(), 0, sealed);
    Row::decode(bytes.ok_or_else(|| StoreError::damaged(format!("the entry of {run}")))?, run.as_str())
}

fn put_row(rows: &mut redb::Table<'_, &str, &[u8]>, run: &RunId, row: &Row) -> Result<(), StoreError> {
    let sealed = row::seal(run.as_str(), 0, &row.encode());
    rows.insert(run.as_str(), sealed.as_slice()).map_err(failed("change the entry of a run"))?;
    Ok(())
}
