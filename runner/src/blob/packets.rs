//! Files that lie in a store as one file a packet, behind one uri: that of their list, which is a file in the store itself.

use super::{BlobError, BlobInfo, BlobStore, BoxFuture};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinSet;

/// Before the uri of a list.
const SCHEME: &str = "packets:";
/// First line of a list, with its version.
const HEAD: &str = "packhorse-packets 1";
/// Packets that are read at once.
const AT_ONCE: usize = 8;
/// Packets that a list may have: what is set aside for one stays below 16 MiB.
pub const MOST_PACKETS: u64 = 100_000;
/// Bytes of a list that are read.
const LIST: u64 = 16 << 20;
/// Lists that are kept in memory.
const LISTS: usize = 8;
/// Bytes that are copied at once.
const COPY: usize = 256 << 10;

/// Where the packets of a file lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketList {
    /// Bytes of the file.
    pub size: u64,
    /// First byte and uri of each packet, in the order of the file; an empty file has one empty packet.
    pub packets: Vec<(u64, String)>,
}

impl PacketList {
    /// As stored: a line for the version, one for the size, one for each packet.
    pub fn encode(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let lines = self.packets.iter().map(|(offset, uri)| format!("{offset} {uri}\n"));
        let head = [format!("{HEAD}\n{}\n", self.size)];
        head.into_iter().chain(lines).for_each(|line| text.extend_from_slice(line.as_bytes()));
        text
    }

    /// From what was stored; nothing where it is no list whose packets cover their file.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(bytes).ok()?.lines();
        if lines.next()? != HEAD {
            return None;
        }
        let size: u64 = lines.next()?.parse().ok()?;
        let packets: Vec<(u64, String)> = lines.map(entry).collect::<Option<_>>()?;
        let begins = packets.first().is_some_and(|(offset, _)| *offset == 0);
        let grows = packets.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let ends = packets.last().is_some_and(|(offset, _)| *offset < size || size == 0 && *offset == 0);
        let few = packets.len() as u64 <= MOST_PACKETS;
        (begins && grows && ends && few).then_some(Self { size, packets })
    }

    fn end(&self, index: usize) -> u64 {
        self.packets.get(index + 1).map_or(self.size, |(offset, _)| *offset)
    }
}

fn entry(line: &str) -> Option<(u64, String)> {
    let (offset, uri) = line.split_once(' ')?;
    // A list in a list would be read without end.
    (!uri.is_empty() && !uri.starts_with(SCHEME)).then_some((offset.parse().ok()?, uri.to_owned()))
}

/// Whether a uri is that of a list of packets.
pub fn is_packets(uri: &str) -> bool {
    uri.starts_with(SCHEME)
}

/// Whether a URI names something in the file store.
#[must_use]
pub fn is_stored(uri: &str) -> bool {
    uri.starts_with("fastdfs:") || is_packets(uri)
}

/// A store that also knows files of packets: `packets:` and the uri of their list.
pub struct PacketBlobs {
    inner: Arc<dyn BlobStore>,
    lists: Mutex<VecDeque<(String, Arc<PacketList>)>>,
}

impl PacketBlobs {
    /// Over a store of whole files.
    pub fn new(inner: Arc<dyn BlobStore>) -> Self {
        Self { inner, lists: Mutex::default() }
    }

    /// The uri of the file whose packets the list at `uri` names.
    pub fn uri_of(list: &str) -> String {
        format!("{SCHEME}{list}")
    }

    async fn list(&self, uri: &str, list: &str) -> Result<Arc<PacketList>, BlobError> {
        if let Some(known) = self.known(list) {
            return Ok(known);
        }
        let size = self.inner.info(list).await?.size;
        let damaged = || BlobError::Damaged { uri: uri.to_owned() };
        let length = usize::try_from(size.min(LIST)).map_err(|_| damaged())?;
        let bytes = self.inner.read_at(list, 0, length).await?;
        let read = PacketList::decode(&bytes).filter(|_| size <= LIST).map(Arc::new).ok_or_else(damaged)?;
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        lists.truncate(LISTS - 1);
        lists.push_front((list.to_owned(), Arc::clone(&read)));
        Ok(read)
    }

    fn known(&self, list: &str) -> Option<Arc<PacketList>> {
        let lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        lists.iter().find(|(uri, _)| uri == list).map(|(_, list)| Arc::clone(list))
    }

    fn forget(&self, list: &str) {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner).retain(|(uri, _)| uri != list);
    }

    async fn read(&self, uri: &str, list: &PacketList, (from, to): (u64, u64)) -> Result<Bytes, BlobError> {
        let first = list.packets.partition_point(|(offset, _)| *offset <= from).saturating_sub(1);
        let wanted = (first..list.packets.len()).take_while(|index| list.packets[*index].0 < to);
        let mut wanted = wanted.collect::<VecDeque<_>>();
        let mut parts: Vec<Option<Bytes>> = vec![None; wanted.len()];
        let mut under_way = JoinSet::new();
        loop {
            while under_way.len() < AT_ONCE
                && let Some(index) = wanted.pop_front()
            {
                let (inner, (start, packet)) = (Arc::clone(&self.inner), list.packets[index].clone());
                let (skip, end) = (from.saturating_sub(start), to.min(list.end(index)) - start);
                let length = usize::try_from(end - skip).unwrap_or(usize::MAX);
                under_way.spawn(async move { (index, length, inner.read_at(&packet, skip, length).await) });
            }
            let Some(read) = under_way.join_next().await else { break };
            let (index, length, bytes) = read.map_err(|_| BlobError::Damaged { uri: uri.to_owned() })?;
            let bytes = bytes?;
            if bytes.len() != length {
                return Err(BlobError::Damaged { uri: uri.to_owned() });
            }
            parts[index - first] = Some(bytes);
        }
        let mut all = BytesMut::new();
        parts.into_iter().flatten().for_each(|part| all.extend_from_slice(&part));
        Ok(all.freeze())
    }

    async fn copy(&self, uri: &str, list: &PacketList, to: &Path) -> Result<(), BlobError> {
        let mut part = to.as_os_str().to_owned();
        part.push(".part");
        let part = Path::new(&part);
        let copied = self.fill(uri, list, part).await;
        let named = copied.and_then(|()| std::fs::rename(part, to).map_err(|source| BlobError::local(to, source)));
        if named.is_err() {
            drop(std::fs::remove_file(part));
        }
        named
    }

    async fn fill(&self, uri: &str, list: &PacketList, part: &Path) -> Result<(), BlobError> {
        let local = |source| BlobError::local(part, source);
        let mut file = std::fs::File::create(part).map_err(local)?;
        let mut at = 0;
        while at < list.size {
            let end = list.size.min(at + COPY as u64);
            file.write_all(&self.read(uri, list, (at, end)).await?).map_err(local)?;
            at = end;
        }
        file.sync_all().map_err(local)
    }
}

impl BlobStore for PacketBlobs {
    fn put<'a>(&'a self, content: &'a [u8], ext: &'a str) -> BoxFuture<'a, Result<String, BlobError>> {
        self.inner.put(content, ext)
    }

    fn put_file<'a>(&'a self, path: &'a Path, ext: &'a str) -> BoxFuture<'a, Result<String, BlobError>> {
        self.inner.put_file(path, ext)
    }

    fn put_appender<'a>(&'a self, path: &'a Path, ext: &'a str) -> BoxFuture<'a, Result<String, BlobError>> {
        self.inner.put_appender(path, ext)
    }

    fn put_growing<'a>(&'a self, content: &'a [u8], ext: &'a str) -> BoxFuture<'a, Result<String, BlobError>> {
        self.inner.put_growing(content, ext)
    }

    /// A list of packets does not grow: the store below does not know its uri.
    fn append<'a>(&'a self, uri: &'a str, content: &'a [u8]) -> BoxFuture<'a, Result<(), BlobError>> {
        self.inner.append(uri, content)
    }

    fn read_at<'a>(&'a self, uri: &'a str, offset: u64, len: usize) -> BoxFuture<'a, Result<Bytes, BlobError>> {
        let Some(list) = uri.strip_prefix(SCHEME) else { return self.inner.read_at(uri, offset, len) };
        Box::pin(async move {
            let list = self.list(uri, list).await?;
            let to = list.size.min(offset.saturating_add(len as u64));
            if offset >= to { Ok(Bytes::new()) } else { self.read(uri, &list, (offset, to)).await }
        })
    }

    fn get_file<'a>(&'a self, uri: &'a str, to: &'a Path) -> BoxFuture<'a, Result<u64, BlobError>> {
        let Some(list) = uri.strip_prefix(SCHEME) else { return self.inner.get_file(uri, to) };
        Box::pin(async move {
            let list = self.list(uri, list).await?;
            self.copy(uri, &list, to).await?;
            Ok(list.size)
        })
    }

    /// Of a file of packets, the list and the first and the last packet are looked at.
    fn info<'a>(&'a self, uri: &'a str) -> BoxFuture<'a, Result<BlobInfo, BlobError>> {
        let Some(place) = uri.strip_prefix(SCHEME) else { return self.inner.info(uri) };
        Box::pin(async move {
            let created_unix = self.inner.info(place).await?.created_unix;
            let list = self.list(uri, place).await?;
            for (_, packet) in list.packets.iter().take(1).chain(list.packets.last()) {
                self.inner.info(packet).await?;
            }
            Ok(BlobInfo { size: list.size, crc32: None, created_unix })
        })
    }

    /// The packets go first, so that a delete that was cut can be done again.
    fn delete<'a>(&'a self, uri: &'a str) -> BoxFuture<'a, Result<(), BlobError>> {
        let Some(place) = uri.strip_prefix(SCHEME) else { return self.inner.delete(uri) };
        Box::pin(async move {
            let list = self.list(uri, place).await?;
            self.forget(place);
            for (_, packet) in &list.packets {
                match self.inner.delete(packet).await {
                    Ok(()) | Err(BlobError::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            self.inner.delete(place).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::MemoryBlobs;
    use super::super::contract::bytes;
    use super::*;

    async fn stored(blobs: &PacketBlobs, content: &[u8], packet: usize) -> String {
        let mut packets = Vec::new();
        for (index, piece) in content.chunks(packet).enumerate() {
            packets.push(((index * packet) as u64, blobs.put(piece, "").await.unwrap()));
        }
        if packets.is_empty() {
            packets.push((0, blobs.put(&[], "").await.unwrap()));
        }
        let list = PacketList { size: content.len() as u64, packets };
        assert_eq!(PacketList::decode(&list.encode()), Some(list.clone()));
        PacketBlobs::uri_of(&blobs.put(&list.encode(), "list").await.unwrap())
    }

    #[tokio::test]
    async fn packets_read_as_the_file_that_they_are() {
        let folder = tempfile::tempdir().unwrap();
        for size in [0, 1, 639, 640, 641, 100_000] {
            let blobs = PacketBlobs::new(Arc::new(MemoryBlobs::new()));
            let content = bytes(size);
            let uri = stored(&blobs, &content, 640).await;
            assert_eq!(blobs.info(&uri).await.unwrap().size, size as u64);
            for (offset, len) in [(0, size), (0, 1), (639, 2), (640, 640), (size / 2, size), (size, 5), (7, 50_000)] {
                let end = size.min(offset + len);
                let read = blobs.read_at(&uri, offset as u64, len).await.unwrap();
                assert!(read == content[offset.min(end)..end], "{size}: {len} bytes from {offset}");
            }
            let to = folder.path().join("copy");
            assert_eq!(blobs.get_file(&uri, &to).await.unwrap(), size as u64);
            assert!(std::fs::read(&to).unwrap() == content);
            let packet = blobs.known(uri.strip_prefix(SCHEME).unwrap()).unwrap().packets[0].1.clone();
            blobs.delete(&uri).await.unwrap();
            assert!(matches!(blobs.inner.info(&packet).await, Err(BlobError::NotFound { .. })));
            assert!(matches!(blobs.info(&uri).await, Err(BlobError::NotFound { .. })));
        }
    }

    #[tokio::test]
    async fn a_packet_that_is_gone_or_too_short_is_an_error() {
        let blobs = PacketBlobs::new(Arc::new(MemoryBlobs::new()));
        let short = blobs.put(b"abc", "").await.unwrap();
        let list = PacketList { size: 10, packets: vec![(0, short.clone()), (5, "memory:999".to_owned())] };
        let uri = PacketBlobs::uri_of(&blobs.put(&list.encode(), "").await.unwrap());
        assert!(matches!(blobs.read_at(&uri, 0, 5).await, Err(BlobError::Damaged { .. })));
        assert!(matches!(blobs.read_at(&uri, 5, 5).await, Err(BlobError::NotFound { .. })));
    }

    #[test]
    fn lists_that_cannot_be_are_refused() {
        let bad = [
            "",
            "packhorse-packets 2\n5\n0 memory:1\n",
            "packhorse-packets 1\n",
            "packhorse-packets 1\n5\n",
            "packhorse-packets 1\n5\n1 memory:1\n",
            "packhorse-packets 1\n5\n0 memory:1\n5 memory:2\n",
            "packhorse-packets 1\n9\n0 memory:1\n5 memory:2\n5 memory:3\n",
            "packhorse-packets 1\n5\n0 packets:memory:1\n",
            "packhorse-packets 1\n5\n0\n",
            "packhorse-packets 1\n-5\n0 memory:1\n",
            "packhorse-packets 1\n99999999999999999999\n0 memory:1\n",
        ];
        for text in bad {
            assert_eq!(PacketList::decode(text.as_bytes()), None, "{text}");
        }
        assert_eq!(PacketList::decode(&[0xff, 0]), None);
    }
}
