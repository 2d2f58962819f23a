//! The simulated file store and local files, and the key-value store beside them.

use crate::chance::Chance;
use crate::counts::Struck;
use crate::ground::Ground;
use crate::mutant::Mutant;
use md5::Md5;
use packhorse::store::{KeyValue as _, KvError, MemoryKeyValue};
use packhorse_core::effect::KvRequest;
use packhorse_core::failure::{Class, Failure};
use packhorse_core::file::FileRef;
use packhorse_core::hex;
use packhorse_core::run::WallTime;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// What the next operations of the file store suffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlobFault {
    Refuses,
    DiesAfterWrite,
    PartialAppend,
    Full,
    ShortRead,
    NotYet,
    WrongRead,
}

impl BlobFault {
    pub(crate) const ALL: [Self; 7] = [
        Self::Refuses,
        Self::DiesAfterWrite,
        Self::PartialAppend,
        Self::Full,
        Self::ShortRead,
        Self::NotYet,
        Self::WrongRead,
    ];
}

/// Bytes and what they are.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) bytes: Arc<Vec<u8>>,
    pub(crate) sha256: String,
    pub(crate) md5: String,
}

impl Stored {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let (sha256, md5) = (hex::encode(&Sha256::digest(&bytes)), hex::encode(&Md5::digest(&bytes)));
        Self { bytes: Arc::new(bytes), sha256, md5 }
    }

    pub(crate) fn reference(&self, uri: &str, name: &str) -> FileRef {
        FileRef {
            uri: uri.to_owned(),
            name: name.to_owned(),
            size: self.bytes.len() as u64,
            md5: self.md5.clone(),
            sha256: self.sha256.clone(),
            meta: BTreeMap::new(),
        }
    }
}

/// See the file.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub(crate) stored: BTreeMap<String, Stored>,
    pub(crate) local: BTreeMap<String, Stored>,
    /// Files whose uri nobody was told.
    pub(crate) orphans: BTreeSet<String>,
    pub(crate) faults: Vec<BlobFault>,
    values: MemoryKeyValue,
    next: u64,
}

impl Files {
    /// Writes a new file; `appends` = in several writes.
    pub(crate) fn put(&mut self, bytes: &Arc<Vec<u8>>, appends: bool, ground: &mut Ground) -> Result<String, Failure> {
        self.next += 1;
        let uri = format!("fastdfs:group1/M00/00/00/{:08x}", self.next);
        let whole = || Stored::new(bytes.to_vec());
        match self.fault(&[BlobFault::Refuses, BlobFault::DiesAfterWrite, BlobFault::PartialAppend, BlobFault::Full]) {
            Some(BlobFault::DiesAfterWrite) => {
                ground.counts.add(Struck::Orphan);
                self.stored.insert(uri.clone(), whole());
                self.orphans.insert(uri);
                Err(unreachable())
            }
            Some(BlobFault::PartialAppend) if appends => {
                ground.counts.add(Struck::PartialAppend);
                self.stored.insert(uri.clone(), Stored::new(bytes[..bytes.len() / 2].to_vec()));
                self.orphans.insert(uri);
                Err(unreachable())
            }
            Some(BlobFault::Full) => {
                ground.counts.add(Struck::BlobFull);
                Err(Failure::new("PH4104", Class::Operator, "the file store has no room"))
            }
            Some(_) => {
                ground.counts.add(Struck::BlobFails);
                Err(unreachable())
            }
            None => {
                self.stored.insert(uri.clone(), whole());
                if ground.is(Mutant::OtherFilesUri)
                    && let Some(other) = self.stored.keys().find(|other| **other != uri)
                {
                    return Ok(other.clone());
                }
                Ok(uri)
            }
        }
    }

    /// Opens a file for reading; the digests are checked by the caller.
    pub(crate) fn open(&mut self, uri: &str, ground: &mut Ground) -> Result<Stored, Failure> {
        let local = self.local.get(uri);
        if let Some(local) = local {
            return Ok(local.clone());
        }
        match self.fault(&[BlobFault::ShortRead, BlobFault::NotYet, BlobFault::WrongRead]) {
            Some(BlobFault::ShortRead) => {
                ground.counts.add(Struck::ShortRead);
                return Err(unreachable());
            }
            Some(BlobFault::NotYet) => {
                ground.counts.add(Struck::NotYet);
                return Err(Failure::new("PH4102", Class::Transient, "the replica does not have the file yet"));
            }
            Some(BlobFault::WrongRead) => {
                ground.counts.add(Struck::WrongRead);
                return Err(Failure::new("PH4108", Class::Transient, format!("the bytes of {uri} arrived damaged")));
            }
            _ => {}
        }
        let missing = || Failure::new("PH4101", Class::Permanent, format!("there is no file {uri}"));
        self.stored.get(uri).cloned().ok_or_else(missing)
    }

    /// One operation on the key-value store.
    pub(crate) fn operate(&self, request: KvRequest, now: WallTime) -> Result<Value, KvError> {
        at_once(self.values.operate(request, now))
    }

    /// As the link has it.
    pub(crate) fn epoch(&self, device: &str, wished: u32) -> Result<u32, Failure> {
        at_once(Box::pin(packhorse::link::session_epoch(&self.values, device, wished)))
    }

    /// The text at a key.
    pub(crate) fn value(&self, key: &str) -> Option<String> {
        let value = self.operate(KvRequest::Get { key: key.to_owned() }, WallTime(0)).ok()?;
        value.as_str().map(ToOwned::to_owned)
    }

    pub(crate) fn remember(&self, key: String, value: String) {
        drop(self.operate(KvRequest::Set { key, value, expire: None }, WallTime(0)));
    }

    fn fault(&mut self, among: &[BlobFault]) -> Option<BlobFault> {
        let at = self.faults.iter().position(|fault| among.contains(fault))?;
        Some(self.faults.swap_remove(at))
    }

    /// A local file with random bytes and the canary in it.
    pub(crate) fn make(&mut self, name: &str, size: u64, canary: &str, chance: &mut Chance) -> FileRef {
        let mut bytes = chance.bytes(size);
        if bytes.len() >= canary.len() + 8 {
            bytes[8..8 + canary.len()].copy_from_slice(canary.as_bytes());
        }
        let (uri, stored) = (format!("file:/images/{name}"), Stored::new(bytes));
        let reference = stored.reference(&uri, name);
        self.local.insert(uri, stored);
        reference
    }
}

fn at_once<T>(mut future: std::pin::Pin<Box<dyn Future<Output = T> + Send + '_>>) -> T {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => unreachable!("memory does not wait"),
    }
}

fn unreachable() -> Failure {
    Failure::new("PH4102", Class::Transient, "the file store is unreachable")
}
