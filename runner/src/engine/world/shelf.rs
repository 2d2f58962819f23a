//! Where files of pulls go: found by their SHA-256 where they are stored already, else stored as one file or one a packet.

use super::file::{KNOWN_FOR, lasting};
use super::{Files, Mirror, mirror};
use crate::blob::{BlobError, BlobStore, Contents, MOST_PACKETS, PacketBlobs, PacketList, is_packets};
use crate::link::{Pulled, Shelf};
use crate::store::{BoxFuture, KeyValue, KvError, steady};
use packhorse_core::effect::{KvRequest, Layout};
use packhorse_core::failure::{Class, Failure, chain};
use packhorse_core::file::FileRef;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Lists of packets by SHA-256; no workflow's key begins like this.
const LISTS: &str = "\u{1}packets:";
/// Packets that are stored, of files whose list is not: a hash for each step of a run.
const PARTS: &str = "\u{1}parts:";
/// Packets that are stored at once.
const AT_ONCE: usize = 8;
/// Packets after which what is stored is written down.
const BATCH: usize = 64;

/// The shelf of one transfer.
pub(super) struct RunShelf {
    pub(super) blobs: Arc<dyn BlobStore>,
    pub(super) contents: Arc<Contents>,
    pub(super) index: Arc<dyn KeyValue>,
    pub(super) mirror: Option<Arc<Mirror>>,
    pub(super) run: String,
    /// Run, step and round.
    pub(super) name: String,
    /// Makes what was written down durable: has the transfer's last checkpoint stored once more.
    pub(super) keep: Arc<dyn Fn() + Send + Sync>,
}

impl Shelf for RunShelf {
    fn store(&self, pulled: Pulled) -> BoxFuture<'_, Result<FileRef, Failure>> {
        Box::pin(async move {
            match pulled.layout {
                Layout::Whole => self.whole(&pulled).await,
                Layout::PerPacket => self.packets(&pulled).await,
            }
        })
    }
}

impl RunShelf {
    async fn whole(&self, pulled: &Pulled) -> Result<FileRef, Failure> {
        let files = self.files();
        let known = files.stored(&pulled.sha256, pulled.size).await?;
        if let Some(uri) = known.filter(|uri| !is_packets(uri)) {
            self.tell(&pulled.md5, [(0, uri.as_str())]);
            return Ok(pulled.at(uri));
        }
        let stored = self.blobs.put_appender(&pulled.path, pulled.extension()).await;
        let file = pulled.at(stored.map_err(|error| blob(&error))?);
        files.remember(&file).await?;
        self.tell(&pulled.md5, [(0, file.uri.as_str())]);
        Ok(file)
    }

    /// Says in the mirror where bytes lie.
    fn tell<'a>(&self, md5: &str, packets: impl IntoIterator<Item = (u64, &'a str)>) {
        if let Some(mirror) = &self.mirror
            && let Some(written) = mirror::downloaded(md5, packets)
        {
            mirror.put(&self.run, written);
        }
    }

    /// The packets of a list that is stored.
    async fn listed(&self, uri: &str) -> Result<PacketList, Failure> {
        let list = self.blobs.read_at(uri.trim_start_matches("packets:"), 0, 16 << 20).await;
        PacketList::decode(&list.map_err(|error| blob(&error))?)
            .ok_or_else(|| blob(&BlobError::Damaged { uri: uri.to_owned() }))
    }

    async fn packets(&self, pulled: &Pulled) -> Result<FileRef, Failure> {
        let count = pulled.size.div_ceil(u64::from(pulled.packet_size.max(1))).max(1);
        if count > MOST_PACKETS {
            let message = format!(
                "{} has {} bytes, which makes {count} packets; a file that is stored one file a packet has at most {MOST_PACKETS}",
                pulled.name, pulled.size
            );
            return Err(Failure::new("PH4120", Class::Permanent, message)
                .hint("leave `layout` out, or pull with a larger packet_size and message_limit"));
        }
        let list = format!("{LISTS}{}:{}", pulled.packet_size, pulled.sha256);
        if let Value::String(uri) = lasting(self.index.as_ref(), list.clone()).await.map_err(|error| store(&error))?
            && self.blobs.info(&uri).await.is_ok_and(|info| info.size == pulled.size)
        {
            let listed = self.listed(&uri).await?;
            self.tell(&pulled.md5, listed.packets.iter().map(|(offset, uri)| (*offset, uri.as_str())));
            return Ok(pulled.at(uri));
        }
        let packets = self.stored(pulled, count).await?;
        let packets = packets.into_iter().collect();
        let text = PacketList { size: pulled.size, packets }.encode();
        let at = self.blobs.put(&text, "list").await.map_err(|error| blob(&error))?;
        let file = pulled.at(PacketBlobs::uri_of(&at));
        self.operate(KvRequest::Set { key: list, value: file.uri.clone(), expire: Some(KNOWN_FOR) }).await?;
        let files = self.files();
        if files.stored(&pulled.sha256, pulled.size).await?.is_none() {
            files.remember(&file).await?;
        }
        self.operate(KvRequest::Del { key: self.parts() }).await?;
        Ok(file)
    }

    /// Every packet of the file, by offset. What an earlier attempt stored is not stored again; what it stored of another
    /// file, or in other packets, is deleted.
    async fn stored(&self, pulled: &Pulled, count: u64) -> Result<BTreeMap<u64, String>, Failure> {
        let prefix = format!("{}:{}:", pulled.sha256, pulled.packet_size);
        let mut held = BTreeMap::new();
        let mut stale = Vec::new();
        for (field, uri) in self.index.fields(self.parts(), steady()).await.map_err(|error| store(&error))? {
            match field.strip_prefix(&prefix).and_then(|offset| offset.parse().ok()) {
                Some(offset) => drop(held.insert(offset, uri)),
                None => stale.push(uri),
            }
        }
        self.forget(&prefix, stale, &held).await?;
        let tell = |packets: &BTreeMap<u64, String>| {
            self.tell(&pulled.md5, packets.iter().map(|(offset, uri)| (*offset, uri.as_str())));
        };
        tell(&held);
        let size = u64::from(pulled.packet_size.max(1));
        let missing = (0..count).map(|index| index * size).filter(|offset| !held.contains_key(offset));
        let missing: Vec<u64> = missing.collect();
        for batch in missing.chunks(BATCH) {
            let more = self.batch(pulled, batch, &prefix).await?;
            tell(&more);
            held.extend(more);
            (self.keep)();
        }
        Ok(held)
    }

    /// Deletes packets of another file, and writes down what is left.
    async fn forget(&self, prefix: &str, stale: Vec<String>, held: &BTreeMap<u64, String>) -> Result<(), Failure> {
        if stale.is_empty() {
            return Ok(());
        }
        for uri in &stale {
            self.delete(uri).await;
        }
        self.operate(KvRequest::Del { key: self.parts() }).await?;
        let noted = self.note(prefix, held).await?;
        noted.into_iter().find_map(Result::err).map_or(Ok(()), |error| Err(store(&error)))
    }

    /// Stores some packets, and writes those down that were stored, also where others could not be.
    async fn batch(&self, pulled: &Pulled, batch: &[u64], prefix: &str) -> Result<BTreeMap<u64, String>, Failure> {
        let file = std::fs::File::open(&pulled.path).map_err(|error| local(pulled, &error))?;
        let file = Arc::new(file);
        let mut waiting: VecDeque<u64> = batch.iter().copied().collect();
        let (mut under_way, mut done, mut failed) = (JoinSet::new(), BTreeMap::new(), None);
        loop {
            while under_way.len() < AT_ONCE
                && failed.is_none()
                && let Some(offset) = waiting.pop_front()
            {
                let end = pulled.size.min(offset + u64::from(pulled.packet_size.max(1)));
                let mut bytes = vec![0; usize::try_from(end - offset).unwrap_or(0)];
                file.read_exact_at(&mut bytes, offset).map_err(|error| local(pulled, &error))?;
                let (blobs, extension) = (Arc::clone(&self.blobs), pulled.extension().to_owned());
                under_way.spawn(async move { (offset, blobs.put(&bytes, &extension).await) });
            }
            match under_way.join_next().await {
                None => break,
                Some(Ok((offset, Ok(uri)))) => drop(done.insert(offset, uri)),
                Some(Ok((_, Err(error)))) => failed = Some(blob(&error)),
                Some(Err(error)) => {
                    failed = Some(Failure::new("PH9002", Class::Bug, format!("storing a packet stopped: {error}")));
                }
            }
        }
        for (uri, noted) in done.values().zip(self.note(prefix, &done).await?) {
            if let Err(error) = noted {
                // Nobody would ever find it.
                self.delete(uri).await;
                failed = Some(store(&error));
            }
        }
        // Of a run that never ends well, nobody would remove them.
        let expire = KvRequest::Expire { key: self.parts(), after: KNOWN_FOR };
        let kept = self.operate(expire).await;
        failed.map_or_else(|| kept.map(|_| done), Err)
    }

    /// Writes packets down, many in one round trip; gives what came of each.
    async fn note(
        &self,
        prefix: &str,
        packets: &BTreeMap<u64, String>,
    ) -> Result<Vec<Result<Value, KvError>>, Failure> {
        let hset = |(offset, uri): (&u64, &String)| KvRequest::Hset {
            key: self.parts(),
            field: format!("{prefix}{offset}"),
            value: uri.clone(),
        };
        let requests: Vec<KvRequest> = packets.iter().map(hset).collect();
        let mut noted = Vec::with_capacity(requests.len());
        for some in requests.chunks(16 * BATCH) {
            let some = self.index.operate_many(some.to_vec(), steady()).await;
            noted.extend(some.map_err(|error| store(&KvError::from(error)))?);
        }
        Ok(noted)
    }

    async fn delete(&self, uri: &str) {
        match self.blobs.delete(uri).await {
            Ok(()) | Err(BlobError::NotFound { .. }) => {}
            Err(error) => tracing::warn!(%error, uri, "a packet that nobody needs cannot be deleted"),
        }
    }

    fn files(&self) -> Files<'_> {
        Files { blobs: self.blobs.as_ref(), contents: &self.contents, index: self.index.as_ref(), mirror: None }
    }

    fn parts(&self) -> String {
        format!("{PARTS}{}", self.name)
    }

    async fn operate(&self, request: KvRequest) -> Result<Value, Failure> {
        self.index.operate(request, steady()).await.map_err(|error| store(&error))
    }
}

fn blob(error: &BlobError) -> Failure {
    Failure::new(error.code(), error.class(), chain(error))
}

fn store(error: &KvError) -> Failure {
    Failure::new("PH7002", Class::Transient, chain(error))
}

fn local(pulled: &Pulled, error: &std::io::Error) -> Failure {
    let message = format!("cannot read {}: {error}", pulled.path.display());
    Failure::new("PH5104", Class::Operator, message)
        .hint("make room or mend the disk under the data folder, then `packhorse resume`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::{BlobInfo, MemoryBlobs};
    use crate::store::MemoryKeyValue;
    use bytes::Bytes;
    use md5::Md5;
    use packhorse_core::hex;
    use sha2::{Digest as _, Sha256};
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    type Future<'a, T> = crate::blob::BoxFuture<'a, Result<T, BlobError>>;

    /// Counts what is stored, and is full after so many.
    #[derive(Default)]
    struct Counting {
        blobs: MemoryBlobs,
        puts: AtomicUsize,
        deletes: AtomicUsize,
        room: AtomicUsize,
    }

    impl Counting {
        fn take(&self) -> Result<(), BlobError> {
            self.puts.fetch_add(1, Ordering::Relaxed);
            let room = self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(1));
            let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
            room.map(drop).map_err(|_| BlobError::NoSpace { uri: "x".to_owned(), source: Arc::new(full) })
        }
    }

    impl BlobStore for Counting {
        fn put<'a>(&'a self, content: &'a [u8], ext: &'a str) -> Future<'a, String> {
            Box::pin(async move {
                self.take()?;
                self.blobs.put(content, ext).await
            })
        }
        fn put_file<'a>(&'a self, path: &'a Path, ext: &'a str) -> Future<'a, String> {
            Box::pin(async move {
                self.take()?;
                self.blobs.put_file(path, ext).await
            })
        }
        fn put_appender<'a>(&'a self, path: &'a Path, ext: &'a str) -> Future<'a, String> {
            self.put_file(path, ext)
        }
        fn put_growing<'a>(&'a self, content: &'a [u8], ext: &'a str) -> Future<'a, String> {
            self.put(content, ext)
        }
        fn append<'a>(&'a self, uri: &'a str, content: &'a [u8]) -> Future<'a, ()> {
            self.blobs.append(uri, content)
        }
        fn read_at<'a>(&'a self, uri: &'a str, offset: u64, len: usize) -> Future<'a, Bytes> {
            self.blobs.read_at(uri, offset, len)
        }
        fn get_file<'a>(&'a self, uri: &'a str, to: &'a Path) -> Future<'a, u64> {
            self.blobs.get_file(uri, to)
        }
        fn info<'a>(&'a self, uri: &'a str) -> Future<'a, BlobInfo> {
            self.blobs.info(uri)
        }
        fn delete<'a>(&'a self, uri: &'a str) -> Future<'a, ()> {
            self.deletes.fetch_add(1, Ordering::Relaxed);
            self.blobs.delete(uri)
        }
    }

    /// A file store and the index of a data folder.
    struct Place {
        folder: tempfile::TempDir,
        counting: Arc<Counting>,
        blobs: Arc<dyn BlobStore>,
        contents: Arc<Contents>,
        index: Arc<dyn KeyValue>,
        kept: Arc<AtomicUsize>,
    }

    impl Place {
        fn new() -> Self {
            let counting = Arc::new(Counting::default());
            counting.room.store(usize::MAX, Ordering::Relaxed);
            let blobs: Arc<dyn BlobStore> = Arc::new(PacketBlobs::new(counting.clone()));
            let contents = Arc::new(Contents::new(blobs.clone()));
            let (index, folder) = (Arc::new(MemoryKeyValue::default()), tempfile::tempdir().unwrap());
            Self { folder, counting, blobs, contents, index, kept: Arc::default() }
        }

        fn shelf(&self, name: &str) -> RunShelf {
            let kept = self.kept.clone();
            RunShelf {
                blobs: self.blobs.clone(),
                contents: self.contents.clone(),
                index: self.index.clone(),
                mirror: None,
                run: "run-1".to_owned(),
                name: name.to_owned(),
                keep: Arc::new(move || {
                    kept.fetch_add(1, Ordering::Relaxed);
                }),
            }
        }

        fn pulled(&self, content: &[u8], layout: Layout) -> Pulled {
            let path = self.folder.path().join("made");
            std::fs::write(&path, content).unwrap();
            let (md5, sha256) = (hex::encode(&Md5::digest(content)), hex::encode(&Sha256::digest(content)));
            let size = content.len() as u64;
            Pulled { path, name: "a.log".to_owned(), size, md5, sha256, packet_size: 640, layout }
        }

        async fn bytes(&self, file: &FileRef) -> Vec<u8> {
            self.blobs.read_at(&file.uri, 0, 1 << 20).await.unwrap().to_vec()
        }

        fn puts(&self) -> usize {
            self.counting.puts.swap(0, Ordering::Relaxed)
        }
    }

    fn content(seed: u8, size: usize) -> Vec<u8> {
        (0..size).map(|at| (at / 640) as u8 ^ (at as u8).wrapping_mul(seed)).collect()
    }

    #[tokio::test]
    async fn a_file_that_is_stored_is_not_stored_again_unless_it_is_gone() {
        let place = Place::new();
        let content = content(7, 5_000);
        let pulled = place.pulled(&content, Layout::Whole);
        let first = place.shelf("run-1/pull/1").store(pulled.clone()).await.unwrap();
        assert_eq!(place.puts(), 1);
        let second = place.shelf("run-2/pull/1").store(pulled.clone()).await.unwrap();
        assert_eq!((place.puts(), &second.uri), (0, &first.uri));
        let files = place.shelf("x");
        let known = files.files().pin(&format!("md5:{}", first.md5)).await.unwrap();
        assert_eq!(known.uri, first.uri, "what was pulled is known by its digests");
        place.blobs.delete(&first.uri).await.unwrap();
        let third = place.shelf("run-3/pull/1").store(pulled).await.unwrap();
        assert_eq!(place.puts(), 1);
        assert!(place.bytes(&third).await == content);
    }

    #[tokio::test]
    async fn a_file_of_packets_is_one_file_a_packet_with_a_list_and_reads_as_a_whole() {
        for (size, packets) in [(0, 1), (1, 1), (640, 1), (641, 2), (100_000, 157)] {
            let place = Place::new();
            let content = content(3, size);
            let pulled = place.pulled(&content, Layout::PerPacket);
            let file = place.shelf("run-1/pull/1").store(pulled.clone()).await.unwrap();
            assert_eq!(place.puts(), packets + 1, "{size}");
            assert!(is_packets(&file.uri) && place.bytes(&file).await == content, "{size}");
            assert_eq!(place.shelf("run-2/pull/1").store(pulled).await.unwrap(), file);
            assert_eq!(place.puts(), 0, "{size}: the list is known by its digest");
            let whole = place.shelf("run-3/pull/1").store(place.pulled(&content, Layout::Whole)).await.unwrap();
            assert!(!is_packets(&whole.uri) && place.puts() == 1, "who asks for one file gets one");
            let known = place.shelf("x");
            assert_eq!(known.files().pin(&format!("sha256:{}", file.sha256)).await.unwrap().uri, whole.uri);
        }
    }

    #[tokio::test]
    async fn packets_that_are_stored_are_not_stored_again_after_a_cut() {
        let place = Place::new();
        let content = content(5, 128_000);
        let pulled = place.pulled(&content, Layout::PerPacket);
        let (mut cuts, mut puts) = (0, 0);
        let file = loop {
            place.counting.room.store(33, Ordering::Relaxed);
            let stored = place.shelf("run-1/pull/1").store(pulled.clone()).await;
            puts += place.puts();
            match stored {
                Ok(file) => break file,
                Err(failure) => assert_eq!((failure.code.as_str(), failure.class), ("PH4104", Class::Operator)),
            }
            cuts += 1;
        };
        assert!(cuts >= 6, "{cuts}");
        // Up to eight are under way when the store is full: these were refused.
        assert!(puts <= 201 + cuts * AT_ONCE, "{puts} for 200 packets and their list");
        assert!(place.bytes(&file).await == content);
        assert!(place.kept.load(Ordering::Relaxed) >= 1);
        assert_eq!(place.counting.deletes.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn packets_of_a_file_that_became_another_one_are_deleted() {
        let place = Place::new();
        place.counting.room.store(20, Ordering::Relaxed);
        let old = place.pulled(&content(5, 64_000), Layout::PerPacket);
        place.shelf("run-1/pull/1").store(old).await.unwrap_err();
        place.counting.room.store(usize::MAX, Ordering::Relaxed);
        let content = content(9, 64_000);
        let new = place.pulled(&content, Layout::PerPacket);
        let file = place.shelf("run-1/pull/1").store(new).await.unwrap();
        assert!(place.bytes(&file).await == content);
        assert_eq!(place.counting.deletes.load(Ordering::Relaxed), 20);
    }

    #[tokio::test]
    async fn a_file_of_too_many_packets_is_refused() {
        let place = Place::new();
        let mut pulled = place.pulled(b"x", Layout::PerPacket);
        pulled.size = 640 * MOST_PACKETS + 1;
        let failure = place.shelf("run-1/pull/1").store(pulled).await.unwrap_err();
        assert_eq!((failure.code.as_str(), failure.class), ("PH4120", Class::Permanent));
        assert_eq!(place.puts(), 0);
    }
}
