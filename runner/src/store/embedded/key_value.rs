//! The key-value store on redb.

use super::{EmbeddedStore, FIELDS, KEYS, failed};
use crate::store::StoreError;
use crate::store::key_value::{self, BoxFuture, Head, KeyValue, KvError, Look, Touch};
use crate::store::row;
use packhorse_core::effect::KvRequest;
use packhorse_core::run::WallTime;
use redb::{Durability, ReadOnlyTable, ReadableDatabase, ReadableTable, Table};
use serde_json::Value;

impl KeyValue for EmbeddedStore {
    fn operate(&self, request: KvRequest, now: WallTime) -> BoxFuture<'_, Result<Value, KvError>> {
        let store = self.clone();
        Box::pin(async move {
            // A change waits for the journal's commit under way, thus for the disk.
            let done = tokio::task::spawn_blocking(move || store.operate_blocking(&request, now)).await;
            done.unwrap_or_else(|stopped| Err(StoreError::failed("finish a key-value operation", stopped).into()))
        })
    }

    fn fields(&self, key: String, now: WallTime) -> BoxFuture<'_, Result<Vec<(String, String)>, KvError>> {
        let store = self.clone();
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || store.fields_blocking(&key, now)).await;
            done.unwrap_or_else(|stopped| Err(StoreError::failed("finish reading fields", stopped).into()))
        })
    }

    fn settle(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        let store = self.clone();
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || store.settle_blocking()).await;
            done.unwrap_or_else(|stopped| Err(StoreError::failed("settle changes of keys", stopped)))
        })
    }
}

impl EmbeddedStore {
    fn operate_blocking(&self, request: &KvRequest, now: WallTime) -> Result<Value, KvError> {
        if let Some(looked) = key_value::look(&self.tables()?, request, now) {
            return looked;
        }
        let mut writing = self.database.begin_write().map_err(failed("change keys"))?;
        // Durable with the journal's next commit: the step that asked for it is not done before.
        writing.set_durability(Durability::None).map_err(failed("change keys"))?;
        let value = {
            let keys = writing.open_table(KEYS).map_err(failed("change keys"))?;
            let fields = writing.open_table(FIELDS).map_err(failed("change keys"))?;
            key_value::touch(&mut Tables { keys, fields }, request, now)?
        };
        writing.commit().map_err(failed("change keys"))?;
        Ok(value)
    }

    fn fields_blocking(&self, key: &str, now: WallTime) -> Result<Vec<(String, String)>, KvError> {
        key_value::fields(&self.tables()?, key, now, usize::MAX)
    }

    fn tables(&self) -> Result<Reading, StoreError> {
        let reading = self.database.begin_read().map_err(failed("read keys"))?;
        let keys = reading.open_table(KEYS).map_err(failed("read keys"))?;
        let fields = reading.open_table(FIELDS).map_err(failed("read keys"))?;
        Ok(Tables { keys, fields })
    }

    /// A commit that is flushed takes all earlier ones along.
    fn settle_blocking(&self) -> Result<(), StoreError> {
        let writing = self.database.begin_write().map_err(failed("settle changes of keys"))?;
        writing.commit().map_err(failed("settle changes of keys"))
    }
}

struct Tables<K, F> {
    keys: K,
    fields: F,
}

type Pair = (&'static str, &'static str);
type Reading = Tables<ReadOnlyTable<&'static str, &'static [u8]>, ReadOnlyTable<Pair, &'static [u8]>>;

impl<K: ReadableTable<&'static str, &'static [u8]>, F: ReadableTable<Pair, &'static [u8]>> Look for Tables<K, F> {
    fn head(&self, key: &str) -> Result<Option<Head>, StoreError> {
        let Some(sealed) = self.keys.get(key).map_err(failed("read a key"))? else { return Ok(None) };
        let head = row::open(key, 0, sealed.value()).and_then(|bytes| serde_json::from_slice(bytes).ok());
        head.map(Some).ok_or_else(|| StoreError::damaged(format!("key {key:?}")))
    }

    fn field(&self, key: &str, field: &str) -> Result<Option<String>, StoreError> {
        let sealed = self.fields.get((key, field)).map_err(failed("read a field"))?;
        sealed.map(|sealed| text(key, field, sealed.value())).transpose()
    }

    fn fields(&self, key: &str, most: usize) -> Result<Vec<(String, String)>, StoreError> {
        let mut found = Vec::new();
        for entry in self.fields.range((key, "")..).map_err(failed("read fields"))? {
            let (name, sealed) = entry.map_err(failed("read fields"))?;
            let (of, field) = name.value();
            if of != key || found.len() >= most {
                break;
            }
            found.push((field.to_owned(), text(key, field, sealed.value())?));
        }
        Ok(found)
    }
}

impl Touch for Tables<Table<'_, &'static str, &'static [u8]>, Table<'_, Pair, &'static [u8]>> {
    fn put_head(&mut self, key: &str, head: &Head) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(head).expect("a head has string keys only");
        self.keys.insert(key, row::seal(key, 0, &bytes).as_slice()).map_err(failed("change a key"))?;
        Ok(())
    }

    fn put_field(&mut self, key: &str, field: &str, text: &str) -> Result<(), StoreError> {
        let sealed = row::seal(key, u64::from(crc32fast::hash(field.as_bytes())), text.as_bytes());
        self.fields.insert((key, field), sealed.as_slice()).map_err(failed("change a field"))?;
        Ok(())
    }

    fn remove_field(&mut self, key: &str, field: &str) -> Result<(), StoreError> {
        self.fields.remove((key, field)).map_err(failed("remove a field"))?;
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Result<(), StoreError> {
        self.keys.remove(key).map_err(failed("remove a key"))?;
        for (field, _) in self.fields(key, usize::MAX)? {
            self.fields.remove((key, field.as_str())).map_err(failed("remove a field"))?;
        }
        Ok(())
    }
}

fn text(key: &str, field: &str, sealed: &[u8]) -> Result<String, StoreError> {
    let bytes = row::open(key, u64::from(crc32fast::hash(field.as_bytes())), sealed);
    let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.map(str::to_owned).ok_or_else(|| StoreError::damaged(format!("field {field:?} of key {key:?}")))
}
