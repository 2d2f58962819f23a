//! Local files: opened once, read at positions, and watched for becoming other files.
//!
//! `file:/path` means the file as it is when it is first read. `file:/path#v1-DEVICE-INODE-SIZE-SECONDS-NANOSECONDS` means that
//! one version of it and no other, also after a restart.

use std::{
    collections::HashMap,
    fs::{File, Metadata},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use super::BlobError;

/// Files that are kept open.
const OPEN: usize = 256;
/// Files whose identity is remembered.
const KNOWN: usize = 16_384;
const SCHEME: &str = "file:";
const PIN: &str = "#v1-";

/// What makes a file the same one: device, inode, size, time of the last change.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    pub(super) size: u64,
    changed: (i64, i64),
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        let changed = (metadata.mtime(), metadata.mtime_nsec());
        Self { device: metadata.dev(), inode: metadata.ino(), size: metadata.len(), changed }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, '-');
        let mut number = || parts.next()?.parse::<u64>().ok();
        let (device, inode, size) = (number()?, number()?, number()?);
        let changed = (i64::try_from(number()?).ok()?, i64::try_from(number()?).ok()?);
        Some(Self { device, inode, size, changed })
    }
}

/// What a `file:` URI says.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct LocalUri {
    pub(super) path: PathBuf,
    /// The only version that is meant, where the URI names one.
    pin: Option<Identity>,
}

impl LocalUri {
    /// None for URIs of other schemes, which are the store's.
    pub(super) fn parse(uri: &str) -> Result<Option<Self>, BlobError> {
        let Some(path) = uri.strip_prefix(SCHEME) else { return Ok(None) };
        if !path.starts_with('/') {
            return Err(BlobError::bad_uri(uri));
        }
        let pinned = path.rsplit_once(PIN).and_then(|(path, pin)| Some((path, Identity::parse(pin)?)));
        let (path, pin) = pinned.map_or((path, None), |(path, pin)| (path, Some(pin)));
        Ok(Some(Self { path: path.into(), pin }))
    }

    /// The URI of the version that the file has now; fails when another one was meant.
    pub(super) fn pinned(&self) -> Result<String, BlobError> {
        let (_, Identity { device, inode, size, changed: (seconds, nanoseconds) }) = self.open()?;
        let path = self.path.to_str().expect("it came from a text");
        Ok(format!("{SCHEME}{path}{PIN}{device}-{inode}-{size}-{seconds}-{nanoseconds}"))
    }

    /// Opens a regular file; fails when it is not the version that is meant.
    pub(super) fn open(&self) -> Result<(File, Identity), BlobError> {
        let failed = |source| BlobError::local(&self.path, source);
        let file = File::open(&self.path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(failed(io::ErrorKind::InvalidInput.into()));
        }
        let identity = Identity::of(&metadata);
        if self.pin.is_some_and(|pin| pin != identity) {
            return Err(self.changed());
        }
        Ok((file, identity))
    }

    pub(super) fn changed(&self) -> BlobError {
        BlobError::SourceChanged { path: self.path.display().to_string() }
    }
}

/// Files that were read. All methods block.
#[derive(Default)]
pub(super) struct LocalFiles {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    files: HashMap<LocalUri, Known>,
    open: usize,
    clock: u64,
}

struct Known {
    identity: Identity,
    file: Option<Arc<File>>,
    used: u64,
}

impl LocalFiles {
    /// At most `len` bytes from `offset`, fewer only where the file ends; an error when the file is not the one first seen.
    pub(super) fn read_at(&self, uri: &LocalUri, offset: u64, len: usize) -> Result<Bytes, BlobError> {
        let (file, identity) = self.opened(uri)?;
        let left = identity.size.saturating_sub(offset);
        let mut bytes = vec![0; usize::try_from(left).unwrap_or(len).min(len)];
        let read = file.read_exact_at(&mut bytes, offset);
        // The path too: a file that was replaced is another one, though the open one can still be read.
        let now = std::fs::metadata(&uri.path).map(|metadata| Identity::of(&metadata));
        if now.ok() != Some(identity) {
            return Err(uri.changed());
        }
        read.map_err(|source| BlobError::local(&uri.path, source))?;
        Ok(bytes.into())
    }

    /// Forgets a file: the next read takes it as it is then.
    pub(super) fn forget(&self, uri: &LocalUri) {
        let mut state = self.locked();
        if state.files.remove(uri).is_some_and(|known| known.file.is_some()) {
            state.open -= 1;
        }
    }

    /// Whether `identity` is what was seen first, where anything was.
    pub(super) fn agrees(&self, uri: &LocalUri, identity: Identity) -> bool {
        self.locked().files.get(uri).is_none_or(|known| known.identity == identity)
    }

    fn opened(&self, uri: &LocalUri) -> Result<(Arc<File>, Identity), BlobError> {
        if let Some(found) = self.locked().find(uri) {
            return Ok(found);
        }
        let (file, identity) = uri.open()?;
        let file = Arc::new(file);
        Ok(self.locked().keep(uri, file, identity))
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn find(&mut self, uri: &LocalUri) -> Option<(Arc<File>, Identity)> {
        self.clock += 1;
        let known = self.files.get_mut(uri)?;
        known.used = self.clock;
        Some((Arc::clone(known.file.as_ref()?), known.identity))
    }

    /// Remembers an open file. The identity that was seen first stays.
    fn keep(&mut self, uri: &LocalUri, file: Arc<File>, identity: Identity) -> (Arc<File>, Identity) {
        let used = self.clock;
        let known = self.files.entry(uri.clone()).or_insert(Known { identity, file: None, used });
        if known.file.replace(Arc::clone(&file)).is_none() {
            self.open += 1;
        }
        let identity = known.identity;
        if self.open > OPEN {
            self.close_longest_unused();
        }
        if self.files.len() > KNOWN {
            self.files.retain(|_, known| known.file.is_some());
        }
        (file, identity)
    }

    fn close_longest_unused(&mut self) {
        let open = self.files.values_mut().filter(|known| known.file.is_some());
        if let Some(known) = open.min_by_key(|known| known.used) {
            known.file = None;
            self.open -= 1;
        }
    }
}

/// What the open file is now.
pub(super) fn identity(file: &File) -> io::Result<Identity> {
    Ok(Identity::of(&file.metadata()?))
}
