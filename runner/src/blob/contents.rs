//! Reading files by URI, local ones and those of the store, through one cache for all transfers.

use std::{fmt, io::Read as _, sync::Arc};

use bytes::{Bytes, BytesMut};
use packhorse_core::transfer::{Algorithm, Digest};
use tokio::sync::{Semaphore, watch};

use super::{
    BlobError, BlobStore, Digests,
    cache::{BLOCK, Cache, Found, place},
    digest::Digesting,
    local::{LocalFiles, LocalUri, identity},
};

/// All that the cache may hold.
const CACHE: usize = 32 << 20;
/// Longer ranges go past the cache: they would only push out what others need.
pub(super) const LONG: usize = 8 * BLOCK;
/// Piece of a file that is digested.
pub(super) const PIECE: usize = 1 << 20;
/// Blocks that are loaded at once; the others wait. Far fewer than a store has connections for.
const LOADS: usize = 32;

/// Reads `file:/absolute/path` and whatever the store knows. Cheap to clone; clones share the cache.
///
/// `file:/path` stands for the file as it is when it is first read: when it changes or is replaced, reads fail with
/// [`BlobError::SourceChanged`], until [`Contents::digest`] or [`Contents::forget`] takes it as it is then, for everybody.
/// Who must not see another version reads by the URI that [`Contents::pin`] gives.
#[derive(Clone)]
pub struct Contents {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn BlobStore>,
    cache: Cache,
    local: LocalFiles,
    loads: Semaphore,
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Contents")
    }
}

impl Contents {
    /// Reads through a cache of 32 MiB.
    #[must_use]
    pub fn new(store: Arc<dyn BlobStore>) -> Self {
        Self::with_cache(store, CACHE)
    }

    /// Reads through a cache of another size.
    #[must_use]
    pub fn with_cache(store: Arc<dyn BlobStore>, bytes: usize) -> Self {
        let (cache, loads) = (Cache::new(bytes), Semaphore::new(LOADS));
        Self { shared: Arc::new(Shared { store, cache, local: LocalFiles::default(), loads }) }
    }

    /// The range without waiting or copying, when one block in memory holds it. Fewer bytes only where the file ends.
    ///
    /// Call it within a tokio runtime: reading in order has the next block loaded behind the scenes.
    #[must_use]
    pub fn cached(&self, uri: &str, offset: u64, len: usize) -> Option<Bytes> {
        let hit = self.shared.cache.hit(uri, offset, len)?;
        if hit.follow {
            self.load_ahead(uri, place(offset).0 + 1);
        }
        Some(hit.bytes)
    }

    /// The range: exactly `len` bytes, fewer only where the file ends, none past its end.
    pub async fn read(&self, uri: &str, offset: u64, len: usize) -> Result<Bytes, BlobError> {
        if let Some(bytes) = self.cached(uri, offset, len) {
            return Ok(bytes);
        }
        if len == 0 {
            return Ok(Bytes::new());
        }
        if len > LONG {
            return self.shared.read_past_cache(uri, offset, len).await;
        }
        let mut parts = BytesMut::new();
        let mut at = offset;
        loop {
            let (block, start) = place(at);
            let bytes = self.block(uri, block).await?;
            let end = bytes.len().min(start + len - parts.len());
            let part = bytes.slice(start.min(end)..end);
            if parts.is_empty() && (part.len() == len || bytes.len() < BLOCK) {
                return Ok(part);
            }
            parts.extend_from_slice(&part);
            at += part.len() as u64;
            if parts.len() == len || bytes.len() < BLOCK {
                return Ok(parts.freeze());
            }
        }
    }

    /// Size and digests of the whole file, read past the cache. Pins a local file anew when it has changed.
    pub async fn digest(&self, uri: &str) -> Result<Digests, BlobError> {
        self.digest_beside(uri, &[]).await.map(|(digests, _)| digests)
    }

    /// The same, with digests of other kinds, computed in the same pass.
    pub async fn digest_beside(&self, uri: &str, beside: &[Algorithm]) -> Result<(Digests, Vec<Digest>), BlobError> {
        let digesting = Digesting::new(beside);
        match LocalUri::parse(uri)? {
            Some(local) => {
                let (this, uri) = (self.clone(), uri.to_owned());
                blocking(move || this.digest_local(&uri, &local, digesting)).await
            }
            None => self.digest_stored(uri, digesting).await,
        }
    }

    /// The URI of the version that a local file has now: reads by it fail with [`BlobError::SourceChanged`] once the file is
    /// another one, also in another process. Other URIs are what they were, for what they name never changes.
    pub async fn pin(&self, uri: &str) -> Result<String, BlobError> {
        match LocalUri::parse(uri)? {
            Some(local) => blocking(move || local.pinned()).await,
            None => Ok(uri.to_owned()),
        }
    }

    /// Forgets what is known of a file; the next read takes it as it is then.
    pub fn forget(&self, uri: &str) {
        self.shared.cache.forget(uri);
        if let Ok(Some(local)) = LocalUri::parse(uri) {
            self.shared.local.forget(&local);
        }
    }

    /// A block from memory, or loaded, once for all who want it.
    async fn block(&self, uri: &str, block: u64) -> Result<Bytes, BlobError> {
        let mut loading = match self.shared.cache.find(uri, block) {
            Found::Present(bytes) => return Ok(bytes),
            Found::Loading(receiver) => receiver,
            Found::Missing(sender, receiver) => {
                self.load(uri, block, sender);
                receiver
            }
        };
        match loading.wait_for(Option::is_some).await {
            Ok(loaded) => loaded.clone().expect("this was waited for"),
            // The task was dropped with its runtime.
            Err(_) => Err(BlobError::Unreachable { uri: uri.to_owned(), source: Arc::new(Stopped) }),
        }
    }

    fn load_ahead(&self, uri: &str, block: u64) {
        if let Found::Missing(sender, _) = self.shared.cache.find(uri, block) {
            self.load(uri, block, sender);
        }
    }

    /// Loads on a task of its own, so that it ends well though the one who asked may go away. Stores limit every wait.
    fn load(&self, uri: &str, block: u64, sender: watch::Sender<Option<Result<Bytes, BlobError>>>) {
        let (shared, uri) = (Arc::clone(&self.shared), uri.to_owned());
        tokio::spawn(async move {
            let _turn = shared.loads.acquire().await.expect("it is never closed");
            let loaded = shared.read_past_cache(&uri, block * BLOCK as u64, BLOCK).await;
            shared.cache.loaded(&uri, block, &sender, loaded);
        });
    }

    fn digest_local(
        &self,
        uri: &str,
        local: &LocalUri,
        mut digesting: Digesting,
    ) -> Result<(Digests, Vec<Digest>), BlobError> {
        let failed = |source| BlobError::local(&local.path, source);
        let (mut file, before) = local.open()?;
        if !self.shared.local.agrees(local, before) {
            self.forget(uri);
        }
        let mut piece = vec![0; PIECE];
        loop {
            match file.read(&mut piece).map_err(failed)? {
                0 => break,
                count => digesting.update(&piece[..count]),
            }
        }
        let (digests, beside) = digesting.finish();
        let after = identity(&file).map_err(failed)?;
        if after != before || digests.size != before.size {
            return Err(local.changed());
        }
        Ok((digests, beside))
    }

    async fn digest_stored(&self, uri: &str, mut digesting: Digesting) -> Result<(Digests, Vec<Digest>), BlobError> {
        let store = &self.shared.store;
        let mut at = 0;
        let mut piece = store.read_at(uri, at, PIECE).await?;
        while !piece.is_empty() {
            at += piece.len() as u64;
            let hashing = blocking(move || {
                digesting.update(&piece);
                digesting
            });
            let next;
            (digesting, next) = tokio::join!(hashing, store.read_at(uri, at, PIECE));
            piece = next?;
        }
        Ok(digesting.finish())
    }
}

impl Shared {
    async fn read_past_cache(self: &Arc<Self>, uri: &str, offset: u64, len: usize) -> Result<Bytes, BlobError> {
        match LocalUri::parse(uri)? {
            None => self.store.read_at(uri, offset, len).await,
            Some(local) => {
                let this = Arc::clone(self);
                blocking(move || this.local.read_at(&local, offset, len)).await
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the program is stopping")]
struct Stopped;

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is stopping, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}
