//! Files: the file store, local paths, digests, and the index of what is stored under which digest.

use super::{Mirror, mirror};
use crate::blob::{BlobError, BlobStore, Contents, is_stored};
use crate::failpoint::Point;
use crate::store::{KeyValue, KvError, steady};
use md5::{Digest as _, Md5};
use packhorse_core::effect::{KvRequest, Outcome, Reply};
use packhorse_core::failure::{Class, Failure, chain};
use packhorse_core::file::FileRef;
use packhorse_core::hex;
use serde_json::Value;
use sha2::Sha256;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Keys of the index begin with a byte that hardly a workflow's key begins with: on the embedded store both lie together.
const INDEX: &str = "\u{1}file:";

/// How long a stored file is known by its digests after it was stored or asked for last, so that what nobody uses does not fill the store.
pub(super) const KNOWN_FOR: Duration = Duration::from_secs(366 * 86_400);
/// Kind of the entries that tell the SHA-256 of the file that an MD5 leads to.
const WHOSE: &str = "sha256-of-md5";
/// In its place where files of different bytes have the same MD5.
const SHARED: &str = "several";

/// What files can be asked for.
pub struct Files<'a> {
    pub(super) blobs: &'a dyn BlobStore,
    pub(super) contents: &'a Contents,
    pub(super) index: &'a dyn KeyValue,
    pub(super) mirror: Option<&'a Mirror>,
}

impl Files<'_> {
    /// A `file` value as written (`path`, `fastdfs:…`, `md5:…`, `sha256:…`) as the file that it is now.
    pub async fn pin(&self, text: &str) -> Result<FileRef, Failure> {
        let uri = match text.split_once(':') {
            Some(("fastdfs" | "packets", _)) => text.to_owned(),
            Some(("md5", digest)) if self.is_shared(digest).await? => return Err(shared(digest)),
            Some((kind @ ("md5" | "sha256"), digest)) => self.indexed(kind, digest).await?,
            Some(("file", path)) => local(Path::new(path))?,
            _ => local(Path::new(text))?,
        };
        let file = self.described(&uri).await?;
        match text.split_once(':') {
            Some(("md5", digest)) if !digest.eq_ignore_ascii_case(&file.md5) => Err(other(text, &file)),
            Some(("sha256", digest)) if !digest.eq_ignore_ascii_case(&file.sha256) => Err(other(text, &file)),
            _ => Ok(file),
        }
    }

    async fn described(&self, uri: &str) -> Result<FileRef, Failure> {
        let digests = self.contents.digest(uri).await.map_err(|error| blob(&error))?;
        let name = uri.rsplit('/').next().unwrap_or(uri).to_owned();
        let (md5, sha256) = (hex::encode(&digests.md5), hex::encode(&digests.sha256));
        Ok(FileRef { uri: uri.to_owned(), name, size: digests.size, md5, sha256, meta: BTreeMap::new() })
    }

    async fn indexed(&self, kind: &str, digest: &str) -> Result<String, Failure> {
        match self.known(kind, digest).await? {
            Value::String(uri) => Ok(uri),
            _ => self.mirrored(kind, digest).await.ok_or_else(|| {
                let hint =
                    "give a path or a fastdfs: id; files that a workflow stored or pulled are known by their digests";
                Failure::new("PH4011", Class::Permanent, format!("no stored file is known by {kind}:{digest}"))
                    .hint(hint)
            }),
        }
    }

    /// Stores a file, or finds it stored already.
    pub async fn upload(&self, file: FileRef, ext: &str) -> Outcome {
        if is_stored(&file.uri) {
            return Ok(Reply::Stored { file });
        }
        if let Some(uri) = self.stored(&file.sha256, file.size).await? {
            return Ok(Reply::Stored { file: FileRef { uri, ..file } });
        }
        let path = path_of(&file.uri)?;
        let extension = if ext.is_empty() {
            Path::new(&file.name).extension().and_then(|ext| ext.to_str()).unwrap_or("")
        } else {
            ext
        };
        let fits = extension.len() <= 6 && extension.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let digests = self.contents.digest(&file.uri).await.map_err(|error| blob(&error))?;
        if hex::encode(&digests.sha256) != file.sha256 {
            let message = format!("{} is another file than when the run was created", path.display());
            return Err(Failure::new("PH4107", Class::Permanent, message).hint("start a new run for the new file"));
        }
        Point::FileUpload.attempt().map_err(|error| local_failure("upload", &path, &error))?;
        let uri = self.blobs.put_file(&path, if fits { extension } else { "" }).await.map_err(|error| blob(&error))?;
        Point::FileUploaded.pass();
        let file = FileRef { uri, ..file };
        self.remember(&file).await?;
        Point::FileIndexed.pass();
        Ok(Reply::Stored { file })
    }

    /// Where a file with this SHA-256 lies in the file store, if it is known and still there.
    pub(super) async fn stored(&self, sha256: &str, size: u64) -> Result<Option<String>, Failure> {
        let Value::String(uri) = self.known("sha256", sha256).await? else { return Ok(None) };
        let is_there = self.blobs.info(&uri).await.is_ok_and(|info| info.size == size);
        Ok(Some(uri).filter(|_| is_there))
    }

    /// Where another system says that a file with this MD5 lies; what is there has its digest looked at before it is used.
    async fn mirrored(&self, kind: &str, md5: &str) -> Option<String> {
        let mirror = self.mirror.filter(|_| kind == "md5")?;
        let key = mirror::upload_key(&md5.to_ascii_lowercase());
        match mirror.redis().operate(KvRequest::Get { key }, steady()).await {
            Ok(Value::String(path)) => Some(mirror::uri_of(&path)),
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(%error, md5, "the mirror cannot be asked where a file lies");
                None
            }
        }
    }

    async fn known(&self, kind: &str, digest: &str) -> Result<Value, Failure> {
        let key = format!("{INDEX}{kind}:{}", digest.to_ascii_lowercase());
        lasting(self.index, key).await.map_err(|error| store(&error))
    }

    /// Makes a stored file known by its digests. An MD5 that another file has too is noted as such: it names neither.
    pub async fn remember(&self, file: &FileRef) -> Result<(), Failure> {
        let whose = match self.known(WHOSE, &file.md5).await? {
            Value::String(known) if known != file.sha256 => SHARED,
            _ => &file.sha256,
        };
        for (kind, digest, value) in
            [(WHOSE, &file.md5, whose), ("md5", &file.md5, &file.uri), ("sha256", &file.sha256, &file.uri)]
        {
            let set = KvRequest::Set {
                key: format!("{INDEX}{kind}:{digest}"),
                value: value.to_owned(),
                expire: Some(KNOWN_FOR),
            };
            self.index.operate(set, steady()).await.map_err(|error| store(&error))?;
        }
        Ok(())
    }

    /// Whether files of different bytes were stored that have this MD5.
    async fn is_shared(&self, md5: &str) -> Result<bool, Failure> {
        Ok(self.known(WHOSE, md5).await?.as_str() == Some(SHARED))
    }

    pub(super) async fn download(&self, file: FileRef, to: &str) -> Outcome {
        let to = PathBuf::from(to);
        if let Some(folder) = to.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            tokio::fs::create_dir_all(folder).await.map_err(|error| local_failure("create", folder, &error))?;
        }
        let temporary = partial(&to);
        let arrived = self.fetch(&file, &temporary).await.and_then(|()| {
            Point::DownloadRename.attempt().map_err(|error| local_failure("rename", &temporary, &error))
        });
        let named = match arrived {
            Ok(()) => {
                tokio::fs::rename(&temporary, &to).await.map_err(|error| local_failure("rename", &temporary, &error))
            }
            Err(failure) => Err(failure),
        };
        if named.is_err() {
            drop(tokio::fs::remove_file(&temporary).await);
        }
        Point::DownloadRenamed.pass();
        named.map(|()| Reply::Done)
    }

    /// Copies a file to a local path and looks whether it is what it should be.
    async fn fetch(&self, file: &FileRef, to: &Path) -> Result<(), Failure> {
        if is_stored(&file.uri) {
            self.blobs.get_file(&file.uri, to).await.map_err(|error| blob(&error))?;
        } else {
            let from = path_of(&file.uri)?;
            tokio::fs::copy(&from, to).await.map_err(|error| local_failure("copy", &from, &error))?;
        }
        let now = self.described(&local(to)?).await?;
        if now.sha256 != file.sha256 {
            let message =
                format!("{} came out with SHA-256 {} where {} was expected", file.uri, now.sha256, file.sha256);
            return Err(Failure::new("PH4012", Class::Transient, message));
        }
        Ok(())
    }

    /// Stores bytes. They are not known by their digests: a file that grows would soon be another one.
    pub(super) async fn put(&self, bytes: &[u8], ext: &str, grows: bool) -> Outcome {
        Point::FileUpload.attempt().map_err(|error| local_failure("upload", Path::new("bytes"), &error))?;
        let stored = if grows { self.blobs.put_growing(bytes, ext).await } else { self.blobs.put(bytes, ext).await };
        let uri = stored.map_err(|error| blob(&error))?;
        Point::FileUploaded.pass();
        let name = uri.rsplit('/').next().unwrap_or(&uri).to_owned();
        let (md5, sha256) = (Md5::digest(bytes), Sha256::digest(bytes));
        let (md5, sha256) = (hex::encode(&md5), hex::encode(&sha256));
        Ok(Reply::Stored { file: FileRef { uri, name, size: bytes.len() as u64, md5, sha256, meta: BTreeMap::new() } })
    }

    pub(super) async fn append(&self, uri: &str, bytes: &[u8]) -> Outcome {
        let appended = self.blobs.append(uri, bytes).await;
        // Whatever became of it, what is known of the file may be wrong.
        self.contents.forget(uri);
        appended.map(|()| Reply::Done).map_err(|error| blob(&error))
    }

    /// Past the cache: what is read may grow.
    pub(super) async fn read(&self, uri: &str, offset: u64, length: u32) -> Outcome {
        let bytes = self.blobs.read_at(uri, offset, length as usize).await.map_err(|error| blob(&error))?;
        Ok(Reply::Bytes { bytes: bytes.to_vec() })
    }

    pub(super) async fn info(&self, uri: &str) -> Outcome {
        let info = self.blobs.info(uri).await.map_err(|error| blob(&error))?;
        Ok(Reply::Info { size: info.size, crc32: info.crc32, created: info.created_unix })
    }

    pub(super) async fn delete(&self, uri: &str) -> Outcome {
        Point::FileDelete.pass();
        match self.blobs.delete(uri).await {
            // An attempt whose outcome was lost has deleted it.
            Ok(()) | Err(BlobError::NotFound { .. }) => {}
            Err(error) => return Err(blob(&error)),
        }
        Point::FileDeleted.pass();
        Ok(Reply::Done)
    }

    pub(super) async fn digest(&self, file: &FileRef) -> Outcome {
        let digests = self.contents.digest(&file.uri).await.map_err(|error| blob(&error))?;
        Ok(Reply::Digests { size: digests.size, md5: hex::encode(&digests.md5), sha256: hex::encode(&digests.sha256) })
    }
}

/// Where a file is written before it has its name.
fn partial(to: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(to.file_name().unwrap_or_default());
    name.push(".partial");
    to.with_file_name(name)
}

/// The `file:` uri of a path that can be read.
fn local(path: &Path) -> Result<String, Failure> {
    let absolute = path.canonicalize().map_err(|error| local_failure("read", path, &error))?;
    if !absolute.is_file() {
        let message = format!("{} is not a regular file", path.display());
        return Err(Failure::new("PH4013", Class::Permanent, message).hint("give the path of a file"));
    }
    let text = absolute
        .to_str()
        .ok_or_else(|| Failure::new("PH4013", Class::Permanent, format!("the path {} is not UTF-8", path.display())))?;
    Ok(format!("file:{text}"))
}

fn path_of(uri: &str) -> Result<PathBuf, Failure> {
    uri.strip_prefix("file:").map(PathBuf::from).ok_or_else(|| {
        Failure::new("PH4013", Class::Permanent, format!("{uri} is neither a local file nor in the file store"))
    })
}

fn local_failure(action: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new("PH4013", Class::Permanent, format!("cannot {action} {}: {error}", path.display()))
        .hint("check the path and its rights; relative paths count from where packhorse runs")
}

fn other(asked: &str, file: &FileRef) -> Failure {
    let message = format!("{asked} leads to {}, which has MD5 {} and SHA-256 {}", file.uri, file.md5, file.sha256);
    Failure::new("PH4107", Class::Permanent, message).hint("store the right file again")
}

/// What lies at a key of ours that is kept for so long after it was asked for last.
pub(super) async fn lasting(index: &dyn KeyValue, key: String) -> Result<Value, KvError> {
    let found = index.operate(KvRequest::Get { key: key.clone() }, steady()).await?;
    if !found.is_null() {
        index.operate(KvRequest::Expire { key, after: KNOWN_FOR }, steady()).await?;
    }
    Ok(found)
}

/// Two files of one MD5: somebody has made them so.
fn shared(md5: &str) -> Failure {
    let message = format!("md5:{md5} leads to several stored files of different bytes");
    Failure::new("PH4011", Class::Permanent, message).hint("name the file by sha256:… or by its fastdfs: id")
}

fn blob(error: &BlobError) -> Failure {
    Failure::new(error.code(), error.class(), chain(error))
}

fn store(error: &KvError) -> Failure {
    Failure::new("PH7002", Class::Transient, chain(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::MemoryBlobs;
    use crate::store::MemoryKeyValue;
    use std::sync::Arc;

    /// X. Wang, D. Feng, X. Lai, H. Yu, "Collisions for Hash Functions", 2004; and M. Stevens, "Single-block collision attack on MD5", 2012.
    const PAIRS: [[&str; 2]; 2] = [
        [
            "d131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f8955ad340609f4b30283e488832571415a085125e8f7cdc99fd91dbdf280373c5b\
             d8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0e99f33420f577ee8ce54b67080a80d1ec69821bcb6a8839396f9652b6ff72a70",
            "d131dd02c5e6eec4693d9a0698aff95c2fcab50712467eab4004583eb8fb7f8955ad340609f4b30283e4888325f1415a085125e8f7cdc99fd91dbd7280373c5b\
             d8823e3156348f5bae6dacd436c919c6dd53e23487da03fd02396306d248cda0e99f33420f577ee8ce54b67080280d1ec69821bcb6a8839396f965ab6ff72a70",
        ],
        [
            "4dc968ff0ee35c209572d4777b721587d36fa7b21bdc56b74a3dc0783e7b9518afbfa200a8284bf36e8e4b55b35f427593d849676da0d1555d8360fb5f07fea2",
            "4dc968ff0ee35c209572d4777b721587d36fa7b21bdc56b74a3dc0783e7b9518afbfa202a8284bf36e8e4b55b35f427593d849676da0d1d55d8360fb5f07fea2",
        ],
    ];

    #[tokio::test]
    async fn two_files_of_one_md5_never_stand_in_for_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let blobs: Arc<dyn BlobStore> = Arc::new(MemoryBlobs::default());
        let (contents, index) = (Contents::new(Arc::clone(&blobs)), MemoryKeyValue::default());
        let files = Files { blobs: blobs.as_ref(), contents: &contents, index: &index, mirror: None };
        // What follows both of a pair is the same, and so are their MD5s: five of each.
        for (number, pair) in PAIRS.iter().cycle().take(10).enumerate() {
            let mut stored = Vec::new();
            for (side, text) in pair.iter().enumerate() {
                let mut bytes = hex::decode(text).unwrap();
                bytes.extend(std::iter::repeat_n(b'x', number * 100));
                let path = folder.path().join(format!("{number}-{side}"));
                std::fs::write(&path, &bytes).unwrap();
                let Ok(Reply::Stored { file }) =
                    files.upload(files.pin(path.to_str().unwrap()).await.unwrap(), "").await
                else {
                    panic!("pair {number}");
                };
                if side == 0 {
                    let known = files.pin(&format!("md5:{}", file.md5)).await.unwrap();
                    assert_eq!(known.uri, file.uri, "the only one that is known");
                }
                stored.push((file, bytes));
            }
            let [(left, _), (right, _)] = &stored[..] else { panic!("a pair") };
            let keys = [format!("{INDEX}md5:{}", left.md5), format!("{INDEX}sha256:{}", left.sha256)];
            for key in keys {
                let later = steady().after(KNOWN_FOR + Duration::from_secs(60));
                assert!(
                    index.operate(KvRequest::Get { key }, later).await.unwrap().is_null(),
                    "it is not kept for ever"
                );
            }
            assert!(left.md5 == right.md5 && left.sha256 != right.sha256 && left.uri != right.uri, "pair {number}");
            let refused = files.pin(&format!("md5:{}", left.md5)).await.unwrap_err();
            assert_eq!(refused.code, "PH4011", "{refused:?}");
            for (file, bytes) in &stored {
                let known = files.pin(&format!("sha256:{}", file.sha256)).await.unwrap();
                assert_eq!(known.uri, file.uri);
                let there = blobs.read_at(&known.uri, 0, 4_096).await.unwrap();
                assert!(there == bytes[..], "pair {number}");
                // Stored once more, each finds itself; and the MD5 names neither still.
                files.remember(file).await.unwrap();
                assert!(files.pin(&format!("md5:{}", file.md5)).await.is_err());
            }
            // Nor does one pass for the other where it took its place.
            let path = folder.path().join(format!("{number}-0"));
            let pinned = files.pin(path.to_str().unwrap()).await.unwrap();
            std::fs::write(&path, &stored[1].1).unwrap();
            index.operate(KvRequest::Del { key: format!("{INDEX}sha256:{}", pinned.sha256) }, steady()).await.unwrap();
            assert_eq!(files.upload(pinned, "").await.unwrap_err().code, "PH4107", "pair {number}");
        }
    }
}
