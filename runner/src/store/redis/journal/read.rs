//! Everything that changes no run: facts, lists, checkpoints; and objects, which are kept under their digest and never change.

use super::change::{self, Sealed};
use super::{RedisJournal, script};
use crate::store::journal::{Seq, StoreError, StoredCheckpoint};
use crate::store::row;
use packhorse_core::run::{RunId, WallTime};
use redis::{Script, pipe};

impl RedisJournal {
    pub(super) fn facts(&self, run: &RunId, from: Seq) -> Result<Vec<Vec<u8>>, StoreError> {
        let (sealed, facts): (Option<Sealed>, Vec<Vec<u8>>) =
            self.lines().patiently("read the journal", |connection| {
                let mut both = pipe();
                both.atomic().get(self.keys().row(run));
                // A place beyond all lists is one that Redis can read.
                both.lrange(self.keys().facts(run), isize::try_from(from).unwrap_or(isize::MAX), -1);
                both.query(connection)
            })?;
        let count = change::open(run, &sealed.unwrap_or_default())?.map_or(0, |row| row.count);
        if facts.len() as u64 != count.saturating_sub(from) {
            let left = from + facts.len() as u64;
            return Err(StoreError::damaged(format!("the journal of {run}: {left} of {count} facts are left")));
        }
        (from..)
            .zip(facts)
            .map(|(place, sealed)| {
                let fact = row::open(run.as_str(), place, &sealed).map(<[u8]>::to_vec);
                fact.ok_or_else(|| StoreError::damaged(format!("fact {place} of {run}")))
            })
            .collect()
    }

    pub(super) fn list_unfinished(&self, cursor: Option<&RunId>, limit: usize) -> Result<Vec<RunId>, StoreError> {
        let list = |from: &[u8], limit: usize| {
            let from = if from.is_empty() { b"-" } else { from };
            let mut list = redis::cmd("ZRANGEBYLEX");
            list.arg(self.keys().unfinished()).arg(from).arg("+").arg("LIMIT").arg(0).arg(limit);
            list
        };
        self.listed(list, cursor, limit)
    }

    pub(super) fn list_recent(&self, cursor: Option<&RunId>, limit: usize) -> Result<Vec<RunId>, StoreError> {
        let list = |from: &[u8], limit: usize| {
            let from = if from.is_empty() { b"+" } else { from };
            let mut list = redis::cmd("ZREVRANGEBYLEX");
            list.arg(self.keys().all()).arg(from).arg("-").arg("LIMIT").arg(0).arg(limit);
            list
        };
        self.listed(list, cursor, limit)
    }

    /// Runs of a list from `cursor` on: as many as are wanted and there, whatever else it names.
    fn listed(
        &self,
        list: impl Fn(&[u8], usize) -> redis::Cmd,
        cursor: Option<&RunId>,
        limit: usize,
    ) -> Result<Vec<RunId>, StoreError> {
        let after = |name: &[u8]| [b"(", name].concat();
        let mut from = cursor.map(|run| after(run.as_str().as_bytes())).unwrap_or_default();
        let mut runs = Vec::new();
        while runs.len() < limit {
            let part = list(&from, limit - runs.len());
            let names: Vec<Vec<u8>> = self.lines().patiently("list runs", |connection| part.query(connection))?;
            let Some(last) = names.last() else { break };
            from = after(last);
            runs.extend(self.there(names)?);
        }
        Ok(runs)
    }

    /// Which of these names are those of runs. A list has no checksum; a damaged run is one, and so are facts whose entry is gone: whoever
    /// reads them is told.
    fn there(&self, names: Vec<Vec<u8>>) -> Result<Vec<RunId>, StoreError> {
        let mut runs = Vec::with_capacity(names.len());
        for name in names {
            match String::from_utf8_lossy(&name).parse::<RunId>() {
                Ok(run) => runs.push(run),
                Err(_) => {
                    tracing::error!(name = %String::from_utf8_lossy(&name), "the list of runs names what is no run")
                }
            }
        }
        if runs.is_empty() {
            return Ok(runs);
        }
        let left: Vec<(bool, bool)> = self.lines().patiently("list runs", |connection| {
            let mut both = pipe();
            for run in &runs {
                both.exists(self.keys().row(run)).exists(self.keys().facts(run));
            }
            let left: Vec<bool> = both.query(connection)?;
            Ok(left.chunks_exact(2).map(|left| (left[0], left[1])).collect())
        })?;
        let mut left = left.into_iter();
        runs.retain(|run| {
            let there = left.next().is_some_and(|(row, facts)| row || facts);
            if !there {
                tracing::warn!(%run, "the list of runs names one that is not there");
            }
            there
        });
        Ok(runs)
    }

    pub(super) fn stored_checkpoint(&self, run: &RunId) -> Result<Option<StoredCheckpoint>, StoreError> {
        let sealed: Option<Vec<u8>> = self.lines().patiently("read a checkpoint", |connection| {
            redis::cmd("GET").arg(self.keys().checkpoint(run)).query(connection)
        })?;
        let Some(sealed) = sealed else { return Ok(None) };
        let bytes = row::open(run.as_str(), 0, &sealed);
        let bytes = bytes.ok_or_else(|| StoreError::damaged(format!("the checkpoint of {run}")))?;
        row::decode_checkpoint(bytes, run).map(Some)
    }

    pub(super) fn keep_object(&self, sha256: &str, bytes: &[u8], now: WallTime) -> Result<(), StoreError> {
        if row::sha256(bytes) != sha256 {
            return Err(StoreError::WrongDigest { expected: sha256.to_owned() });
        }
        self.lines().patiently("keep an object", |connection| {
            let mut both = pipe();
            both.atomic().set(self.keys().object(sha256), bytes).ignore();
            both.cmd("ZADD").arg(self.keys().objects()).arg("GT").arg(now.0).arg(sha256).ignore();
            both.query(connection)
        })
    }

    pub(super) fn object(&self, sha256: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let bytes: Option<Vec<u8>> = self.lines().patiently("read an object", |connection| {
            redis::cmd("GET").arg(self.keys().object(sha256)).query(connection)
        })?;
        match bytes {
            Some(bytes) if row::sha256(&bytes) != sha256 => Err(StoreError::damaged(format!("object {sha256}"))),
            found => Ok(found),
        }
    }

    pub(super) fn list_objects(&self) -> Result<Vec<(String, WallTime)>, StoreError> {
        let mut list = redis::cmd("ZRANGE");
        list.arg(self.keys().objects()).arg(0).arg(-1).arg("WITHSCORES");
        let found: Vec<(String, f64)> = self.lines().patiently("list objects", |connection| list.query(connection))?;
        // Milliseconds since 1970 are far below what a double holds exactly.
        let mut objects: Vec<_> = found.into_iter().map(|(name, put)| (name, WallTime(put as u64))).collect();
        objects.sort();
        Ok(objects)
    }

    pub(super) fn drop_object(&self, sha256: &str, before: WallTime) -> Result<bool, StoreError> {
        let script = Script::new(script::REMOVE);
        let mut call = script.prepare_invoke();
        call.key(self.keys().objects()).key(self.keys().object(sha256)).arg(sha256).arg(before.0);
        let removed: i64 = self.lines().patiently("remove an object", |connection| call.invoke(connection))?;
        Ok(removed == 1)
    }
}
