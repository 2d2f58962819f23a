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

/// Keys of the index begin with a byte that hardly a workflow's key begins with: on the embedded store both lie together.
const INDEX: &str = "\u{1}file:";

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
        self.index.operate(KvRequest::Get { key }, steady()).await.map_err(|error| store(&error))
    }

    /// Makes a stored file known by its digests.
    pub async fn remember(&self, file: &FileRef) -> Result<(), Failure> {
        for (kind, digest) in [("md5", &file.md5), ("sha256", &file.sha256)] {
            let set = KvRequest::Set { key: format!("{INDEX}{kind}:{digest}"), value: file.uri.clone(), expire: None };
            self.index.operate(set, steady()).await.map_err(|error| store(&error))?;
        }
        Ok(())
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

fn blob(error: &BlobError) -> Failure {
    Failure::new(error.code(), error.class(), chain(error))
}

fn store(error: &KvError) -> Failure {
    Failure::new("PH7002", Class::Transient, chain(error))
}
