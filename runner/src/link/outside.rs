//! What a transfer needs of whoever ordered it: a claim that holds, books of the traffic, and a place for the file of a pull.

use crate::blob::BlobStore;
use crate::store::BoxFuture;
use packhorse_core::effect::Layout;
use packhorse_core::failure::{Class, Failure};
use packhorse_core::file::FileRef;
use packhorse_core::transfer::least_budget;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// The claim under which a transfer works.
pub trait Claimed: Send + Sync + 'static {
    /// Whether it held at some moment after the call. Called between taking an epoch and opening a session under it: whoever takes the
    /// work over after that moment takes a later epoch, so that a process that slept through the end of its claim never has the
    /// latest one. Where it did not hold, nothing is sent.
    fn confirm(&self) -> BoxFuture<'_, bool>;
}

/// Nobody else can have the work.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unclaimed;

impl Claimed for Unclaimed {
    fn confirm(&self) -> BoxFuture<'_, bool> {
        Box::pin(async { true })
    }
}

/// Books of the traffic with one device.
pub trait Meter: Send + Sync + 'static {
    /// What may be spent by now, in wire bytes; none = as much as it takes. Called when the device's turn has come.
    fn open(&self) -> BoxFuture<'_, Result<Option<u64>, Failure>>;

    /// Writes bytes down that went over the wire; gives what may still be spent.
    fn spend(&self, bytes: u64) -> Option<u64>;

    /// What a transfer fails with whose budget is spent.
    fn spent(&self) -> BoxFuture<'_, Failure>;

    /// The whole budget, whatever of it is spent.
    fn budget(&self) -> Option<u64>;
}

/// A place for files of pulls.
pub trait Shelf: Send + Sync + 'static {
    /// Stores a file whose digests were looked at, or finds it stored. Called again after a crash; the local file may go
    /// when it returns.
    fn store(&self, pulled: Pulled) -> BoxFuture<'_, Result<FileRef, Failure>>;
}

/// The file of a pull.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// Where it lies.
    pub path: PathBuf,
    /// What it is called.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// Lowercase hex.
    pub md5: String,
    /// Lowercase hex.
    pub sha256: String,
    /// Bytes of file in a packet.
    pub packet_size: u32,
    /// How it is to be stored.
    pub layout: Layout,
}

impl Pulled {
    /// The name's extension, where a store can carry it.
    pub fn extension(&self) -> &str {
        let extension = self.name.rsplit_once('.').map_or("", |(_, extension)| extension);
        let fits = extension.len() <= 6 && extension.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if fits { extension } else { "" }
    }

    /// The file under its uri.
    pub fn at(&self, uri: String) -> FileRef {
        let (md5, sha256) = (self.md5.clone(), self.sha256.clone());
        FileRef { uri, name: self.name.clone(), size: self.size, md5, sha256, meta: BTreeMap::new() }
    }
}

/// Counts nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMeter;

impl Meter for NoMeter {
    fn open(&self) -> BoxFuture<'_, Result<Option<u64>, Failure>> {
        Box::pin(async { Ok(None) })
    }

    fn spend(&self, _bytes: u64) -> Option<u64> {
        None
    }

    fn spent(&self) -> BoxFuture<'_, Failure> {
        Box::pin(async { unmetered() })
    }

    fn budget(&self) -> Option<u64> {
        None
    }
}

/// Stores every file as one, in large appends, and remembers none.
pub struct PlainShelf(pub Arc<dyn BlobStore>);

impl Shelf for PlainShelf {
    fn store(&self, pulled: Pulled) -> BoxFuture<'_, Result<FileRef, Failure>> {
        Box::pin(async move {
            let stored = self.0.put_appender(&pulled.path, pulled.extension()).await;
            stored.map(|uri| pulled.at(uri)).map_err(|error| super::source::unreadable(&error))
        })
    }
}

/// What this attempt may spend. Fails where that is not enough to get on with.
pub(super) async fn allowance(meter: &dyn Meter, payload: u64, topic: usize) -> Result<Option<u64>, Failure> {
    let Some(left) = meter.open().await? else { return Ok(None) };
    let least = least_budget(payload, topic as u64);
    let whole = meter.budget().unwrap_or(u64::MAX);
    if whole < least {
        let message = format!("the traffic budget of {whole} bytes has no room for a few packets and their answers");
        let hint = format!("raise the budget to {least} bytes or more, or make packets smaller");
        return Err(Failure::new("PH5042", Class::Permanent, message).hint(hint));
    }
    // Too little to say hello with: nothing goes out at all.
    if left < least / 4 { Err(meter.spent().await) } else { Ok(Some(left)) }
}

/// What a machine without a budget cannot end with.
fn unmetered() -> Failure {
    Failure::new("PH9002", Class::Bug, "a transfer without a budget has spent it")
}
