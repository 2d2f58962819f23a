//! Journal and key-value store in memory: for tests, and for runs that nobody will resume.

use super::journal::{Append, AppendError, Claim, Journal, Seq, StoreError, StoredCheckpoint, Token};
use super::key_value::{self, BoxFuture, Head, KeyValue, KvError, Look, Touch};
use super::row::{self, Row};
use packhorse_core::effect::KvRequest;
use packhorse_core::run::{RunId, WallTime};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A journal that ends with the process.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    rows: BTreeMap<RunId, Row>,
    facts: BTreeMap<RunId, Vec<Vec<u8>>>,
    checkpoints: BTreeMap<RunId, StoredCheckpoint>,
    objects: BTreeMap<String, (Vec<u8>, WallTime)>,
}

impl MemoryJournal {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Each change is made whole before the next call can see it: a panic elsewhere leaves nothing half done.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn append(&mut self, append: &Append) -> Result<Seq, AppendError> {
        let row = Row::appended(self.rows.get(&append.run), append)?;
        let count = row.count;
        self.rows.insert(append.run.clone(), row);
        self.facts.entry(append.run.clone()).or_default().extend(append.facts.iter().cloned());
        if let Some(checkpoint) = &append.checkpoint {
            self.checkpoints.insert(append.run.clone(), checkpoint.clone());
        }
        Ok(count)
    }
}

impl Journal for MemoryJournal {
    fn claim_many(&self, claims: &[Claim]) -> Result<Vec<Result<Token, StoreError>>, StoreError> {
        let mut kept = self.kept();
        let mut take = |claim: &Claim| {
            let row = Row::claimed(kept.rows.get(&claim.run).cloned(), claim)?;
            let token = row.token();
            kept.rows.insert(claim.run.clone(), row);
            Ok(token)
        };
        Ok(claims.iter().map(&mut take).collect())
    }

    fn append_many(&self, batch: &[Append]) -> Result<Vec<Result<Seq, AppendError>>, StoreError> {
        let mut kept = self.kept();
        Ok(batch.iter().map(|append| kept.append(append)).collect())
    }

    fn read(&self, run: &RunId, from: Seq) -> Result<Vec<Vec<u8>>, StoreError> {
        let kept = self.kept();
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        Ok(kept.facts.get(run).map_or_else(Vec::new, |facts| facts.iter().skip(from).cloned().collect()))
    }

    fn unfinished(&self, cursor: Option<&RunId>, limit: usize) -> Result<Vec<RunId>, StoreError> {
        let kept = self.kept();
        let later =
            kept.rows.iter().filter(|(run, row)| row.is_unfinished() && cursor.is_none_or(|cursor| *run > cursor));
        Ok(later.map(|(run, _)| run.clone()).take(limit).collect())
    }

    fn recent(&self, cursor: Option<&RunId>, limit: usize) -> Result<Vec<RunId>, StoreError> {
        let kept = self.kept();
        let known = kept.rows.iter().rev().filter(|(_, row)| row.count > 0);
        let older = known.filter(|(run, _)| cursor.is_none_or(|cursor| *run < cursor));
        Ok(older.map(|(run, _)| run.clone()).take(limit).collect())
    }

    fn checkpoint(&self, run: &RunId) -> Result<Option<StoredCheckpoint>, StoreError> {
        Ok(self.kept().checkpoints.get(run).cloned())
    }

    fn forget(&self, run: &RunId, token: Token) -> Result<Result<(), AppendError>, StoreError> {
        let mut kept = self.kept();
        if let Err(refused) = Row::forgettable(kept.rows.get(run), run, token) {
            return Ok(Err(refused));
        }
        kept.rows.remove(run);
        kept.facts.remove(run);
        kept.checkpoints.remove(run);
        Ok(Ok(()))
    }

    fn put_object(&self, sha256: &str, bytes: &[u8], now: WallTime) -> Result<(), StoreError> {
        if row::sha256(bytes) != sha256 {
            return Err(StoreError::WrongDigest { expected: sha256.to_owned() });
        }
        let mut kept = self.kept();
        let put = kept.objects.get(sha256).map_or(now, |(_, put)| now.max(*put));
        kept.objects.insert(sha256.to_owned(), (bytes.to_vec(), put));
        Ok(())
    }

    fn get_object(&self, sha256: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.kept().objects.get(sha256).map(|(bytes, _)| bytes.clone()))
    }

    fn objects(&self) -> Result<Vec<(String, WallTime)>, StoreError> {
        Ok(self.kept().objects.iter().map(|(name, (_, put))| (name.clone(), *put)).collect())
    }

    fn remove_object(&self, sha256: &str, before: WallTime) -> Result<bool, StoreError> {
        let mut kept = self.kept();
        let old = kept.objects.get(sha256).is_some_and(|(_, put)| *put < before);
        Ok(old && kept.objects.remove(sha256).is_some())
    }
}

/// A key-value store that ends with the process.
#[derive(Debug, Default)]
pub struct MemoryKeyValue {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    heads: BTreeMap<String, Head>,
    fields: BTreeMap<String, BTreeMap<String, String>>,
}

impl Look for Entries {
    fn head(&self, key: &str) -> Result<Option<Head>, StoreError> {
        Ok(self.heads.get(key).cloned())
    }

    fn field(&self, key: &str, field: &str) -> Result<Option<String>, StoreError> {
        Ok(self.fields.get(key).and_then(|fields| fields.get(field)).cloned())
    }

    fn fields(&self, key: &str, most: usize) -> Result<Vec<(String, String)>, StoreError> {
        let pairs = |fields: &BTreeMap<String, String>| {
            fields.iter().take(most).map(|(name, text)| (name.clone(), text.clone())).collect()
        };
        Ok(self.fields.get(key).map(pairs).unwrap_or_default())
    }
}

impl Touch for Entries {
    fn put_head(&mut self, key: &str, head: &Head) -> Result<(), StoreError> {
        self.heads.insert(key.to_owned(), head.clone());
        Ok(())
    }

    fn put_field(&mut self, key: &str, field: &str, text: &str) -> Result<(), StoreError> {
        self.fields.entry(key.to_owned()).or_default().insert(field.to_owned(), text.to_owned());
        Ok(())
    }

    fn remove_field(&mut self, key: &str, field: &str) -> Result<(), StoreError> {
        self.fields.get_mut(key).and_then(|fields| fields.remove(field));
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Result<(), StoreError> {
        self.heads.remove(key);
        self.fields.remove(key);
        Ok(())
    }
}

impl KeyValue for MemoryKeyValue {
    fn operate(&self, request: KvRequest, now: WallTime) -> BoxFuture<'_, Result<Value, KvError>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let done = match key_value::look(&*entries, &request, now) {
            Some(looked) => looked,
            None => key_value::touch(&mut *entries, &request, now),
        };
        Box::pin(std::future::ready(done))
    }
    fn fields(&self, key: String, now: WallTime) -> BoxFuture<'_, Result<Vec<(String, String)>, KvError>> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        Box::pin(std::future::ready(key_value::fields(&*entries, &key, now, usize::MAX)))
    }
}
